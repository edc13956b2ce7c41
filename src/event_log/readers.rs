//! Who waits for events: while nobody does, what happens is gathered for longer, and written less often.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many readers wait for events as they come.
#[derive(Debug, Default)]
pub(super) struct Readers {
    count: Mutex<usize>,
    came: Condvar,
}

/// A reader that waits for events as they come, until this is dropped.
#[derive(Debug)]
pub struct Attendance(Arc<Readers>);

impl Readers {
    /// Counts one more reader; events come to it without delay.
    pub(super) fn attend(self: &Arc<Self>) -> Attendance {
        *self.count() += 1;
        self.came.notify_one();
        Attendance(Arc::clone(self))
    }

    /// Sleeps until there is a reader, for `most` at most; how many there are then.
    pub(super) fn rest(&self, most: Duration) -> usize {
        let is_none = |count: &mut usize| *count == 0;
        let (count, _) = self
            .came
            .wait_timeout_while(self.count(), most, is_none)
            .unwrap_or_else(PoisonError::into_inner);
        *count
    }

    fn count(&self) -> MutexGuard<'_, usize> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        *self.0.count() -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_ends_the_rest() {
        let readers = Arc::new(Readers::default());
        assert_eq!(readers.rest(Duration::from_millis(1)), 0);
        let first = readers.attend();
        let second = readers.attend();
        // It would never return.
        assert_eq!(readers.rest(Duration::MAX), 2);
        drop(first);
        assert_eq!(readers.rest(Duration::MAX), 1);
        drop(second);
        assert_eq!(readers.rest(Duration::from_millis(1)), 0);
    }

    #[test]
    fn a_reader_that_comes_later_ends_it_too() {
        let readers = Arc::new(Readers::default());
        let resting = Arc::clone(&readers);
        let rest = std::thread::spawn(move || resting.rest(Duration::MAX));
        let _attendance = readers.attend();
        assert_eq!(rest.join().expect("it does not panic"), 1);
    }
}
