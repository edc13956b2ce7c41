//! What became of bindings since the last time.

use std::collections::HashMap;
use std::sync::Arc;

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
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Changeset {
    changes: HashMap<Key, Change>,
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

    /// The changes, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Change)> {
        self.changes.iter()
    }
}

impl IntoIterator for Changeset {
    type Item = (Key, Change);
    type IntoIter = std::collections::hash_map::IntoIter<Key, Change>;

    fn into_iter(self) -> Self::IntoIter {
        self.changes.into_iter()
    }
}
