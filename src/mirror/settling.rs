//! When the first knowledge about the tables is settled, so that the daemon may say that it is ready.
//!
//! Who orders a service after usrlocd wants the complete list. But a database that nobody can read must not keep the
//! daemon from being ready, and a writer that is in the way for some seconds is no such database.

use std::time::Duration;

use crate::sqlite_file::State;

/// How long the database may be blocked without a pause before that counts as its state.
const PASSING: Duration = Duration::from_secs(10);

/// How long it may be blocked now and again: less than a service manager waits.
const PATIENCE: Duration = Duration::from_mins(1);

/// Since when the tables have been in the way of being read.
#[derive(Debug, Default)]
pub(super) struct Settling {
    began: Option<Duration>,
    blocked: Option<Duration>,
}

impl Settling {
    /// Whether at `now` (monotonic) the tables are known, or known to be unreadable. `complete` is whether every row
    /// has been read.
    pub(super) fn is_over(&mut self, state: &State, complete: bool, now: Duration) -> bool {
        let began = *self.began.get_or_insert(now);
        if !matches!(state, State::Blocked(_)) {
            self.blocked = None;
        }
        match state {
            State::Absent(_) => true,
            State::Live => complete,
            State::Opening | State::Healing => false,
            State::Blocked(_) => {
                let blocked = *self.blocked.get_or_insert(now);
                now.saturating_sub(blocked) >= PASSING || now.saturating_sub(began) >= PATIENCE
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite_file::Reason;

    const LOCKED: State = State::Blocked(Reason::Locked);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn is_over_when_every_row_was_read() {
        let mut settling = Settling::default();
        assert!(!settling.is_over(&State::Opening, false, at(0)));
        assert!(!settling.is_over(&State::Healing, false, at(100)));
        assert!(!settling.is_over(&State::Live, false, at(101)));
        assert!(settling.is_over(&State::Live, true, at(102)));
    }

    #[test]
    fn is_over_when_there_is_nothing_to_read() {
        assert!(Settling::default().is_over(&State::Absent(Reason::Missing), false, at(0)));
    }

    #[test]
    fn a_writer_in_the_way_is_waited_for_but_not_for_ever() {
        let mut settling = Settling::default();
        assert!(!settling.is_over(&LOCKED, false, at(1)));
        assert!(!settling.is_over(&LOCKED, false, at(10)));
        assert!(!settling.is_over(&State::Healing, false, at(11)));
        assert!(!settling.is_over(&LOCKED, false, at(12)));
        assert!(!settling.is_over(&LOCKED, false, at(21)));
        assert!(settling.is_over(&LOCKED, false, at(22)));
    }

    #[test]
    fn a_writer_in_the_way_again_and_again_is_not_waited_for_either() {
        let mut settling = Settling::default();
        for second in (1..60).step_by(2) {
            assert!(!settling.is_over(&LOCKED, false, at(second)));
            assert!(!settling.is_over(&State::Healing, false, at(second + 1)));
        }
        assert!(settling.is_over(&LOCKED, false, at(61)));
    }
}
