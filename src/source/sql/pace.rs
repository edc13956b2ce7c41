//! When a server is asked next. Pure.
//!
//! Asking takes a share of one of the server's cores at most. How much of it a statement takes is not known; it is no
//! more than the time until the answer is there, but that also has what the network, a busy machine and this program
//! add. So a comparison is taken to cost what the quickest of the last ones did, by the number of rows. What came on top
//! of it (rows that had changed and were read) is made up for over several pauses, so that one large change delays the
//! next comparison little.

use std::collections::VecDeque;
use std::time::Duration;

/// Between two comparisons, at least.
const COMPARE: Duration = Duration::from_millis(250);

/// Between two glances, at least.
const GLANCE: Duration = Duration::from_millis(200);

/// What part of the share is for comparisons, where glances come between.
const COMPARISONS: f64 = 0.7;

/// The comparisons that the cost of one is taken from.
const RECENT: usize = 8;

/// In so many pauses what was read beside a comparison is made up for.
const PAUSES: u32 = 8;

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
    /// The seconds that each row took in the last comparisons.
    recent: VecDeque<f64>,
    /// What was read beside comparisons, and has not been made up for.
    owed: Duration,
}

/// What a comparison took, at most.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Took {
    /// The rows that were compared.
    pub(super) rows: usize,
    /// To read their ids and versions.
    pub(super) keys: Duration,
    /// To read those that had changed.
    pub(super) changed: Duration,
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
            recent: VecDeque::with_capacity(RECENT),
            owed: Duration::ZERO,
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

    /// When the next comparison is due.
    pub(super) fn next_comparison(&self) -> Duration {
        self.compare
    }

    /// A comparison ended `now`.
    pub(super) fn compared(&mut self, now: Duration, took: Took) {
        self.pause = Duration::ZERO;
        self.owed += took.changed;
        let paid = self.owed / PAUSES;
        self.owed -= paid;
        let cost = self.cost(took) + paid;
        self.compare = now + rest(cost, self.load * COMPARISONS).max(COMPARE);
        self.glance = now + GLANCE;
    }

    /// What comparing so many rows costs the server.
    fn cost(&mut self, took: Took) -> Duration {
        let rows = f64::from(u32::try_from(took.rows).unwrap_or(u32::MAX));
        if took.rows > 0 {
            if self.recent.len() == RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back(took.keys.as_secs_f64() / rows);
        }
        let quickest = self.recent.iter().copied().reduce(f64::min);
        quickest.map_or(took.keys, |each| Duration::from_secs_f64(each * rows))
    }

    /// A glance ended, and took the server `busy` at most.
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

    /// A comparison of 1000 rows.
    fn took(keys: u64, changed: u64) -> Took {
        Took {
            rows: 1000,
            keys: at(keys),
            changed: at(changed),
        }
    }

    /// The pause after a comparison, in milliseconds.
    fn pause(pace: &mut Pace, took: Took) -> u128 {
        pace.compared(Duration::ZERO, took);
        pace.compare.as_millis()
    }

    #[test]
    fn a_small_table_is_compared_all_the_time() {
        let mut pace = Pace::new(0.05);
        assert_eq!(pace.next(), (Due::Comparison, at(0)));
        pace.compared(at(10), took(1, 0));
        assert_eq!(pace.next(), (Due::Glance, at(210)));
        pace.glanced(at(211), at(1));
        assert_eq!(pace.next(), (Due::Comparison, at(260)));
    }

    #[test]
    fn the_load_is_bounded() {
        let mut pace = Pace::new(0.05);
        pace.compared(at(1000), took(70, 0));
        let mut glances = 0;
        let next = loop {
            match pace.next() {
                (Due::Glance, then) => pace.glanced(then + at(3), at(3)),
                (Due::Comparison, then) => break then,
            }
            glances += 1;
        };
        assert_eq!(next, at(1000 + 1930), "70 of 2000 ms are 3.5 %");
        assert!(glances * 3 <= 1930 * 15 / 1000 + 3, "1.5 %: {glances}");
    }

    #[test]
    fn what_a_busy_machine_adds_is_not_the_server_s_work() {
        let mut pace = Pace::new(0.05);
        assert_eq!(pause(&mut pace, took(700, 0)), 19_300);
        assert_eq!(pause(&mut pace, took(70, 0)), 1930);
        for _ in 1..RECENT {
            assert_eq!(pause(&mut pace, took(700, 0)), 1930);
        }
        // It has been so for long: the server itself may be slower than it was.
        assert_eq!(pause(&mut pace, took(700, 0)), 19_300);
        // Other numbers of rows cost as much more or less.
        let twice = Took {
            rows: 2000,
            keys: at(5000),
            changed: at(0),
        };
        assert_eq!(pause(&mut pace, twice), 38_600);
        let none = Took {
            rows: 0,
            keys: at(5000),
            changed: at(0),
        };
        assert_eq!(pause(&mut pace, none), COMPARE.as_millis());
    }

    #[test]
    fn a_large_change_is_made_up_for_little_by_little() {
        let mut pace = Pace::new(0.05);
        let first = pause(&mut pace, took(70, 1400));
        assert_eq!(first, (70 + 175) * 2000 / 70 - 70 - 175, "an eighth of it");
        let mut last = first;
        for _ in 0..60 {
            let next = pause(&mut pace, took(70, 0));
            assert!(next <= last, "{next} after {last}");
            last = next;
        }
        assert!((1930..1935).contains(&last), "all of it: {last}");
        for _ in 0..60 {
            last = pause(&mut pace, took(70, 70));
        }
        assert!(
            (3800..=3860).contains(&last),
            "what comes each time costs as much: {last}"
        );
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
        pace.compared(at(0), took(1, 0));
        pace.failed(at(0));
        assert_eq!(pace.next(), (Due::Comparison, at(500)));
    }
}
