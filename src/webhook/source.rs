//! Where events come from: the log.

use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;

use super::Position;
use crate::event_log::{self, EventLog, Logged, Missed};
use crate::events::Event;

/// A log of events.
pub trait Source: Send + Sync + 'static {
    /// A place in it.
    type Cursor: Send + Sync;

    /// An event of it.
    type Entry: Deref<Target: AsRef<Event>> + Send + Sync;

    /// The place behind the newest event.
    fn end(&self) -> Self::Cursor;

    /// The number of the oldest event that is kept; that of the next one where none is.
    fn oldest(&self) -> u64;

    /// The place behind this event.
    ///
    /// # Errors
    /// Where it cannot be read on from there.
    fn after(&self, position: Position) -> Result<Self::Cursor, Missed>;

    /// The event that the cursor is behind.
    fn position(cursor: &Self::Cursor) -> Position;

    /// Waits until there may be more behind the cursor.
    fn news(&self, cursor: &Self::Cursor) -> impl Future<Output = ()> + Send;

    /// The events behind the cursor, which moves on, the oldest first, at most `limit`; none where there are none yet.
    fn read(
        &self,
        cursor: &mut Self::Cursor,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Self::Entry>, Missed>> + Send;
}

impl Source for EventLog {
    type Cursor = event_log::Cursor;
    type Entry = Arc<Logged>;

    fn end(&self) -> Self::Cursor {
        self.end()
    }

    fn oldest(&self) -> u64 {
        self.oldest()
    }

    fn after(&self, (log, seq): Position) -> Result<Self::Cursor, Missed> {
        self.after(log, seq)
    }

    fn position(cursor: &Self::Cursor) -> Position {
        (cursor.log(), cursor.seq())
    }

    async fn news(&self, cursor: &Self::Cursor) {
        self.news(cursor).await;
    }

    async fn read(
        &self,
        cursor: &mut Self::Cursor,
        limit: usize,
    ) -> Result<Vec<Arc<Logged>>, Missed> {
        self.read(cursor, limit).await
    }
}
