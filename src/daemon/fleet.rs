//! Publishing to the fleet, where there is one.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Basics;
use super::files::fleet_server;
use super::intents::{self, Executor};
use super::supervise::Tasks;
use crate::config::{Config, Problems};
use crate::event_log::Finder;
use crate::fleet::{Claims, Options, Publisher, identity};
use crate::flush::Flusher;
use crate::notify::Notifier;
use crate::own_thread;
use crate::registry::Registry;

impl Basics {
    /// What publishes what `registry` lists, where the configuration says so.
    pub(super) fn publisher(
        &self,
        registry: &Arc<Registry>,
    ) -> Result<Option<(Publisher, Options)>, Problems> {
        let fleet = &self.config.fleet;
        let Some(server) = fleet_server(fleet)?.filter(|_| fleet.publish) else {
            return Ok(None);
        };
        let id = match identity::load_or_make(&self.config.store.path) {
            Ok(id) => id,
            Err(error) => {
                tracing::error!(%error, "not publishing to the fleet: cannot read or make the identity of this node");
                return Ok(None);
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
        let publisher = Publisher::new(options.clone(), registry, clock, metrics);
        Ok(Some((publisher, options)))
    }

    /// Starts to publish, and to do what the fleet asks for.
    pub(super) fn publish(
        &self,
        tasks: &mut Tasks,
        (publisher, options): (Publisher, Options),
        registry: &Arc<Registry>,
        flaps: Arc<Finder>,
        (flusher, notifier): (Flusher, Notifier),
    ) {
        let executor = Executor::new(intents::Parts {
            registry: Arc::clone(registry),
            flush: Arc::new(flusher),
            notify: Arc::new(notifier),
            events: self.config.notify.choice(),
        });
        let claims = Claims::new(
            &options,
            publisher.status(),
            registry,
            Arc::new(executor),
            (Arc::clone(&self.clock), Arc::clone(&self.metrics)),
        );
        tasks.start("intents", |stop| async move {
            claims.run(stop).await;
            Ok(())
        });
        let mut publisher = publisher.with_flapping(flaps);
        if self.events.history().is_some() {
            let keep = self.config.fleet.history;
            publisher = publisher.with_events(Arc::clone(&self.events), keep);
        } else {
            tracing::warn!(
                "not publishing events to the fleet: this node keeps no history; set `[history] enabled = true`"
            );
        }
        tasks.start("fleet", |stop: CancellationToken| {
            own_thread::run("fleet", publisher.run(stop))
        });
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
