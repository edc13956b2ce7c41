//! Does what the fleet asks of this node: today's flush and NOTIFY, for exactly the registrations that were chosen.

use std::collections::HashSet;
use std::sync::Arc;

use serde::Serialize;
use tokio_util::task::TaskTracker;

use crate::fleet::intent::{CarryOut, CarryingOut, Chosen, Part, Work};
use crate::flush::{self, Authorization, Flush};
use crate::notify::{self, CHECK_SYNC, Event, Notify};
use crate::registration::{Registration, Text};
use crate::registry::{Registry, Scope};

/// What this node can do.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) registry: Arc<Registry>,
    pub(super) flush: Arc<dyn Flush>,
    pub(super) notify: Arc<dyn Notify>,
    /// What phones may be asked for. Whoever writes to the database chooses among these.
    pub(super) events: Vec<String>,
}

/// Does it.
pub(super) struct Executor {
    parts: Parts,
    /// Each in a task, so that whoever asked is told even of a defect.
    tasks: TaskTracker,
}

/// Whoever asked was checked there, and what was chosen is the account's by this node's own word.
#[derive(Debug)]
struct Granted;

impl Executor {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            parts,
            tasks: TaskTracker::new(),
        }
    }
}

impl CarryOut for Executor {
    fn carry_out(&self, work: Work) -> CarryingOut {
        let parts = self.parts.clone();
        let task = self.tasks.spawn(async move {
            match work {
                Work::Flush(all) => told(&parts.flush(all).await),
                Work::Notify { event, part } => told(&parts.notify(&event, part).await),
            }
        });
        Box::pin(async move {
            task.await.unwrap_or_else(|error| {
                tracing::error!(%error, "what the fleet asked for was aborted");
                told::<()>(&Err("usrlocd failed on the node; see its log".to_owned()))
            })
        })
    }
}

impl Parts {
    async fn flush(&self, parts: Vec<Part>) -> Result<flush::Outcome, String> {
        let requests = parts.into_iter().map(|part| flush::Request {
            registrations: self.chosen(&part),
            further: self.further(&part),
            exactly: part.exactly,
            actor: part.actor,
            authorization: Arc::new(Granted),
        });
        let flushed = flush::flush_all(&*self.flush, requests.collect()).await;
        flushed.map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "a flush failed");
            "the node cannot keep what it flushed hidden; see its log".to_owned()
        })
    }

    /// What there is to flush: what was chosen and is still listed and, where whole addresses of record go, what their phones
    /// have registered since.
    fn chosen(&self, part: &Part) -> Vec<Arc<Registration>> {
        let chosen = part.rows.iter().filter_map(|chosen| self.find(chosen));
        let mut all: Vec<_> = chosen.collect();
        if part.exactly {
            return all;
        }
        let account = part.actor.account_id.as_deref();
        let mut keys: HashSet<_> = all.iter().map(|one| one.binding.key.clone()).collect();
        for row in &part.rows {
            let (username, domain) = row.aor();
            for one in self.registry.listed_of(&username, domain.as_ref()) {
                if one.account_id.as_deref() == account && keys.insert(one.binding.key.clone()) {
                    all.push(one);
                }
            }
        }
        all
    }

    /// A user's further addresses of record, which rows may not show yet.
    fn further(&self, part: &Part) -> Vec<(Text, Option<Text>)> {
        let (Some(account), Some(username)) = (&part.actor.account_id, &part.actor.username) else {
            return Vec::new();
        };
        if part.exactly {
            return Vec::new();
        }
        let scope = Scope::Account(account);
        self.registry.known_aors(scope, username.as_bytes())
    }

    async fn notify(&self, event: &str, part: Part) -> Result<Vec<notify::Outcome>, String> {
        let event = self.event(event)?;
        let found: Vec<_> = part.rows.iter().map(|chosen| self.find(chosen)).collect();
        let request = notify::Request {
            registrations: found.iter().flatten().cloned().collect(),
            event,
            actor: part.actor,
            authorization: Arc::new(Granted),
        };
        let mut outcomes = self.notify.notify(request).await.into_iter();
        let gone = || notify::Outcome::Failed("not sent: the registration has ended".to_owned());
        let outcome = |found: &Option<_>| found.as_ref().and_then(|_| outcomes.next());
        Ok(found
            .iter()
            .map(outcome)
            .map(|outcome| outcome.unwrap_or_else(gone))
            .collect())
    }

    /// The event, if this node allows it.
    fn event(&self, event: &str) -> Result<Event, String> {
        let check_sync = [false, true].map(Event::check_sync);
        if let Some(known) = check_sync.into_iter().find(|one| one.to_string() == event) {
            return Ok(known);
        }
        let is_allowed = event != CHECK_SYNC && self.events.iter().any(|one| one == event);
        is_allowed
            .then(|| Event::configured(event))
            .ok_or_else(|| "not sent: [notify] events of the node does not allow it".to_owned())
    }

    /// The registration, if it is still listed here.
    fn find(&self, chosen: &Chosen) -> Option<Arc<Registration>> {
        let (username, domain) = chosen.aor();
        let listed = self.registry.listed_of(&username, domain.as_ref());
        let key = chosen.key();
        listed.into_iter().find(|one| one.binding.key == key)
    }
}

fn told<T: Serialize>(outcome: &Result<T, String>) -> String {
    serde_json::to_string(outcome).unwrap_or_default()
}

impl Authorization for Granted {
    fn holds(&self) -> bool {
        true
    }

    fn covers(&self, _: Option<&Text>) -> bool {
        true
    }
}
