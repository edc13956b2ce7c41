//! Who calls Kamailio: the flusher, the notifier and the probe, each by clients of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use super::{Basics, Failure};
use crate::flush::{self, Flusher};
use crate::kamailio::{self, Kamailio};
use crate::notify as notifying;
use crate::registry::Overlay;

impl Basics {
    pub(super) fn flusher(&self, registry: Overlay) -> Result<Flusher, Failure> {
        let config = &self.config;
        // Two more than flushes use, for the questions about hidden rows and about rows that only Kamailio can tell apart.
        let connections = config.flush.concurrency + 2;
        let kamailio = self.client(connections)?;
        let parts = flush::Parts {
            clock: Arc::clone(&self.clock),
            doubts: Arc::clone(registry.doubts()),
            registry,
            store: Arc::clone(&self.store),
            kamailio: Arc::new(kamailio),
            server_id: None,
            metrics: Arc::clone(&self.metrics),
        };
        let options = flush::Options {
            tables: config.kamailio.tables.clone(),
            concurrency: config.flush.concurrency,
            also: config.flush.also.clone(),
            default_realm: config.kamailio.default_realm.clone(),
            shared: config.kamailio.is_on_server()
                && (config.kamailio.server_ids.len() != 1
                    || !config.kamailio.jsonrpc_by_id.is_empty()),
        };
        let owners = self.owners(connections, config.kamailio.rpc_timeout)?;
        if owners.is_empty() {
            return Ok(Flusher::new(parts, options));
        }
        let owners = owners.into_iter();
        let owners = owners.map(|(id, client)| (id, Arc::new(client)));
        Ok(Flusher::of_several(&parts, &options, owners.collect()))
    }

    /// Clients of every Kamailio that is spoken to, with its `server_id` where there are several.
    pub(super) fn probed(&self) -> Result<Vec<(Option<i64>, Kamailio)>, Failure> {
        let owners = self.owners(1, self.config.kamailio.rpc_timeout)?;
        if owners.is_empty() {
            return Ok(vec![(None, self.client(1)?)]);
        }
        let owners = owners.into_iter();
        Ok(owners.map(|(id, client)| (Some(id), client)).collect())
    }

    /// Clients of the Kamailios that share the tables, by `server_id`; none where there is one Kamailio.
    fn owners(
        &self,
        connections: usize,
        timeout: Duration,
    ) -> Result<BTreeMap<i64, Kamailio>, Failure> {
        let addresses = self.config.kamailio.jsonrpc_by_id.iter();
        let clients = addresses.map(|(id, address)| {
            let client = client_of(address, connections, timeout)?;
            let client = client.counted(Arc::clone(&self.metrics));
            Ok((*id, client.behind(&self.gate)))
        });
        clients.collect()
    }

    pub(super) fn notifier(&self) -> Result<notifying::Notifier, Failure> {
        let kamailio = self.client_with(notifying::WAITING, notifying::LONGEST)?;
        let owners = self.owners(notifying::WAITING, notifying::LONGEST)?;
        let owners = owners.into_iter();
        let owners = owners.map(|(id, client)| (id, Arc::new(client.without_reuse())));
        let parts = notifying::Parts {
            clock: Arc::clone(&self.clock),
            store: Arc::clone(&self.store),
            kamailio: Arc::new(kamailio.without_reuse()),
            owners: owners.collect(),
            metrics: Arc::clone(&self.metrics),
        };
        Ok(notifying::Notifier::new(parts, self.config.notify.timeout))
    }

    /// A client of Kamailio with at most so many calls in progress, which are counted.
    fn client(&self, connections: usize) -> Result<Kamailio, Failure> {
        self.client_with(connections, self.config.kamailio.rpc_timeout)
    }

    /// The same with this time for each call.
    fn client_with(&self, connections: usize, timeout: Duration) -> Result<Kamailio, Failure> {
        let kamailio = client_of(&self.config.kamailio.jsonrpc, connections, timeout)?;
        let kamailio = kamailio.counted(Arc::clone(&self.metrics));
        Ok(kamailio.behind(&self.gate))
    }
}

/// A client of the Kamailio at this address.
fn client_of(address: &str, connections: usize, timeout: Duration) -> Result<Kamailio, Failure> {
    let endpoint = address.parse().context("[kamailio] jsonrpc");
    Ok(Kamailio::new(kamailio::Options {
        endpoint: endpoint.map_err(Failure::Usage)?,
        timeout,
        connections,
    }))
}
