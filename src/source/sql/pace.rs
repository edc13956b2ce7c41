//! When a server is asked next. Pure.
//!
//! Asking takes a share of one of the server's cores at most. How much of it a statement takes is not known; it is no
//! more than the time until the answer is there.

use std::time::Duration;

/// Between two comparisons, at least.
const COMPARE: Duration = Duration::from_millis(250);

/// Between two glances, at least.
const GLANCE: Duration = Duration::from_millis(200);

/// What part of the share is for comparisons, where glances come between.
const COMPARISONS: f64 = 0.6;

/// The first pause after a failure, and the longest one.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// The pace of the questions to a server.
#[derive(Debug)]
pub(super) struct Pace {
    load: f64,
    compare: Duration,
    glance: Duration,
    /// The pause before the latest try to connect.
    pause: Duration,
}

/// What there is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    Comparison,
    Glance,
}

impl Pace {
    pub(super) fn new(load: f64) -> Self {
        Self {
            load,
            compare: Duration::ZERO,
            glance: Duration::ZERO,
            pause: Duration::ZERO,
        }
    }

    /// What is to be done next, and when.
    pub(super) fn next(&self) -> (Due, Duration) {
        if self.glance < self.compare {
            (Due::Glance, self.glance)
        } else {
            (Due::Comparison, self.compare)
        }
    }

    /// A comparison ended `now` and took the server `busy` at most.
    pub(super) fn compared(&mut self, now: Duration, busy: Duration) {
        self.pause = Duration::ZERO;
        self.compare = now + rest(busy, self.load * COMPARISONS).max(COMPARE);
        self.glance = now + GLANCE;
    }

    /// A glance ended.
    pub(super) fn glanced(&mut self, now: Duration, busy: Duration) {
        self.glance = now + rest(busy, self.load * (1.0 - COMPARISONS)).max(GLANCE);
    }

    /// The next comparison is to begin at this time and no later.
    pub(super) fn compare_at(&mut self, at: Duration) {
        self.compare = at;
    }

    /// Nothing could be read: the next try is a comparison, after a pause that grows.
    pub(super) fn failed(&mut self, now: Duration) {
        self.pause = (self.pause * 2).clamp(RETRY.0, RETRY.1);
        self.compare = now + self.pause;
        self.glance = self.compare;
    }
}

/// How long to rest after work of `busy`, so that it takes this share of the time.
fn rest(busy: Duration, share: f64) -> Duration {
    busy.mul_f64((1.0 / share - 1.0).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_small_table_is_compared_all_the_time() {
        let mut pace = Pace::new(0.05);
        assert_eq!(pace.next(), (Due::Comparison, at(0)));
        pace.compared(at(10), at(1));
        assert_eq!(pace.next(), (Due::Glance, at(210)));
        pace.glanced(at(211), at(1));
        assert_eq!(pace.next(), (Due::Comparison, at(260)));
    }

    #[test]
    fn the_load_is_bounded() {
        let mut pace = Pace::new(0.05);
        pace.compared(at(1000), at(60));
        let mut glances = 0;
        let next = loop {
            match pace.next() {
                (Due::Glance, then) => pace.glanced(then + at(4), at(4)),
                (Due::Comparison, then) => break then,
            }
            glances += 1;
        };
        assert_eq!(next, at(1000 + 60 * 33 - 60 + 20), "3 % of the time");
        assert!(glances * 4 <= 1940 / 50 + 4, "2 % of the time: {glances}");
    }

    #[test]
    fn tries_become_rarer() {
        let mut pace = Pace::new(0.05);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            pace.failed(at(0));
            pauses.push(pace.next().1.as_millis());
        }
        assert_eq!(pauses, [500, 1000, 2000, 4000, 5000, 5000]);
        pace.compared(at(0), at(1));
        pace.failed(at(0));
        assert_eq!(pace.next(), (Due::Comparison, at(500)));
    }
}
