//! What waits to be written to the store: each row, user and key once, and never more than is worth keeping.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::Arc;

use crate::consumers::store::{Batch, Stored};
use crate::registration::{Hidden, Key, Text, Tombstone};
use crate::registry::KNOWN_FOR;

/// The rows of one batch, at most: a first load is written in several.
const BATCH: usize = 4096;

/// Account, username and domain of who departed.
type Who = (Option<Arc<str>>, Text, Option<Text>);

/// What waits to be written.
#[derive(Debug, Default)]
pub(super) struct Pending {
    rows: HashMap<Key, Option<Stored>>,
    /// Their keys, the one first that has waited longest.
    order: VecDeque<Key>,
    /// Users, and when the last of their rows went.
    departed: HashMap<Who, i64>,
    /// Rows that are hidden no longer; the flush that hid each last.
    unhidden: HashMap<Key, Hidden>,
    /// There was too much, and it was given up: the store has to be compared with the registry.
    given_up: bool,
    /// See [`Batch::owners`].
    pub(super) owners: Option<u64>,
}

impl Pending {
    /// Adds what is newer than all that waits.
    pub(super) fn put(
        &mut self,
        rows: impl IntoIterator<Item = (Key, Option<Stored>)>,
        departed: impl IntoIterator<Item = Tombstone>,
        unhidden: impl IntoIterator<Item = Hidden>,
    ) {
        for (key, row) in rows {
            if self.rows.insert(key.clone(), row).is_none() {
                self.order.push_back(key);
            }
        }
        for one in departed {
            let who = (one.account, one.username, one.domain);
            let at = self.departed.entry(who).or_insert(one.at);
            *at = one.at.max(*at);
        }
        for one in unhidden {
            let latest = self.unhidden.entry(one.key.clone());
            let latest = latest.or_insert_with(|| one.clone());
            if one.at >= latest.at {
                *latest = one;
            }
        }
    }

    /// Adds rows that are older than all that waits.
    pub(super) fn put_below(&mut self, rows: impl IntoIterator<Item = (Key, Option<Stored>)>) {
        let mut older = Vec::new();
        for (key, row) in rows {
            if let Entry::Vacant(place) = self.rows.entry(key) {
                older.push(place.key().clone());
                place.insert(row);
            }
        }
        for key in older.into_iter().rev() {
            self.order.push_front(key);
        }
    }

    /// Lays what has been gathered meanwhile over a batch that was not written.
    pub(super) fn put_back(&mut self, batch: Batch) {
        let removed = batch.removed.into_iter().map(|key| (key, None));
        let upserts = batch.upserts.into_iter();
        let upserts = upserts.map(|one| (one.binding.key.clone(), Some(one)));
        // Of one key only one of them is in a batch.
        self.put_below(removed.chain(upserts));
        self.put([], batch.departed, batch.unhidden);
    }

    /// Gives up everything if it is more than `room`: then the registry is the better memory.
    pub(super) fn bound(&mut self, room: usize) {
        if self.len() > room {
            *self = Self {
                given_up: true,
                owners: self.owners,
                ..Self::default()
            };
        }
    }

    /// Whether something was given up since this was last asked.
    pub(super) fn take_given_up(&mut self) -> bool {
        mem::take(&mut self.given_up)
    }

    /// The store has to be compared with the registry after all.
    pub(super) fn give_up(&mut self) {
        self.given_up = true;
    }

    /// How many rows wait.
    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// How much waits.
    pub(super) fn len(&self) -> usize {
        self.rows.len() + self.departed.len() + self.unhidden.len()
    }

    /// Whether the store will equal the registry once a batch is written that has been taken.
    pub(super) fn is_all_taken(&self) -> bool {
        self.rows.is_empty() && !self.given_up
    }

    /// Takes what makes one batch.
    pub(super) fn take_batch(&mut self, now: i64) -> Batch {
        let departed = mem::take(&mut self.departed).into_iter();
        let departed = departed.map(|((account, username, domain), at)| Tombstone {
            account,
            username,
            domain,
            at,
        });
        let mut batch = Batch {
            departed: departed.collect(),
            unhidden: mem::take(&mut self.unhidden).into_values().collect(),
            forget_departed_before: now - KNOWN_FOR,
            ..Batch::default()
        };
        let size = self.order.len().min(BATCH);
        for key in self.order.drain(..size) {
            match self.rows.remove(&key) {
                Some(Some(stored)) => batch.upserts.push(stored),
                Some(None) => batch.removed.push(key),
                None => {}
            }
        }
        if self.rows.is_empty() {
            // A first load leaves much room behind.
            (self.rows, self.order) = Default::default();
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registration::testing::binding;

    fn stored(ruid: &str, first_registration: i64) -> (Key, Option<Stored>) {
        let binding = Arc::new(binding(ruid, "bob", "b", 100));
        let stored = Stored {
            binding: Arc::clone(&binding),
            first_registration,
            account: None,
        };
        (binding.key.clone(), Some(stored))
    }

    fn gone(ruid: &str) -> (Key, Option<Stored>) {
        (stored(ruid, 0).0, None)
    }

    fn departed(username: &str, at: i64) -> Tombstone {
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
        let first = [
            stored("kept", 1),
            stored("gone", 1),
            gone("back"),
            gone("away"),
        ];
        pending.put(first, [departed("bob", 5), departed("eve", 5)], []);
        let batch = pending.take_batch(0);
        assert!(pending.is_all_taken());
        let later = [stored("new", 2), gone("gone"), stored("back", 2)];
        pending.put(later, [departed("bob", 7)], []);
        pending.put_back(batch);
        let expected = [
            ("away", None),
            ("back", Some(2)),
            ("gone", None),
            ("kept", Some(1)),
            ("new", Some(2)),
        ];
        let expected = expected.map(|(ruid, first)| (ruid.to_owned(), first));
        assert_eq!(rows(&pending), expected);
        let mut users = pending.take_batch(0).departed;
        users.sort_by_key(|one| one.at);
        assert_eq!(users, [departed("eve", 5), departed("bob", 7)]);
    }

    #[test]
    fn batches_have_rows_in_the_order_in_which_they_first_came() {
        let row = |number: usize| stored(&number.to_string(), 1);
        let mut pending = Pending::default();
        pending.put((0..=BATCH).map(row), [], []);
        let gone = (row(1).0, None);
        pending.put([gone.clone(), row(0)], [], []);
        let batch = pending.take_batch(0);
        let ruids = batch.upserts.iter().map(|one| &one.binding.key.ruid);
        let expected = (0..BATCH).filter(|number| *number != 1);
        let expected: Vec<_> = expected.map(|number| row(number).0.ruid).collect();
        assert!(ruids.eq(&expected));
        assert_eq!(batch.removed, [gone.0]);
        // What was not written goes before what came later.
        pending.put_back(batch);
        let first = pending.take_batch(0).upserts;
        assert_eq!(first[0].binding.key, row(0).0);
        assert_eq!(pending.take_batch(0).upserts.len(), 1);
        assert!(pending.rows.is_empty() && pending.order.is_empty());
    }

    #[test]
    fn older_rows_do_not_replace_newer_ones() {
        let mut pending = Pending::default();
        pending.put([stored("a", 9), gone("b")], [], []);
        pending.put_below([stored("a", 1), stored("b", 1), stored("c", 1)]);
        let expected = [("a", Some(9)), ("b", None), ("c", Some(1))];
        assert_eq!(
            rows(&pending),
            expected.map(|(ruid, first)| (ruid.to_owned(), first))
        );
    }

    #[test]
    fn many_rows_make_several_batches_and_only_the_last_is_all() {
        let mut pending = Pending::default();
        let many = (0..2 * BATCH + 5).map(|number| stored(&number.to_string(), 1));
        pending.put(many, [departed("bob", 5)], []);
        let sizes: Vec<_> = std::iter::from_fn(|| {
            (pending.rows() > 0).then(|| {
                let batch = pending.take_batch(0);
                (
                    batch.upserts.len(),
                    batch.departed.len(),
                    pending.is_all_taken(),
                )
            })
        })
        .collect();
        assert_eq!(sizes, [(BATCH, 1, false), (BATCH, 0, false), (5, 0, true)]);
    }

    #[test]
    fn too_much_is_given_up() {
        let mut pending = Pending::default();
        let hidden = Hidden {
            key: gone("b").0,
            fingerprint: 0,
            at: 1,
        };
        pending.put([gone("a")], [departed("bob", 5)], [hidden]);
        pending.bound(3);
        assert_eq!(pending.len(), 3);
        pending.bound(2);
        assert_eq!(pending.len(), 0);
        assert!(!pending.is_all_taken());
        assert!(pending.take_given_up());
        assert!(!pending.take_given_up());
    }
}
