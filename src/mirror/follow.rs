//! The thread that follows Kamailio's tables: it steps the tail, puts bindings together and posts the news.
//!
//! A thread of its own, not a task: it reads files, and must not wait behind anything else.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::mailbox::{Mailbox, News};
use crate::clock::Clock;
use crate::sqlite_file::{State, Tail, TailOptions};
use crate::usrloc::Usrloc;

/// The tail, and the bindings that it has told.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) tail: Tail,
    pub(super) usrloc: Usrloc,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) mailbox: Arc<Mailbox>,
}

impl Follower {
    pub(super) fn new(
        path: &std::path::Path,
        usrloc: Usrloc,
        clock: Arc<dyn Clock>,
        mailbox: Arc<Mailbox>,
    ) -> Self {
        let tail = Tail::new(TailOptions {
            path: path.to_path_buf(),
            tables: usrloc.specs(),
        });
        Self {
            tail,
            usrloc,
            clock,
            mailbox,
        }
    }

    /// Follows the tables until the other end of `stop` is dropped; a message there wakes it early.
    pub(super) fn run(mut self, stop: &Receiver<()>) {
        let mut last: Option<(State, bool)> = None;
        loop {
            let (wake, fresh) = self.step(last.as_ref());
            last = Some(fresh);
            match stop.recv_timeout(wake) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// One step; returns how long to sleep, and what there is to compare the next one with.
    fn step(&mut self, last: Option<&(State, bool)>) -> (Duration, (State, bool)) {
        let as_of = self.clock.unix();
        let now = self.clock.monotonic();
        let step = self.tail.step(now, &mut self.usrloc);
        let changes = self.usrloc.changes(now, step.complete);
        let fresh = (step.state, step.complete);
        if !changes.is_empty() || step.current || last != Some(&fresh) {
            self.mailbox.put(News {
                changes,
                state: fresh.0.clone(),
                complete: step.complete,
                as_of: step.current.then_some(as_of),
            });
        }
        let deadline = self.usrloc.deadline().map(|at| at.saturating_sub(now));
        (step.wake.min(deadline.unwrap_or(Duration::MAX)), fresh)
    }
}
