//! Removes registrations from Kamailio and confirms it.
//!
//! Pick, remove, confirm, hide, answer: [`flush_one`] is the protocol. A binding counts as flushed only if Kamailio had
//! it before and does not have it afterwards, or if a Kamailio that has finished loading does not have it although the
//! table does. Removals are requested by JSON-RPC; Kamailio's database is never touched.
//!
//! | files | hold |
//! |---|---|
//! | [`flush_one`] | the protocol for one address of record; [`steps`] are its steps, [`target`] what they work on |
//! | [`workers`] | a whole flush: several addresses of record at a time; [`done`] is what came of it |
//! | [`turn`] | when a removal may start: one at a time, in its turn, while nobody writes Kamailio's file |
//! | [`answers`] | what Kamailio answers, and whether that is credible |
//! | [`recheck`], [`leftover`], [`restart`] | what is hidden: listed again if Kamailio has it, reported if its row stays |
//! | [`ambiguous`] | duplicate rows: asks Kamailio which of them it has |

mod ambiguous;
mod answers;
mod api;
mod audit;
mod authorization;
mod done;
mod failure;
mod flush_one;
mod leftover;
mod owners;
mod recheck;
mod restart;
mod steps;
mod target;
#[cfg(test)]
mod tests;
mod turn;
mod unfinished;
mod workers;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::config::AlsoCall;
use crate::consumers::store::Store;
use crate::kamailio::Kamailio;
use crate::metrics::{Metrics, Scope};
use crate::registration::{Registration, Text};
use crate::registry::Overlay;
pub use api::{Auditing, Flush, Flushing, flush_all};
pub use audit::{AuditLine, AuditQuery, NoAudit, OpenRecord};
pub use authorization::Authorization;
use leftover::Leftovers;
use turn::aor_lock::AorLocks;
use turn::queue::Queue;
use turn::quiet::Quiet;
use turn::write_mode::LearnedMode;

/// The target of the log line that each flush leaves: the audit.
pub const AUDIT: &str = "usrlocd::audit";

/// The target of log lines that an operator should see although nothing is wrong with usrlocd: logged at notice.
pub const NOTICE: &str = "usrlocd::notice";

/// What to flush, and for whom.
#[derive(Clone, Debug)]
pub struct Request {
    /// The registrations picked, all of one account or all of none.
    pub registrations: Vec<Arc<Registration>>,
    /// Addresses of record (username, domain) that Kamailio is asked to remove although no row of theirs is picked:
    /// those of a known user, whose row may lag behind Kamailio's memory. Another account's are left alone.
    pub further: Vec<(Text, Option<Text>)>,
    /// Whether only the picked registrations may go, because filters chose them; otherwise all contacts of their
    /// addresses of record go.
    pub exactly: bool,
    /// Who asks. Only contacts of the account asked for go.
    pub actor: Actor,
    /// What the caller may do. Nothing more goes once it is withdrawn.
    pub authorization: Arc<dyn Authorization>,
}

/// Who asks for a flush, for whom, and for the audit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Actor {
    /// The name of the token, or of what else identified the caller; never the token.
    pub token: String,
    /// The caller's address.
    pub client: String,
    /// The request's id.
    pub request_id: String,
    /// The account that is flushed; `None` for what belongs to none.
    pub account_id: Option<String>,
    /// The user asked for.
    pub username: Option<String>,
    /// The filters asked for, as in the query.
    pub filters: String,
}

/// What became of a flush.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// How many bindings are confirmed to be gone.
    pub flushed: u64,
    /// What could not be confirmed, by address of record.
    pub failed: Vec<Failure>,
}

/// An address of record that is not confirmed to be flushed, and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// The address of record.
    #[serde(serialize_with = "shown")]
    pub aor: Text,
    /// The reason, for the caller to read.
    pub reason: String,
    /// Its kind.
    pub kind: FailureKind,
    /// The node of a fleet where it is.
    pub node: Option<String>,
}

/// The kinds of failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum FailureKind {
    /// Kamailio cannot be reached.
    Unreachable,
    /// Kamailio did not answer in time.
    Timeout,
    /// Kamailio answered, and the binding is not confirmed to be gone.
    Unconfirmed,
    /// The caller may not flush it any more.
    Withdrawn,
}

/// Why the outcome of a flush is not known; what Kamailio was asked to remove may be gone.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was flushed could not be kept hidden across a restart.
    #[error("cannot keep flushed registrations hidden")]
    Store(#[from] crate::consumers::store::Error),
}

/// How to flush.
#[derive(Clone, Debug)]
pub struct Options {
    /// The usrloc tables.
    pub tables: Vec<String>,
    /// How many removals run at once, over all flushes, and how many addresses of record of each flush are worked on.
    pub concurrency: usize,
    /// Extra calls.
    pub also: Vec<AlsoCall>,
    /// The realm of rows without a domain.
    pub default_realm: Option<String>,
    /// Whether other Kamailios may have rows in the tables.
    pub shared: bool,
}

/// The parts that flushing works with.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What is listed, and what flushes change of it.
    pub registry: Overlay,
    /// What is kept on disk.
    pub store: Arc<Store>,
    /// Kamailio.
    pub kamailio: Arc<Kamailio>,
    /// Its `server_id`, where other Kamailios share its tables and each is asked about its own registrations.
    pub server_id: Option<i64>,
    /// Notified when Kamailio should be asked about hidden rows soon.
    pub doubts: Arc<Notify>,
    /// The counters.
    pub metrics: Arc<Metrics>,
}

/// Flushes registrations.
#[derive(Clone, Debug)]
pub struct Flusher {
    parts: Parts,
    options: Arc<Options>,
    locks: Arc<AorLocks>,
    queue: Arc<Queue>,
    quiet: Quiet,
    mode: Arc<LearnedMode>,
    leftovers: Arc<Leftovers>,
    /// Those that ask each of several Kamailios, by `server_id`; none where there is one.
    owners: Arc<BTreeMap<i64, Flusher>>,
}

impl Flusher {
    /// A flusher with these parts and options.
    #[must_use]
    pub fn new(parts: Parts, options: Options) -> Self {
        Self {
            locks: Arc::default(),
            queue: Arc::new(Queue::new(options.concurrency)),
            quiet: Quiet::new(
                Arc::clone(&parts.clock),
                Arc::clone(parts.registry.registry()),
            ),
            mode: Arc::default(),
            leftovers: Arc::default(),
            owners: Arc::default(),
            parts,
            options: Arc::new(options),
        }
    }

    /// Flushes what is asked for. What the outcome counts as flushed is not listed any more, not even after a restart.
    ///
    /// # Errors
    /// When that last promise cannot be kept.
    pub async fn flush(&self, request: Request) -> Result<Outcome, Error> {
        let metrics = Arc::clone(&self.parts.metrics);
        let (began, scope) = (metrics.now(), scope(&request.actor));
        let result = self.carry_out(request).await;
        let (flushed, failed) = match &result {
            Ok(outcome) => (outcome.flushed, Some(outcome.failed.len())),
            Err(_) => (0, None),
        };
        let took = metrics.since(began);
        metrics.flushes.ended(scope, flushed, failed, took);
        result
    }

    async fn carry_out(&self, request: Request) -> Result<Outcome, Error> {
        let Parts { store, clock, .. } = &self.parts;
        let record = OpenRecord::begin((store, clock), &request.actor, None).await;
        let mut done = self.ask_owners(&request).await;
        // What has come back or gone since need not be kept.
        done.hidden
            .retain(|one| self.parts.registry.is_hidden(&one.key));
        if !done.hidden.is_empty()
            && let Err(error) = self.parts.store.hide(&done.hidden).await
        {
            done.error.get_or_insert(error);
        }
        let Outcome { flushed, failed } = &done.outcome;
        record.end(*flushed, failed.len() as u64).await;
        match done.error {
            None => Ok(done.outcome),
            Some(error) => Err(error.into()),
        }
    }
}

impl Parts {
    /// Whether the Kamailio that is asked may have the registration.
    fn is_own(&self, one: &Registration) -> bool {
        self.server_id.is_none_or(|id| owners::owner(one) == id)
    }
}

/// Of a failure the address of record is for people to read.
fn shown<S: Serializer>(aor: &Text, to: S) -> Result<S::Ok, S::Error> {
    aor.lossy().serialize(to)
}

fn scope(actor: &Actor) -> Scope {
    if !actor.filters.is_empty() {
        Scope::Filtered
    } else if actor.username.is_some() {
        Scope::User
    } else {
        Scope::Account
    }
}
