//! When to speak of a failure that repeats itself: at once, then every half minute with a count, then once when it
//! is over. Pure; whoever holds it has the clock and writes the line.

use std::fmt;
use std::time::Duration;

/// How long a failure that goes on is not mentioned again.
const EVERY: Duration = Duration::from_secs(30);

/// The memory of one kind of failure.
#[derive(Debug, Default)]
pub struct RateLimited {
    failing: Option<Failing>,
}

/// A failure that goes on.
#[derive(Debug)]
struct Failing {
    since: Duration,
    total: u64,
    said_at: Duration,
    unsaid: u64,
}

/// What to say of a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Say {
    /// It is the first one.
    First,
    /// It goes on.
    Again {
        /// How many there were since it was last mentioned, this one included.
        count: u64,
        /// How long it has gone on.
        lasting: Duration,
    },
}

/// What to say of a success after failures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recovered {
    /// How many failures there were.
    pub failures: u64,
    /// From the first one until now.
    pub lasted: Duration,
}

impl RateLimited {
    /// Notes a failure at `now` (monotonic); what to say of it, if anything.
    pub fn failed(&mut self, now: Duration) -> Option<Say> {
        let Some(failing) = &mut self.failing else {
            self.failing = Some(Failing {
                since: now,
                total: 1,
                said_at: now,
                unsaid: 0,
            });
            return Some(Say::First);
        };
        failing.total += 1;
        failing.unsaid += 1;
        if now.saturating_sub(failing.said_at) < EVERY {
            return None;
        }
        failing.said_at = now;
        Some(Say::Again {
            count: std::mem::take(&mut failing.unsaid),
            lasting: now.saturating_sub(failing.since),
        })
    }

    /// Notes a success at `now` (monotonic); what to say of it when it ends failures.
    pub fn succeeded(&mut self, now: Duration) -> Option<Recovered> {
        self.failing.take().map(|failing| Recovered {
            failures: failing.total,
            lasted: now.saturating_sub(failing.since),
        })
    }

    /// Whether the last attempt failed.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failing.is_some()
    }
}

impl fmt::Display for Say {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => write!(f, "for the first time"),
            Self::Again { count, lasting } => {
                write!(f, "{count} times more, for {} s now", lasting.as_secs())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn first_then_every_half_minute_then_recovered() {
        let mut limited = RateLimited::default();
        assert_eq!(limited.succeeded(at(0)), None);
        let said: Vec<_> = (10..=75).filter_map(|s| limited.failed(at(s))).collect();
        let again = |count, lasting| Say::Again {
            count,
            lasting: at(lasting),
        };
        assert_eq!(said, [Say::First, again(30, 30), again(30, 60)]);
        assert_eq!(said[0].to_string(), "for the first time");
        assert_eq!(said[2].to_string(), "30 times more, for 60 s now");
        assert!(limited.is_failing());
        let recovered = Recovered {
            failures: 66,
            lasted: at(70),
        };
        assert_eq!(limited.succeeded(at(80)), Some(recovered));
        assert_eq!(limited.succeeded(at(81)), None);
        assert_eq!(limited.failed(at(82)), Some(Say::First));
    }
}
