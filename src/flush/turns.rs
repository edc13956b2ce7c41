//! One at a time works on an address of record: a flush, or the look for hidden rows that are back.
//!
//! Two flushes of the same account would else both find a contact and both count it, and a look that began before a
//! flush would show again what the flush has just removed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::registration::Text;

/// A usrloc table and an address of record in it.
pub(super) type Place = (Arc<str>, Text);

/// Whose turn it is, where somebody works.
#[derive(Debug, Default)]
pub(super) struct Turns {
    taken: Mutex<BTreeMap<Place, Arc<Semaphore>>>,
}

/// The right to work on an address of record, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    place: Place,
    permit: Option<OwnedSemaphorePermit>,
}

impl Turns {
    /// Waits until nobody else works on `place`.
    pub(super) async fn take(self: &Arc<Self>, place: Place) -> Turn {
        let one = Arc::clone(
            self.taken()
                .entry(place.clone())
                .or_insert_with(|| Arc::new(Semaphore::new(1))),
        );
        Turn {
            // Nobody closes it.
            permit: one.acquire_owned().await.ok(),
            turns: Arc::clone(self),
            place,
        }
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<Place, Arc<Semaphore>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut taken = self.turns.taken();
        drop(self.permit.take());
        // Whoever waits holds it as well.
        let unused = taken.get(&self.place).map(Arc::strong_count) == Some(1);
        if unused {
            taken.remove(&self.place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn place(aor: &str) -> Place {
        ("location".into(), aor.into())
    }

    #[tokio::test]
    async fn one_at_a_time_and_nothing_is_left_behind() {
        let turns = Arc::new(Turns::default());
        let first = turns.take(place("a@b")).await;
        assert!(turns.take(place("c@b")).now_or_never().is_some());
        let mut second = Box::pin(turns.take(place("a@b")));
        assert!((&mut second).now_or_never().is_none(), "it is taken");
        drop(first);
        let second = second.await;
        assert!(turns.take(place("a@b")).now_or_never().is_none());
        drop(second);
        assert!(turns.take(place("a@b")).now_or_never().is_some());
        assert!(turns.taken().is_empty());
    }
}
