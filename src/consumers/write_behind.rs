//! Keeps the store in step with the registry: follows its feed, and writes what changed in one transaction a batch.
//!
//! The registry never waits for it. What cannot be written (a full disk) stays gathered, each row once, and is written
//! when that works again. Where that becomes too much, or entries of the feed were missed, the store is compared with
//! the registry and gets all of it again, a batch at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::pending::{BATCH, Pending};
use crate::clock::Clock;
use crate::consumers::store::{Batch, Error, Store};
use crate::metrics::Metrics;
use crate::rate_limited::RateLimited;
use crate::registration::{Hidden, Key};
use crate::registry::{Registry, SourceState, Subscription};

/// The pause between two batches: many changes cost little more than one. What is lost when the process is killed is
/// read from the tables again, but for when a new row was first seen that changes before that, and that a row is
/// hidden no longer: Kamailio is asked about it then.
const PAUSE: Duration = Duration::from_millis(500);

/// The pause while more waits than a batch takes: others may have the processor meanwhile.
const BREATH: Duration = Duration::from_millis(20);

/// How often to look what the feed has, at most; it holds far more than comes meanwhile.
const GATHER: Duration = Duration::from_millis(50);

/// How many entries of the feed are read at a time: the registry's writer waits for no more.
const ENTRIES: usize = 1024;

/// What may wait beyond one change of each row that there is: traces of rows that came and went.
const SPARE: usize = 1 << 16;

/// How often to write how fresh the store is, while nothing else is written.
const AS_OF_INTERVAL: Duration = Duration::from_mins(1);

/// How long a batch may take that is under way when there is no more time, or is the only one that there is time for.
const LAST: Duration = Duration::from_secs(1);

/// How many rows are written before a stop, at most.
const WORTHWHILE: usize = 1 << 16;

/// How long a batch waits for the log of events, at most.
const LOGGED: Duration = Duration::from_secs(2);

/// The pause after a batch that could not be written.
const RETRY: Duration = Duration::from_secs(2);

/// Writes what changed to the store, a little later.
#[derive(Debug)]
pub struct WriteBehind {
    store: Arc<Store>,
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    gathered: Mutex<Gathered>,
    arrived: Notify,
    /// Up to which entry of the feed the log of events has been kept.
    logged: watch::Receiver<u64>,
    metrics: Arc<Metrics>,
}

/// What is known to differ between the store and the registry.
#[derive(Debug)]
struct Gathered {
    feed: Subscription,
    pending: Pending,
    resync: Resync,
}

/// How far the store has been compared with the registry, after not every change was gathered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Resync {
    /// There is no need to.
    Done,
    /// Nothing has been done yet.
    Due,
    /// The store's keys are being compared with the registry's.
    Comparing,
    /// Rows that the registry does not have go; those before this place are still to be written.
    Before(usize),
}

impl WriteBehind {
    /// A store that equals what the registry was at the place that `feed` has. It does not get ahead of the log of events,
    /// which has been kept up to the entry of the feed that `logged` says: after a crash the log is compared with it.
    #[must_use]
    pub fn new(
        store: Arc<Store>,
        feed: Subscription,
        clock: Arc<dyn Clock>,
        logged: watch::Receiver<u64>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let registry = Arc::clone(feed.registry());
        let gathered = Gathered {
            feed,
            pending: Pending::default(),
            resync: Resync::Done,
        };
        Self {
            store,
            registry,
            clock,
            gathered: Mutex::new(gathered),
            arrived: Notify::new(),
            logged,
            metrics,
        }
    }

    /// Writes batches until `stop`, then all that waits; once there is `hurry`, no more than the batch under way.
    pub async fn run(&self, stop: CancellationToken, hurry: CancellationToken) {
        let mut trouble = RateLimited::default();
        tokio::select! {
            never = self.follow() => match never {},
            () = self.write_until(&stop, &mut trouble) => {}
        }
        self.end(&mut trouble, &hurry).await;
    }

    /// Gathers what the feed has, soon after it comes.
    async fn follow(&self) -> std::convert::Infallible {
        let mut news = self.registry.news();
        loop {
            self.gather();
            // The registry, which is kept here, has the sender.
            let _ = news.changed().await;
            tokio::time::sleep(GATHER).await;
        }
    }

    /// Gathers all that the feed has.
    fn gather(&self) {
        let room = self.registry.counts().rows + SPARE;
        if self.gathered().read(room) {
            self.arrived.notify_one();
        }
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write_until(&self, stop: &CancellationToken, trouble: &mut RateLimited) {
        let arrived = || tokio::time::timeout(AS_OF_INTERVAL, self.arrived.notified());
        while stop.run_until_cancelled(arrived()).await.is_some() {
            let pause = if self.is_loading() {
                // What is read for the first time is to be shown first; writing it would hold that up.
                if !self.gathered().is_all_taken() {
                    self.arrived.notify_one();
                }
                PAUSE
            } else if !self.write(trouble).await {
                RETRY
            } else if self.gathered().is_all_taken() {
                PAUSE
            } else {
                BREATH
            };
            let pause = tokio::time::sleep(pause);
            if stop.run_until_cancelled(pause).await.is_none() {
                break;
            }
        }
    }

    fn is_loading(&self) -> bool {
        self.registry.reported_source().state == SourceState::Unavailable
    }

    /// Writes what waits, as far as it is not too much and there is time. What is not written is found again at the next start, which compares
    /// the store with Kamailio's tables: only with the last of it does the store say of what moment it is.
    async fn end(&self, trouble: &mut RateLimited, hurry: &CancellationToken) {
        let last = async {
            while self.write(trouble).await
                && !self.gathered().is_all_taken()
                && self.is_worthwhile()
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
        let registrations = self.waiting();
        if is_cut || registrations > 0 {
            tracing::warn!(
                registrations,
                "stopping before all registrations are stored; the next start reads the rest from Kamailio's tables"
            );
        }
    }

    /// Whether the store can be completed soon: a part of it would not spare the next start much.
    fn is_worthwhile(&self) -> bool {
        !self.is_loading() && self.waiting() <= WORTHWHILE
    }

    /// How many rows are still to be written.
    fn waiting(&self) -> usize {
        let rows = self.registry.counts().rows;
        self.gathered().waiting(rows)
    }

    /// Writes a batch. Returns whether that worked.
    async fn write(&self, trouble: &mut RateLimited) -> bool {
        // First: what was known by then is in the feed by now.
        let as_of = self.registry.reported_source().as_of;
        self.gather();
        let mut batch = self.gathered().take_batch(self.clock.unix_seconds());
        self.metrics.store.waiting(self.waiting());
        if self.gathered().is_all_taken() {
            batch.as_of = as_of;
        } else {
            self.arrived.notify_one();
        }
        self.wait_for_log().await;
        let began = self.metrics.now();
        match self.store.apply(&batch).await {
            Ok(()) => {
                let rows = batch.upserts.len() + batch.removed.len();
                self.metrics.store.wrote(rows, self.metrics.since(began));
                if let Some(recovered) = trouble.succeeded(self.clock.monotonic()) {
                    let lasted = recovered.lasted.as_secs();
                    let failures = recovered.failures;
                    tracing::info!(failures, lasted, "the store can be written again");
                }
                self.compare().await;
                true
            }
            Err(error @ Error::BegunAnew { .. }) => {
                tracing::warn!(%error, "rewriting all registrations");
                self.begin_anew().await;
                true
            }
            Err(error) => {
                self.failed(batch, &error, trouble);
                false
            }
        }
    }

    /// Waits until the log of events has what has been gathered; not for long, should it be held up.
    async fn wait_for_log(&self) {
        let gathered = self.gathered().feed.read_to();
        let mut logged = self.logged.clone();
        let logged = logged.wait_for(|logged| *logged >= gathered);
        let _late = tokio::time::timeout(LOGGED, logged).await;
    }

    /// Keeps what was not written, and says so.
    fn failed(&self, batch: Batch, error: &Error, trouble: &mut RateLimited) {
        self.metrics.store.failed();
        if let Some(say) = trouble.failed(self.clock.monotonic()) {
            let source = std::error::Error::source(error);
            let cause = source.map_or_else(String::new, |cause| format!(": {cause}"));
            tracing::error!(
                count = say.count(),
                lasting = say.seconds(),
                "serving registrations from memory only: {error}{cause}; run `usrlocd doctor`"
            );
        }
        self.gathered().pending.put_back(batch);
        self.gather();
        self.metrics.store.waiting(self.waiting());
        self.arrived.notify_one();
    }

    /// Where not every change was gathered: has what the registry does not have removed from the store, and all that it
    /// has written again.
    async fn compare(&self) {
        if self.gathered().resync != Resync::Due || self.is_loading() {
            return;
        }
        self.gathered().resync = Resync::Comparing;
        let gone = self.store.keys_but(|key| self.registry.has(key)).await;
        let mut gathered = self.gathered();
        match gone {
            Ok(gone) if gathered.resync == Resync::Comparing => gathered.resync(gone),
            // More was missed meanwhile.
            Ok(_) => {}
            Err(error) => {
                gathered.resync = Resync::Due;
                tracing::debug!(%error, "cannot compare the store with the registrations yet");
            }
        }
        drop(gathered);
        self.arrived.notify_one();
    }

    /// Has everything that the registry has written to a store that has nothing.
    async fn begin_anew(&self) {
        self.gathered().resync([]);
        self.arrived.notify_one();
        let hidden = self.registry.hidden().into_iter();
        let hidden: Vec<Hidden> = hidden.map(|(hidden, _)| hidden).collect();
        if let Err(error) = self.store.hide(&hidden).await {
            tracing::error!(%error, "flushed registrations may be listed after a restart");
        }
    }
}

impl Gathered {
    /// Gathers all that the feed has. More than `room` is given up: then the registry is the better memory. Returns
    /// whether there is anything to be written.
    fn read(&mut self, room: usize) -> bool {
        loop {
            match self.feed.read(ENTRIES) {
                Ok(entries) if entries.is_empty() => break,
                Ok(entries) => entries.iter().for_each(|entry| self.pending.follow(entry)),
                Err(_) => {
                    self.feed.restart();
                    self.resync = Resync::Due;
                }
            }
            if self.pending.len() > room {
                self.pending = Pending::default();
                self.resync = Resync::Due;
            }
        }
        self.pending.len() > 0 || self.resync != Resync::Done
    }

    /// Begins to write everything again; rows with the keys in `gone` are not there any more.
    fn resync(&mut self, gone: impl IntoIterator<Item = Key>) {
        for key in gone {
            self.pending.remove_below(key);
        }
        for tombstone in self.feed.registry().tombstones() {
            self.pending.bury(tombstone);
        }
        self.resync = Resync::Before(usize::MAX);
    }

    /// Takes what makes one batch. It says by which rules its rows belong to their accounts.
    fn take_batch(&mut self, now: i64) -> Batch {
        if let Resync::Before(place) = self.resync {
            let room = BATCH.saturating_sub(self.pending.rows());
            let (rows, begin) = self.feed.registry().rows_before(place, room);
            for row in &rows {
                self.pending.put(row);
            }
            // These may be later than what the feed has been read to: the batch after them is the last at the earliest.
            self.resync = match place {
                0 => Resync::Done,
                _ => Resync::Before(begin),
            };
        }
        let mut batch = self.pending.take_batch(now);
        batch.owners = self.feed.owners();
        batch
    }

    /// Whether the store will equal the registry, as far as the feed has been read, once a batch is written that has been
    /// taken.
    fn is_all_taken(&self) -> bool {
        self.pending.rows() == 0 && self.resync == Resync::Done
    }

    /// How many rows are still to be written, of `rows` that there are.
    fn waiting(&self, rows: usize) -> usize {
        let again = match self.resync {
            Resync::Done => 0,
            Resync::Due | Resync::Comparing => rows,
            Resync::Before(place) => place.min(rows),
        };
        self.pending.rows() + again
    }
}

#[cfg(test)]
mod tests;
