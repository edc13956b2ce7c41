//! What a step does: open, see what was committed, take hints, visit leaves, report the differences.

use std::time::Duration;

use crate::sqlite_file::counters::Counters;
use crate::sqlite_file::reason::Result;
use crate::sqlite_file::source::Committed;
use crate::sqlite_file::visit::Batch;

use super::epoch::Epoch;
use super::follower::{Cause, Follower};
use super::mass_removal::MassRemovalGuard;
use super::options::{Sink, TailOptions};
use super::rules::{Rule, Rules};
use super::schema_watch::SchemaWatch;
use super::sweep::{Cursor, Sweep};
use super::windows::{Upheaval, Windows};

/// Leaves visited in a step.
const LEAVES: usize = 1024;
/// Leaves visited in a window that the next commit will end.
const LEAVES_BETWEEN_COMMITS: usize = 16;
/// Between steps while commits come.
const BUSY: Duration = Duration::from_millis(10);
/// Between steps while nothing happens.
const IDLE: Duration = Duration::from_millis(250);

/// The tail without its states: the windows, what follows each table, and the loop that leads from one to the other.
#[derive(Debug)]
pub(super) struct Engine {
    windows: Windows,
    schemas: SchemaWatch,
    tables: Vec<Follower>,
    sweep: Sweep,
    guard: MassRemovalGuard,
    /// The state of which all hints have been followed.
    followed: Option<Committed>,
    batch: Batch,
    rules: Rules,
}

/// How far a step came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    /// Every row of the epoch has been compared.
    pub(super) complete: bool,
    /// Every row is being compared.
    pub(super) resyncing: bool,
    /// All that was reported equals what was committed at the beginning of the step.
    pub(super) current: bool,
    /// Until the next step.
    pub(super) wake: Duration,
}

impl Engine {
    pub(super) fn new(options: TailOptions) -> Self {
        let tables = options.tables.into_iter().enumerate();
        Self {
            windows: Windows::new(options.path),
            schemas: SchemaWatch::default(),
            tables: tables.map(|(at, spec)| Follower::new(at, spec)).collect(),
            sweep: Sweep::default(),
            guard: MassRemovalGuard::default(),
            followed: None,
            batch: Batch::default(),
            rules: Rules::default(),
        }
    }

    /// A step.
    ///
    /// # Errors
    /// When the tables cannot be read now; what was reported stands.
    pub(super) fn step(&mut self, now: Duration, sink: &mut dyn Sink) -> Result<Progress> {
        let progress = self.try_step(now, sink);
        self.heed_upheaval();
        progress
    }

    fn try_step(&mut self, now: Duration, sink: &mut dyn Sink) -> Result<Progress> {
        self.windows.open()?;
        let behind = self.windows.refresh(now)?;
        self.heed_upheaval();
        if behind {
            return Ok(self.progress(now, false, Duration::ZERO));
        }
        let epoch = self.schemas.read(now, &mut self.windows)?;
        self.heed_upheaval();
        if let Some(epoch) = epoch {
            self.begin_epoch(epoch, sink)?;
        }
        let looks_at_all = self.sweep.is_about_to_resync();
        for table in &mut self.tables {
            table.take_hints(now, &mut self.windows, looks_at_all)?;
        }
        let mut budget = LEAVES;
        self.follow_hints(now, &mut budget, sink)?;
        if self.sweep.is_resyncing() {
            self.resync(now, budget, sink)?;
        } else {
            self.audit(now, sink)?;
        }
        Ok(self.progress(now, self.has_followed_hints(), self.wake(now)))
    }

    /// Acts on what became of the files while they were looked at.
    fn heed_upheaval(&mut self) {
        match self.windows.take_upheaval() {
            Upheaval::None => {}
            // The notes on pages stay. A wrong one leads to leaves that need no visit, or is found out; what they
            // lack is noted when it is compared.
            Upheaval::Gap => self.sweep.resync(),
            Upheaval::Replaced => {
                self.sweep.begin_epoch();
                self.guard.raise();
            }
        }
    }

    fn begin_epoch(&mut self, epoch: Epoch, sink: &mut dyn Sink) -> Result<()> {
        let before = self.windows.epoch();
        // Until all tables are found it is no epoch.
        self.windows.set_epoch(None);
        self.followed = None;
        let mut moved = before.is_none_or(|before| !before.is_of_file(epoch));
        for table in &mut self.tables {
            moved |= table.begin_epoch(self.schemas.schema(), epoch.has_log())?;
            table.announce(sink);
        }
        self.windows.set_epoch(Some(epoch));
        self.sweep.begin_epoch();
        if moved {
            self.guard.raise();
        }
        Ok(())
    }

    /// Follows all hints, as far as `budget` leaves allow: from the pages that commits have changed to the leaves that
    /// show what became of their keys.
    fn follow_hints(
        &mut self,
        now: Duration,
        budget: &mut usize,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let has_log = self.windows.epoch().is_some_and(Epoch::has_log);
        loop {
            for page in self.windows.take_changed() {
                for table in &mut self.tables {
                    table.note_changed(page);
                }
            }
            if let Some(table) = self.tables.iter_mut().find(|it| it.has_suspects()) {
                table.examine(now, &mut self.windows)?;
                self.heed_upheaval();
                continue;
            }
            let mut tables = self.tables.iter().enumerate();
            let Some(cursor) = tables.find_map(|(at, it)| Some((at, it.first_pending()?))) else {
                break;
            };
            if *budget == 0 {
                return Ok(());
            }
            let limit = if has_log {
                *budget
            } else {
                LEAVES_BETWEEN_COMMITS
            };
            if let Some(leaves) = self.visit(now, cursor, limit, Cause::Hint, sink)? {
                *budget = budget.saturating_sub(leaves);
            }
        }
        let state = self.windows.state();
        if self.tables.iter().all(|it| it.has_hints_of(state)) {
            self.followed = state;
        }
        Ok(())
    }

    /// Compares the next rows of all, as far as `budget` leaves allow.
    fn resync(&mut self, now: Duration, mut budget: usize, sink: &mut dyn Sink) -> Result<()> {
        if !self.tables.iter().all(Follower::is_ready) {
            return Ok(());
        }
        while budget > 0 && self.sweep.is_resyncing() && !self.guard.waits(now) {
            self.guard.go_on();
            let cursor = self.sweep.position(self.windows.state());
            if self.ends_pass(now, cursor) {
                continue;
            }
            let leaves = self.visit(now, cursor, LEAVES, Cause::Resync, sink)?;
            budget = budget.saturating_sub(leaves.unwrap_or(1).max(1));
        }
        Ok(())
    }

    /// Visits the next leaves of an audit, where it is time and nothing else is to be done.
    fn audit(&mut self, now: Duration, sink: &mut dyn Sink) -> Result<()> {
        if self.has_hints() || !self.rules.has(Rule::Audit) {
            return Ok(());
        }
        let (state, busy) = (self.windows.state(), self.windows.is_busy(now));
        let mut left = self.sweep.audit_portion(now, state, busy);
        while left > 0 && !self.sweep.is_resyncing() {
            let cursor = self.sweep.position(state);
            if self.ends_pass(now, cursor) {
                break;
            }
            let proves = self.has_followed_hints();
            let Some(leaves) = self.visit(now, cursor, left, Cause::Audit { proves }, sink)? else {
                self.windows.narrow();
                break;
            };
            left = left.saturating_sub(leaves.max(1));
        }
        Ok(())
    }

    /// Ends the pass if there is no table at `cursor`.
    fn ends_pass(&mut self, now: Duration, (table, _): Cursor) -> bool {
        let ended = table >= self.tables.len();
        if ended {
            self.sweep.end_pass(now, self.guard.end_pass(now));
        }
        ended
    }

    /// Visits leaves from `cursor` on, at most `limit`, and reports the differences; how many leaves it read. For an
    /// audit `None` where a writer was faster: the next hint is worth more than another attempt.
    fn visit(
        &mut self,
        now: Duration,
        cursor: Cursor,
        limit: usize,
        cause: Cause,
        sink: &mut dyn Sink,
    ) -> Result<Option<usize>> {
        let (index, key) = cursor;
        let (table, batch) = (&mut self.tables[index], &mut self.batch);
        let next = if matches!(cause, Cause::Audit { .. }) {
            let read = self
                .windows
                .try_read(|window| table.gather(window, batch, key, limit, cause))?;
            let Some(next) = read else {
                return Ok(None);
            };
            next
        } else {
            self.windows
                .read(now, |window| table.gather(window, batch, key, limit, cause))?
        };
        self.heed_upheaval();
        let leaves = self.batch.leaves.len();
        if cause != Cause::Hint {
            self.sweep.advance(cursor, next, leaves);
        }
        let table = &mut self.tables[index];
        if table.report(now, &self.batch, cause, &mut self.guard, sink) {
            self.sweep.resync();
        }
        Ok(Some(leaves))
    }

    fn progress(&self, now: Duration, followed: bool, wake: Duration) -> Progress {
        let (complete, resyncing) = (self.is_complete(), self.sweep.is_resyncing());
        Progress {
            complete,
            resyncing,
            current: complete && followed && !resyncing,
            wake: wake.min(self.rest(now)),
        }
    }

    fn wake(&self, now: Duration) -> Duration {
        if self.has_hints() || self.sweep.is_resyncing() && !self.guard.waits(now) {
            Duration::ZERO
        } else if self.windows.is_busy(now) {
            BUSY
        } else {
            IDLE
        }
    }

    /// How long the hints may wait. Rows to be looked at again are not in a hurry: a step that comes for their sake
    /// would end the watching of files, and make what is committed just then wait.
    fn rest(&self, now: Duration) -> Duration {
        let (tables, state) = (self.tables.iter(), self.windows.state());
        let rests = tables.filter_map(|it| it.rest(now, state));
        rests.min().unwrap_or(IDLE)
    }

    /// Has every row compared once more, a moment after `now`, before removals are believed and the tables count as
    /// complete again.
    pub(super) fn confirm_removals(&mut self, now: Duration) {
        self.sweep.begin_epoch();
        self.guard.hold_until_confirmed(now);
    }

    /// Whether every row of this epoch has been compared.
    pub(super) fn is_complete(&self) -> bool {
        self.windows.epoch().is_some() && self.sweep.is_complete()
    }

    fn has_hints(&self) -> bool {
        self.tables.iter().any(Follower::has_hints)
    }

    /// Whether all hints have been followed, so that an audit that finds something has found a miss.
    fn has_followed_hints(&self) -> bool {
        self.followed.is_some() && self.followed == self.windows.state()
    }

    /// The windows, for what the tail asks of the files themselves.
    pub(super) fn windows(&self) -> &Windows {
        &self.windows
    }

    /// The counts so far.
    pub(super) fn counters(&self) -> Counters {
        let mut counters = self.windows.counters();
        for table in &self.tables {
            counters += table.counters();
        }
        counters.sweeps += self.sweep.passes();
        counters
    }
}

#[cfg(test)]
impl Engine {
    /// Whether an audit has visited every leaf in the state committed last.
    pub(super) fn has_audited(&self) -> bool {
        self.sweep.has_audited(self.windows.state())
    }

    /// Takes hints by `rules` from now on.
    pub(super) fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
        for table in &mut self.tables {
            table.set_rules(rules);
        }
    }

    /// The windows, for tests that break them.
    pub(super) fn windows_mut(&mut self) -> &mut Windows {
        &mut self.windows
    }
}
