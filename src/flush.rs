//! Flush: registrations out of Kamailio's memory, for certain.
//!
//! Pick, remove, confirm, hide, answer. A binding counts as flushed only when Kamailio had it before and has let go
//! of it after, or when a Kamailio that is well up does not have it although the table still does. Removing asks
//! Kamailio by JSON-RPC and never touches its database.

mod also;
mod ambiguous;
mod aor;
mod api;
mod belief;
mod leftover;
mod look;
mod memory;
mod noted;
mod pace;
mod queue;
mod quiet;
mod recheck;
mod removal;
mod silence;
mod targets;
#[cfg(test)]
mod tests;
mod turns;
mod warrant;
mod work;
mod writing;

use std::sync::Arc;

use tokio::sync::Notify;

use crate::clock::Clock;
use crate::config::AlsoCall;
use crate::consumers::store::Store;
use crate::kamailio::Kamailio;
use crate::metrics::{Metrics, Scope};
use crate::registration::{Registration, Text};
use crate::registry::Registry;
pub use api::{Flush, Flushing};
use leftover::Leftovers;
use queue::Queue;
use quiet::Quiet;
use turns::Turns;
pub use warrant::Warrant;
use writing::Writing;

/// The target of the log line that each flush leaves: it stands out from the rest as the audit.
pub const AUDIT: &str = "usrlocd::audit";

/// The target of log lines that an operator should see although nothing is wrong with usrlocd.
pub const NOTICE: &str = "usrlocd::notice";

/// What is to be flushed, and who asks.
#[derive(Clone, Debug)]
pub struct Request {
    /// The registrations picked, all of one account.
    pub registrations: Vec<Arc<Registration>>,
    /// Addresses of record (username, domain) that Kamailio is asked to remove even if no row of theirs is picked:
    /// those of a known user, whose row may lag behind Kamailio's memory. Another account's are left alone.
    pub further: Vec<(Text, Option<Text>)>,
    /// Whether filters chose the registrations, so that not one more may go; else all contacts of their addresses of
    /// record are meant.
    pub exactly: bool,
    /// Who asks. Nothing that is not of the account asked for goes.
    pub actor: Actor,
    /// By what right. Nothing goes any more once it is withdrawn.
    pub warrant: Arc<dyn Warrant>,
}

/// Who asks for a flush, for whom, and for the audit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Actor {
    /// Name of the token, or what else the caller was recognized by; never the token.
    pub token: String,
    /// The caller's address.
    pub client: String,
    /// The request's id.
    pub request_id: String,
    /// The account asked for; `None` for all that there are.
    pub account_id: Option<String>,
    /// The user asked for.
    pub username: Option<String>,
    /// The filters asked for, as in the query.
    pub filters: String,
}

/// What became of a flush.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// How many bindings are confirmed to be gone.
    pub flushed: u64,
    /// What could not be confirmed, by address of record.
    pub failed: Vec<Failure>,
}

/// Why an address of record is not confirmed to be flushed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The address of record.
    pub aor: Text,
    /// What happened, for the caller to read.
    pub reason: String,
    /// Its kind.
    pub kind: FailureKind,
}

/// The kinds of failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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

/// Why a flush could not be answered for; what Kamailio was asked to remove may be gone.
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
    /// How many removals run at once, of all flushes; of each flush so many addresses of record are worked on.
    pub concurrency: usize,
    /// Further calls.
    pub also: Vec<AlsoCall>,
    /// The realm of rows without a domain.
    pub default_realm: Option<String>,
}

/// The parts that flushing works with.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What is shown.
    pub registry: Arc<Registry>,
    /// What is kept.
    pub store: Arc<Store>,
    /// Who is asked.
    pub kamailio: Arc<Kamailio>,
    /// Told when a hidden row is in doubt.
    pub doubts: Arc<Notify>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// Flushes registrations.
#[derive(Clone, Debug)]
pub struct Flusher {
    parts: Parts,
    options: Arc<Options>,
    turns: Arc<Turns>,
    queue: Arc<Queue>,
    quiet: Quiet,
    writing: Arc<Writing>,
    leftovers: Arc<Leftovers>,
}

impl Flusher {
    /// With these parts and options.
    #[must_use]
    pub fn new(parts: Parts, options: Options) -> Self {
        Self {
            turns: Arc::default(),
            queue: Arc::new(Queue::new(options.concurrency)),
            quiet: Quiet::new(Arc::clone(&parts.clock), Arc::clone(&parts.registry)),
            writing: Arc::default(),
            leftovers: Arc::default(),
            parts,
            options: Arc::new(options),
        }
    }

    /// Flushes what is asked for. What is in the outcome as flushed is not listed any more, also after a restart.
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
        let note = self.note_begin(&request.actor).await;
        let (targets, unaskable) = targets::targets(&request, &self.options.tables);
        let mut done = self.work(&request, targets).await;
        done.outcome.failed.extend(unaskable);
        // What has come back or gone since need not be kept.
        done.hidden
            .retain(|one| self.parts.registry.is_hidden(&one.key));
        if !done.hidden.is_empty()
            && let Err(error) = self.parts.store.hide(&done.hidden).await
        {
            done.error.get_or_insert(error);
        }
        self.note_end(note, &done.outcome).await;
        match done.error {
            None => Ok(done.outcome),
            Some(error) => Err(error.into()),
        }
    }
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
