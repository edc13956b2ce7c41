//! What the registry's lock is about, and how it changes: whatever is done to rows and lists is put into the feed.

use std::time::Duration;

use super::Commit;
use super::event::{Cause, Effect, Event};
use super::feed::Feed;
use super::preload::Preload;
use super::state::State;

/// What the lock is about.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) state: State,
    pub(super) feed: Feed,
    /// The rules by which every row belongs to its account, as a hash; `None` before there are any.
    pub(super) owners: Option<u64>,
    /// The tables have never been read: what comes is a beginning, and no news.
    pub(super) is_loading: bool,
    /// What is known before an earlier run's rows have been restored; `None` after that.
    pub(super) preload: Option<Preload>,
}

impl Content {
    /// An empty registry that nothing has been read for.
    pub(super) fn new(now: i64) -> Self {
        Self {
            state: State::new(now),
            feed: Feed::default(),
            owners: None,
            is_loading: true,
            preload: Some(Preload::new(now)),
        }
    }

    /// Brings the lists to this second.
    pub(super) fn advance(&mut self, now: Duration) {
        let second = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if self.is_loading {
            if self.state.advance(second) {
                self.feed.reload();
            }
        } else {
            let effects = self.state.advance_noting(second);
            self.report(now, None, effects);
        }
    }

    /// Changes the state, decides what is listed of contacts that have several rows, and reports what all that did.
    pub(super) fn change<T>(
        &mut self,
        now: Duration,
        cause: Cause,
        commit: Option<Commit>,
        change: impl FnOnce(&mut State) -> T,
    ) -> T {
        if !self.is_loading {
            self.state.note(cause);
        }
        let result = change(&mut self.state);
        self.state.arrange();
        if self.is_loading {
            self.feed.reload();
        } else {
            let effects = self.state.noted();
            self.report(now, commit, effects);
        }
        result
    }

    fn report(&mut self, now: Duration, commit: Option<Commit>, effects: Vec<Effect>) {
        if effects.is_empty() {
            return;
        }
        let Commit(commit) = commit.unwrap_or_else(|| Commit(self.feed.begin_commit()));
        for effect in effects {
            self.feed.push(now, commit, Event::Row(effect));
        }
    }
}
