//! Publishing to the fleet, where there is one.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Basics;
use super::files::fleet_server;
use super::supervise::Tasks;
use crate::config::{Config, Problems};
use crate::fleet::{Options, Publisher, identity};
use crate::own_thread;
use crate::registry::Registry;

impl Basics {
    /// Starts to publish what `registry` lists, where the configuration says so.
    pub(super) fn publish(
        &self,
        tasks: &mut Tasks,
        registry: &Arc<Registry>,
    ) -> Result<(), Problems> {
        let fleet = &self.config.fleet;
        let Some(server) = fleet_server(fleet)?.filter(|_| fleet.publish) else {
            return Ok(());
        };
        let id = match identity::load_or_make(&self.config.store.path) {
            Ok(id) => id,
            Err(error) => {
                tracing::error!(%error, "not publishing to the fleet: cannot read or make the identity of this node");
                return Ok(());
            }
        };
        let options = Options {
            url: server.url().to_owned(),
            id,
            name: node_name(&self.config),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            servers: self.config.kamailio.server_ids.clone(),
        };
        let (clock, metrics) = (Arc::clone(&self.clock), Arc::clone(&self.metrics));
        let publisher = Publisher::new(options, registry, clock, metrics);
        tasks.start("fleet", |stop: CancellationToken| {
            own_thread::run("fleet", publisher.run(stop))
        });
        Ok(())
    }
}

/// The name of this node in the fleet.
#[must_use]
pub fn node_name(config: &Config) -> String {
    let host = || {
        let system = rustix::system::uname();
        system.nodename().to_string_lossy().into_owned()
    };
    config.fleet.node.clone().unwrap_or_else(host)
}
