//! The feed: everything that happens to the registry, once and numbered.
//!
//! The writer appends to a ring that is bounded in number and in time; a subscriber is a cursor into it. Nothing waits
//! for a subscriber: one that reads too slowly is told that it lagged, and lists again.

use std::collections::VecDeque;
use std::time::Duration;

use super::event::{Entry, Event};

/// How many entries the ring holds at most.
const CAPACITY: usize = 1 << 16;

/// How long an entry stays in the ring: each one keeps a former registration in memory.
const KEEP: Duration = Duration::from_secs(3);

/// A subscriber has missed entries and has to list again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Lagged {
    /// It was too slow.
    #[error("{0} entries were missed")]
    Overrun(u64),
    /// The registry was loaded anew, which is not reported row by row.
    #[error("the registry was loaded anew")]
    Reloaded,
}

/// The entries of late.
#[derive(Debug)]
pub(super) struct Feed {
    ring: VecDeque<Entry>,
    capacity: usize,
    /// The next entry's number.
    next: u64,
    last_commit: u64,
    /// How often the registry changed in a way that is not reported row by row.
    reloads: u64,
    /// What `next` was at the last of those changes.
    reloaded: u64,
    /// What `next` was at some moments of the monotonic clock, the earliest first.
    marks: VecDeque<(Duration, u64)>,
}

/// How far a subscriber has read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cursor {
    next: u64,
    reloads: u64,
}

impl Cursor {
    /// The number of the last entry before it.
    pub(super) fn read_to(self) -> u64 {
        self.next - 1
    }
}

impl Default for Feed {
    fn default() -> Self {
        Self::with_capacity(CAPACITY)
    }
}

impl Feed {
    /// A feed whose ring holds so many entries.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self {
            ring: VecDeque::new(),
            capacity,
            next: 1,
            last_commit: 0,
            reloads: 0,
            reloaded: 1,
            marks: VecDeque::new(),
        }
    }

    /// A number for what is committed together.
    pub(super) fn begin_commit(&mut self) -> u64 {
        self.last_commit += 1;
        self.last_commit
    }

    pub(super) fn push(&mut self, at: Duration, commit: u64, event: Event) {
        if self.ring.len() >= self.capacity {
            self.ring.pop_front();
        }
        self.ring.push_back(Entry {
            sequence: self.next,
            commit,
            at: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            event,
        });
        self.next += 1;
    }

    /// Notes that the registry changed in a way that is not reported row by row.
    pub(super) fn reload(&mut self) {
        self.reloads += 1;
        self.reloaded = self.next;
        self.ring.clear();
    }

    /// Forgets entries that have been there for long enough; to be called now and then.
    pub(super) fn forget_old(&mut self, now: Duration) {
        if self.marks.back().is_none_or(|(_, next)| *next != self.next) {
            self.marks.push_back((now, self.next));
        }
        while let Some((at, next)) = self.marks.front().copied()
            && now.saturating_sub(at) >= KEEP
        {
            let first = self.next - self.ring.len() as u64;
            let old = usize::try_from(next.saturating_sub(first)).unwrap_or(usize::MAX);
            self.ring.drain(..old.min(self.ring.len()));
            if self.ring.is_empty() {
                self.ring.shrink_to_fit();
            }
            if self.marks.len() == 1 {
                return;
            }
            self.marks.pop_front();
        }
    }

    /// The place after the last entry.
    pub(super) fn end(&self) -> Cursor {
        Cursor {
            next: self.next,
            reloads: self.reloads,
        }
    }

    /// The place after the last change that is not reported row by row.
    pub(super) fn reloaded(&self) -> Cursor {
        Cursor {
            next: self.reloaded,
            reloads: self.reloads,
        }
    }

    /// At most `limit` entries after the cursor, which moves on.
    pub(super) fn read(&self, cursor: &mut Cursor, limit: usize) -> Result<Vec<Entry>, Lagged> {
        if cursor.reloads != self.reloads {
            return Err(Lagged::Reloaded);
        }
        let behind = self.next - cursor.next;
        let there = self.ring.len() as u64;
        if behind > there {
            return Err(Lagged::Overrun(behind - there));
        }
        let skip = usize::try_from(there - behind).unwrap_or(usize::MAX);
        let entries: Vec<Entry> = self.ring.range(skip..).take(limit).cloned().collect();
        cursor.next += entries.len() as u64;
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::registration::testing::{binding, registration};
    use crate::registry::event::{Cause, Effect, Listed};

    fn event(ruid: usize) -> Event {
        let row = registration(binding(&ruid.to_string(), "bob", "a", 60), None);
        Event::Row(Effect {
            cause: Cause::Table,
            unhidden: None,
            former: None,
            current: Some(Arc::new(row)),
            was: Listed::default(),
            is: Listed::default(),
        })
    }

    fn feed(entries: usize) -> Feed {
        let mut feed = Feed::with_capacity(4);
        (0..entries).for_each(|number| feed.push(Duration::ZERO, 1, event(number)));
        feed
    }

    fn numbers(entries: &[Entry]) -> Vec<u64> {
        entries.iter().map(|entry| entry.sequence).collect()
    }

    #[test]
    fn entries_come_once_in_order_and_in_portions() {
        let mut feed = feed(0);
        let mut cursor = feed.end();
        (0..3).for_each(|number| feed.push(Duration::ZERO, 1, event(number)));
        assert_eq!(numbers(&feed.read(&mut cursor, 2).unwrap()), [1, 2]);
        assert_eq!(numbers(&feed.read(&mut cursor, 2).unwrap()), [3]);
        assert!(feed.read(&mut cursor, 2).unwrap().is_empty());
    }

    #[test]
    fn a_slow_subscriber_learns_how_much_it_missed() {
        let mut feed = feed(0);
        let mut cursor = feed.end();
        (0..4).for_each(|number| feed.push(Duration::ZERO, 1, event(number)));
        assert_eq!(feed.read(&mut cursor.clone(), 9).unwrap().len(), 4);
        feed.push(Duration::ZERO, 1, event(4));
        let lagged = feed.read(&mut cursor, 9).unwrap_err();
        assert_eq!(lagged, Lagged::Overrun(1));
        cursor = feed.end();
        assert_eq!(feed.read(&mut cursor, 9).unwrap().len(), 0);
        feed.reload();
        assert_eq!(feed.read(&mut cursor, 9).unwrap_err(), Lagged::Reloaded);
        // What follows is not missed.
        feed.push(Duration::ZERO, 2, event(5));
        let mut cursor = feed.reloaded();
        assert_eq!(numbers(&feed.read(&mut cursor, 9).unwrap()), [6]);
    }

    #[test]
    fn entries_go_after_some_seconds() {
        let at = Duration::from_secs;
        let mut feed = feed(0);
        let mut cursor = feed.end();
        feed.push(Duration::ZERO, 1, event(1));
        feed.forget_old(at(100));
        feed.push(Duration::ZERO, 1, event(2));
        feed.forget_old(at(101));
        feed.forget_old(at(102));
        assert_eq!(feed.read(&mut cursor.clone(), 9).unwrap().len(), 2);
        feed.forget_old(at(103));
        let lagged = feed.read(&mut cursor.clone(), 9).unwrap_err();
        assert_eq!(lagged, Lagged::Overrun(1));
        feed.forget_old(at(104));
        let lagged = feed.read(&mut cursor, 9).unwrap_err();
        assert_eq!(lagged, Lagged::Overrun(2));
        feed.push(Duration::ZERO, 1, event(3));
        cursor.next = 3;
        assert_eq!(numbers(&feed.read(&mut cursor, 9).unwrap()), [3]);
    }
}
