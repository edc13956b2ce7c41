//! When the thread that follows the tables steps next. Pure.
//!
//! While commits come it does not watch the files: waking up for each write costs more than looking. It rests after a
//! step, in proportion to the processor time of that, and then looks every other millisecond whether something was committed;
//! it steps when something was, or when a look cannot tell and it is time. While nothing happens the files are watched
//! and it sleeps, with a slow tick as safety net, because a store to the index of the log (`-shm`) raises no event.

use std::time::Duration;

/// A tail that wants to sleep this long expects nothing.
const LULL: Duration = Duration::from_millis(200);

/// Between steps while the files are watched: each finds what raised no event, and renews the moment that answers are
/// true of. Each costs a tenth of a millisecond of a core, day and night.
const DOZE: Duration = Duration::from_millis(400);

/// Between steps after an event: it comes with the bytes, and these are committed a little later.
const TICK: Duration = Duration::from_millis(10);

/// Between steps just after an event, while the writer most likely waits for its disk.
const HASTE: Duration = Duration::from_millis(2);

/// How long after an event haste is worth it.
const HASTY: Duration = Duration::from_millis(50);

/// How long after an event a commit is waited for.
const ALERT: Duration = Duration::from_secs(1);

/// Between two looks whether something was committed: less than a hundredth of a core.
const LOOK: Duration = Duration::from_millis(2);

/// Rest after a step, at least.
const LEAST_REST: Duration = Duration::from_millis(1);

/// Rest after a step, as a multiple of its processor time: steps then take a twenty-fifth of a core at most.
const REST: u32 = 24;

/// Decides between looking and watching.
#[derive(Debug, Default)]
pub(super) struct Rhythm {
    watching: bool,
    alert_until: Duration,
    hasty_until: Duration,
}

/// What to do after a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// Begin to watch, then step at once: what changed in between has raised no event.
    Watch,
    /// Sleep at most this long, watching.
    Doze(Duration),
    /// Do without watching.
    Look(Looks),
}

/// How long to sleep until the next step, and until each look whether it is worth while before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Looks {
    rest: Duration,
    step: Duration,
}

impl Rhythm {
    /// Decides after a step that ended `now` and `took` so much processor time, after which the tail would sleep for
    /// `wake` were nothing watched.
    pub(super) fn after_step(&mut self, now: Duration, took: Duration, wake: Duration) -> Next {
        let alert = now < self.alert_until;
        if wake < LULL || alert {
            self.watching = false;
            let longest = if now < self.hasty_until { HASTE } else { TICK };
            return Next::Look(Looks {
                rest: now + took.saturating_mul(REST).max(LEAST_REST),
                step: now + if alert { wake.min(longest) } else { wake },
            });
        }
        if self.watching {
            return Next::Doze(wake.max(DOZE));
        }
        self.watching = true;
        Next::Watch
    }

    /// Something happened to a file that is watched.
    pub(super) fn alarmed(&mut self, now: Duration) {
        self.watching = false;
        self.alert_until = now + ALERT;
        self.hasty_until = now + HASTY;
    }
}

impl Looks {
    /// How long to sleep from `now` on until the next look; `None` when it is time for a step. `has_news` looks whether
    /// one is worth while, where a look can tell.
    pub(super) fn next(
        &self,
        now: Duration,
        has_news: impl FnOnce() -> Option<bool>,
    ) -> Option<Duration> {
        let left = self.step.checked_sub(now).filter(|left| !left.is_zero())?;
        if let Some(rest) = self.rest.checked_sub(now).filter(|rest| !rest.is_zero()) {
            return Some(rest.min(left));
        }
        match has_news() {
            Some(true) => None,
            Some(false) => Some(LOOK.min(left)),
            None => Some(left),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_millis(250);

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// After a step that took no time at all.
    fn after(rhythm: &mut Rhythm, now: u64, wake: Duration) -> Next {
        rhythm.after_step(at(now), Duration::ZERO, wake)
    }

    /// What to do where each look would find something, or none can tell.
    fn steps_after(now: u64, wake: Duration) -> Next {
        Next::Look(Looks {
            rest: at(now) + LEAST_REST,
            step: at(now) + wake,
        })
    }

    #[test]
    fn looks_while_commits_come_and_watches_after_that() {
        let mut rhythm = Rhythm::default();
        assert_eq!(after(&mut rhythm, 0, TICK), steps_after(0, TICK));
        assert_eq!(after(&mut rhythm, 10, IDLE), Next::Watch);
        assert_eq!(after(&mut rhythm, 10, IDLE), Next::Doze(DOZE));
        assert_eq!(after(&mut rhythm, 1010, IDLE), Next::Doze(DOZE));
    }

    #[test]
    fn a_commit_found_between_looking_and_watching_ends_the_watch() {
        let mut rhythm = Rhythm::default();
        assert_eq!(after(&mut rhythm, 0, IDLE), Next::Watch);
        assert_eq!(after(&mut rhythm, 0, TICK), steps_after(0, TICK));
        assert_eq!(after(&mut rhythm, 10, IDLE), Next::Watch);
    }

    #[test]
    fn an_event_is_followed_by_steps_until_its_commit_must_have_come() {
        let mut rhythm = Rhythm::default();
        after(&mut rhythm, 0, IDLE);
        after(&mut rhythm, 0, IDLE);
        rhythm.alarmed(at(100));
        assert_eq!(after(&mut rhythm, 100, IDLE), steps_after(100, HASTE));
        assert_eq!(after(&mut rhythm, 149, TICK), steps_after(149, HASTE));
        assert_eq!(after(&mut rhythm, 150, IDLE), steps_after(150, TICK));
        let at_once = Duration::ZERO;
        assert_eq!(after(&mut rhythm, 500, at_once), steps_after(500, at_once));
        assert_eq!(after(&mut rhythm, 1099, IDLE), steps_after(1099, TICK));
        assert_eq!(after(&mut rhythm, 1100, IDLE), Next::Watch);
    }

    #[test]
    fn a_step_comes_with_news_or_when_it_is_time() {
        let Next::Look(looks) = after(&mut Rhythm::default(), 100, TICK) else {
            panic!("commits come");
        };
        let no_look = || panic!("it rests");
        assert_eq!(looks.next(at(100), no_look), Some(LEAST_REST));
        assert_eq!(looks.next(at(101), || Some(false)), Some(LOOK));
        assert_eq!(looks.next(at(101), || Some(true)), None);
        assert_eq!(looks.next(at(101), || None), Some(at(9)));
        assert_eq!(looks.next(at(110), || panic!("it is time")), None);
        let nearly = at(110).saturating_sub(LOOK / 4);
        assert_eq!(looks.next(nearly, || Some(false)), Some(LOOK / 4));
    }

    #[test]
    fn rests_in_proportion_to_what_the_step_took() {
        let rest_after = |took| {
            let Next::Look(looks) = Rhythm::default().after_step(at(100), took, TICK) else {
                panic!("commits come");
            };
            looks.next(at(100), || panic!("it rests"))
        };
        let took = Duration::from_micros(100);
        assert_eq!(rest_after(took), Some(took * REST));
        assert_eq!(rest_after(took / 100), Some(LEAST_REST));
        assert_eq!(
            rest_after(took * 100),
            Some(TICK),
            "a step is never put off"
        );
    }
}
