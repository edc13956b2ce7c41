//! `usrlocd serve`: the daemon.

use anyhow::Context;
use clap::Args;

use super::configuration::Configuration;
use crate::daemon::{self, Failure};
use crate::logging;

const EXAMPLES: &str = "\
Examples:
  usrlocd serve
      beside Debian's Kamailio, API on 127.0.0.1:8000
  usrlocd serve --database /etc/kazoo/kamailio/db/kazoo.db --log-level debug
      another database, and every detail in the log
  usrlocd serve --listen 127.0.0.1:8000 --listen '[::1]:8000'
      on two addresses

Signals:
  SIGHUP reads the configuration and the files that it names anew, and takes over
  tokens, keys of JWTs, directory, limits and log level: all of it, or nothing where
  one file is bad. A file that changes by itself is taken over alone. One line says
  what changed, and which keys wait for a restart. SIGTERM answers what is under way
  and ends.

Exit status:
  0 ended by SIGTERM, 64 usage, 70 a defect of ours, 71 the system refused (a port that
  is taken), 73/74 the store cannot be created or written, 77 permission, 78 configuration";

/// Run the daemon
///
/// Mirrors Kamailio's registrations and serves the API until SIGTERM. Kamailio and its database may come and go.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Serve {
    #[command(flatten)]
    configuration: Configuration,
}

impl Serve {
    /// The flags of the configuration.
    #[cfg(test)]
    pub(super) fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    pub(super) fn run(self) -> Result<(), Failure> {
        let loaded = self.configuration.load()?;
        let log = logging::init(&loaded.config.log)
            .context("start logging")
            .map_err(Failure::System)?;
        let configuration = self.configuration;
        daemon::run(loaded, log, move || configuration.reload())
    }
}
