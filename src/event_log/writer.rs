//! Writes events to the history, a batch at a time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::{Error, EventLog, History};
use crate::clock::Clock;
use crate::events::{Event, Gap, What};
use crate::rate_limited::RateLimited;

/// How many events are written in one transaction, at most.
const BATCH: usize = 1000;

/// How long events may wait for the disk before they are shown without it.
const PATIENCE: Duration = Duration::from_secs(1);

/// The pause after a batch that could not be written.
const RETRY: Duration = Duration::from_secs(2);

/// How many events wait for the disk, at most. What is more is lost to the history, and it says so.
const WAITING: usize = 1 << 16;

/// Writes events, in order.
#[derive(Debug)]
pub(super) struct Writer {
    history: Arc<History>,
    log: Arc<EventLog>,
    clock: Arc<dyn Clock>,
    waiting: Mutex<VecDeque<Arc<Event>>>,
    arrived: Notify,
    /// The number of the last event that is written.
    written: watch::Sender<u64>,
}

impl Writer {
    /// One to which nothing has been given yet.
    pub(super) fn new(history: Arc<History>, log: Arc<EventLog>, clock: Arc<dyn Clock>) -> Self {
        let written = watch::Sender::new(log.newest());
        Self {
            history,
            log,
            clock,
            waiting: Mutex::default(),
            arrived: Notify::new(),
            written,
        }
    }

    /// Has these events written. Where too many wait already, those are given up for a gap.
    pub(super) fn add(&self, events: impl Iterator<Item = Arc<Event>>, gap: impl Fn() -> Gap) {
        let mut waiting = self.waiting();
        waiting.extend(events);
        if waiting.len() > WAITING
            && let Some(last) = waiting.back().cloned()
        {
            let gap = Gap {
                from: self.history.newest(),
                ..gap()
            };
            let event = Event {
                what: What::Gap(gap),
                ..(*last).clone()
            };
            waiting.clear();
            waiting.push_back(Arc::new(event));
        }
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Waits a little until the event with this number is written. Returns whether it is.
    pub(super) async fn has_written(&self, seq: u64) -> bool {
        let mut written = self.written.subscribe();
        let written = written.wait_for(|written| *written >= seq);
        tokio::time::timeout(PATIENCE, written).await.is_ok()
    }

    /// Writes what it is given, and tries again for as long as it takes.
    pub(super) async fn run(&self) -> std::convert::Infallible {
        let mut trouble = RateLimited::default();
        let mut is_new_file = false;
        loop {
            let batch: Vec<Arc<Event>> = self.waiting().iter().take(BATCH).cloned().collect();
            let Some(last) = batch.last().map(|event| event.seq) else {
                self.arrived.notified().await;
                continue;
            };
            let written = self.history.append(&batch).await;
            let now = self.clock.monotonic();
            match written {
                Ok(()) => {
                    is_new_file = false;
                    self.take_away(last);
                    self.go_on().await;
                    if let Some(recovered) = trouble.succeeded(now) {
                        let (failures, lasted) = (recovered.failures, recovered.lasted.as_secs());
                        tracing::info!(failures, lasted, "the history can be written again");
                    }
                    self.written.send_replace(last);
                }
                // It was deleted or damaged. The new one takes them at once.
                Err(Error::BegunAnew { .. }) if !is_new_file => is_new_file = true,
                Err(error) => {
                    if let Some(say) = trouble.failed(now) {
                        let source = std::error::Error::source(&error);
                        let cause = source.map_or_else(String::new, |cause| format!(": {cause}"));
                        tracing::error!(
                            count = say.count(),
                            lasting = say.seconds(),
                            "events are not being recorded, and clients that resume a stream must read the list again: {error}{cause}"
                        );
                    }
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Takes away what is written, up to the event with the number `last`.
    fn take_away(&self, last: u64) {
        let mut waiting = self.waiting();
        while waiting.front().is_some_and(|event| event.seq <= last) {
            waiting.pop_front();
        }
    }

    /// Goes on under the file's id: another one where the file is new, or where all is written again that was shown
    /// before, since a crash would have lost that.
    async fn go_on(&self) {
        let is_all_written = || self.waiting().is_empty();
        if self.log.is_kept() {
            if self.log.id() == self.history.log() {
                return;
            }
            let file = self.history.path().display();
            tracing::warn!(%file, "started a new history; clients that resume a stream must read the list again");
        } else if !is_all_written() {
            return;
        } else if let Err(error) = self.history.new_log().await {
            tracing::debug!(%error, "cannot give the history a new id yet");
            return;
        }
        self.log.become_kept(self.history.log(), is_all_written);
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Arc<Event>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
