//! Keeps the store in step with the view: what changed is gathered and written in one transaction a batch.
//!
//! The view never waits for it. What cannot be written (a full disk) stays gathered, each row once, and is
//! written when that works again.

use std::collections::HashMap;
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
use crate::view::{KNOWN_FOR, View};

/// The pause between two batches: many changes cost little more than one.
const PAUSE: Duration = Duration::from_millis(200);

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
    departed: Vec<Departed>,
    unhidden: Vec<Hidden>,
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
        unhidden: Vec<Hidden>,
    ) {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() && departed.is_empty() && unhidden.is_empty() {
            return;
        }
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.rows.extend(rows);
        pending.departed.extend(departed);
        pending.unhidden.extend(unhidden);
        drop(pending);
        self.arrived.notify_one();
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
            let written = self.write(&mut trouble).await;
            let pause = if written { PAUSE } else { RETRY };
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
                    tracing::error!(%error, cause, %say, "serves registrations from memory alone");
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
        let removed = batch.removed.into_iter().map(|key| (key, None));
        pending.rows.extend(removed);
        pending.rows.extend(
            batch
                .upserts
                .into_iter()
                .map(|one| (one.binding.key.clone(), Some(one))),
        );
        pending.rows.extend(later.rows);
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
    /// Takes what makes one batch.
    fn take_batch(&mut self, now: i64) -> Batch {
        let mut batch = Batch {
            departed: mem::take(&mut self.departed),
            unhidden: mem::take(&mut self.unhidden),
            forget_departed_before: now - KNOWN_FOR,
            ..Batch::default()
        };
        let rows = if self.rows.len() <= BATCH {
            mem::take(&mut self.rows)
        } else {
            let keys: Vec<Key> = self.rows.keys().take(BATCH).cloned().collect();
            keys.iter()
                .filter_map(|key| self.rows.remove_entry(key))
                .collect()
        };
        for (key, row) in rows {
            match row {
                Some(stored) => batch.upserts.push(stored),
                None => batch.removed.push(key),
            }
        }
        batch
    }
}
