//! The log of events: append-only, numbered, on disk and for a while in memory.
//!
//! The [`Keeper`] follows the registry's feed. It numbers what happened, has it written, and then shows it: nobody is told
//! what a crash could take back. The stream, the history and webhooks read the log; each is a cursor in it, and nothing
//! waits for a reader. What is of late is in memory, written as JSON once for all readers.
//!
//! Where the disk fails or there is no history, events are shown all the same, under the id of another log: whoever goes
//! on from the former one is told that events are missing.

mod file;
mod finder;
mod gone;
mod keeper;
mod logged;
mod readers;
mod ring;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::events::Event;
pub use crate::events::json::LogId;
use crate::registration::{Key, Registration};
pub use file::{Error, History, Of, Options, Query, ReadError};
pub use finder::Finder;
pub use keeper::{Keeper, Observer, Parts};
pub use logged::Logged;
pub use readers::Attendance;
use readers::Readers;
use ring::{Place, Ring};

/// How long an answer waits until what it says is told, at most.
const FOLLOWED: Duration = Duration::from_millis(1500);

/// The log, to be read.
#[derive(Debug)]
pub struct EventLog {
    history: Option<Arc<History>>,
    state: Mutex<State>,
    /// How far the feed has been followed: the number of its last entry of which the events are shown.
    followed: watch::Sender<u64>,
    /// Touched when the log has more.
    news: watch::Sender<()>,
    /// Its receivers are those who want to be told of refreshes.
    refreshes: watch::Sender<()>,
    readers: Arc<Readers>,
    /// Notified when events of a user were deleted.
    forgotten: Notify,
}

#[derive(Debug)]
struct State {
    id: LogId,
    /// Whether what is shown is on the disk.
    is_kept: bool,
    ring: Ring,
}

/// Where a reader is: everything before has been read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cursor {
    log: LogId,
    /// The number of the last event that was read.
    seq: u64,
    /// Where that is in memory, as far as known.
    place: Option<Place>,
}

/// Events that were asked for cannot be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Missed {
    /// They are not kept any more.
    #[error("events that old are no longer kept")]
    TooOld,
    /// They are of another log.
    #[error("the events belong to another log")]
    OtherLog,
}

impl EventLog {
    /// The log that goes on where `history` ended; one in memory only where there is none.
    #[must_use]
    pub fn new(history: Option<Arc<History>>) -> Self {
        let (id, newest) = history
            .as_ref()
            .map_or_else(|| (random_id(), 0), |it| (it.log(), it.newest()));
        let state = State {
            id,
            is_kept: history.is_some(),
            ring: Ring::after(newest),
        };
        Self {
            history,
            state: Mutex::new(state),
            followed: watch::Sender::new(0),
            news: watch::Sender::new(()),
            refreshes: watch::Sender::new(()),
            readers: Arc::default(),
            forgotten: Notify::new(),
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> LogId {
        self.state().id
    }

    /// The number of the newest event; 0 where there is none.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.state().ring.newest()
    }

    /// The number of the oldest event that can be read; one more than the newest where there is none.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        let state = self.state();
        match &self.history {
            Some(history) if state.is_kept => history.oldest().min(state.ring.oldest()),
            _ => state.ring.oldest(),
        }
    }

    /// What is kept on disk, if anything is.
    #[must_use]
    pub fn history(&self) -> Option<&Arc<History>> {
        self.history.as_ref()
    }

    /// Deletes what is kept of the SIP users of an account whom a name means. Who goes on from before is told that events
    /// are missing. Returns how many events that was.
    ///
    /// # Errors
    /// When the disk fails; then all is as it was.
    pub async fn forget(&self, account: &str, username: &str) -> Result<u64, Error> {
        let Some(history) = &self.history else {
            return Ok(0);
        };
        let count = history.forget(Some(account), username, None).await?;
        self.state().ring.clear();
        self.forgotten.notify_one();
        Ok(count)
    }

    /// Which of these bindings the log has as gone; none where that cannot be found out.
    pub async fn gone(&self, rows: &[Arc<Registration>]) -> HashSet<Key> {
        match &self.history {
            Some(history) => gone::of(history, rows).await,
            None => HashSet::new(),
        }
    }

    /// Whether what is shown is on the disk too.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.state().is_kept
    }

    /// After the newest event.
    #[must_use]
    pub fn end(&self) -> Cursor {
        let state = self.state();
        Cursor {
            log: state.id,
            seq: state.ring.newest(),
            place: Some(state.ring.end()),
        }
    }

    /// After the event with this id, if that can be read on from.
    ///
    /// # Errors
    /// [`Missed`]
    pub fn after(&self, log: LogId, seq: u64) -> Result<Cursor, Missed> {
        let oldest = self.oldest();
        let state = self.state();
        if log != state.id || seq > state.ring.newest() || !state.is_kept {
            return Err(Missed::OtherLog);
        }
        if seq + 1 < oldest {
            return Err(Missed::TooOld);
        }
        let place = None;
        Ok(Cursor { log, seq, place })
    }

    /// Waits until there may be more than what has been read.
    pub async fn news(&self, cursor: &Cursor) {
        let mut news = self.news.subscribe();
        while self.state().is_at_end(cursor) {
            // The log, which is kept here, has the sender.
            let _ = news.changed().await;
        }
    }

    /// At most `limit` events after the cursor, which moves on; none where there are none yet.
    ///
    /// # Errors
    /// [`Missed`]
    pub async fn read(
        &self,
        cursor: &mut Cursor,
        limit: usize,
    ) -> Result<Vec<Arc<Logged>>, Missed> {
        let shown = {
            let state = self.state();
            if let Some(events) = state.read(cursor, limit)? {
                return Ok(events);
            }
            state.ring.newest()
        };
        let history = self.history.as_ref().ok_or(Missed::TooOld)?;
        let events = history.read(cursor.seq, limit).await;
        let mut events = events.map_err(|error| {
            if let ReadError::Failed(error) = error {
                tracing::debug!(%error, "cannot read the history");
            }
            Missed::TooOld
        })?;
        // The file may have events that are not shown yet: those come from memory.
        events.retain(|event| event.seq <= shown);
        // Something was there: without it, it was forgotten, or the file was deleted.
        cursor.seq = events.last().ok_or(Missed::TooOld)?.seq;
        let logged = |event| Arc::new(Logged::new(Arc::new(event)));
        Ok(events.into_iter().map(logged).collect())
    }

    /// Until this is dropped there are refreshes among the events in memory.
    #[must_use]
    pub fn with_refreshes(&self) -> watch::Receiver<()> {
        self.refreshes.subscribe()
    }

    /// Until this is dropped events are shown at once: without anybody who waits for them, they are gathered for a while.
    #[must_use]
    pub fn attend(&self) -> Attendance {
        self.readers.attend()
    }

    /// How far the registry's feed has been followed: the number of its last entry of which the events are shown.
    #[must_use]
    pub fn followed(&self) -> watch::Receiver<u64> {
        self.followed.subscribe()
    }

    /// Waits until the registry's feed has been followed up to this entry, but not for long.
    pub async fn has_followed(&self, entry: u64) {
        let _attendance = self.attend();
        let mut followed = self.followed.subscribe();
        let followed = followed.wait_for(|followed| *followed >= entry);
        let _late = tokio::time::timeout(FOLLOWED, followed).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows events that are numbered (refreshes are not).
    fn show(&self, events: Vec<Arc<Event>>) {
        if events.is_empty() {
            return;
        }
        let mut state = self.state();
        for event in events {
            state.ring.push(Arc::new(Logged::new(event)));
        }
        drop(state);
        self.news.send_replace(());
    }

    /// From here on events are not kept, and it is another log.
    fn become_unkept(&self) {
        let mut state = self.state();
        state.id = random_id();
        state.is_kept = false;
        drop(state);
        self.news.send_replace(());
    }

    /// From here on it is the log with the id that the file has, unless events were shown that are not written yet.
    fn become_kept(&self, id: LogId, is_all_written: impl FnOnce() -> bool) {
        let mut state = self.state();
        if state.is_kept || is_all_written() {
            state.id = id;
            state.is_kept = true;
            drop(state);
            self.news.send_replace(());
        }
    }
}

impl State {
    fn is_at_end(&self, cursor: &Cursor) -> bool {
        let place = cursor.place.or_else(|| self.ring.after_seq(cursor.seq));
        place == Some(self.ring.end())
    }

    /// What the memory has after the cursor; `None` where it does not have all of it.
    fn read(&self, cursor: &mut Cursor, limit: usize) -> Result<Option<Vec<Arc<Logged>>>, Missed> {
        let in_memory = cursor.place.filter(|place| self.ring.has(*place));
        // Whoever reads what is in memory misses nothing when the log becomes another one.
        if cursor.log != self.id && in_memory.is_none() {
            return Err(Missed::OtherLog);
        }
        let Some(mut place) = in_memory.or_else(|| self.ring.after_seq(cursor.seq)) else {
            cursor.place = None;
            return if self.is_kept {
                Ok(None)
            } else {
                Err(Missed::TooOld)
            };
        };
        cursor.log = self.id;
        let events = self.ring.read(&mut place, limit);
        let numbered = events.iter().rev().find(|one| one.event().seq != 0);
        if let Some(last) = numbered {
            cursor.seq = last.event().seq;
        }
        cursor.place = Some(place);
        Ok(Some(events))
    }
}

impl Cursor {
    /// The log that it is in.
    #[must_use]
    pub fn log(&self) -> LogId {
        self.log
    }

    /// The number of the last event that was read.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }
}

/// An id for a log that begins.
fn random_id() -> LogId {
    LogId(getrandom::u64().unwrap_or_default())
}
