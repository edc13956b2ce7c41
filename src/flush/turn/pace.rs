//! Decides when a removal may start so that it is over before anybody else writes.
//!
//! Kamailio's workers write in bursts: a REGISTER is a commit for the row and one for each attribute, less than a
//! millisecond apart, and then nothing until the next REGISTER. How long it has been quiet tells how long it stays so:
//! after a tenth of a millisecond the same worker is likely to go on; just after a burst the next phone is mostly some
//! way off; and where phones come at a steady rate, the next one becomes due. So the lengths of quiet times are
//! remembered, and a removal starts at that age of a quiet time at which the fewest of those remembered ended within
//! the time that a removal may need.
//!
//! Pure: the caller looks at the database and has the clock.

use std::collections::VecDeque;
use std::time::Duration;

use crate::sqlite_file::Moment;

/// How many quiet times are remembered: those of some dozens of REGISTERs.
const REMEMBERED: usize = 128;

/// The lengths of the last removals that are remembered.
const REMOVALS: usize = 8;

/// The assumed length of a removal before there was any.
const FIRST_REMOVAL: Duration = Duration::from_millis(3);

/// How long writers are watched before anything is concluded.
const LEARN: Duration = Duration::from_millis(250);

/// How many quiet times suffice to conclude from.
const ENOUGH: usize = 8;

/// After this time without a write nobody is writing.
const IDLE: Duration = Duration::from_millis(250);

/// A time longer than the pauses within a burst, used while too little is known of them.
const PAUSE: Duration = Duration::from_millis(5);

/// What was seen longer ago is forgotten.
const STALE: Duration = Duration::from_secs(1);

/// By how much the risk may exceed that of the best age.
const TOLERANCE: f64 = 0.01;

/// Where the risk is higher than this at every age, no age is good: the removal waits as long as it may.
const BAD: f64 = 0.5;

/// A removal is given twice the time that earlier ones took, plus this: neither phones nor Kamailio are as regular as
/// they look.
const MARGIN: Duration = Duration::from_millis(1);

/// The longest wait for a quiet time. After a wait in vain the next one is shorter.
const PATIENCE: Duration = Duration::from_secs(2);
const LEAST_PATIENCE: Duration = Duration::from_millis(100);

/// What is known of the writers of a database.
#[derive(Debug)]
pub(in crate::flush) struct Pace {
    /// Lengths of quiet times, the latest last.
    quiet: VecDeque<Duration>,
    /// Lengths of removals, the latest last.
    removals: VecDeque<Duration>,
    /// The least risk there is at any age, for what is remembered.
    least: f64,
    watch: Option<Watch>,
    patience: Duration,
}

/// What has been seen since the database has been watched.
#[derive(Debug)]
struct Watch {
    since: Duration,
    seen_at: Duration,
    commits: u32,
    /// Whether somebody was writing at the last look.
    writing: bool,
    /// When somebody wrote last; when the watch began where nobody has.
    wrote_at: Duration,
    /// Whether anybody has written at all.
    wrote: bool,
}

impl Pace {
    pub(in crate::flush) fn new() -> Self {
        Self {
            quiet: VecDeque::new(),
            removals: VecDeque::new(),
            least: 0.0,
            watch: None,
            patience: PATIENCE,
        }
    }

    /// Records what is seen at `now` (monotonic).
    pub(in crate::flush) fn saw(&mut self, now: Duration, moment: Moment) {
        let watch = self.watch.take();
        let Some(mut watch) = watch.filter(|it| now.saturating_sub(it.seen_at) < STALE) else {
            self.quiet.clear();
            self.watch = Some(Watch {
                since: now,
                seen_at: now,
                commits: moment.commits,
                writing: moment.locked,
                wrote_at: now,
                wrote: moment.locked,
            });
            return;
        };
        let writes = moment.locked || moment.commits != watch.commits;
        let quiet = writes && !watch.writing && watch.wrote;
        let lasted = now.saturating_sub(watch.wrote_at);
        watch.seen_at = now;
        watch.commits = moment.commits;
        watch.writing = writes;
        if writes {
            (watch.wrote_at, watch.wrote) = (now, true);
        }
        self.watch = Some(watch);
        if quiet {
            remember(&mut self.quiet, lasted, REMEMBERED);
            self.weigh();
        }
    }

    /// Records a removal that ended at `now` after `took`, and what is seen then. `own` is the greatest number of commits
    /// that may be its own; where there were more, somebody else has written meanwhile. `took` is `None` where it did
    /// not complete.
    pub(in crate::flush) fn removed(
        &mut self,
        now: Duration,
        took: Option<Duration>,
        own: u32,
        moment: Moment,
    ) {
        if let Some(took) = took {
            remember(&mut self.removals, took, REMOVALS);
            self.weigh();
        }
        if let Some(watch) = &mut self.watch {
            let commits = moment.commits.wrapping_sub(watch.commits);
            if moment.locked || took.is_none() || commits > own {
                (watch.wrote_at, watch.wrote) = (now, true);
            }
            watch.writing = moment.locked;
            watch.commits = moment.commits;
            watch.seen_at = now;
        }
    }

    /// Whether a removal that has `waited` may start at `now`, just recorded with [`Self::saw`].
    pub(in crate::flush) fn may_start(&mut self, now: Duration, waited: Duration) -> bool {
        let Some(watch) = self.watch.as_ref().filter(|watch| !watch.writing) else {
            return false;
        };
        let age = now.saturating_sub(watch.wrote_at);
        let is_quiet = age >= IDLE || now.saturating_sub(watch.since) >= LEARN && self.is_best(age);
        if is_quiet {
            self.patience = PATIENCE;
        } else if waited >= self.patience {
            self.patience = (self.patience / 2).max(LEAST_PATIENCE);
            return true;
        }
        is_quiet
    }

    /// Whether there is no better age of a quiet time to start at.
    fn is_best(&self, age: Duration) -> bool {
        if self.quiet.len() < ENOUGH {
            return age >= PAUSE;
        }
        match self.risk(age) {
            Some(risk) => self.least < BAD && risk <= self.least + TOLERANCE,
            // It has lasted longer than any: the next phone is due, unless there is none.
            None => self
                .quiet
                .iter()
                .max()
                .is_some_and(|longest| age >= *longest * 2),
        }
    }

    /// The share of those quiet times which reached `age` that ended within the length of a removal from then.
    fn risk(&self, age: Duration) -> Option<f64> {
        let reached: Vec<Duration> = self.quiet.iter().filter(|it| **it > age).copied().collect();
        let first = [FIRST_REMOVAL];
        let lengths = || {
            let known = self.removals.iter();
            known.chain(first.iter().filter(|_| self.removals.is_empty()))
        };
        let ended = |length: &Duration| {
            let end = age + *length * 2 + MARGIN;
            reached.iter().filter(|it| **it <= end).count()
        };
        let ends: usize = lengths().map(ended).sum();
        let tried = reached.len() * lengths().count();
        #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
        (tried > 0).then(|| ends as f64 / tried as f64)
    }

    /// Recomputes the least risk. The longest quiet times say nothing about those that are longer.
    fn weigh(&mut self) {
        let mut ages: Vec<Duration> = self.quiet.iter().copied().collect();
        ages.sort_unstable();
        ages.truncate(ages.len().saturating_sub(ENOUGH / 2));
        let risks = ages.into_iter().filter_map(|age| self.risk(age));
        self.least = risks.fold(1.0, f64::min);
    }
}

fn remember(all: &mut VecDeque<Duration>, one: Duration, most: usize) {
    all.push_back(one);
    if all.len() > most {
        all.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Duration = Duration::from_micros(100);

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// A database, and who looks at it.
    struct Lab {
        now: Duration,
        pace: Pace,
        commits: u32,
    }

    impl Lab {
        fn new() -> Self {
            Self {
                now: ms(10_000),
                pace: Pace::new(),
                commits: 7,
            }
        }

        fn look(&mut self, locked: bool) {
            self.now += LOOK;
            let commits = self.commits;
            self.pace.saw(self.now, Moment { locked, commits });
        }

        fn quiet(&mut self, lasts: Duration) {
            let end = self.now + lasts;
            while self.now < end {
                self.look(false);
            }
        }

        /// A row and three attributes, each half a millisecond, with pauses between.
        fn register(&mut self) {
            for commit in 0..4 {
                (0..5).for_each(|_| self.look(true));
                self.commits += 1;
                self.look(false);
                if commit < 3 {
                    self.look(false);
                }
            }
        }

        /// A phone every 28 ms.
        fn steady(&mut self) {
            for _ in 0..20 {
                self.register();
                self.quiet(ms(24));
            }
        }

        /// At which ages of a quiet time a removal may start.
        fn starts(&mut self, lasts: Duration) -> Vec<bool> {
            let end = self.now + lasts;
            let mut starts = Vec::new();
            while self.now < end {
                self.look(false);
                starts.push(self.pace.may_start(self.now, Duration::ZERO));
            }
            starts
        }
    }

    #[test]
    fn after_a_burst_and_not_within_it_nor_before_the_next() {
        let mut lab = Lab::new();
        lab.steady();
        lab.register();
        let starts = lab.starts(ms(40));
        let first = starts.iter().position(|it| *it).unwrap();
        assert!((1..=15).contains(&first), "{first}");
        // 24 ms of quiet, of which a removal is given 7.
        let last = starts.iter().rposition(|it| *it).unwrap();
        assert!((150..=210).contains(&last), "{last}");
        lab.look(true);
        assert!(!lab.pace.may_start(lab.now, ms(10_000)), "somebody writes");
    }

    #[test]
    fn what_a_removal_takes_is_learned() {
        let mut lab = Lab::new();
        lab.steady();
        for _ in 0..REMOVALS {
            let moment = Moment {
                locked: false,
                commits: lab.commits,
            };
            lab.pace.removed(lab.now, Some(ms(8)), 2, moment);
        }
        lab.register();
        let last = lab.starts(ms(30)).iter().rposition(|it| *it).unwrap();
        assert!((50..=95).contains(&last), "{last}");
    }

    #[test]
    fn own_commits_are_no_burst_and_those_of_others_are() {
        let mut lab = Lab::new();
        lab.steady();
        lab.register();
        lab.quiet(ms(5));
        let moment = |commits| Moment {
            locked: false,
            commits,
        };
        lab.pace
            .removed(lab.now, Some(ms(3)), 2, moment(lab.commits + 2));
        lab.commits += 2;
        lab.look(false);
        assert!(
            lab.pace.may_start(lab.now, Duration::ZERO),
            "the quiet time goes on"
        );
        lab.commits += 3;
        lab.pace
            .removed(lab.now, Some(ms(3)), 2, moment(lab.commits));
        lab.look(false);
        assert!(
            !lab.pace.may_start(lab.now, Duration::ZERO),
            "somebody has begun a burst"
        );
    }

    #[test]
    fn nobody_writes() {
        let mut lab = Lab::new();
        let starts = lab.starts(ms(300));
        assert_eq!(starts.iter().position(|it| *it), Some(2500));
        // One phone in a second.
        lab.register();
        let starts = lab.starts(ms(100));
        let first = starts.iter().position(|it| *it).unwrap();
        assert!((45..=55).contains(&first), "{first}");
    }

    #[test]
    fn patience_ends_and_is_shorter_then() {
        let mut lab = Lab::new();
        // Nobody ever leaves a pause that is long enough for a removal.
        for _ in 0..200 {
            lab.register();
        }
        lab.look(false);
        assert!(!lab.pace.may_start(lab.now, PATIENCE.saturating_sub(ms(1))));
        assert!(lab.pace.may_start(lab.now, PATIENCE));
        assert!(lab.pace.may_start(lab.now, PATIENCE / 2));
        for _ in 0..10 {
            lab.pace.may_start(lab.now, PATIENCE);
        }
        assert!(
            !lab.pace
                .may_start(lab.now, LEAST_PATIENCE.saturating_sub(ms(1)))
        );
        lab.quiet(IDLE);
        assert!(lab.pace.may_start(lab.now, Duration::ZERO));
        lab.register();
        lab.look(false);
        assert!(!lab.pace.may_start(lab.now, PATIENCE.saturating_sub(ms(1))));
    }

    #[test]
    fn what_was_seen_long_ago_is_forgotten() {
        let mut lab = Lab::new();
        lab.steady();
        lab.now += ms(1_500);
        let starts = lab.starts(ms(100));
        assert!(!starts.contains(&true), "it is watched anew");
    }
}
