//! The mailbox between the thread that reads the tables and the task that shows them.
//!
//! Bounded by the number of rows, not of changes: what has not been taken yet is laid over by what comes later.
//! Putting in never waits, so a slow reader never holds up the tail.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::registration::Changeset;
use crate::sqlite_file::State;

/// What the tail found out in one step or several.
#[derive(Clone, Debug)]
pub(super) struct News {
    /// What became of bindings.
    pub(super) changes: Changeset,
    /// The state of the tail after that.
    pub(super) state: State,
    /// Whether every row has been compared since the tail began.
    pub(super) complete: bool,
    /// The last moment (since the Unix epoch) at which all changes until then were known to be told.
    pub(super) as_of: Option<Duration>,
}

#[derive(Debug, Default)]
pub(super) struct Mailbox {
    news: Mutex<Option<News>>,
    arrived: Notify,
}

impl Mailbox {
    pub(super) fn put(&self, later: News) {
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *news {
            Some(waiting) => {
                waiting.changes.merge(later.changes);
                waiting.state = later.state;
                waiting.complete = later.complete;
                waiting.as_of = later.as_of.or(waiting.as_of);
            }
            None => *news = Some(later),
        }
        drop(news);
        self.arrived.notify_one();
    }

    /// All news since the last time; waits for some.
    pub(super) async fn take(&self) -> News {
        loop {
            let news = self
                .news
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some(news) = news {
                return news;
            }
            self.arrived.notified().await;
        }
    }
}
