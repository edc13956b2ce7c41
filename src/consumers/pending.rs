//! What waits to be written to the store: each row, user and key once, and never more than is worth keeping.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use crate::consumers::store::{Batch, Stored};
use crate::registration::{Change, Hidden, Key, Registration, Text, Tombstone};
use crate::registry::{Entry, Event, KNOWN_FOR};

/// The rows of one batch, at most: a first load is written in several.
pub(super) const BATCH: usize = 4096;

/// Account, username and domain of a user whose row went.
type Who = (Option<Arc<str>>, Text, Option<Text>);

/// What waits to be written.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Rows as they are, `None` for those that are gone. Those that have waited longest come first.
    rows: IndexMap<Key, Option<Stored>, RandomState>,
    /// Users, and when the last of their rows went.
    tombstones: HashMap<Who, i64>,
    /// Rows that are hidden no longer; the flush that hid each last.
    unhidden: HashMap<Key, Hidden>,
}

impl Pending {
    /// Adds what an entry of the feed says, which is newer than all that waits.
    pub(super) fn follow(&mut self, entry: &Entry) {
        match &entry.event {
            Event::Row(effect) => {
                match effect.row() {
                    Some(Change::Upsert(row)) => self.put(row),
                    Some(Change::Remove(key)) => self.remove(key),
                    None => {}
                }
                if let Some(tombstone) = effect.tombstone(entry.at_seconds()) {
                    self.bury(tombstone);
                }
                if let Some(hidden) = &effect.unhidden {
                    self.unhide((**hidden).clone());
                }
            }
            Event::Directory(reassigned) => {
                reassigned.rows.iter().for_each(|row| self.put(row));
                let tombstones = reassigned.tombstones.iter().cloned();
                tombstones.for_each(|one| self.bury(one));
            }
        }
    }

    /// Adds a row as it is now.
    pub(super) fn put(&mut self, row: &Registration) {
        let stored = Some(Stored::from(row));
        self.rows.insert(row.binding.key.clone(), stored);
    }

    fn remove(&mut self, key: Key) {
        self.rows.insert(key, None);
    }

    /// Adds that a row is gone, unless something newer waits.
    pub(super) fn remove_below(&mut self, key: Key) {
        self.rows.entry(key).or_insert(None);
    }

    /// Adds a user whose row went.
    pub(super) fn bury(&mut self, one: Tombstone) {
        let who = (one.account, one.username, one.domain);
        let at = self.tombstones.entry(who).or_insert(one.at);
        *at = one.at.max(*at);
    }

    fn unhide(&mut self, one: Hidden) {
        let latest = self.unhidden.entry(one.key.clone());
        let latest = latest.or_insert_with(|| one.clone());
        if one.at >= latest.at {
            *latest = one;
        }
    }

    /// Lays what has been gathered meanwhile over a batch that was not written.
    pub(super) fn put_back(&mut self, batch: Batch) {
        // Of one key only one of them is in a batch.
        for key in batch.removed {
            self.remove_below(key);
        }
        for one in batch.upserts {
            self.rows
                .entry(one.binding.key.clone())
                .or_insert(Some(one));
        }
        batch.departed.into_iter().for_each(|one| self.bury(one));
        batch.unhidden.into_iter().for_each(|one| self.unhide(one));
    }

    /// How many rows wait.
    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// How much waits.
    pub(super) fn len(&self) -> usize {
        self.rows.len() + self.tombstones.len() + self.unhidden.len()
    }

    /// Takes what makes one batch.
    pub(super) fn take_batch(&mut self, now: i64) -> Batch {
        let tombstones = mem::take(&mut self.tombstones).into_iter();
        let tombstones = tombstones.map(|((account, username, domain), at)| Tombstone {
            account,
            username,
            domain,
            at,
        });
        let mut batch = Batch {
            departed: tombstones.collect(),
            unhidden: mem::take(&mut self.unhidden).into_values().collect(),
            forget_departed_before: now - KNOWN_FOR,
            ..Batch::default()
        };
        for (key, row) in self.rows.drain(..self.rows.len().min(BATCH)) {
            match row {
                Some(stored) => batch.upserts.push(stored),
                None => batch.removed.push(key),
            }
        }
        if self.rows.is_empty() {
            // Many rows leave much room behind.
            self.rows = IndexMap::default();
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registration::testing::{binding, registration};

    fn row(ruid: &str, first_registration: i64) -> Registration {
        let row = binding(ruid, "bob", "b", first_registration + 600);
        registration(row, None)
    }

    fn key(ruid: &str) -> Key {
        row(ruid, 0).binding.key.clone()
    }

    fn tombstone(username: &str, at: i64) -> Tombstone {
        Tombstone {
            account: None,
            username: username.into(),
            domain: None,
            at,
        }
    }

    /// Ruids with the time of each, `None` for one that is gone.
    fn rows(pending: &Pending) -> Vec<(String, Option<i64>)> {
        let mut rows: Vec<_> = pending
            .rows
            .iter()
            .map(|(key, row)| {
                let first = row.as_ref().map(|row| row.first_registration);
                (key.ruid.0.lossy().into_owned(), first)
            })
            .collect();
        rows.sort();
        rows
    }

    #[test]
    fn a_batch_that_was_not_written_lies_below_what_came_meanwhile() {
        let mut pending = Pending::default();
        for ruid in ["kept", "gone", "changed"] {
            pending.put(&row(ruid, 1));
        }
        pending.remove(key("back"));
        pending.bury(tombstone("bob", 5));
        let batch = pending.take_batch(10_000);
        assert_eq!(batch.forget_departed_before, 10_000 - KNOWN_FOR);
        assert_eq!((batch.upserts.len(), batch.removed.len()), (3, 1));
        assert_eq!(pending.len(), 0);
        pending.remove(key("gone"));
        pending.put(&row("back", 2));
        pending.put(&row("changed", 2));
        pending.bury(tombstone("bob", 4));
        pending.bury(tombstone("eve", 6));
        pending.put_back(batch);
        let expected = [
            ("back", Some(2)),
            ("changed", Some(2)),
            ("gone", None),
            ("kept", Some(1)),
        ];
        assert_eq!(
            rows(&pending),
            expected.map(|(ruid, first)| (ruid.to_owned(), first))
        );
        let mut times: Vec<i64> = pending.tombstones.values().copied().collect();
        times.sort_unstable();
        assert_eq!(times, [5, 6], "the latest of each");
    }

    #[test]
    fn what_is_gone_by_comparison_lies_below_what_waits() {
        let mut pending = Pending::default();
        pending.put(&row("a", 9));
        pending.remove_below(key("a"));
        pending.remove_below(key("b"));
        assert_eq!(
            rows(&pending),
            [("a".to_owned(), Some(9)), ("b".to_owned(), None)]
        );
    }

    #[test]
    fn many_rows_make_several_batches() {
        let mut pending = Pending::default();
        for number in 0..2 * BATCH + 5 {
            pending.put(&row(&number.to_string(), 1));
        }
        pending.bury(tombstone("bob", 5));
        let sizes: Vec<_> = std::iter::from_fn(|| {
            (pending.rows() > 0).then(|| {
                let batch = pending.take_batch(0);
                (batch.upserts.len(), batch.departed.len())
            })
        })
        .collect();
        assert_eq!(sizes, [(BATCH, 1), (BATCH, 0), (5, 0)]);
    }
}
