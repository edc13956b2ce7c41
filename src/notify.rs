//! Asks phones to act: a SIP NOTIFY to each contact, sent by Kamailio over the binding's own way.
//!
//! Nothing that a caller sends reaches a SIP header but the choice of an [`Event`]; all else is built from the table, and
//! [`message`] refuses what could end a header line. At most [`WAITING`] phones are waited for at once, on connections of
//! their own. Kamailio cannot be asked to give up earlier than its timer (`fr_timer`, 30 s by default): after
//! `[notify] timeout` the caller gets an answer, and the call runs out in a task that keeps its place until then. A request
//! is never sent twice, and never after its caller was told that it was not.

mod api;
mod event;
mod message;
mod outcome;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::consumers::store::Store;
use crate::flush::{Actor, Authorization, OpenRecord};
use crate::kamailio::Kamailio;
use crate::metrics::Metrics;
use crate::registration::Registration;

pub use api::{Notify, Notifying};
pub use event::{CHECK_SYNC, Event};
pub use message::{Unsendable, check};
pub use outcome::Outcome;

/// How many phones are waited for at once: each wait takes memory that Kamailio's processes share.
pub const WAITING: usize = 32;

/// How long a call may run out: twice as long as Kamailio's timer runs by default.
pub const LONGEST: Duration = Duration::from_mins(1);

/// What to ask of which phones, and for whom.
#[derive(Clone, Debug)]
pub struct Request {
    /// The registrations whose contacts are asked.
    pub registrations: Vec<Arc<Registration>>,
    /// What is asked of them.
    pub event: Event,
    /// Who asks.
    pub actor: Actor,
    /// What the caller may do: no more is sent once it is withdrawn.
    pub authorization: Arc<dyn Authorization>,
}

/// What notifying works with.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where the audit is kept.
    pub store: Arc<Store>,
    /// Kamailio, by a client whose calls may take [`LONGEST`] and which never sends one twice.
    pub kamailio: Arc<Kamailio>,
    /// The same of each Kamailio that shares the tables, by `server_id`: a phone is asked by the one where it is
    /// registered. None where there is one Kamailio.
    pub owners: BTreeMap<i64, Arc<Kamailio>>,
    /// The counters.
    pub metrics: Arc<Metrics>,
}

/// Asks phones to act.
#[derive(Clone, Debug)]
pub struct Notifier {
    parts: Parts,
    /// How long a phone is waited for, and before that, a free place.
    patience: Duration,
    places: Arc<Semaphore>,
    /// Calls that run out.
    calls: TaskTracker,
}

impl Notifier {
    /// A notifier with these parts, which waits for each phone for so long.
    #[must_use]
    pub fn new(parts: Parts, patience: Duration) -> Self {
        Self {
            parts,
            patience,
            places: Arc::new(Semaphore::new(WAITING)),
            calls: TaskTracker::new(),
        }
    }

    /// Asks each phone; returns what became of it, in the order of the registrations.
    pub async fn notify(&self, request: Request) -> Vec<Outcome> {
        let Parts { store, clock, .. } = &self.parts;
        let event = Some(request.event.to_string());
        let record = OpenRecord::begin((store, clock), &request.actor, event).await;
        let asked = request.registrations.iter();
        let outcomes = join_all(asked.map(|one| self.ask(one, &request))).await;
        let notified = outcomes.iter().filter(|one| one.is_accepted()).count();
        let failed = outcomes.len() - notified;
        record.end(notified as u64, failed as u64).await;
        outcomes
    }

    async fn ask(&self, one: &Registration, request: &Request) -> Outcome {
        let outcome = self.send(one, request).await;
        self.parts.metrics.notified.count(outcome.counted());
        if let Outcome::Failed(reason) = &outcome {
            let contact = one.binding.contact.lossy();
            tracing::debug!(%contact, reason, "a phone was not notified");
        }
        outcome
    }

    /// The Kamailio where the phone is registered; its `server_id` where that is not named.
    fn kamailio_of(&self, one: &Registration) -> Result<&Arc<Kamailio>, i64> {
        if self.parts.owners.is_empty() {
            return Ok(&self.parts.kamailio);
        }
        let id = one.binding.server_id.map_or(0, |id| id.get());
        self.parts.owners.get(&id).ok_or(id)
    }

    async fn send(&self, one: &Registration, request: &Request) -> Outcome {
        let message = match message::build(one, &request.event) {
            Ok(message) => message,
            Err(why) => return why.into(),
        };
        let kamailio = match self.kamailio_of(one) {
            Ok(kamailio) => Arc::clone(kamailio),
            Err(id) => return Outcome::not_named(id),
        };
        let free = async {
            let place = Arc::clone(&self.places).acquire_owned().await;
            (place, kamailio.turn_to_send().await)
        };
        let Ok((place, turn)) = timeout(self.patience, free).await else {
            return Outcome::busy();
        };
        // It may have taken a while.
        if !request.authorization.holds() {
            return Outcome::withdrawn();
        }
        let call = self.calls.spawn(async move {
            let _place = place;
            kamailio.send(&message, turn.as_ref()).await
        });
        match timeout(self.patience, call).await {
            Ok(Ok(Ok(heard))) => heard.into(),
            Ok(Ok(Err(fault))) => Outcome::of_fault(&fault),
            Ok(Err(_aborted)) => Outcome::aborted(),
            Err(_) => Outcome::Silent {
                within: Some(self.patience),
            },
        }
    }
}
