//! Keeps the store in step with the registry: what changed is gathered and written in one transaction a batch.
//!
//! The registry never waits for it. What cannot be written (a full disk) stays gathered, each row once, and is
//! written when that works again; where it becomes too much, the store is then compared with the registry.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::pending::Pending;
use crate::clock::Clock;
use crate::consumers::store::{Error, Store};
use crate::metrics::Metrics;
use crate::rate_limited::RateLimited;
use crate::registration::{Hidden, Key, Registration, Stored, Tombstone};
use crate::registry::{Registry, SourceState};

/// The pause between two batches: many changes cost little more than one. What is lost when the process is killed is
/// read from the tables again, but for when a new row was first seen that changes before that, and that a row is
/// hidden no longer: Kamailio is asked about it then.
const PAUSE: Duration = Duration::from_millis(500);

/// The pause while more waits than a batch takes: others may have the processor meanwhile.
const BREATH: Duration = Duration::from_millis(20);

/// What may wait beyond one change of each row that there is: traces of rows that came and went.
const SPARE: usize = 1 << 16;

/// How often to write how fresh the store is, while nothing else is written.
const AS_OF_INTERVAL: Duration = Duration::from_mins(1);

/// How long a batch may take that is under way when there is no more time, or is the only one that there is time for.
const LAST: Duration = Duration::from_secs(1);

/// The pause after a batch that could not be written.
const RETRY: Duration = Duration::from_secs(2);

/// Writes what changed to the store, a little later.
#[derive(Debug)]
pub struct WriteBehind {
    store: Arc<Store>,
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    pending: Mutex<Pending>,
    arrived: Notify,
    metrics: Arc<Metrics>,
}

impl WriteBehind {
    /// Nothing waits yet.
    #[must_use]
    pub fn new(
        store: Arc<Store>,
        registry: Arc<Registry>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            store,
            registry,
            clock,
            pending: Mutex::default(),
            arrived: Notify::new(),
            metrics,
        }
    }

    /// Adds to what is to be written; a row's later fate replaces its earlier one.
    pub fn put(
        &self,
        rows: impl IntoIterator<Item = (Key, Option<Stored>)>,
        departed: Vec<Tombstone>,
        unhidden: Vec<Hidden>,
    ) {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() && departed.is_empty() && unhidden.is_empty() {
            return;
        }
        let room = self.room();
        let mut pending = self.pending();
        pending.put(rows, departed, unhidden);
        pending.bound(room);
        drop(pending);
        self.arrived.notify_one();
    }

    /// Says by which rules every registration that was put in belongs to its account; `None` where that differs.
    pub fn set_owners(&self, owners: Option<u64>) {
        self.pending().owners = owners;
    }

    /// How much may wait to be written.
    fn room(&self) -> usize {
        self.registry.counts().rows + SPARE
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes batches until `stop`, then all that waits; once there is `hurry`, no more than the batch under way.
    pub async fn run(&self, stop: CancellationToken, hurry: CancellationToken) {
        let mut trouble = RateLimited::default();
        while stop
            .run_until_cancelled(tokio::time::timeout(
                AS_OF_INTERVAL,
                self.arrived.notified(),
            ))
            .await
            .is_some()
        {
            let pause = if self.registry.said_source().state == SourceState::Unavailable {
                // What is read for the first time is to be shown first; writing it would hold that up.
                if !self.pending().is_all_taken() {
                    self.arrived.notify_one();
                }
                PAUSE
            } else if !self.write(&mut trouble).await {
                RETRY
            } else if self.pending().is_all_taken() {
                PAUSE
            } else {
                BREATH
            };
            if stop
                .run_until_cancelled(tokio::time::sleep(pause))
                .await
                .is_none()
            {
                break;
            }
        }
        self.end(&mut trouble, &hurry).await;
    }

    /// Writes what waits, as far as there is time. What is not written is found again at the next start, which compares
    /// the store with Kamailio's tables: only with the last of it does the store say of what moment it is.
    async fn end(&self, trouble: &mut RateLimited, hurry: &CancellationToken) {
        let last = async {
            while self.write(trouble).await
                && !self.pending().is_all_taken()
                && !hurry.is_cancelled()
            {}
        };
        let no_time = async {
            hurry.cancelled().await;
            tokio::time::sleep(LAST).await;
        };
        let is_cut = tokio::select! {
            () = last => false,
            () = no_time => true,
        };
        let registrations = self.pending().rows();
        if is_cut || registrations > 0 {
            tracing::warn!(
                registrations,
                "stops before all registrations are in the store; the next start reads the rest from Kamailio's tables"
            );
        }
    }

    async fn write(&self, trouble: &mut RateLimited) -> bool {
        // First: what was known by then has been put in by now.
        let as_of = self.registry.said_source().as_of;
        let (batch, more) = {
            let mut pending = self.pending();
            let mut batch = pending.take_batch(self.clock.unix_seconds());
            self.metrics.store.waiting(pending.rows());
            let more = !pending.is_all_taken();
            batch.as_of = as_of.filter(|_| !more);
            batch.owners = pending.owners;
            (batch, more)
        };
        if more {
            self.arrived.notify_one();
        }
        let began = self.metrics.now();
        match self.store.apply(&batch).await {
            Ok(()) => {
                let rows = batch.upserts.len() + batch.removed.len();
                self.metrics.store.wrote(rows, self.metrics.since(began));
                if let Some(recovered) = trouble.succeeded(self.clock.monotonic()) {
                    let lasted = recovered.lasted.as_secs();
                    tracing::info!(
                        failures = recovered.failures,
                        lasted,
                        "the store can be written again"
                    );
                }
                if self.pending().take_given_up() {
                    self.compare().await;
                }
                true
            }
            Err(error @ Error::BegunAnew { .. }) => {
                tracing::warn!(%error, "writes all registrations again");
                self.put_everything().await;
                true
            }
            Err(error) => {
                self.metrics.store.failed();
                if let Some(say) = trouble.failed(self.clock.monotonic()) {
                    let source = std::error::Error::source(&error);
                    let cause = source.map_or_else(String::new, |cause| format!(": {cause}"));
                    tracing::error!(
                        count = say.count(),
                        lasting = say.seconds(),
                        "serves registrations from memory alone: {error}{cause}; run `usrlocd doctor`"
                    );
                }
                let room = self.room();
                let mut pending = self.pending();
                pending.put_back(batch);
                pending.bound(room);
                self.metrics.store.waiting(pending.rows());
                drop(pending);
                self.arrived.notify_one();
                false
            }
        }
    }

    /// Gathers how the store differs from the registry, after changes were given up.
    async fn compare(&self) {
        let rows = self.registry.rows();
        let there: HashSet<&Key> = rows.iter().map(|one| &one.binding.key).collect();
        match self.store.keys_but(|key| there.contains(key)).await {
            Ok(gone) => {
                let mut pending = self.pending();
                pending.put_below(gone.into_iter().map(|key| (key, None)));
                pending.put_below(rows.iter().map(|one| row_of(one)));
            }
            Err(error) => {
                tracing::debug!(%error, "cannot compare the store with the registrations yet");
                self.pending().give_up();
            }
        }
        self.arrived.notify_one();
    }

    /// Gathers everything the registry has, for a store that has nothing. What waits is newer.
    async fn put_everything(&self) {
        let rows = self.registry.rows();
        self.pending().put_below(rows.iter().map(|one| row_of(one)));
        self.arrived.notify_one();
        let hidden: Vec<Hidden> = self
            .registry
            .hidden()
            .into_iter()
            .map(|(hidden, _)| hidden)
            .collect();
        if let Err(error) = self.store.hide(&hidden).await {
            tracing::error!(%error, "flushed registrations may show after a restart");
        }
    }
}

/// A row to be written as it is.
fn row_of(one: &Registration) -> (Key, Option<Stored>) {
    (one.binding.key.clone(), Some(Stored::from(one)))
}

#[cfg(test)]
mod tests;
