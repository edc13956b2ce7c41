//! How many rows of a table may go at once and be believed to be gone.
//!
//! Each is a fact of a window that has held. But a file that is being replaced, or emptied by mistake, also shows
//! facts for a moment; so what takes away much of a table at once is told only when a second look confirms it.

use std::time::Duration;

/// How long what is lost adds up.
const AT_ONCE: Duration = Duration::from_secs(1);
/// So many rows may always go at once.
const FEW: usize = 20;
/// So much of a table may go at once: a quarter.
const SHARE: usize = 4;

/// What a table has lost lately.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// Since when, and how many rows there were then.
    since: Option<(Duration, usize)>,
}

impl Losses {
    /// Whether a table of `known` rows loses much when so many go and so many come. Rows that come make up for rows
    /// that go: attributes are deleted and inserted again.
    pub(super) fn are_much(
        &mut self,
        now: Duration,
        known: usize,
        gone: usize,
        new: usize,
    ) -> bool {
        let lately = self.since.filter(|it| now.saturating_sub(it.0) < AT_ONCE);
        let (since, before) = lately.unwrap_or((now, known));
        self.since = Some((since, before));
        let lost = (before + gone).saturating_sub(known + new);
        lost > FEW && lost * SHARE > before
    }

    /// What was lost has been confirmed, or is being looked at.
    pub(super) fn forget(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn few_rows_or_less_than_a_quarter_are_not_much() {
        let much = |known, gone, new| Losses::default().are_much(at(0), known, gone, new);
        assert!(!much(20, 20, 0));
        assert!(much(21, 21, 0));
        assert!(!much(1000, 250, 0));
        assert!(much(1000, 251, 0));
        assert!(!much(1000, 1000, 900));
        assert!(!much(0, 0, 1000));
    }

    #[test]
    fn losses_of_a_second_add_up() {
        let mut losses = Losses::default();
        assert!(!losses.are_much(at(0), 100, 15, 0));
        assert!(!losses.are_much(at(900), 85, 10, 0));
        assert!(losses.are_much(at(999), 75, 1, 0));
        assert!(!losses.are_much(at(1000), 75, 18, 0));
        losses.forget();
        assert!(!losses.are_much(at(1001), 57, 14, 0));
    }
}
