//! The first load: what is read while nothing is known of the tables is gathered, and put into the registry at once.
//!
//! Nobody is answered before every row has been read, so nobody waits for a part; and to sort a million rows once costs
//! much less than to put one after the other into its place.

use std::sync::Arc;

use foldhash::HashSet;
use foldhash::fast::RandomState;
use indexmap::IndexMap;
use indexmap::map::Entry;

use crate::accounts::Resolver;
use crate::registration::{Binding, Change, Key, Life, Registration};
use crate::registry::Registry;

/// What has been read so far.
#[derive(Debug, Default)]
pub(super) struct FirstLoad {
    rows: IndexMap<Key, Arc<Registration>, RandomState>,
    /// Rows of an earlier run, stored in part, that the tables do not have.
    removed: Vec<Key>,
}

impl FirstLoad {
    /// Adds what was read. `registry` has what was stored in part.
    pub(super) fn add(
        &mut self,
        changes: impl IntoIterator<Item = Change<Arc<Binding>>>,
        resolver: &Resolver,
        registry: &Registry,
    ) {
        let is_stored_in_part = registry.counts().rows > 0;
        for change in changes {
            match change {
                Change::Upsert(binding) => {
                    let entry = self.rows.entry(binding.key.clone());
                    let known = match &entry {
                        Entry::Occupied(known) => Some(Arc::clone(known.get())),
                        Entry::Vacant(_) if is_stored_in_part => registry.get(&binding.key),
                        Entry::Vacant(_) => None,
                    };
                    let life = Life::of(&binding, known.as_deref().map(|one| &**one));
                    let row = Arc::new(resolver.registration(binding, life));
                    entry.insert_entry(row);
                }
                Change::Remove(key) => {
                    self.rows.swap_remove(&key);
                    self.removed.push(key);
                }
            }
        }
    }

    /// Resolves what was read again, with another directory.
    pub(super) fn resolve_again(&mut self, resolver: &Resolver) {
        for row in self.rows.values_mut() {
            let binding = Arc::clone(&row.binding);
            *row = Arc::new(resolver.registration(binding, row.life()));
        }
    }

    /// All rows: those that were read, and those of `registry` of which nothing was said.
    pub(super) fn finish(mut self, registry: &Registry) -> Vec<Arc<Registration>> {
        let stored = registry.rows();
        if !stored.is_empty() {
            let removed: HashSet<&Key> = self.removed.iter().collect();
            for row in stored {
                let key = &row.binding.key;
                if !removed.contains(key) && !self.rows.contains_key(key) {
                    self.rows.insert(key.clone(), row);
                }
            }
        }
        self.rows.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::{Directory, Naming};
    use crate::clock::ManualClock;
    use crate::registration::testing::{binding, registration};
    use crate::registry::{Scope, Writer};

    fn row(ruid: &str, last_modified: i64) -> Arc<Binding> {
        let contact = format!("sip:{ruid}@192.0.2.1");
        let plain = binding(ruid, ruid, &contact, 5000);
        Arc::new(Binding {
            last_modified,
            ..plain
        })
    }

    fn key(ruid: &str) -> Key {
        row(ruid, 0).key.clone()
    }

    #[test]
    fn what_was_read_is_laid_over_what_was_stored_in_part() {
        let writer = Writer::new(Arc::new(ManualClock::at(1000)));
        let stored = |ruid: &str| Arc::new(registration((*row(ruid, 10)).clone(), None));
        let stored = ["a", "b", "c"].map(stored);
        writer.apply(stored.map(Change::Upsert));
        let resolver = Resolver::new(Arc::new(Naming::default()), Arc::new(Directory::default()));
        let mut load = FirstLoad::default();
        let upsert = |ruid: &str, at| Change::Upsert(row(ruid, at));
        load.add(
            [upsert("b", 20), upsert("d", 20), upsert("e", 20)],
            &resolver,
            &writer,
        );
        load.add(
            [Change::Remove(key("c")), Change::Remove(key("e"))],
            &resolver,
            &writer,
        );
        load.add([upsert("d", 30)], &resolver, &writer);
        load.resolve_again(&resolver);
        let rows = load.finish(&writer);
        writer.load(rows);
        let list = writer.list(Scope::System).registrations;
        let shown: Vec<(String, i64, i64)> = list
            .iter()
            .map(|one| {
                let ruid = one.binding.key.ruid.0.lossy().into_owned();
                (ruid, one.binding.last_modified, one.first_registration)
            })
            .collect();
        // When a ruid was first seen is kept, be it from an earlier run or from an earlier look of this one.
        let first = stored_first();
        assert_eq!(
            shown,
            [
                ("a".to_owned(), 10, first),
                ("b".to_owned(), 20, first),
                ("d".to_owned(), 30, 20),
            ]
        );
    }

    /// `first_registration` of the registrations that tests make.
    fn stored_first() -> i64 {
        registration((*row("a", 10)).clone(), None).first_registration
    }
}
