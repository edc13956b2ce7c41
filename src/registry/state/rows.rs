//! Every row, to be found by its key.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::registration::{Key, Registration};

/// Registrations by key, in nearly the order in which they came: what is stored in that order is compared with
/// Kamailio's tables at the next start, which have it too.
#[derive(Debug, Default)]
pub(in crate::registry) struct Rows {
    in_order: Vec<Arc<Registration>>,
    /// Places in `in_order`.
    places: HashTable<u32>,
    hasher: RandomState,
}

impl Rows {
    /// These rows; of those with the same key the last one.
    ///
    /// # Panics
    /// Where they are more than four billion.
    pub(in crate::registry) fn of(rows: Vec<Arc<Registration>>) -> Self {
        let hasher = RandomState::default();
        let mut places = HashTable::with_capacity(rows.len());
        let key = |place: u32| &rows[place as usize].binding.key;
        let rehash = |place: &u32| hasher.hash_one(key(*place));
        let mut outdated = Vec::new();
        for place in 0..place(rows.len()) {
            let is_it = |other: &u32| key(*other) == key(place);
            match places.entry(hasher.hash_one(key(place)), is_it, rehash) {
                Entry::Vacant(entry) => drop(entry.insert(place)),
                Entry::Occupied(mut entry) => {
                    outdated.push(std::mem::replace(entry.get_mut(), place));
                }
            }
        }
        if outdated.is_empty() {
            return Self {
                in_order: rows,
                places,
                hasher,
            };
        }
        outdated.sort_unstable();
        let rows = (0..).zip(rows);
        let last = rows.filter(|(place, _)| outdated.binary_search(place).is_err());
        Self::of(last.map(|(_, row)| row).collect())
    }

    pub(in crate::registry) fn len(&self) -> usize {
        self.in_order.len()
    }

    pub(in crate::registry) fn get(&self, key: &Key) -> Option<&Arc<Registration>> {
        let is_it = |place: &u32| self.in_order[*place as usize].binding.key == *key;
        let place = self.places.find(self.hasher.hash_one(key), is_it)?;
        self.in_order.get(*place as usize)
    }

    pub(in crate::registry) fn contains(&self, key: &Key) -> bool {
        self.get(key).is_some()
    }

    /// Puts a row in the place of the one with its key, which it returns.
    pub(in crate::registry) fn put(&mut self, row: Arc<Registration>) -> Option<Arc<Registration>> {
        let hash = self.hasher.hash_one(&row.binding.key);
        let is_it = |place: &u32| self.in_order[*place as usize].binding.key == row.binding.key;
        if let Some(place) = self.places.find(hash, is_it) {
            return Some(std::mem::replace(&mut self.in_order[*place as usize], row));
        }
        let next = place(self.in_order.len());
        self.in_order.push(row);
        let (rows, hasher) = (&self.in_order, &self.hasher);
        let hash_of = |place: &u32| hasher.hash_one(&rows[*place as usize].binding.key);
        self.places.insert_unique(hash, next, hash_of);
        None
    }

    /// Takes a row out; the last one takes its place.
    pub(in crate::registry) fn remove(&mut self, key: &Key) -> Option<Arc<Registration>> {
        let is_it = |place: &u32| self.in_order[*place as usize].binding.key == *key;
        let found = self.places.find_entry(self.hasher.hash_one(key), is_it);
        let (removed, _) = found.ok()?.remove();
        let last = place(self.in_order.len() - 1);
        if removed != last {
            let hash = self
                .hasher
                .hash_one(&self.in_order[last as usize].binding.key);
            if let Some(moved) = self.places.find_mut(hash, |place| *place == last) {
                *moved = removed;
            }
        }
        Some(self.in_order.swap_remove(removed as usize))
    }

    /// All of them, in their order.
    pub(in crate::registry) fn all(&self) -> &[Arc<Registration>] {
        &self.in_order
    }
}

fn place(at: usize) -> u32 {
    u32::try_from(at).expect("four billion registrations do not fit into memory")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::registration::testing::{binding, registration};

    fn row(ruid: u8, contact: u8) -> Arc<Registration> {
        let row = binding(&ruid.to_string(), "bob", &contact.to_string(), 60);
        Arc::new(registration(row, None))
    }

    proptest! {
        #[test]
        fn of_rows_with_the_same_key_the_last_one_counts(all in prop::collection::vec((0..6_u8, any::<u8>()), 0..20)) {
            let all: Vec<_> = all.into_iter().map(|(ruid, contact)| row(ruid, contact)).collect();
            let is_last = |at: &usize| !all[at + 1..].iter().any(|one| one.binding.key == all[*at].binding.key);
            let last: Vec<_> = (0..all.len()).filter(is_last).map(|at| Arc::clone(&all[at])).collect();
            let rows = Rows::of(all.clone());
            prop_assert_eq!(rows.all(), &last);
            for one in &last {
                prop_assert_eq!(rows.get(&one.binding.key), Some(one));
            }
        }

        #[test]
        fn rows_are_those_of_a_map(
            first in prop::collection::hash_map(0..20_u8, any::<u8>(), 0..20),
            steps in prop::collection::vec((0..20_u8, prop::option::of(any::<u8>())), 0..60),
        ) {
            let mut map: HashMap<Key, Arc<Registration>> = first.iter().map(|(ruid, contact)| {
                let row = row(*ruid, *contact);
                (row.binding.key.clone(), row)
            }).collect();
            let mut rows = Rows::of(map.values().cloned().collect());
            for (ruid, contact) in steps {
                let key = row(ruid, 0).binding.key.clone();
                let (former, expected) = match contact {
                    Some(contact) => (rows.put(row(ruid, contact)), map.insert(key, row(ruid, contact))),
                    None => (rows.remove(&key), map.remove(&key)),
                };
                prop_assert_eq!(former, expected);
                prop_assert_eq!(rows.len(), map.len());
                prop_assert_eq!(rows.all().len(), map.len());
                for ruid in 0..20 {
                    let key = row(ruid, 0).binding.key.clone();
                    prop_assert_eq!(rows.get(&key), map.get(&key));
                }
            }
        }
    }
}
