//! What Kamailio's answers lay over the rows of its table: those that a flush removed are hidden, and of those that only
//! Kamailio can tell apart the ones that it has are listed.

use std::ops::Deref;
use std::sync::Arc;

use tokio::sync::Notify;

use super::event::{Cause, FlushedBy};
use super::{AT_ONCE, Ambiguous, Due, Registry};
use crate::registration::{Hidden, Key};

/// What flushes change in a registry; its holder can read as well.
#[derive(Clone, Debug)]
pub struct Overlay(Arc<Registry>);

impl Overlay {
    pub(super) fn new(registry: Arc<Registry>) -> Self {
        Self(registry)
    }

    /// The registry, to be read.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.0
    }

    /// Told when a hidden row changed in a way that only Kamailio can explain.
    #[must_use]
    pub fn doubts(&self) -> &Arc<Notify> {
        &self.0.doubts
    }

    /// Hides rows that `by` has flushed; each until it goes, or comes from a later REGISTER, or is
    /// [unhidden](Self::unhide).
    pub fn hide(&self, rows: impl IntoIterator<Item = Hidden>, by: &Arc<FlushedBy>) {
        let cause = Cause::Flush(Arc::clone(by));
        self.0.change(cause, None, |state| {
            rows.into_iter().for_each(|row| state.hide(row));
        });
    }

    /// `by` begins to remove these rows: if Kamailio deletes one from its table, that is why.
    pub fn begin_flush<'a>(&self, rows: impl IntoIterator<Item = &'a Key>, by: &Arc<FlushedBy>) {
        let mut content = self.0.content_to_change();
        let rows = rows.into_iter().map(|key| (key.clone(), Arc::clone(by)));
        content.state.flushing.extend(rows);
    }

    /// These rows are not being removed any more.
    pub fn end_flush<'a>(&self, rows: impl IntoIterator<Item = &'a Key>) {
        let mut content = self.0.content_to_change();
        for key in rows {
            content.state.flushing.remove(key);
        }
    }

    /// What a flush was about to remove when an earlier run ended: hidden, and the registry is not live before this is
    /// [closed](Self::close_intents).
    #[must_use]
    pub fn intents(&self) -> Vec<Hidden> {
        self.0.reported().intents.clone()
    }

    /// Kamailio has been asked about them, or does not answer.
    pub fn close_intents(&self) {
        self.0.reported().intents.clear();
    }

    /// Shows rows again: Kamailio has them, or may have them.
    pub fn unhide<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) {
        self.0.change(Cause::Kamailio, None, |state| {
            keys.into_iter().for_each(|key| state.unhide(key));
        });
    }

    /// Forgets hidden rows that the tables do not have, of flushes before the Unix second `at`. Returns them.
    #[must_use]
    pub fn forget_absent_before(&self, at: i64) -> Vec<Hidden> {
        self.0
            .change(Cause::Table, None, |state| state.forget_absent(at))
    }

    /// Waits until there are rows that only Kamailio can tell apart.
    pub async fn ambiguity(&self) {
        while self.0.content().state.ambiguities.is_empty() {
            self.0.ambiguous.notified().await;
        }
    }

    /// The rows to ask Kamailio about now.
    #[must_use]
    pub fn ambiguous(&self, due: &Due) -> Vec<Ambiguous> {
        let mut asked = self
            .0
            .write(|content, _| content.state.ambiguities.due(due));
        // Writers are let in between.
        for some in asked.chunks_mut(AT_ONCE) {
            let content = self.0.content();
            for one in some {
                let rows = content.state.ambiguous_rows(one.contact());
                one.rows = rows
                    .iter()
                    .map(|row| Arc::clone(row.registration()))
                    .collect();
            }
        }
        asked
    }

    /// Lists of the rows that were asked about those that Kamailio `has`, and all where it has none. Does nothing where
    /// they have changed since.
    pub fn decide(&self, asked: &Ambiguous, has: impl Fn(&Key) -> bool) {
        let now = self.0.clock.monotonic();
        self.0
            .change(Cause::Kamailio, None, |state| state.decide(asked, has, now));
    }

    /// Lists all rows that are not listed because Kamailio does not have them: it cannot be asked, or is another one.
    pub fn list_superseded(&self) {
        let release = || {
            self.0.change(Cause::Kamailio, None, |state| {
                state.release_superseded(AT_ONCE)
            })
        };
        while release() {}
    }
}

impl Deref for Overlay {
    type Target = Registry;

    fn deref(&self) -> &Registry {
        &self.0
    }
}
