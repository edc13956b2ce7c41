//! `usrlocd fleet`: answers for all nodes of a fleet, and prepares the database that they share.

use std::future::Future;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};

use super::configuration::{Configuration, ConfigurationFile};
use super::output::print;
use crate::config;
use crate::daemon::{self, Failure};
use crate::fleet::{self, schema};
use crate::logging;

const EXAMPLES: &str = "\
Examples:
  usrlocd fleet --config /etc/usrlocd/fleet.toml
      answer for all nodes that publish to the database of [fleet] url
  usrlocd fleet migrate
      create or upgrade the tables in that database

Exit status:
  0 stopped by SIGTERM, 64 usage, 70 internal error, 71 the system refused (a port in use),
  77 permission, 78 configuration";

const MIGRATE: &str = "\
Examples:
  usrlocd fleet migrate
      with the database of the configuration
  usrlocd fleet migrate --url postgres://owner@db.example.com/fleet
      as a user who may create tables; the password comes from PGPASSWORD or ~/.pgpass

Nothing else creates or changes these tables. Each version only adds to the one before, so
older and newer nodes work side by side: upgrade the database first.

Exit status:
  0 success, 1 failure, 64 usage, 69 the database cannot be reached, 78 configuration";

/// Answer for all nodes of a fleet, with no Kamailio beside it
///
/// Serves the lists, counts, history, streams and nodes of the API from the database where the nodes publish, and has nodes
/// flush and notify. Of the configuration it reads `[http]`, `[auth]`, `[directory]`, `[fleet]`, `[limits]` and `[log]`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(super) struct FleetVerb {
    #[command(subcommand)]
    verb: Option<Verb>,

    #[command(flatten)]
    configuration: Configuration,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Create or upgrade the tables of the fleet
    #[command(after_long_help = MIGRATE)]
    Migrate(Migrate),
}

#[derive(Debug, Args)]
struct Migrate {
    /// The database [default: that of the configuration]
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    #[command(flatten)]
    file: ConfigurationFile,
}

impl FleetVerb {
    pub(super) fn run(self) -> Result<(), Failure> {
        if let Some(Verb::Migrate(migrate)) = self.verb {
            return migrate.run();
        }
        let loaded = self.configuration.load()?;
        let log = logging::init(&loaded.config.log)
            .context("start logging")
            .map_err(Failure::System)?;
        let configuration = self.configuration;
        daemon::run_fleet(loaded, log, move || configuration.reload())
    }
}

impl Migrate {
    fn run(&self) -> Result<(), Failure> {
        let server = self.server()?;
        let migrating = async {
            let mut connection = fleet::connect(server.url()).await?;
            schema::migrate(&mut connection).await
        };
        let (before, after) = block_on(migrating)?
            .map_err(|error| Failure::Unavailable(anyhow!("{server}: {error}")))?;
        print(&if before == after {
            format!("{server}: the tables of the fleet are up to date (version {after})\n")
        } else {
            format!("{server}: migrated the tables of the fleet from version {before} to {after}\n")
        })
    }
}

impl Migrate {
    fn server(&self) -> Result<config::Server, Failure> {
        if let Some(url) = &self.url {
            return config::Fleet::parse_url(url)
                .map_err(|message| Failure::Failed(anyhow!("--url: {message}")));
        }
        let config = Configuration::of(self.file.config.clone()).load()?.config;
        daemon::fleet_server(&config.fleet)?.ok_or_else(|| {
            Failure::Failed(anyhow!(
                "no database of a fleet is configured; set `[fleet] url`, or use --url"
            ))
        })
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")
        .map_err(Failure::System)?;
    let done = runtime.block_on(work);
    // A resolver that does not answer is not waited for.
    runtime.shutdown_background();
    Ok(done)
}
