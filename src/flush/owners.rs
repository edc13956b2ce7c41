//! Several Kamailios that share a server's tables: each is asked about the registrations that it owns, by `server_id`.
//!
//! What another one has is "not found" to a Kamailio, and removing it does nothing. So a registration whose owner is not
//! named is not asked about at all, and stays listed.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;

use super::done::Done;
use super::failure::unconfirmed;
use super::target;
use super::{Flusher, Options, Parts, Request};
use crate::kamailio::Kamailio;
use crate::registration::Registration;

/// The `server_id` of the Kamailio that wrote a registration; 0 is usrloc's default.
pub(super) fn owner(one: &Registration) -> i64 {
    one.binding.server_id.map_or(0, |id| id.get())
}

impl Flusher {
    /// A flusher that asks each of these Kamailios, by `server_id`, about its own registrations.
    #[must_use]
    pub fn of_several(
        parts: &Parts,
        options: &Options,
        kamailios: BTreeMap<i64, Arc<Kamailio>>,
    ) -> Self {
        let front = Self::new(parts.clone(), options.clone());
        let owners = kamailios.into_iter().map(|(id, kamailio)| {
            let parts = Parts {
                kamailio,
                server_id: Some(id),
                ..parts.clone()
            };
            let owner = Self {
                leftovers: Arc::clone(&front.leftovers),
                ..Self::new(parts, options.clone())
            };
            (id, owner)
        });
        Self {
            owners: Arc::new(owners.collect()),
            ..front
        }
    }

    /// The flusher that asks the Kamailio of a registration; `None` where that is not named.
    pub(super) fn asking(&self, one: &Registration) -> Option<&Self> {
        if self.owners.is_empty() {
            return Some(self);
        }
        self.owners.get(&owner(one))
    }

    /// Flushes what is asked for: each Kamailio what it owns.
    pub(super) async fn ask_owners(&self, request: &Request) -> Done {
        if self.owners.is_empty() {
            return self.flush_by_one(request).await;
        }
        let (mut shares, mut done) = (BTreeMap::<i64, Vec<_>>::new(), Done::default());
        for one in &request.registrations {
            let id = owner(one);
            if self.owners.contains_key(&id) {
                shares.entry(id).or_default().push(Arc::clone(one));
            } else {
                let reason = format!(
                    "the registration is that of the Kamailio with server_id {id}, which [kamailio] jsonrpc does not name"
                );
                let aor = one.binding.address_of_record();
                done.outcome.failed.push(unconfirmed(aor.name(), &reason));
            }
        }
        let asked = self.owners.iter().map(|(id, owner)| {
            let request = Request {
                registrations: shares.remove(id).unwrap_or_default(),
                ..request.clone()
            };
            async move { owner.flush_by_one(&request).await }
        });
        for part in join_all(asked).await {
            done.merge(part);
        }
        done
    }

    /// Flushes what is asked for, by the one Kamailio.
    async fn flush_by_one(&self, request: &Request) -> Done {
        // Over a datagram socket nobody else may hold Kamailio's worker meanwhile.
        let _pass = self.parts.kamailio.pass().await;
        let (targets, unaskable) = target::targets(request, &self.options.tables);
        let mut done = self.work(request, targets).await;
        done.outcome.failed.extend(unaskable);
        done
    }
}
