//! `usrlocd doctor`: checks everything that usrlocd needs, and says how to fix what is wrong. It changes nothing.

mod acl;
mod answers;
mod capacity;
mod clocks;
mod database;
mod environment;
mod exposure;
mod findings;
mod fleet;
mod flushes;
mod identity;
mod kamailio;
mod lost_tcp;
mod processes;
mod remedies;
mod rows;
mod schema;
mod server;
mod settings;
mod sqlite_version;
mod tables;
mod usrlocd;
mod version;

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::{Args, ValueEnum};

use self::findings::{Findings, Group};
use self::identity::Identity;
use self::remedies::Site;
use super::configuration::Configuration;
use super::output::{print, print_json};
use crate::config::Loaded;
use crate::config::discovery::Discovery;
use crate::config::kamailio_cfg::KamailioCfg;
use crate::daemon::Failure;
use crate::http::Finding;

const EXAMPLES: &str = "\
Examples:
  sudo usrlocd doctor
      checks permissions for the user that the daemon runs as
  usrlocd doctor --database /etc/kazoo/kamailio/db/kazoo.db
  usrlocd doctor -o json | jq '.findings[] | select(.mark == \"fail\")'

doctor changes nothing: it takes no lock on Kamailio's database, writes nothing, and
only queries Kamailio.

Exit status:
  0 all well, 1 an error, 2 warnings only";

/// Check everything that usrlocd needs, and say how to fix what is wrong
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Doctor {
    /// The output format
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,

    /// Check permissions for this user [default: when run as root usrlocd, if it exists; otherwise the calling user]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,

    #[command(flatten)]
    configuration: Configuration,
}

/// How findings are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    /// Text for people
    Table,
    /// One JSON object, stable for scripts
    Json,
}

impl Doctor {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let identity = Identity::choose(self.user.as_deref())?;
        let findings = found(&self.configuration, &identity)?;
        match self.output {
            Format::Table => print(&findings.text(&identity.to_string()))?,
            Format::Json => print_json(&findings.json(&identity.to_string()))?,
        }
        let (errors, warnings) = findings.counts();
        match (errors, warnings) {
            (0, 0) => Ok(()),
            (0, warnings) => Err(Failure::Partly(anyhow!("{}", many(warnings, "warning")))),
            (errors, 0) => Err(Failure::Failed(anyhow!("{}", many(errors, "error")))),
            (errors, warnings) => Err(Failure::Failed(anyhow!(
                "{}, {}",
                many(errors, "error"),
                many(warnings, "warning")
            ))),
        }
    }
}

/// What the daemon's page shows: the checks for the daemon's own user. They read files and ask Kamailio, and may take
/// seconds.
pub(super) fn examine_own(configuration: &Configuration) -> Vec<Finding> {
    let findings = found(configuration, &Identity::own());
    let findings = findings.unwrap_or_else(|failure| {
        let mut findings = Findings::default();
        let remedy = ["sudo usrlocd doctor".to_owned()];
        findings.fail(Group::Configuration, "doctor", failure.to_string(), remedy);
        findings
    });
    findings.for_page()
}

fn found(configuration: &Configuration, identity: &Identity) -> Result<Findings, Failure> {
    let mut findings = Findings::default();
    match configuration.load() {
        Ok(loaded) => examine(&loaded, identity, &mut findings)?,
        Err(problems) => {
            let message =
                format!("The configuration is invalid, and nothing else was checked. {problems}");
            let remedy = ["usrlocd check-config".to_owned()];
            findings.fail(Group::Configuration, "configuration", message, remedy);
        }
    }
    Ok(findings)
}

fn examine(loaded: &Loaded, identity: &Identity, findings: &mut Findings) -> Result<(), Failure> {
    let config = &loaded.config;
    let file = loaded.file.display();
    findings.ok(
        Group::Configuration,
        "configuration",
        if loaded.found {
            format!("{file} is valid.")
        } else {
            format!("{file} does not exist; the defaults apply.")
        },
    );
    environment::check(Path::new("/"), config, findings);
    let asked = answers::ask(&config.kamailio)?;
    let is_on_server = config.kamailio.is_on_server();
    let database = if is_on_server {
        server::check(&config.kamailio, findings);
        server::check_owners(&config.kamailio, findings);
        None
    } else {
        find_database(Path::new("/"), loaded, findings)
    };
    let place = database.as_deref().unwrap_or(&config.kamailio.database);
    let site = Site::new(
        Path::new("/"),
        asked.cfg().map(KamailioCfg::file),
        place,
        &loaded.file,
        &config.kamailio.tables,
    )
    .on_server(is_on_server);
    let tables = database.and_then(|_| {
        let inspection = database::check(&site, identity, asked.version(), findings)?;
        tables::check(&site, &inspection, findings)
    });
    kamailio::judge(&asked, &site, identity, tables.as_ref(), findings);
    if let Some(tables) = &tables {
        let realm = config.kamailio.default_realm.as_deref();
        settings::check(&site, realm, asked.cfg(), tables.counts, findings);
        tables::index(&site, tables, asked.cfg(), findings);
    }
    clocks::check(Path::new("/"), findings);
    usrlocd::check(config, identity, findings);
    fleet::check(config, findings);
    if let Some(cfg) = asked.cfg().filter(|_| !is_on_server) {
        flushes::cost(cfg, asked.version(), findings);
    }
    flushes::leftovers(&site, &config.http, findings);
    Ok(())
}

/// The database: the configured one, or the one that is found.
fn find_database(root: &Path, loaded: &Loaded, findings: &mut Findings) -> Option<PathBuf> {
    let group = Group::Database;
    if loaded.config.kamailio.database_given {
        return Some(loaded.config.kamailio.database.clone());
    }
    let discovery = Discovery::look(root);
    let Some(found) = discovery.found else {
        let looked: Vec<String> = discovery.looked.iter().map(ToString::to_string).collect();
        let message = format!(
            "No Kamailio database was found: {}. If it is elsewhere, set its path in {}. Debian's Kamailio as installed does not write registrations to a database: {} has the lines that make it do so.",
            looked.join("; "),
            loaded.file.display(),
            remedies::EXAMPLE
        );
        let remedy = [format!(
            "# {}\n[kamailio]\ndatabase = \"/path/of/kamailio.sqlite\"",
            loaded.file.display()
        )];
        findings.fail(group, "database_found", message, remedy);
        return None;
    };
    let shown = found.database.display();
    if discovery.others.is_empty() {
        let message = format!("Found {shown}: {}.", found.why);
        findings.ok(group, "database_found", message);
    } else {
        let others: Vec<String> = discovery
            .others
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let message = format!(
            "Chose {shown} ({}), but there is also {}. Set the right one in {}:",
            found.why,
            others.join(", "),
            loaded.file.display()
        );
        let remedy = [format!(
            "# {}\n[kamailio]\ndatabase = \"{shown}\"",
            loaded.file.display()
        )];
        findings.warn(group, "database_found", message, remedy);
    }
    Some(found.database)
}

/// `1 error`, `2 errors`.
fn many(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// The database found below `root` with the configuration `toml`, and the findings.
    fn found(root: &Path, toml: &str) -> (Option<PathBuf>, String) {
        let file = root.join("own.toml");
        fs::write(&file, toml).unwrap();
        let loaded = Loaded::load(Some(&file), [], &[]).unwrap();
        let mut findings = Findings::default();
        let database = find_database(root, &loaded, &mut findings);
        let (errors, warnings) = findings.counts();
        (
            database,
            format!("{errors} {warnings} {}", findings.text("x")),
        )
    }

    #[test]
    fn the_database_is_named_found_or_missed() {
        let root = tempfile::TempDir::new().unwrap();
        let root = root.path();
        let put = |name: &str| {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "x").unwrap();
            path
        };
        let (none, said) = found(root, "");
        assert_eq!(none, None);
        assert!(said.starts_with("1 0 "), "{said}");
        let own = root.join("own.toml").display().to_string();
        // The place of our own configuration, wherever it is.
        assert!(said.contains(&format!("# {own}")), "{said}");
        assert!(said.contains("kamailio-sqlite.cfg"), "{said}");

        let debian = put("var/lib/kamailio/kamailio.sqlite");
        let (one, said) = found(root, "");
        assert_eq!(one, Some(debian.clone()));
        assert!(said.starts_with("0 0 ") && said.contains("Found"), "{said}");

        let kazoo = put("etc/kazoo/kamailio/db/kazoo.db");
        let (first, said) = found(root, "");
        assert_eq!(first, Some(kazoo));
        assert!(
            said.starts_with("0 1 ") && said.contains("there is also"),
            "{said}"
        );

        let (named, said) = found(root, "[kamailio]\ndatabase = \"/x/y\"\n");
        assert_eq!(named, Some("/x/y".into()));
        assert!(said.starts_with("0 0 "), "{said}");
    }
}
