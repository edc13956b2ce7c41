//! What changed since the last look.

use std::sync::Arc;

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use super::{Binding, Key};

/// What became of one row, whatever is made of it.
#[derive(Clone, PartialEq, Debug)]
pub enum Change<T> {
    /// It is there, with this content.
    Upsert(T),
    /// It is gone.
    Remove(Key),
}

/// The latest change of each binding; a later change of the same binding replaces the earlier one.
///
/// They stay in the order in which bindings first came, nearly that of the tables' rows: what is stored side by side
/// then is compared with these rows side by side at the next start, which is what memory does fastest.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Changeset {
    /// `None` where the row is gone.
    changes: IndexMap<Key, Option<Arc<Binding>>, RandomState>,
}

impl Changeset {
    /// Notes that `binding` is there now.
    pub fn upsert(&mut self, binding: Arc<Binding>) {
        self.changes.insert(binding.key.clone(), Some(binding));
    }

    /// Notes that the binding with `key` is gone.
    pub fn remove(&mut self, key: Key) {
        self.changes.insert(key, None);
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
}

/// The changes of a changeset, in its order.
pub type Changes = std::iter::Map<
    indexmap::map::IntoIter<Key, Option<Arc<Binding>>>,
    fn((Key, Option<Arc<Binding>>)) -> Change<Arc<Binding>>,
>;

impl IntoIterator for Changeset {
    type Item = Change<Arc<Binding>>;
    type IntoIter = Changes;

    fn into_iter(self) -> Self::IntoIter {
        self.changes
            .into_iter()
            .map(|(key, binding)| match binding {
                Some(binding) => Change::Upsert(binding),
                None => Change::Remove(key),
            })
    }
}
