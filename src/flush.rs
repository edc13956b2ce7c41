//! Flush: registrations out of Kamailio's memory, for certain.
//!
//! Pick, remove, confirm, hide, answer. A binding counts as flushed only when Kamailio had it before and has let go
//! of it after, or when a Kamailio that is well up does not have it although the table still does. Removing asks
//! Kamailio by JSON-RPC and never touches its database.

mod aor;
mod recheck;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

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
use aor::Target;

/// The target of the log line that each flush leaves: it stands out from the rest as the audit.
pub const AUDIT: &str = "usrlocd::audit";

/// How long Kamailio must have been up before "not found" is believed: until then it may still be loading.
const LOADED_AFTER: Duration = Duration::from_secs(30);

/// What is to be flushed, and who asks.
#[derive(Clone, Debug)]
pub struct Request {
    /// The registrations picked, all of one account.
    pub registrations: Vec<Arc<Registration>>,
    /// Further addresses of record (username, domain) that Kamailio is asked to remove although no row of theirs
    /// is listed: those of a known user, whose row may lag behind Kamailio's memory.
    pub further: Vec<(Text, Option<Text>)>,
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
}

impl Flusher {
    /// With these parts and options.
    #[must_use]
    pub fn new(parts: Parts, options: Options) -> Self {
        Self {
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
        let targets = self.targets(&request);
        let at = self.parts.clock.unix_seconds();
        let (mut outcome, mut gone) = (Outcome::default(), Vec::<Hidden>::new());
        let well_up = aor::WellUp::new(&self.parts.kamailio);
        let mut results = stream::iter(targets)
            .map(|target| async {
                let result = target
                    .flush(&self.parts.kamailio, &well_up, &self.options.also)
                    .await;
                (target, result)
            })
            .buffer_unordered(self.options.concurrency.max(1));
        while let Some((target, result)) = results.next().await {
            outcome.flushed += result.gone.len() as u64 + result.back;
            outcome.failed.extend(result.failure);
            // Whatever REGISTER comes later than now is none that was flushed.
            let now = self.parts.clock.unix_seconds();
            let rows = self.alike(&target, &result.gone);
            gone.extend(rows.iter().map(|one| hidden(one, now)));
        }
        drop(results);
        self.audit(&request.actor, at, &outcome).await;
        self.parts.view.hide(gone.iter().cloned());
        if !gone.is_empty() {
            self.parts.store.hide(&gone).await?;
        }
        Ok(outcome)
    }

    /// What is to be asked of Kamailio: one target for each address of record in each table.
    fn targets(&self, request: &Request) -> Vec<Target> {
        let mut targets: BTreeMap<(Arc<str>, Text), Target> = BTreeMap::new();
        for registration in &request.registrations {
            let binding = &registration.binding;
            let place = (Arc::clone(&binding.key.table), binding.address_of_record());
            let target = targets.entry(place).or_insert_with_key(|(table, aor)| {
                Target::new(Arc::clone(table), aor.clone(), registration)
            });
            target.picked.push(Arc::clone(registration));
        }
        for ((table, _), target) in &mut targets {
            let picked: BTreeSet<_> = target
                .picked
                .iter()
                .map(|one| &one.binding.contact)
                .collect();
            let rows = self
                .parts
                .view
                .rows_of(&target.username, target.domain.as_ref());
            let of_table = rows.iter().filter(|row| row.binding.key.table == *table);
            target.whole = of_table
                .clone()
                .all(|row| picked.contains(&row.binding.contact));
        }
        for (username, domain) in &request.further {
            for table in &self.options.tables {
                let target =
                    Target::without_row(table.as_str().into(), username.clone(), domain.clone());
                targets
                    .entry((Arc::clone(&target.table), target.aor.clone()))
                    .or_insert(target);
            }
        }
        targets.into_values().collect()
    }

    /// The rows that go with those that are gone: the same contact of the same address of record may have several.
    fn alike(&self, target: &Target, gone: &[Arc<Registration>]) -> Vec<Arc<Registration>> {
        let contacts: BTreeSet<_> = gone.iter().map(|one| &one.binding.contact).collect();
        let mut rows = self
            .parts
            .view
            .rows_of(&target.username, target.domain.as_ref());
        rows.retain(|row| {
            row.binding.key.table == target.table && contacts.contains(&row.binding.contact)
        });
        rows
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

fn hidden(registration: &Registration, at: i64) -> Hidden {
    Hidden {
        key: registration.binding.key.clone(),
        fingerprint: registration.binding.row_fingerprint(),
        at,
    }
}
