//! Sweeping: comparing every row of every table with what is known, a few leaves at a time.
//!
//! A sweep heals when changes may have gone by unread: at the beginning, after a gap, when the database is
//! another. Else it audits, slowly: it proves that every hint was taken. While nothing is committed an audit that
//! has gone round should have nothing more to find: it rests, and now and then goes round once more, very slowly.

use std::time::Duration;

use crate::sqlite_file::reason::Result;
use crate::sqlite_file::source::Committed;
use crate::sqlite_file::walker::Span;

use super::Sink;
use super::engine::{Cause, Engine};

/// Leaves read in a window, at most.
const WIDTH: usize = 128;
/// Leaves that an audit visits at a time while commits come.
const BUSY_PORTION: usize = 20;
/// From one time to the next, at least, while they come.
const BUSY_PAUSE: Duration = Duration::from_millis(10);
/// From one time to the next, at least, while none come.
const PAUSE: Duration = Duration::from_millis(200);
/// Leaves that an audit visits at a time while none come: so many that it goes round in a minute, and so few that a
/// commit does not wait for it.
const PORTION: (usize, usize) = (25, 1024);
/// In so many times it goes round, less than half a second each.
const TIMES: usize = 120;
/// From the end of an audit that has found everything settled to the next.
const REST: Duration = Duration::from_mins(10);
/// Leaves that such a one visits at a time: they cost less than looking for commits does.
const SLOW_PORTION: usize = 8;
/// Until a cycle confirms that rows are gone which an earlier one has missed.
const CONFIRM_AFTER: Duration = Duration::from_secs(1);
/// Where a cycle begins.
const START: (usize, i64) = (0, i64::MIN);

/// Where the sweep is.
#[derive(Debug)]
pub(super) struct Sweep {
    /// The next table and key.
    cursor: (usize, i64),
    heals: bool,
    /// Every row of this epoch has been compared.
    complete: bool,
    doubt: Doubt,
    /// Leaves in a window, fewer while writers make windows fail.
    width: usize,
    /// The state that the present audit cycle began with.
    began_at: Option<Committed>,
    /// The state of which an audit has visited every leaf.
    audited: Option<Committed>,
    /// When the audit goes on.
    next_audit: Duration,
    /// When it begins again although it has visited every leaf in the present state.
    next_round: Duration,
    /// Leaves visited in this cycle, and in the last one.
    visited: usize,
    leaves: usize,
}

/// Whether it is believed that rows are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// Yes.
    None,
    /// Not in this cycle, which has missed so many rows.
    Held(u64),
    /// Not yet; a new cycle begins then.
    Until(Duration),
    /// Yes: this cycle confirms it.
    Confirming,
}

impl Default for Sweep {
    fn default() -> Self {
        Self {
            cursor: START,
            heals: true,
            complete: false,
            doubt: Doubt::None,
            width: WIDTH,
            began_at: None,
            audited: None,
            next_audit: Duration::ZERO,
            next_round: Duration::ZERO,
            visited: 0,
            leaves: 0,
        }
    }
}

impl Sweep {
    /// Begins to compare every row; where the database `moved`, rows that are gone are confirmed first.
    pub(super) fn begin_epoch(&mut self, moved: bool) {
        self.complete = false;
        self.heal();
        if moved {
            self.doubt = Doubt::Held(0);
        }
    }

    /// Has every row compared, because changes may have gone by unread.
    pub(super) fn heal(&mut self) {
        self.cursor = START;
        self.visited = 0;
        self.heals = true;
        self.audited = None;
    }

    /// Has the absence of rows confirmed by another cycle before it is told.
    pub(super) fn doubt(&mut self) {
        if self.doubt == Doubt::None {
            self.heal();
            self.doubt = Doubt::Held(0);
        }
    }

    /// Whether the absence of a row is told.
    pub(super) fn believes(&self) -> bool {
        matches!(self.doubt, Doubt::None | Doubt::Confirming)
    }

    /// Whether it is confirmed, or waits to be.
    pub(super) fn doubts(&self) -> bool {
        self.doubt != Doubt::None
    }

    /// Counts a row whose absence was not told.
    pub(super) fn missed_row(&mut self) {
        if let Doubt::Held(missed) = &mut self.doubt {
            *missed += 1;
        }
    }

    /// Whether every row of this epoch has been compared.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether changes that may have gone by are still looked for.
    pub(super) fn is_healing(&self) -> bool {
        self.heals
    }

    /// Whether a cycle is about to begin that compares every row.
    pub(super) fn is_about_to_heal(&self) -> bool {
        self.heals && self.cursor == START
    }

    /// Whether there is something to do at once.
    pub(super) fn is_urgent(&self, now: Duration) -> bool {
        self.heals && !self.waits(now)
    }

    /// Leaves to be read in a window.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Makes windows shorter, because one was lost.
    pub(super) fn narrow(&mut self) {
        self.width = (self.width / 2).max(1);
    }

    /// Makes windows longer, because one held.
    pub(super) fn widen(&mut self) {
        self.width = (self.width + 1 + self.width / 8).min(WIDTH);
    }

    fn waits(&self, now: Duration) -> bool {
        matches!(self.doubt, Doubt::Until(then) if now < then)
    }

    /// Goes on after waiting.
    fn confirm(&mut self) {
        if matches!(self.doubt, Doubt::Until(_)) {
            self.doubt = Doubt::Confirming;
        }
    }

    /// Ends a cycle at `now`.
    fn end_cycle(&mut self, now: Duration) {
        self.cursor = START;
        self.audited = self.began_at.take();
        self.next_round = now + REST;
        self.leaves = std::mem::take(&mut self.visited);
        if !self.heals {
            return;
        }
        match self.doubt {
            Doubt::Held(missed) if missed > 0 => self.doubt = Doubt::Until(now + CONFIRM_AFTER),
            Doubt::Held(_) | Doubt::Until(_) | Doubt::Confirming | Doubt::None => {
                self.doubt = Doubt::None;
                self.complete = true;
                self.heals = false;
            }
        }
    }
}

impl Engine {
    /// Visits the next leaves of the sweep.
    ///
    /// # Errors
    /// When writers leave no window, or a page cannot be read.
    pub(super) fn sweep(
        &mut self,
        now: Duration,
        budget: &mut usize,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        if self.sweep.heals {
            return self.heal(now, budget, sink);
        }
        let rests = self.is_audited() && now < self.sweep.next_round;
        if self.has_pending() || rests || !self.rules.audit {
            return Ok(());
        }
        self.audit(now, sink)
    }

    /// Whether all hints have been followed, so that an audit that finds something has found a miss.
    pub(super) fn is_settled(&self) -> bool {
        self.settled.is_some() && self.settled == self.seen
    }

    /// Whether an audit has visited every leaf in the state committed last.
    pub(super) fn is_audited(&self) -> bool {
        self.seen.is_some() && self.sweep.audited == self.seen
    }

    fn heal(&mut self, now: Duration, budget: &mut usize, sink: &mut dyn Sink) -> Result<()> {
        if !self.tables.iter().all(|it| it.hints.are_ready()) {
            return Ok(());
        }
        while *budget > 0 && self.sweep.heals && !self.sweep.waits(now) {
            self.sweep.confirm();
            let (index, key) = self.begin_or_continue();
            if self.end_of_tables(now, index) {
                continue;
            }
            let next = self.in_window(now, |engine, source| {
                engine.gather(source, index, key, WIDTH, |_, span| {
                    span.high.checked_add(1)
                })
            })?;
            // A window lost meanwhile may have shown a gap, and the cycle begins anew.
            if self.sweep.cursor == (index, key) {
                self.sweep.cursor = following(index, next);
            }
            let leaves = self.batch.leaves.len();
            self.sweep.visited += leaves;
            *budget = budget.saturating_sub(leaves.max(1));
            self.tell_batch(now, index, Cause::Heal, sink);
        }
        Ok(())
    }

    fn audit(&mut self, now: Duration, sink: &mut dyn Sink) -> Result<()> {
        if now < self.sweep.next_audit {
            return Ok(());
        }
        let (mut left, pause) = if self.is_busy(now) {
            (BUSY_PORTION, BUSY_PAUSE)
        } else if self.is_audited() {
            (SLOW_PORTION, PAUSE)
        } else {
            let portion = self.sweep.leaves.div_ceil(TIMES);
            (portion.clamp(PORTION.0, PORTION.1), PAUSE)
        };
        self.sweep.next_audit = now + pause;
        while left > 0 && !self.sweep.heals {
            let (index, key) = self.begin_or_continue();
            if self.end_of_tables(now, index) {
                break;
            }
            let next = self.try_window(|engine, source| {
                engine.gather(source, index, key, left, |_, span| span.high.checked_add(1))
            })?;
            let Some(next) = next else {
                self.sweep.narrow();
                break;
            };
            self.sweep.cursor = following(index, next);
            let leaves = self.batch.leaves.len();
            self.sweep.visited += leaves;
            left = left.saturating_sub(leaves.max(1));
            self.tell_batch(now, index, Cause::Audit, sink);
        }
        Ok(())
    }

    /// The cursor; at the start of a cycle the present state is noted.
    fn begin_or_continue(&mut self) -> (usize, i64) {
        if self.sweep.cursor == START {
            self.sweep.began_at = self.seen;
        }
        self.sweep.cursor
    }

    /// Ends the cycle if there is no table `index`.
    fn end_of_tables(&mut self, now: Duration, index: usize) -> bool {
        let ended = index >= self.tables.len();
        if ended {
            self.counters.sweeps += 1;
            self.sweep.end_cycle(now);
        }
        ended
    }
}

/// The cursor after visiting table `index` up to the key `next`.
fn following(index: usize, next: Option<i64>) -> (usize, i64) {
    next.map_or((index + 1, Span::ALL.low), |key| (index, key))
}
