//! Whether to believe that most registrations of an earlier run are gone.
//!
//! The tail has them confirmed that go from a file while it reads it. At a start it knows of none, and a file that
//! was emptied or replaced meanwhile would take all of them at the first look. Pure.

use std::time::Duration;

/// Until everything is read once more.
const CONFIRM_AFTER: Duration = Duration::from_secs(1);

/// What is believed of a database.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum MassRemovalGuard {
    /// It has not been read yet.
    #[default]
    Unread,
    /// It lacks so much that it is read once more then.
    Until(Duration),
    /// It is being read once more, which decides.
    Confirming,
    /// What it has not is gone.
    None,
}

/// What follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// What has no row is gone.
    Believe,
    /// What has no row is kept.
    Wait,
    /// What has no row is kept, and everything is to be read once more.
    ReadAgain,
}

impl MassRemovalGuard {
    /// Everything has been read at `now` (monotonic); `misses_most` tells whether most of what was there before is
    /// not.
    pub(super) fn all_read(
        &mut self,
        now: Duration,
        misses_most: impl FnOnce() -> bool,
    ) -> Verdict {
        match *self {
            Self::Unread if misses_most() => {
                tracing::warn!(
                    "most of the registrations that were known are not in Kamailio's tables; looks once more before it drops them"
                );
                *self = Self::Until(now + CONFIRM_AFTER);
                Verdict::Wait
            }
            Self::Until(then) if now < then => Verdict::Wait,
            Self::Until(_) => {
                *self = Self::Confirming;
                Verdict::ReadAgain
            }
            Self::Unread | Self::Confirming | Self::None => {
                *self = Self::None;
                Verdict::Believe
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn what_has_most_rows_is_believed_at_once() {
        let mut doubt = MassRemovalGuard::default();
        assert_eq!(doubt.all_read(at(5), || false), Verdict::Believe);
        assert_eq!(doubt.all_read(at(6), || true), Verdict::Believe);
    }

    #[test]
    fn what_lacks_most_is_read_once_more_a_second_later() {
        let mut doubt = MassRemovalGuard::default();
        assert_eq!(doubt.all_read(at(5), || true), Verdict::Wait);
        assert_eq!(doubt.all_read(at(1004), || true), Verdict::Wait);
        assert_eq!(doubt.all_read(at(1005), || true), Verdict::ReadAgain);
        assert_eq!(doubt.all_read(at(1100), || true), Verdict::Believe);
        assert_eq!(doubt.all_read(at(1200), || true), Verdict::Believe);
    }
}
