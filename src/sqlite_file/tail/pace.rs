//! How often hints are taken that cost a walk.

use std::time::Duration;

use crate::sqlite_file::source::Committed;

/// When hints are taken, and of which state they are.
#[derive(Debug, Default)]
pub(super) struct Pace {
    of: Option<Committed>,
    next: Duration,
}

impl Pace {
    /// Whether it is time to take those of `state`.
    pub(super) fn is_due(&self, now: Duration, state: Option<Committed>) -> bool {
        self.of != state && now >= self.next
    }

    /// Whether those of `state` have been taken.
    pub(super) fn is_of(&self, state: Option<Committed>) -> bool {
        self.of == state
    }

    /// Those of `state` have been taken: rest for so long for each of so many.
    pub(super) fn rest(
        &mut self,
        now: Duration,
        state: Option<Committed>,
        each: Duration,
        many: usize,
    ) {
        let many = u32::try_from(many).unwrap_or(u32::MAX);
        self.of = state;
        self.next = now + each.saturating_mul(many);
    }

    /// Taking them has failed: it is tried again at once.
    pub(super) fn hurry(&mut self, now: Duration) {
        self.next = now;
    }

    /// How long the rest still lasts.
    pub(super) fn left(&self, now: Duration) -> Duration {
        self.next.saturating_sub(now)
    }
}
