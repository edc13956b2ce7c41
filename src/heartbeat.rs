//! When the thread that follows the tables was last seen at work.
//!
//! A thread that hangs in a read of a dead disk neither ends nor reports. Whoever watches over the process reads here
//! how long ago it went around its loop.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A tail that has not gone around its loop for so long hangs: each round takes a second or two at most.
const HUNG: Duration = Duration::from_secs(5);

/// The last time that the tail went around its loop, on the monotonic clock.
///
/// Beaten at each step and each time that it awakes, at least once a second or two, whatever the tables' state.
#[derive(Debug, Default)]
pub struct Heartbeat {
    /// In nanoseconds. These last for 584 years.
    at: AtomicU64,
}

impl Heartbeat {
    /// Notes that the tail is at work at this time of the monotonic clock. Never goes back.
    pub fn beat(&self, at: Duration) {
        let nanoseconds = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        self.at.fetch_max(nanoseconds, Ordering::Relaxed);
    }

    /// Whether the tail has been at work, and was so for the last time longer ago than [`HUNG`].
    #[must_use]
    pub fn is_hung(&self, now: Duration) -> bool {
        self.at.load(Ordering::Relaxed) > 0 && self.age(now) > HUNG
    }

    /// How long ago the tail was at work; since the clock's zero, if it never was.
    #[must_use]
    pub fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(Duration::from_nanos(self.at.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_how_long_ago_the_last_beat_was() {
        let heartbeat = Heartbeat::default();
        assert_eq!(
            heartbeat.age(Duration::from_secs(3)),
            Duration::from_secs(3)
        );
        heartbeat.beat(Duration::from_secs(2));
        assert_eq!(
            heartbeat.age(Duration::from_secs(3)),
            Duration::from_secs(1)
        );
        heartbeat.beat(Duration::from_secs(1));
        assert_eq!(
            heartbeat.age(Duration::from_secs(3)),
            Duration::from_secs(1)
        );
        assert_eq!(heartbeat.age(Duration::from_secs(1)), Duration::ZERO);
    }

    #[test]
    fn hangs_only_after_it_has_begun() {
        let heartbeat = Heartbeat::default();
        assert!(!heartbeat.is_hung(Duration::from_secs(100)));
        heartbeat.beat(Duration::from_secs(100));
        assert!(!heartbeat.is_hung(Duration::from_secs(105)));
        assert!(heartbeat.is_hung(Duration::from_secs(106)));
    }
}
