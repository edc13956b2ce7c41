//! `usrlocd serve`: the daemon.

use std::sync::Arc;

use anyhow::Context;
use clap::Args;

use super::configuration::Configuration;
use super::doctor;
use crate::daemon::{self, Failure};
use crate::logging;

const EXAMPLES: &str = "\
Examples:
  usrlocd serve
      with Debian's Kamailio, API on 127.0.0.1:8000
  usrlocd serve --database /etc/kazoo/kamailio/db/kazoo.db --log-level debug
      another database, and a detailed log
  usrlocd serve --listen 127.0.0.1:8000 --listen '[::1]:8000'
      on two addresses

Signals:
  SIGHUP reads the configuration and the files that it names again, and applies
  tokens, JWT keys, directory, limits, webhooks and log level: all of it, or nothing
  if one file is invalid. A file that changes is applied alone. One log line names the
  changes, and the keys that need a restart. SIGTERM completes requests in progress
  and stops.

Exit status:
  0 stopped by SIGTERM, 64 usage, 70 internal error, 71 the system refused (a port in
  use), 73/74 the store cannot be created or written, 77 permission, 78 configuration";

/// Run the daemon
///
/// Follows Kamailio's registrations and serves the API until SIGTERM. Kamailio and its database may come and go.
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
        let configuration = Arc::new(self.configuration);
        let examined = Arc::clone(&configuration);
        let reload = move || configuration.reload();
        let examine = move || doctor::examine_own(&examined);
        daemon::run(loaded, log, reload, Arc::new(examine))
    }
}
