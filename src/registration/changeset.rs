//! What became of bindings since the last time.

use std::sync::Arc;

use indexmap::IndexMap;

use super::{Binding, Key};

/// What became of one binding.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    /// It is there, with this content.
    Upsert(Arc<Binding>),
    /// Its row is gone.
    Remove,
}

/// The latest change of each binding; a later change of the same binding replaces the earlier one.
///
/// They stay in the order in which bindings first came, nearly that of the tables' rows: what is kept side by side
/// then is compared with these rows side by side at the next start, which is what memory does fastest.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Changeset {
    changes: IndexMap<Key, Change>,
}

impl Changeset {
    /// Notes that `binding` is there now.
    pub fn upsert(&mut self, binding: Arc<Binding>) {
        self.changes
            .insert(binding.key.clone(), Change::Upsert(binding));
    }

    /// Notes that the binding with `key` is gone.
    pub fn remove(&mut self, key: Key) {
        self.changes.insert(key, Change::Remove);
    }

    /// Lays `later` over this changeset.
    pub fn merge(&mut self, later: Self) {
        if self.changes.is_empty() {
            *self = later;
        } else {
            self.changes.extend(later.changes);
        }
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// How many bindings changed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// The changes.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Change)> {
        self.changes.iter()
    }
}

impl IntoIterator for Changeset {
    type Item = (Key, Change);
    type IntoIter = indexmap::map::IntoIter<Key, Change>;

    fn into_iter(self) -> Self::IntoIter {
        self.changes.into_iter()
    }
}
