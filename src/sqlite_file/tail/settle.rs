//! Following hints: from the pages that commits have changed to the leaves that show what became of their keys.

use std::time::Duration;

use crate::sqlite_file::reason::Result;
use crate::sqlite_file::source::Source;
use crate::sqlite_file::walker::Span;

use super::Sink;
use super::engine::{Cause, Engine};
use super::nodes::Place;

/// Interior pages examined in a window.
const SUSPECTS: usize = 64;
/// Leaves visited in a window that the next commit will end.
const LEAVES_BETWEEN_COMMITS: usize = 16;
/// Payload gathered in a window before it ends.
const BYTES_A_WINDOW: usize = 1 << 20;

impl Engine {
    /// Follows all hints, as far as `budget` leaves allow.
    ///
    /// # Errors
    /// When writers leave no window, or a page cannot be read.
    pub(super) fn settle(
        &mut self,
        now: Duration,
        budget: &mut usize,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        loop {
            self.take_hints();
            if !self.suspects.is_empty() {
                self.examine_suspects(now)?;
                continue;
            }
            let Some((index, key)) = self.first_pending() else {
                break;
            };
            if *budget == 0 {
                return Ok(());
            }
            self.visit_pending(now, index, key, budget, sink)?;
        }
        let seen = self.seen;
        if self.tables.iter().all(|it| it.hints.are_of(seen)) {
            self.settled = seen;
        }
        Ok(())
    }

    /// Whether hints are left to be followed.
    pub(super) fn has_pending(&self) -> bool {
        !self.suspects.is_empty() || self.first_pending().is_some()
    }

    /// Takes the pages that commits have changed for what they were.
    fn take_hints(&mut self) {
        for number in self.changed_pages.drain() {
            let Some(place) = self.nodes.get(number) else {
                continue;
            };
            if place.interior {
                if self.rules.interiors {
                    self.suspects.insert(number);
                }
                continue;
            }
            // Whether it still is a leaf there, the visit will show.
            self.nodes.forget(number);
            if self.rules.leaves
                && let Some(followed) = self.tables.get_mut(place.table as usize)
            {
                followed.pending.add(place.span);
            }
        }
    }

    fn examine_suspects(&mut self, now: Duration) -> Result<()> {
        let suspects: Vec<u32> = self.suspects.iter().take(SUSPECTS).copied().collect();
        let findings = self.in_window(now, |engine, source| {
            let root = |table: u32| Some(engine.tables.get(table as usize)?.table.as_ref()?.root);
            let walker = &mut engine.walker;
            engine.nodes.examine(source, walker, root, &suspects)
        })?;
        for number in &suspects {
            self.suspects.remove(number);
        }
        self.nodes.update(&findings);
        for (table, span) in findings.pending {
            if let Some(followed) = self.tables.get_mut(table as usize) {
                followed.pending.add(span);
            }
        }
        Ok(())
    }

    fn first_pending(&self) -> Option<(usize, i64)> {
        let mut tables = self.tables.iter().enumerate();
        tables.find_map(|(index, it)| {
            it.table.as_ref()?;
            Some((index, it.pending.from(i64::MIN)?))
        })
    }

    fn visit_pending(
        &mut self,
        now: Duration,
        index: usize,
        key: i64,
        budget: &mut usize,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let follows_log = self.epoch.is_some_and(|it| it.wal);
        let limit = if follows_log {
            *budget
        } else {
            LEAVES_BETWEEN_COMMITS
        };
        self.in_window(now, |engine, source| {
            let next = |engine: &Self, span: Span| {
                let next = span.high.checked_add(1)?;
                engine.tables.get(index)?.pending.from(next)
            };
            engine.gather(source, index, key, limit, next)
        })?;
        *budget = budget.saturating_sub(self.batch.leaves.len());
        self.tell_batch(now, index, Cause::Hint, sink);
        Ok(())
    }

    /// Reads the leaf of table `index` that owns `key` and those that `next` leads to, at most `limit`; the key
    /// where it stopped, `None` where `next` did.
    pub(super) fn gather(
        &mut self,
        source: &mut Source,
        index: usize,
        key: i64,
        limit: usize,
        next: impl Fn(&Self, Span) -> Option<i64>,
    ) -> Result<Option<i64>> {
        self.batch.clear();
        let mut key = key;
        for _ in 0..self.sweep.width().min(limit) {
            let Some(followed) = self.tables.get(index) else {
                return Ok(None);
            };
            let Some(table) = &followed.table else {
                return Ok(None);
            };
            let span =
                self.batch
                    .read(source, &mut self.walker, table.root, key, &followed.known)?;
            match next(self, span) {
                Some(next) => key = next,
                None => return Ok(None),
            }
            if self.batch.size() > BYTES_A_WINDOW {
                break;
            }
        }
        Ok(Some(key))
    }

    /// Notes which pages the batch has shown to hold which keys of table `index`.
    pub(super) fn note_places(&mut self, index: usize) {
        let (Some(epoch), Ok(table)) = (self.epoch, u32::try_from(index)) else {
            return;
        };
        if !epoch.wal {
            return;
        }
        let place = |interior, span| Place {
            table,
            interior,
            span,
        };
        for &(number, span) in &self.batch.above {
            self.nodes.note(number, place(true, span));
        }
        for leaf in &self.batch.leaves {
            self.nodes.note(leaf.number, place(false, leaf.span));
        }
        let overflows = self.batch.overflows.iter();
        for &(number, rowid) in overflows.filter(|_| self.rules.overflows) {
            let span = Span {
                low: rowid,
                high: rowid,
            };
            self.nodes.note(number, place(false, span));
        }
    }
}
