//! The queue for removals, shared by all running flushes.
//!
//! In `db_mode` 1 and 3 each removal makes one of Kamailio's workers write to SQLite, without a busy timeout: two at
//! once make each other fail. Flushes take turns, so that one of thousands of addresses of record does not hold up that
//! of a single user.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Removals that run, and those that wait.
#[derive(Debug)]
pub(in crate::flush) struct Queue {
    at_once: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    /// The number of the next flush.
    next: u64,
    /// Flushes with removals that wait; the first one is next.
    waiting: VecDeque<(u64, VecDeque<oneshot::Sender<Permit>>)>,
}

/// One flush's lane in the queue.
#[derive(Debug)]
pub(in crate::flush) struct Lane {
    queue: Arc<Queue>,
    flush: u64,
}

/// The right to have Kamailio remove something, until it is dropped.
#[derive(Debug)]
pub(in crate::flush) struct Permit(Option<Arc<Queue>>);

impl Queue {
    /// Lets `at_once` removals run at a time.
    pub(in crate::flush) fn new(at_once: usize) -> Self {
        Self {
            at_once: at_once.max(1),
            state: Mutex::default(),
        }
    }

    /// Opens a lane for another flush.
    pub(in crate::flush) fn join(self: &Arc<Self>) -> Lane {
        let mut state = self.state();
        state.next += 1;
        Lane {
            queue: Arc::clone(self),
            flush: state.next,
        }
    }

    /// Gives out permits, as many as there are.
    fn hand_on(self: &Arc<Self>) {
        loop {
            let sender = {
                let mut state = self.state();
                if state.running >= self.at_once {
                    return;
                }
                let Some(sender) = state.pop() else { return };
                state.running += 1;
                sender
            };
            // Where the receiver is gone the permit is not dropped: that would recurse, as deep as the queue is long.
            if let Err(mut permit) = sender.send(Permit(Some(Arc::clone(self)))) {
                permit.0 = None;
                self.state().running -= 1;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The next removal; its flush goes to the end.
    fn pop(&mut self) -> Option<oneshot::Sender<Permit>> {
        let (flush, mut removals) = self.waiting.pop_front()?;
        let next = removals.pop_front();
        if !removals.is_empty() {
            self.waiting.push_back((flush, removals));
        }
        next
    }

    fn push(&mut self, flush: u64, removal: oneshot::Sender<Permit>) {
        match self.waiting.iter_mut().find(|(its, _)| *its == flush) {
            Some((_, removals)) => removals.push_back(removal),
            None => self.waiting.push_back((flush, VecDeque::from([removal]))),
        }
    }
}

impl Lane {
    /// Waits for this flush's turn.
    pub(in crate::flush) async fn permit(&self) -> Permit {
        let (sender, receiver) = oneshot::channel();
        self.queue.state().push(self.flush, sender);
        self.queue.hand_on();
        // No sender is dropped before it has sent.
        receiver.await.unwrap_or(Permit(None))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(queue) = self.0.take() {
            queue.state().running -= 1;
            queue.hand_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use futures_util::future::LocalBoxFuture;

    type Waiting<'a> = LocalBoxFuture<'a, Permit>;

    fn waits(lane: &Lane) -> Waiting<'_> {
        let mut permit = lane.permit().boxed_local();
        assert!((&mut permit).now_or_never().is_none(), "it has to wait");
        permit
    }

    #[track_caller]
    fn has_turn(permit: &mut Waiting<'_>) -> Permit {
        permit.now_or_never().expect("it is its turn")
    }

    #[tokio::test]
    async fn flushes_take_turns_however_much_each_has_to_remove() {
        let queue = Arc::new(Queue::new(1));
        let (large, small) = (queue.join(), queue.join());
        let first = large.permit().await;
        let mut of_large: Vec<_> = (0..5000).map(|_| waits(&large)).collect();
        let mut of_small = waits(&small);
        drop(first);
        let second = has_turn(&mut of_large[0]);
        assert!((&mut of_small).now_or_never().is_none());
        drop(second);
        let third = has_turn(&mut of_small);
        drop(third);
        drop(has_turn(&mut of_large[1]));
    }

    #[tokio::test]
    async fn who_gives_up_waiting_holds_up_nobody() {
        let queue = Arc::new(Queue::new(1));
        let (one, other) = (queue.join(), queue.join());
        let first = one.permit().await;
        let given_up: Vec<_> = (0..100_000).map(|_| waits(&one)).collect();
        // One whose turn has come, and who is gone before it looks.
        let (unaware, mut patient) = (waits(&other), waits(&other));
        drop(given_up);
        drop(first);
        assert!((&mut patient).now_or_never().is_none());
        drop(unaware);
        drop(has_turn(&mut patient));
        assert!(one.permit().now_or_never().is_some());
        assert_eq!(queue.state().running, 0);
    }

    #[tokio::test]
    async fn as_many_as_are_allowed_run_at_once() {
        let queue = Arc::new(Queue::new(2));
        let lane = queue.join();
        let (first, _second) = (lane.permit().await, lane.permit().await);
        let mut third = waits(&lane);
        drop(first);
        has_turn(&mut third);
    }
}
