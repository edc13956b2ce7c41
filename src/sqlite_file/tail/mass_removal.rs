//! The one guard against mass removals: much that is gone at once is reported only when a second look confirms it.
//!
//! Each row that is gone is a fact of a window that has held. But a file that is being replaced, or was emptied by
//! mistake, shows such facts for a moment too. Three things raise the guard:
//!
//! * the files may be others than before, and a row is missing ([`MassRemovalGuard::raise`]);
//! * much of a table goes within a second ([`MassRemovalGuard::weigh`]);
//! * the caller misses what it knew from before ([`MassRemovalGuard::hold_until_confirmed`]).
//!
//! While it is up no removal is reported. A pass over every row counts what is missing; if anything is, another pass a
//! second later decides. Pure.

use std::time::Duration;

/// Until a pass confirms that rows are gone which an earlier one has missed.
const CONFIRM_AFTER: Duration = Duration::from_secs(1);
/// How long losses add up.
const AT_ONCE: Duration = Duration::from_secs(1);
/// So many rows may always go at once.
const FEW: usize = 20;
/// So much of a table may go at once: a quarter.
const SHARE: usize = 4;

/// Whether rows that are missing are reported to be gone.
#[derive(Debug, Default)]
pub struct MassRemovalGuard {
    stage: Stage,
    /// By table, since when losses add up, and how many rows there were then.
    lately: Vec<Option<(Duration, usize)>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    /// They are reported.
    #[default]
    Down,
    /// They are not in this pass, which has missed so many rows.
    Counting(u64),
    /// They are not yet; the pass that decides begins then.
    Waiting(Duration),
    /// They are: this pass decides.
    Deciding,
}

/// What a look at part of a table found, beside what was reported of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Balance {
    /// Rows that are gone.
    pub gone: usize,
    /// Rows that are new.
    pub new: usize,
}

impl MassRemovalGuard {
    /// The files may be others than before: the pass that begins now counts what is missing.
    pub fn raise(&mut self) {
        self.stage = Stage::Counting(0);
    }

    /// More is missing than is believed: another pass, a moment after `now`, decides.
    pub fn hold_until_confirmed(&mut self, now: Duration) {
        self.stage = Stage::Waiting(now + CONFIRM_AFTER);
    }

    /// Weighs what goes of `table`, which has `rows` rows as reported. Whether the guard is raised by that, so that every
    /// row is to be compared. Rows that come make up for rows that go: some are deleted to be inserted again.
    pub fn weigh(
        &mut self,
        now: Duration,
        table: usize,
        rows: usize,
        Balance { gone, new }: Balance,
    ) -> bool {
        if self.lately.len() <= table {
            self.lately.resize(table + 1, None);
        }
        let lately = &mut self.lately[table];
        if self.stage != Stage::Down {
            // What was lost is being looked at.
            *lately = None;
            return false;
        }
        if gone == 0 {
            return false;
        }
        let adding_up = lately.filter(|it| now.saturating_sub(it.0) < AT_ONCE);
        let (since, before) = adding_up.unwrap_or((now, rows));
        *lately = Some((since, before));
        let lost = (before + gone).saturating_sub(rows + new);
        let is_much = lost > FEW && lost * SHARE > before;
        if is_much {
            self.raise();
        }
        is_much
    }

    /// Whether the absence of a row is reported.
    #[must_use]
    pub fn reports_removals(&self) -> bool {
        matches!(self.stage, Stage::Down | Stage::Deciding)
    }

    /// Counts a row whose absence was not reported.
    pub fn count_missing(&mut self) {
        if let Stage::Counting(missing) = &mut self.stage {
            *missing += 1;
        }
    }

    /// Whether the next pass is not to begin yet.
    #[must_use]
    pub fn waits(&self, now: Duration) -> bool {
        matches!(self.stage, Stage::Waiting(then) if now < then)
    }

    /// A pass goes on, or the one that decides begins.
    pub fn go_on(&mut self) {
        if matches!(self.stage, Stage::Waiting(_)) {
            self.stage = Stage::Deciding;
        }
    }

    /// Every row has been compared; whether that was the final pass. If not, another one
    /// follows.
    pub fn end_pass(&mut self, now: Duration) -> bool {
        let is_final = !matches!(self.stage, Stage::Counting(missing) if missing > 0);
        if is_final {
            self.stage = Stage::Down;
        } else {
            self.hold_until_confirmed(now);
        }
        is_final
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn weigh(guard: &mut MassRemovalGuard, now: u64, rows: usize, gone: usize, new: usize) -> bool {
        guard.weigh(at(now), 0, rows, Balance { gone, new })
    }

    #[test]
    fn few_rows_or_less_than_a_quarter_are_not_much() {
        let much = |rows, gone, new| weigh(&mut MassRemovalGuard::default(), 0, rows, gone, new);
        assert!(!much(20, 20, 0));
        assert!(much(21, 21, 0));
        assert!(!much(1000, 250, 0));
        assert!(much(1000, 251, 0));
        assert!(!much(1000, 1000, 900));
        assert!(!much(0, 0, 1000));
    }

    #[test]
    fn losses_of_a_second_add_up_by_table() {
        let mut guard = MassRemovalGuard::default();
        assert!(!weigh(&mut guard, 0, 100, 15, 0));
        assert!(!weigh(&mut guard, 900, 85, 10, 0));
        let other = Balance { gone: 20, new: 0 };
        assert!(!guard.weigh(at(950), 1, 100, other));
        assert!(weigh(&mut guard, 999, 75, 1, 0));
        let mut guard = MassRemovalGuard::default();
        assert!(!weigh(&mut guard, 0, 100, 25, 0));
        assert!(!weigh(&mut guard, 1000, 75, 18, 0));
    }

    #[test]
    fn files_that_lack_nothing_are_believed_after_one_pass() {
        let mut guard = MassRemovalGuard::default();
        guard.raise();
        assert!(!guard.reports_removals() && !guard.waits(at(0)));
        assert!(guard.end_pass(at(5)));
        assert!(guard.reports_removals());
    }

    #[test]
    fn rows_that_are_missing_are_gone_when_a_second_pass_misses_them() {
        let mut guard = MassRemovalGuard::default();
        assert!(weigh(&mut guard, 0, 100, 50, 0));
        guard.count_missing();
        assert!(!guard.reports_removals());
        assert!(!weigh(&mut guard, 1, 100, 50, 0), "it is up already");
        assert!(!guard.end_pass(at(10)));
        assert!(guard.waits(at(1009)) && !guard.waits(at(1010)));
        assert!(!guard.reports_removals());
        guard.go_on();
        assert!(guard.reports_removals());
        assert!(guard.end_pass(at(1020)));
        assert!(!weigh(&mut guard, 1030, 50, 1, 0), "what went is forgotten");
    }

    #[test]
    fn a_caller_that_misses_much_is_answered_by_another_pass() {
        let mut guard = MassRemovalGuard::default();
        guard.hold_until_confirmed(at(5));
        assert!(guard.waits(at(1004)) && !guard.reports_removals());
        guard.go_on();
        assert!(guard.end_pass(at(1100)));
        assert!(guard.reports_removals());
    }
}
