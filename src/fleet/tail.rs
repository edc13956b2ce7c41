//! What came of late in the logs of all nodes, in memory, with the place of each event in all logs.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::cursor::Cursor;
use super::log::Log;
use crate::event_log::Logged;

/// How many events are in memory.
const CAPACITY: usize = 4096;

/// An event, and how far all logs have been read with it.
#[derive(Debug)]
pub struct Item {
    /// The log that has it.
    pub log: Arc<Log>,
    /// What happened.
    pub logged: Logged,
    /// The id from which to go on after it.
    pub id: String,
}

/// What follows in the stream.
#[derive(Clone, Debug)]
pub enum Next {
    /// An event.
    Event(Arc<Item>),
    /// A node has another log than before, or one that was set back: there is more than these events to be known. What
    /// follows, follows from here.
    Missed(Arc<Cursor>),
}

/// Where a follower is.
#[derive(Clone, Debug)]
pub struct Point {
    /// In memory.
    pub(super) place: u64,
    /// In all logs.
    pub cursor: Cursor,
}

/// Why somebody cannot go on from a cursor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missed {
    /// Events after it are not kept any more.
    TooOld,
    /// A log is another one.
    OtherLog,
}

/// What is known of the end of all logs.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// When the database was looked at last; one looks at a time.
    pub(super) looked: tokio::sync::Mutex<Option<Instant>>,
    shown: Mutex<Shown>,
}

/// What is in memory.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub(super) items: VecDeque<Next>,
    /// The place after the last of them.
    pub(super) end: u64,
    pub(super) cursor: Cursor,
}

impl Tail {
    pub(super) fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shown {
    pub(super) fn push(&mut self, next: Next) {
        if self.items.len() == CAPACITY {
            self.items.pop_front();
        }
        self.items.push_back(next);
        self.end += 1;
    }

    pub(super) fn has_after(&self, point: &Point) -> bool {
        point.place < self.end
    }
}
