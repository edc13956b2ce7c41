//! When the first knowledge about the tables is settled, so that the daemon may say that it is ready.
//!
//! Who orders a service after usrlocd wants the complete list. But a database that nobody can read must not keep the
//! daemon from being ready, and a writer that is in the way for some seconds is no such database.

use std::time::Duration;

use crate::source::Health;

/// How long the database may be blocked without a pause before that counts as its state.
const PASSING: Duration = Duration::from_secs(10);

/// How long it may be blocked now and again: less than a service manager waits.
const PATIENCE: Duration = Duration::from_mins(1);

/// Since when the tables have been in the way of being read.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    began: Option<Duration>,
    blocked: Option<Duration>,
}

impl Readiness {
    /// Whether at `now` (monotonic) the tables are known, or known to be unreadable. `complete` is whether every row
    /// has been read.
    pub(super) fn is_over(&mut self, health: &Health, complete: bool, now: Duration) -> bool {
        let began = *self.began.get_or_insert(now);
        if !matches!(health, Health::Blocked(_)) {
            self.blocked = None;
        }
        match health {
            Health::Absent(_) => true,
            Health::Live => complete,
            Health::Opening | Health::CatchingUp => false,
            Health::Blocked(_) => {
                let blocked = *self.blocked.get_or_insert(now);
                now.saturating_sub(blocked) >= PASSING || now.saturating_sub(began) >= PATIENCE
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Trouble;

    fn trouble() -> Trouble {
        Trouble {
            kind: "locked",
            message: "a writer holds the database exclusively".to_owned(),
        }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn is_over_when_every_row_was_read() {
        let mut readiness = Readiness::default();
        assert!(!readiness.is_over(&Health::Opening, false, at(0)));
        assert!(!readiness.is_over(&Health::CatchingUp, false, at(100)));
        assert!(!readiness.is_over(&Health::Live, false, at(101)));
        assert!(readiness.is_over(&Health::Live, true, at(102)));
    }

    #[test]
    fn is_over_when_there_is_nothing_to_read() {
        assert!(Readiness::default().is_over(&Health::Absent(trouble()), false, at(0)));
    }

    #[test]
    fn a_writer_in_the_way_is_waited_for_but_not_for_ever() {
        let mut readiness = Readiness::default();
        assert!(!readiness.is_over(&Health::Blocked(trouble()), false, at(1)));
        assert!(!readiness.is_over(&Health::Blocked(trouble()), false, at(10)));
        assert!(!readiness.is_over(&Health::CatchingUp, false, at(11)));
        assert!(!readiness.is_over(&Health::Blocked(trouble()), false, at(12)));
        assert!(!readiness.is_over(&Health::Blocked(trouble()), false, at(21)));
        assert!(readiness.is_over(&Health::Blocked(trouble()), false, at(22)));
    }

    #[test]
    fn a_writer_in_the_way_again_and_again_is_not_waited_for_either() {
        let mut readiness = Readiness::default();
        for second in (1..60).step_by(2) {
            assert!(!readiness.is_over(&Health::Blocked(trouble()), false, at(second)));
            assert!(!readiness.is_over(&Health::CatchingUp, false, at(second + 1)));
        }
        assert!(readiness.is_over(&Health::Blocked(trouble()), false, at(61)));
    }
}
