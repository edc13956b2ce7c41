//! A subscriber's way to the feed.

use std::sync::Arc;

use tokio::sync::watch;

use super::feed::{Cursor, Lagged};
use super::{Entry, Listing, Registry, Scope};

/// A subscriber's place in the feed.
#[derive(Clone, Debug)]
pub struct Subscription {
    registry: Arc<Registry>,
    cursor: Cursor,
    owners: Option<u64>,
    news: watch::Receiver<()>,
}

impl Subscription {
    pub(super) fn new(registry: Arc<Registry>, cursor: Cursor) -> Self {
        let news = registry.news();
        Self {
            registry,
            cursor,
            owners: None,
            news,
        }
    }

    /// What is followed.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Waits until something may have happened since this was last waited for.
    pub async fn news(&mut self) {
        // The registry, which is kept here, has the sender.
        let _ = self.news.changed().await;
    }

    /// At most `limit` entries that have not been read yet; none where nothing has happened since.
    ///
    /// # Errors
    /// [`Lagged`], until this is [begun again](Self::restart) or a [list](Self::list) is taken.
    pub fn read(&mut self, limit: usize) -> Result<Vec<Entry>, Lagged> {
        let (entries, owners) = self.registry.read_feed(&mut self.cursor, limit)?;
        self.owners = owners;
        Ok(entries)
    }

    /// The rules by which every row belongs to its account, as a hash, at the place that has been read to; `None` where
    /// there may be more to read.
    #[must_use]
    pub fn owners(&self) -> Option<u64> {
        self.owners
    }

    /// The number of the last entry that has been read, or was there before.
    #[must_use]
    pub fn read_to(&self) -> u64 {
        self.cursor.read_to()
    }

    /// Goes on from now, whatever was missed.
    pub fn restart(&mut self) {
        self.cursor = self.registry.end_of_feed();
        self.owners = None;
    }

    /// Goes on from when the registry was loaded last.
    pub fn restart_after_load(&mut self) {
        self.cursor = self.registry.end_of_load();
        self.owners = None;
    }

    /// The registrations of `scope`, in order, and goes on from the moment that this list is of: the entries that follow
    /// are exactly what becomes of it. (What ends in this very second may still be listed; its entry follows.)
    pub fn list(&mut self, scope: Scope<'_>) -> Listing {
        let (listing, cursor) = self.registry.list_with_cursor(scope);
        self.cursor = cursor;
        listing
    }
}
