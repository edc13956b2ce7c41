//! Flush: registrations out of Kamailio's memory, for certain.
//!
//! Pick, remove, confirm, hide, answer. A binding counts as flushed only when Kamailio had it before and has let go
//! of it after, or when a Kamailio that is well up does not have it although the table still does. Removing asks
//! Kamailio by JSON-RPC and never touches its database.

mod also;
mod aor;
mod belief;
mod recheck;
mod silence;
mod targets;
mod turns;

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::config::AlsoCall;
use crate::kamailio::Kamailio;
use crate::metrics::{Metrics, Scope};
use crate::registration::{Hidden, Registration, Text};
use crate::store::{FlushRecord, Store};
use crate::view::View;
use also::Further;
use aor::Flushed;
use belief::Belief;
use silence::Silence;
use targets::Target;
use turns::Turns;

/// The target of the log line that each flush leaves: it stands out from the rest as the audit.
pub const AUDIT: &str = "usrlocd::audit";

/// What is to be flushed, and who asks.
#[derive(Clone, Debug)]
pub struct Request {
    /// The registrations picked, all of one account.
    pub registrations: Vec<Arc<Registration>>,
    /// Further addresses of record (username, domain) that Kamailio is asked to remove although no row of theirs
    /// is listed: those of a known user, whose row may lag behind Kamailio's memory.
    pub further: Vec<(Text, Option<Text>)>,
    /// Whether filters chose the registrations, so that not one more may go; else all contacts of their addresses of
    /// record are meant.
    pub exactly: bool,
    /// For the audit.
    pub actor: Actor,
}

/// Who asks for a flush, for the audit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Actor {
    /// Name of the token, or what else the caller was recognized by; never the token.
    pub token: String,
    /// The caller's address.
    pub client: String,
    /// The request's id.
    pub request_id: String,
    /// The account asked for.
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
}

/// Why a flush could not be answered for; what Kamailio was asked to remove may be gone.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was flushed could not be kept hidden across a restart.
    #[error("cannot keep flushed registrations hidden")]
    Store(#[from] crate::store::Error),
}

/// How to flush.
#[derive(Clone, Debug)]
pub struct Options {
    /// The usrloc tables.
    pub tables: Vec<String>,
    /// How many addresses of record are worked on at once.
    pub concurrency: usize,
    /// Further calls.
    pub also: Vec<AlsoCall>,
}

/// The parts that flushing works with.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What is shown.
    pub view: Arc<View>,
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
}

/// What one flush has learned about Kamailio, for all of its addresses of record.
#[derive(Debug)]
struct Round<'a> {
    kamailio: &'a Kamailio,
    exactly: bool,
    belief: Belief<'a>,
    silence: Silence,
    further: Further<'a>,
}

impl Flusher {
    /// With these parts and options.
    #[must_use]
    pub fn new(parts: Parts, options: Options) -> Self {
        Self {
            parts,
            options: Arc::new(options),
            turns: Arc::default(),
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
        let parts = &self.parts;
        let concurrency = self.options.concurrency.max(1);
        let targets = targets::targets(&request, &parts.view, &self.options.tables);
        let at = parts.clock.unix_seconds();
        let round = Round {
            kamailio: &parts.kamailio,
            exactly: request.exactly,
            belief: Belief::new(&parts.kamailio, &parts.view, &targets),
            silence: Silence::new(concurrency),
            further: Further::new(&self.options.also),
        };
        let (mut outcome, mut hidden) = (Outcome::default(), Vec::<Hidden>::new());
        let mut results = stream::iter(targets)
            .map(|target| self.work_on(target, &round))
            .buffer_unordered(concurrency);
        while let Some((flushed, rows)) = results.next().await {
            outcome.flushed += flushed.gone.len() as u64 + flushed.back;
            outcome.failed.extend(flushed.failure);
            hidden.extend(rows);
        }
        drop(results);
        self.audit(&request.actor, at, &outcome).await;
        if !hidden.is_empty() {
            parts.store.hide(&hidden).await?;
        }
        Ok(outcome)
    }

    /// Flushes one address of record, and hides what is gone before anybody else may work on it.
    async fn work_on(&self, mut target: Target, round: &Round<'_>) -> (Flushed, Vec<Hidden>) {
        let _turn = self.turns.take(target.place()).await;
        if let Some(kind) = round.silence.given_up() {
            return (Flushed::failed(target.not_asked(kind)), Vec::new());
        }
        // Another flush may have been faster: what it removed is neither ours to count nor missing.
        target.forget_what_went(&self.parts.view);
        if round.exactly && target.picked.is_empty() {
            return Default::default();
        }
        let result = target.remove(round).await;
        round.silence.note(result.as_ref().err());
        let mut flushed = match result {
            Ok(flushed) => flushed,
            Err(fault) => return (Flushed::failed(target.failure(&fault)), Vec::new()),
        };
        // Whatever REGISTER comes later than now is none that was flushed.
        let now = self.parts.clock.unix_seconds();
        let hidden = target.to_hide(&flushed, &self.parts.view, now);
        self.parts.view.hide(hidden.iter().cloned());
        if let Err(failure) = round.further.call(&target, round.kamailio).await {
            flushed.failure.get_or_insert(failure);
        }
        (flushed, hidden)
    }

    /// Leaves a line in the log and a row in the store. That a flush happened is true whether or not it is noted.
    async fn audit(&self, actor: &Actor, at: i64, outcome: &Outcome) {
        let record = FlushRecord {
            at,
            token: actor.token.clone(),
            client: actor.client.clone(),
            request_id: actor.request_id.clone(),
            account: actor.account_id.clone(),
            username: actor.username.clone(),
            filters: actor.filters.clone(),
            flushed: outcome.flushed,
            failed: outcome.failed.len() as u64,
        };
        tracing::info!(
            target: AUDIT,
            token = record.token,
            client = record.client,
            request_id = record.request_id,
            account = record.account,
            username = record.username,
            filters = record.filters,
            flushed = record.flushed,
            failed = record.failed,
            "flushed registrations"
        );
        if let Err(error) = self.parts.store.record_flush(&record).await {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "a flush is missing in the audit table");
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
