//! Keeps the store in step with the view: what changed is gathered and written in one transaction a batch.
//!
//! The view never waits for it. What cannot be written (a full disk) stays gathered, each row once, and is
//! written when that works again.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::rate_limited::RateLimited;
use crate::registration::{Departed, Hidden, Key};
use crate::store::{Batch, Error, Store, Stored};
use crate::view::{KNOWN_FOR, SourceState, View};

/// The pause between two batches: many changes cost little more than one.
const PAUSE: Duration = Duration::from_millis(200);

/// The pause while more waits than a batch takes: others may have the processor meanwhile.
const BREATH: Duration = Duration::from_millis(20);

/// The rows of one batch, at most: a first load is written in several.
const BATCH: usize = 4096;

/// How often to write how fresh the store is, while nothing else is written.
const AS_OF_INTERVAL: Duration = Duration::from_mins(1);

/// The pause after a batch that could not be written.
const RETRY: Duration = Duration::from_secs(2);

/// What waits to be written.
#[derive(Debug, Default)]
struct Pending {
    rows: HashMap<Key, Option<Stored>>,
    /// Their keys, the one first that has waited longest.
    order: VecDeque<Key>,
    departed: Vec<Departed>,
    unhidden: Vec<Key>,
    /// See [`Batch::owners`].
    owners: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Keeper {
    store: Arc<Store>,
    view: Arc<View>,
    clock: Arc<dyn Clock>,
    pending: Mutex<Pending>,
    arrived: Notify,
    metrics: Arc<Metrics>,
}

impl Keeper {
    pub(super) fn new(
        store: Arc<Store>,
        view: Arc<View>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            store,
            view,
            clock,
            pending: Mutex::default(),
            arrived: Notify::new(),
            metrics,
        }
    }

    /// Adds to what is to be written; a row's later fate replaces its earlier one.
    pub(super) fn put(
        &self,
        rows: impl IntoIterator<Item = (Key, Option<Stored>)>,
        departed: Vec<Departed>,
        unhidden: Vec<Key>,
    ) {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() && departed.is_empty() && unhidden.is_empty() {
            return;
        }
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, row) in rows {
            pending.add(key, row);
        }
        pending.departed.extend(departed);
        pending.unhidden.extend(unhidden);
        drop(pending);
        self.arrived.notify_one();
    }

    /// Says by which rules every registration that was put in belongs to its account; `None` where that differs.
    pub(super) fn set_owners(&self, owners: Option<u64>) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.owners = owners;
    }

    /// Writes batches until `stop`, then the last one.
    pub(super) async fn run(&self, stop: CancellationToken) {
        let mut trouble = RateLimited::default();
        while stop
            .run_until_cancelled(tokio::time::timeout(
                AS_OF_INTERVAL,
                self.arrived.notified(),
            ))
            .await
            .is_some()
        {
            let pause = if self.view.source().state == SourceState::Unavailable {
                // What is read for the first time is to be shown first; writing it would hold that up.
                if self.waits() {
                    self.arrived.notify_one();
                }
                PAUSE
            } else if !self.write(&mut trouble).await {
                RETRY
            } else if self.waits() {
                BREATH
            } else {
                PAUSE
            };
            if stop
                .run_until_cancelled(tokio::time::sleep(pause))
                .await
                .is_none()
            {
                break;
            }
        }
        while self.write(&mut trouble).await && self.waits() {}
    }

    /// Whether something waits to be written.
    fn waits(&self) -> bool {
        !self
            .pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .rows
            .is_empty()
    }

    async fn write(&self, trouble: &mut RateLimited) -> bool {
        // First: what was known by then has been put in by now.
        let as_of = self.view.source().as_of;
        let (batch, more) = {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            let mut batch = pending.take_batch(self.clock.unix_seconds());
            self.metrics.store.waiting(pending.rows.len());
            let more = !pending.rows.is_empty();
            batch.as_of = as_of.filter(|_| !more);
            batch.owners = pending.owners.filter(|_| !self.view.mixes_owners());
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
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(%error, cause, ?say, "serves registrations from memory alone");
                }
                self.put_back(batch);
                false
            }
        }
    }

    /// Gathers everything the view has, for a store that has nothing.
    async fn put_everything(&self) {
        let rows = self
            .view
            .rows()
            .into_iter()
            .map(|one| (one.binding.key.clone(), Some(super::stored(&one))));
        self.put(rows, Vec::new(), Vec::new());
        let hidden: Vec<Hidden> = self
            .view
            .hidden()
            .into_iter()
            .map(|(hidden, _)| hidden)
            .collect();
        if let Err(error) = self.store.hide(&hidden).await {
            tracing::error!(%error, "flushed registrations may show after a restart");
        }
    }

    /// Lays what is gathered meanwhile over a batch that was not written.
    fn put_back(&self, batch: Batch) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let later = mem::take(&mut *pending);
        for key in batch.removed {
            pending.add(key, None);
        }
        for one in batch.upserts {
            pending.add(one.binding.key.clone(), Some(one));
        }
        let mut rows = later.rows;
        for key in later.order {
            if let Some(row) = rows.remove(&key) {
                pending.add(key, row);
            }
        }
        pending.owners = later.owners;
        pending.departed = batch.departed;
        pending.departed.extend(later.departed);
        pending.unhidden = batch.unhidden;
        pending.unhidden.extend(later.unhidden);
        self.metrics.store.waiting(pending.rows.len());
        drop(pending);
        self.arrived.notify_one();
    }
}

impl Pending {
    fn add(&mut self, key: Key, row: Option<Stored>) {
        if self.rows.insert(key.clone(), row).is_none() {
            self.order.push_back(key);
        }
    }

    /// Takes what makes one batch.
    fn take_batch(&mut self, now: i64) -> Batch {
        let mut batch = Batch {
            departed: mem::take(&mut self.departed),
            unhidden: mem::take(&mut self.unhidden),
            forget_departed_before: now - KNOWN_FOR,
            ..Batch::default()
        };
        let size = self.order.len().min(BATCH);
        for key in self.order.drain(..size) {
            match self.rows.remove(&key) {
                Some(Some(stored)) => batch.upserts.push(stored),
                Some(None) => batch.removed.push(key),
                None => {}
            }
        }
        if self.rows.is_empty() {
            // A first load leaves much room behind.
            (self.rows, self.order) = Default::default();
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registration::testing::{binding, registration};

    fn row(number: usize) -> (Key, Option<Stored>) {
        let binding = binding(&number.to_string(), "bob", "b", 100);
        let stored = super::super::stored(&registration(binding, None));
        (stored.binding.key.clone(), Some(stored))
    }

    #[test]
    fn batches_have_rows_in_the_order_in_which_they_first_came() {
        let mut pending = Pending::default();
        for number in 0..=BATCH {
            let (key, stored) = row(number);
            pending.add(key, stored);
        }
        let (key, _) = row(1);
        pending.add(key.clone(), None);
        let (zero, again) = row(0);
        pending.add(zero, again);
        let batch = pending.take_batch(0);
        let ruids = batch.upserts.iter().map(|one| &one.binding.key.ruid);
        let expected = (0..BATCH).filter(|number| *number != 1);
        let expected: Vec<_> = expected.map(|number| row(number).0.ruid).collect();
        assert!(ruids.eq(&expected));
        assert_eq!(batch.removed, [key]);
        assert_eq!(pending.take_batch(0).upserts.len(), 1);
        assert!(pending.rows.is_empty() && pending.order.is_empty());
    }
}
