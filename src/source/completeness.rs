//! From when on the registry has every row that the tables had: only then is it live, and the daemon ready. Pure.
//!
//! That every row has been read is not enough: some wait for their attributes, and are shown a moment later.

use std::time::Duration;

use crate::source::usrloc::Reading;

/// What has been read and reported of the tables so far.
#[derive(Debug, Default)]
pub(super) struct Completeness {
    /// When every row had been read, since the tables were last read from the beginning.
    read: Option<Moment>,
    /// Every row that was there then has been reported.
    reported: bool,
    /// That has been so at least once since the start.
    loaded: bool,
    /// The tables could not be read at the last step.
    interrupted: bool,
}

/// A moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Monotonic.
    pub(super) now: Duration,
    /// Since the Unix epoch.
    pub(super) unix: Duration,
}

/// What holds after a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Extent {
    /// Every row has been reported that was there when all had been read.
    pub(super) complete: bool,
    /// That was so at least once since the start.
    pub(super) loaded: bool,
    /// The moment as of which everything has been reported, where that is a later one than before.
    pub(super) as_of: Option<Duration>,
}

impl Completeness {
    /// After a step that began at `began`, and left the tables at `reading`. `current` is whether everything committed
    /// by then has been read, `withheld` the last look (monotonic) at which none of the rows was there that have been
    /// read but not reported.
    pub(super) fn after_step(
        &mut self,
        began: Moment,
        reading: Reading,
        current: bool,
        withheld: Option<Duration>,
    ) -> Extent {
        let is_interrupted = reading == Reading::Interrupted;
        let was_interrupted = std::mem::replace(&mut self.interrupted, is_interrupted);
        if reading == Reading::Underway || was_interrupted && !is_interrupted {
            (self.read, self.reported) = (None, false);
        }
        if reading == Reading::Complete && current {
            self.read.get_or_insert(began);
        }
        let mut as_of = None;
        if let Some(read) = self.read
            && !self.reported
            && withheld.is_none_or(|since| since >= read.now)
        {
            (self.reported, self.loaded) = (true, true);
            as_of = Some(read.unix);
        }
        if self.reported && current {
            let age = withheld.map_or(Duration::ZERO, |since| began.now.saturating_sub(since));
            as_of = Some(began.unix.saturating_sub(age));
        }
        Extent {
            complete: self.reported,
            loaded: self.loaded,
            as_of,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// The wall clock is 1000 s ahead.
    fn unix(milliseconds: u64) -> Duration {
        at(1_000_000 + milliseconds)
    }

    struct Steps(Completeness);

    impl Steps {
        fn step(
            &mut self,
            now: u64,
            reading: Reading,
            current: bool,
            withheld: Option<u64>,
        ) -> (bool, bool, Option<Duration>) {
            let began = Moment {
                now: at(now),
                unix: at(1_000_000 + now),
            };
            let extent = self.0.after_step(began, reading, current, withheld.map(at));
            (extent.complete, extent.loaded, extent.as_of)
        }
    }

    use Reading::{Complete, Interrupted, Underway};

    #[test]
    fn is_complete_when_all_has_been_read_and_reported() {
        let mut steps = Steps(Completeness::default());
        assert_eq!(steps.step(10, Underway, false, None), (false, false, None));
        assert_eq!(
            steps.step(20, Complete, false, None),
            (false, false, None),
            "there is more in the log"
        );
        assert_eq!(
            steps.step(30, Complete, true, None),
            (true, true, Some(unix(30)))
        );
        assert_eq!(steps.step(40, Complete, false, None), (true, true, None));
    }

    #[test]
    fn rows_that_wait_for_attributes_are_waited_for() {
        let mut steps = Steps(Completeness::default());
        assert_eq!(
            steps.step(10, Complete, true, Some(0)),
            (false, false, None)
        );
        assert_eq!(
            steps.step(509, Complete, true, Some(0)),
            (false, false, None)
        );
        assert_eq!(
            steps.step(510, Complete, true, None),
            (true, true, Some(unix(510)))
        );
    }

    #[test]
    fn rows_that_come_after_all_has_been_read_hold_back_the_moment_alone() {
        let mut steps = Steps(Completeness::default());
        assert_eq!(
            steps.step(10, Complete, true, Some(5)),
            (false, false, None),
            "a row was found in this very step"
        );
        assert_eq!(
            steps.step(20, Complete, true, Some(10)),
            (true, true, Some(unix(10)))
        );
        assert_eq!(
            steps.step(90, Complete, true, Some(80)),
            (true, true, Some(unix(80)))
        );
    }

    #[test]
    fn a_file_that_vanishes_while_rows_wait_loses_nothing() {
        let mut steps = Steps(Completeness::default());
        assert_eq!(
            steps.step(10, Complete, true, Some(0)),
            (false, false, None)
        );
        assert_eq!(
            steps.step(20, Interrupted, false, Some(0)),
            (false, false, None)
        );
        assert_eq!(
            steps.step(510, Interrupted, false, None),
            (true, true, Some(unix(10)))
        );
        assert_eq!(
            steps.step(600, Interrupted, false, None),
            (true, true, None)
        );
        assert_eq!(
            steps.step(700, Underway, false, None),
            (false, true, None),
            "it is back"
        );
    }

    #[test]
    fn a_file_that_is_back_with_other_rows_is_complete_when_they_are_reported() {
        let mut steps = Steps(Completeness::default());
        assert_eq!(
            steps.step(10, Complete, true, None),
            (true, true, Some(unix(10)))
        );
        assert_eq!(steps.step(20, Interrupted, false, None), (true, true, None));
        assert_eq!(
            steps.step(30, Complete, true, Some(20)),
            (false, true, None)
        );
        assert_eq!(
            steps.step(530, Complete, true, None),
            (true, true, Some(unix(530)))
        );
    }

    #[test]
    fn a_file_that_vanishes_before_all_has_been_read_was_never_loaded() {
        let mut steps = Steps(Completeness::default());
        assert_eq!(
            steps.step(10, Underway, false, Some(0)),
            (false, false, None)
        );
        assert_eq!(
            steps.step(600, Interrupted, false, None),
            (false, false, None)
        );
    }
}
