//! How many streams are open, in all and by caller.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The streams that are open.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seats(Arc<Mutex<HashMap<String, usize>>>);

/// A place among them, free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Seats,
    caller: String,
}

impl Seats {
    /// A place for `caller`, while fewer than `most` are taken, and fewer than `each` by the same.
    pub(crate) fn take(&self, caller: String, most: usize, each: usize) -> Option<Seat> {
        let mut taken = self.taken();
        let own = taken.get(&caller).copied().unwrap_or(0);
        if own >= each || taken.values().sum::<usize>() >= most {
            return None;
        }
        taken.insert(caller.clone(), own + 1);
        drop(taken);
        let seats = self.clone();
        Some(Seat { seats, caller })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.taken().values().sum()
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        if let Some(own) = taken.get_mut(&self.caller) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_and_come_free() {
        let seats = Seats::default();
        let take = |caller: &str| seats.take(caller.to_owned(), 3, 2);
        let (one, two) = (take("a"), take("a"));
        assert!(one.is_some() && two.is_some());
        assert!(take("a").is_none(), "two each");
        let other = take("b");
        assert!(other.is_some());
        assert!(take("c").is_none(), "three in all");
        drop(one);
        assert!(take("c").is_some());
        drop((two, other));
        assert_eq!(seats.count(), 0);
    }
}
