//! The events of late, in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Logged;

/// How many events are in memory at most; each has its registration, and once somebody has read it its JSON.
/// Few in tests, where readers are to fall behind.
const CAPACITY: usize = if cfg!(test) { 64 } else { 8192 };

/// A place between two events in memory, whatever becomes of those.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place(u64);

/// The events of late.
#[derive(Debug)]
pub(super) struct Ring {
    /// Each with the number of the last event up to it that has one.
    events: VecDeque<(u64, Arc<Logged>)>,
    /// The number of the last event before all of these.
    before: u64,
    /// The place after the last of them.
    end: u64,
}

impl Ring {
    /// An empty one; the next event's number is one more than `newest`.
    pub(super) fn after(newest: u64) -> Self {
        Self {
            events: VecDeque::new(),
            before: newest,
            end: 0,
        }
    }

    /// Adds an event; one without a number comes after the newest.
    pub(super) fn push(&mut self, event: Arc<Logged>) {
        if self.events.len() == CAPACITY
            && let Some((seq, _)) = self.events.pop_front()
        {
            self.before = seq;
        }
        let seq = event.event().seq.max(self.newest());
        self.events.push_back((seq, event));
        self.end += 1;
    }

    /// Forgets all events. Readers that have not read them yet find them on the disk.
    pub(super) fn clear(&mut self) {
        self.before = self.newest();
        self.events.clear();
    }

    /// The number of the newest event.
    pub(super) fn newest(&self) -> u64 {
        self.events.back().map_or(self.before, |(seq, _)| *seq)
    }

    /// The number of the oldest event in memory; one more than the newest where there is none.
    pub(super) fn oldest(&self) -> u64 {
        self.before + 1
    }

    /// After the last event.
    pub(super) fn end(&self) -> Place {
        Place(self.end)
    }

    /// Whether everything after this place is still there.
    pub(super) fn has(&self, place: Place) -> bool {
        place.0 >= self.end - self.events.len() as u64
    }

    /// The place after the event with this number (and after refreshes that came before the next); `None` where not
    /// everything after it is there.
    pub(super) fn after_seq(&self, seq: u64) -> Option<Place> {
        if seq < self.before {
            return None;
        }
        let read = self.events.partition_point(|(one, _)| *one <= seq) as u64;
        Some(Place(self.end - self.events.len() as u64 + read))
    }

    /// At most `limit` events after the place, which moves on.
    pub(super) fn read(&self, place: &mut Place, limit: usize) -> Vec<Arc<Logged>> {
        let first = self.end - self.events.len() as u64;
        let skip = usize::try_from(place.0.saturating_sub(first)).unwrap_or(usize::MAX);
        let events = self.events.iter().skip(skip).take(limit);
        let events: Vec<_> = events.map(|(_, event)| Arc::clone(event)).collect();
        place.0 += events.len() as u64;
        events
    }
}
