//! Updates on their way from the thread that reads the tables to the task that applies them.
//!
//! Bounded by the number of rows, not of changes: what has not been taken yet is merged with what comes later. Putting
//! one in never waits. Where very many wait, the tail had better leave the rest in the file.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::source::Update;

/// The changes that may wait until the tail pauses: a first load of many rows stays below it, and it is some tens of
/// megabytes.
const FULL: usize = 1 << 18;

/// What waits to be applied.
#[derive(Debug, Default)]
pub(super) struct Updates {
    waiting: Mutex<Option<Update>>,
    arrived: Notify,
}

impl Updates {
    /// Merges `later` into what waits.
    pub(super) fn put(&self, later: Update) {
        let mut waiting = self.lock();
        match &mut *waiting {
            Some(waiting) => {
                waiting.changes.merge(later.changes);
                waiting.health = later.health;
                waiting.complete = later.complete;
                waiting.loaded |= later.loaded;
                waiting.as_of = later.as_of.or(waiting.as_of);
                waiting.file = later.file;
            }
            None => *waiting = Some(later),
        }
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Whether so much waits that more had better come later.
    pub(super) fn is_full(&self) -> bool {
        let waiting = self.lock();
        waiting
            .as_ref()
            .is_some_and(|update| update.changes.len() >= FULL)
    }

    /// All that is new since the last time; waits for something. Dropping the future loses nothing.
    pub(super) async fn take(&self) -> Update {
        loop {
            let update = self.lock().take();
            if let Some(update) = update {
                return update;
            }
            self.arrived.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Update>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::registration::testing::binding;
    use crate::registration::{Change, Changeset};
    use crate::source::Health;

    fn update(complete: bool, as_of: Option<u64>) -> Update {
        Update {
            changes: Changeset::default(),
            health: Health::Live,
            complete,
            loaded: complete,
            as_of: as_of.map(Duration::from_secs),
            file: None,
        }
    }

    #[tokio::test]
    async fn what_waits_is_merged() {
        let updates = Updates::default();
        let mut first = update(true, Some(5));
        first.changes.upsert(Arc::new(binding(
            "a1",
            "alice",
            "sip:alice@192.0.2.1",
            2000,
        )));
        let key = binding("a1", "alice", "sip:alice@192.0.2.1", 2000)
            .key
            .clone();
        updates.put(first);
        let mut second = update(false, None);
        second.changes.remove(key);
        updates.put(second);
        let taken = updates.take().await;
        assert!(!taken.complete && taken.loaded);
        assert_eq!(taken.as_of, Some(Duration::from_secs(5)));
        let changes: Vec<_> = taken.changes.into_iter().collect();
        assert!(matches!(&changes[..], [Change::Remove(_)]));
    }
}
