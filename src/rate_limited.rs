//! When to speak of a failure that repeats itself: at once, then every half minute with a count, then once when it
//! is over. Pure; its owner has the clock and writes the line.

use std::fmt;
use std::time::Duration;

/// How long a failure that goes on is not mentioned again.
const EVERY: Duration = Duration::from_secs(30);

/// The memory of one kind of failure.
#[derive(Debug, Default)]
pub struct RateLimited {
    failing: Option<Failing>,
    /// When a failure was last mentioned: one that comes and goes is not mentioned more often than one that stays.
    said_at: Option<Duration>,
    unsaid: u64,
}

/// A failure that goes on.
#[derive(Debug)]
struct Failing {
    since: Duration,
    total: u64,
    /// Whether it was mentioned, so that its end is to be mentioned too.
    said: bool,
}

/// What to log about a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Say {
    /// It is the first one.
    First,
    /// It goes on, or came again soon.
    Again {
        /// How many there were since it was last mentioned.
        count: u64,
        /// How long it has gone on.
        lasting: Duration,
    },
}

/// What to log about a success after failures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recovered {
    /// How many failures there were.
    pub failures: u64,
    /// From the first one until now.
    pub lasted: Duration,
}

impl Say {
    /// How many failures there were since it was last mentioned, for a field of the log; none of the first one.
    #[must_use]
    pub fn count(self) -> Option<u64> {
        match self {
            Self::First => None,
            Self::Again { count, .. } => Some(count),
        }
    }

    /// For how many seconds it has gone on, for a field of the log; none of the first one.
    #[must_use]
    pub fn seconds(self) -> Option<u64> {
        match self {
            Self::First => None,
            Self::Again { lasting, .. } => Some(lasting.as_secs()),
        }
    }
}

impl RateLimited {
    /// Records a failure at `now` (monotonic); returns what to log about it, if anything.
    pub fn failed(&mut self, now: Duration) -> Option<Say> {
        let failing = self.failing.get_or_insert(Failing {
            since: now,
            total: 0,
            said: false,
        });
        failing.total += 1;
        self.unsaid += 1;
        self.say(now)
    }

    /// Records that the last failure continues at `now` (monotonic); returns what to log about it, if anything.
    pub fn lasts(&mut self, now: Duration) -> Option<Say> {
        self.say(now)
    }

    /// Records a success at `now` (monotonic); returns what to log if it ends failures that were logged.
    pub fn succeeded(&mut self, now: Duration) -> Option<Recovered> {
        let failing = self.failing.take().filter(|failing| failing.said)?;
        // The last line has their number.
        self.unsaid = 0;
        Some(Recovered {
            failures: failing.total,
            lasted: now.saturating_sub(failing.since),
        })
    }

    /// Whether the last attempt failed.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failing.is_some()
    }

    fn say(&mut self, now: Duration) -> Option<Say> {
        let failing = self.failing.as_mut()?;
        let is_due = |at: Duration| now.saturating_sub(at) >= EVERY;
        if !self.said_at.is_none_or(is_due) {
            return None;
        }
        self.said_at = Some(now);
        let count = std::mem::take(&mut self.unsaid);
        let is_first =
            !std::mem::replace(&mut failing.said, true) && failing.total == 1 && count == 1;
        Some(if is_first {
            Say::First
        } else {
            Say::Again {
                count,
                lasting: now.saturating_sub(failing.since),
            }
        })
    }
}

impl fmt::Display for Say {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => write!(f, "for the first time"),
            Self::Again { count, lasting } => {
                write!(f, "{count} more times, failing for {} s", lasting.as_secs())
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
        assert_eq!(said[2].to_string(), "30 more times, failing for 60 s");
        assert!(limited.is_failing());
        let recovered = Recovered {
            failures: 66,
            lasted: at(70),
        };
        assert_eq!(limited.succeeded(at(80)), Some(recovered));
        assert_eq!(limited.succeeded(at(81)), None);
        assert_eq!(limited.failed(at(120)), Some(Say::First));
    }

    #[test]
    fn what_comes_and_goes_is_mentioned_no_more_often() {
        let mut limited = RateLimited::default();
        let mut said = Vec::new();
        let mut recoveries = 0;
        for second in (0..62).step_by(2) {
            said.extend(limited.failed(at(second)));
            recoveries += usize::from(limited.succeeded(at(second + 1)).is_some());
        }
        let again = Say::Again {
            count: 15,
            lasting: at(0),
        };
        assert_eq!(said, [Say::First, again, again]);
        assert_eq!(recoveries, 3, "the ends of those that were mentioned");
    }

    #[test]
    fn one_failure_that_lasts_is_mentioned_again() {
        let mut limited = RateLimited::default();
        assert_eq!(limited.lasts(at(0)), None, "there is none");
        assert_eq!(limited.failed(at(0)), Some(Say::First));
        let said: Vec<_> = (1..=60).filter_map(|s| limited.lasts(at(s))).collect();
        assert_eq!(said.len(), 2);
        assert_eq!((said[1].count(), said[1].seconds()), (Some(0), Some(60)));
    }
}
