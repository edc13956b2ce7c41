//! What happened of late, by key.

use std::collections::{HashMap, VecDeque};

/// The latest of each key, for some time.
#[derive(Debug)]
pub(super) struct Recent<T> {
    kept: HashMap<u64, (u64, T)>,
    /// Times and keys in the order in which they came.
    order: VecDeque<(u64, u64)>,
    capacity: usize,
}

impl<T> Recent<T> {
    /// One that keeps at most so many; the earliest go first.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self {
            kept: HashMap::new(),
            order: VecDeque::new(),
            capacity,
        }
    }

    /// Notes what happened at `at`, which must not be before what was noted last. Returns the earliest one where it
    /// has to make room.
    pub(super) fn insert(&mut self, key: u64, at: u64, what: T) -> Option<T> {
        self.kept.insert(key, (at, what));
        self.order.push_back((at, key));
        if self.order.len() > self.capacity {
            self.remove_first()
        } else {
            None
        }
    }

    /// Takes out the earliest one if it happened before `at`.
    pub(super) fn remove_before(&mut self, at: u64) -> Option<T> {
        while self.order.front().is_some_and(|(first, _)| *first < at) {
            if let Some(what) = self.remove_first() {
                return Some(what);
            }
        }
        if self.order.is_empty() && self.order.capacity() > 1024 {
            self.order = VecDeque::new();
            self.kept = HashMap::new();
        }
        None
    }

    /// What happened to `key`, and when.
    pub(super) fn get_mut(&mut self, key: u64) -> Option<(u64, &mut T)> {
        self.kept.get_mut(&key).map(|(at, what)| (*at, what))
    }

    /// Takes out what happened to `key`.
    pub(super) fn remove(&mut self, key: u64) -> Option<T> {
        self.kept.remove(&key).map(|(_, what)| what)
    }

    /// All, in no order.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u64, &mut T)> {
        self.kept.values_mut().map(|(at, what)| (*at, what))
    }

    /// The earliest, unless its key has been removed or has happened again.
    fn remove_first(&mut self) -> Option<T> {
        let (at, key) = self.order.pop_front()?;
        let is_it = self.kept.get(&key).is_some_and(|(own, _)| *own == at);
        if is_it { self.remove(key) } else { None }
    }
}
