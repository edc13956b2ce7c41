//! The mailbox between the thread that reads the tables and the task that shows them.
//!
//! Bounded by the number of rows, not of changes: what has not been taken yet is laid over by what comes later.
//! Putting in never waits. Where very much waits to be taken, the tail does better to leave the rest in the file.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::registration::Changeset;
use crate::sqlite_file::State;

/// The changes that may wait until the tail pauses: a first load of many rows stays below it, and it is some tens of
/// megabytes.
const FULL: usize = 1 << 18;

/// What the tail found out in one step or several.
#[derive(Clone, Debug)]
pub(super) struct News {
    /// What became of bindings.
    pub(super) changes: Changeset,
    /// The state of the tail after that.
    pub(super) state: State,
    /// Whether every row has been reported that was there when the tables had been read.
    pub(super) complete: bool,
    /// Whether that was so at least once since the start.
    pub(super) loaded: bool,
    /// The last moment (since the Unix epoch) at which all changes until then were known to be told.
    pub(super) as_of: Option<Duration>,
}

#[derive(Debug, Default)]
pub(super) struct Mailbox {
    content: Mutex<Content>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Content {
    news: Option<News>,
    /// Who takes them has come back for more: all that there were are shown.
    shown: bool,
}

impl Mailbox {
    pub(super) fn put(&self, later: News) {
        let mut content = self.lock();
        match &mut content.news {
            Some(waiting) => {
                waiting.changes.merge(later.changes);
                waiting.state = later.state;
                waiting.complete = later.complete;
                waiting.loaded |= later.loaded;
                waiting.as_of = later.as_of.or(waiting.as_of);
            }
            None => content.news = Some(later),
        }
        drop(content);
        self.arrived.notify_one();
    }

    /// Whether so much waits that more had better come later.
    pub(super) fn is_full(&self) -> bool {
        let content = self.lock();
        content
            .news
            .as_ref()
            .is_some_and(|news| news.changes.len() >= FULL)
    }

    /// Does `tell` if all news are shown, so that nobody need be woken for it; whether it was done.
    pub(super) fn if_shown(&self, tell: impl FnOnce()) -> bool {
        let content = self.lock();
        let shown = content.shown && content.news.is_none();
        if shown {
            tell();
        }
        shown
    }

    /// All news since the last time; waits for some. To be called when the last ones are shown.
    pub(super) async fn take(&self) -> News {
        loop {
            if let Some(news) = self.try_take() {
                return news;
            }
            self.arrived.notified().await;
        }
    }

    fn try_take(&self) -> Option<News> {
        let mut content = self.lock();
        let news = content.news.take();
        content.shown = news.is_none();
        news
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news() -> News {
        News {
            changes: Changeset::default(),
            state: State::Live,
            complete: true,
            loaded: true,
            as_of: None,
        }
    }

    #[tokio::test]
    async fn tells_at_once_only_when_all_is_shown() {
        let mailbox = Mailbox::default();
        assert!(!mailbox.if_shown(|| panic!("nobody has come yet")));
        mailbox.put(news());
        assert!(!mailbox.if_shown(|| panic!("it waits")));
        mailbox.take().await;
        assert!(!mailbox.if_shown(|| panic!("it is being shown")));
        assert!(mailbox.try_take().is_none());
        let mut told = false;
        assert!(mailbox.if_shown(|| told = true));
        assert!(told);
        mailbox.put(news());
        assert!(!mailbox.if_shown(|| panic!("more has come")));
    }
}
