//! What follows one table: which of its keys may have changed, what was reported of its rows, and how that differs from
//! the leaves read.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::sqlite_file::counters::Counters;
use crate::sqlite_file::known::Known;
use crate::sqlite_file::reason::{Reason, Result};
use crate::sqlite_file::record::{self, Value};
use crate::sqlite_file::schema::Schema;
use crate::sqlite_file::source::Committed;
use crate::sqlite_file::table::{Row, Table};
use crate::sqlite_file::visit::{Batch, Difference};
use crate::sqlite_file::walker::Span;

use super::hints::Hints;
use super::mass_removal::{Balance, MassRemovalGuard};
use super::nodes::{Nodes, Place};
use super::options::{Sink, TableSpec};
use super::pending::Pending;
use super::rules::{Rule, Rules};
use super::windows::{Window, Windows};

/// Interior pages examined in a window.
const SUSPECTS: usize = 64;
/// Payload gathered in a window before it ends.
const BYTES_A_WINDOW: usize = 1 << 20;
/// Rows that wait to be looked at again, at most; the audit has the others.
const RECHECKS: usize = 1 << 18;

/// A table and what was reported of it.
#[derive(Debug)]
pub(super) struct Follower {
    /// Its place among the tables.
    index: usize,
    spec: TableSpec,
    /// As it is now; `None` while it is not there.
    table: Option<Table>,
    /// As it was announced to the sink.
    announced: Option<Table>,
    known: Known,
    /// Keys that hints point at.
    pending: Pending,
    /// With a log, which pages hold which keys.
    nodes: Nodes,
    /// Interior pages that commits have changed.
    suspects: BTreeSet<u32>,
    hints: Hints,
    /// Rows to be looked at again, and when.
    rechecks: VecDeque<(Duration, i64)>,
    rules: Rules,
    counters: Counters,
}

/// Why leaves are visited, and so what a difference means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// A hint led there.
    Hint,
    /// Every row is to be compared.
    Resync,
    /// To prove that no hint was missed; where all of them have been followed, a difference is a miss.
    Audit {
        /// Whether they have been.
        proves: bool,
    },
}

impl Follower {
    /// Follows the table at place `index` that `spec` describes.
    pub(super) fn new(index: usize, spec: TableSpec) -> Self {
        Self {
            index,
            spec,
            table: None,
            announced: None,
            known: Known::default(),
            pending: Pending::default(),
            nodes: Nodes::default(),
            suspects: BTreeSet::new(),
            hints: Hints::default(),
            rechecks: VecDeque::new(),
            rules: Rules::default(),
            counters: Counters::default(),
        }
    }

    /// Takes the table from the schema of a new epoch; whether it is elsewhere than it was.
    ///
    /// # Errors
    /// When it must be there and is not, or cannot be read.
    pub(super) fn begin_epoch(&mut self, schema: &Schema, has_log: bool) -> Result<bool> {
        self.nodes.clear();
        self.suspects.clear();
        let table = match self.spec.readable(schema) {
            Ok(table) => table,
            Err(reason) => {
                self.table = None;
                return Err(reason);
            }
        };
        let root = |it: &Option<_>| it.as_ref().map(|it: &Table| it.root);
        let moved = root(&table) != root(&self.table);
        self.table = table;
        self.pending.clear();
        self.hints = if has_log {
            Hints::Log
        } else {
            let index = self.spec.hint_index.as_ref();
            Hints::without_log(index.and_then(|it| schema.index(&self.spec.name, &it.column)))
        };
        // Of an optional table, too, what cannot be read is not reported to be gone.
        if self.table.is_none() && !(self.spec.optional && self.known.len() == 0) {
            return Err(Reason::NoTable(self.spec.name.clone()));
        }
        Ok(moved)
    }

    /// Announces to `sink` what the table looks like, where it does not know.
    pub(super) fn announce(&mut self, sink: &mut dyn Sink) {
        let Some(table) = &self.table else {
            return;
        };
        if self.announced.as_ref() == Some(table) {
            return;
        }
        if self
            .announced
            .as_ref()
            .is_some_and(|it| !it.reads_like(table))
        {
            self.known.make_stale();
        }
        sink.schema(self.index, table);
        self.announced = Some(table.clone());
    }

    /// A commit has changed page `number`, which may be one of the table's.
    pub(super) fn note_changed(&mut self, number: u32) {
        let Some(place) = self.nodes.get(number) else {
            return;
        };
        if place.interior {
            if self.rules.has(Rule::Interiors) {
                self.suspects.insert(number);
            }
            return;
        }
        // Whether it still is a leaf there, the visit will show.
        self.nodes.forget(number);
        if self.rules.has(Rule::Leaves) {
            self.pending.add(place.span);
        }
    }

    /// Takes the hints that do not come from the log, and looks again at rows that have changed a while ago.
    /// `looks_at_all`: all rows are about to be compared anyway.
    ///
    /// # Errors
    /// When an index cannot be read.
    pub(super) fn take_hints(
        &mut self,
        now: Duration,
        windows: &mut Windows,
        looks_at_all: bool,
    ) -> Result<()> {
        while let Some((_, rowid)) = self.rechecks.pop_front_if(|it| it.0 <= now) {
            self.pending.add(Span::of(rowid));
        }
        let (pending, rows) = (&mut self.pending, self.known.len());
        self.hints
            .take(now, windows, pending, rows, looks_at_all, self.rules)
    }

    /// Whether interior pages have changed that [`Self::examine`] has to look at first.
    pub(super) fn has_suspects(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// Finds out which keys changed hands in interior pages that commits have changed.
    ///
    /// # Errors
    /// When writers leave no window, or a page cannot be read.
    pub(super) fn examine(&mut self, now: Duration, windows: &mut Windows) -> Result<()> {
        let suspects: Vec<u32> = self.suspects.iter().take(SUSPECTS).copied().collect();
        let root = self.table.as_ref().map(|it| it.root);
        let findings = windows.read(now, |window| {
            self.nodes
                .examine(window.pages, window.walker, root, &suspects)
        })?;
        for number in &suspects {
            self.suspects.remove(number);
        }
        self.nodes.update(&findings);
        for span in findings.pending {
            self.pending.add(span);
        }
        Ok(())
    }

    /// The first key that may have changed.
    pub(super) fn first_pending(&self) -> Option<i64> {
        self.table.as_ref()?;
        self.pending.from(i64::MIN)
    }

    /// Reads into `batch` the leaf that owns `key` and those after it that are to be visited for the same `cause`, at
    /// most `limit`; the key where it stopped, `None` where there is no further one.
    ///
    /// # Errors
    /// When a page cannot be read or decoded.
    pub(super) fn gather(
        &self,
        window: &mut Window<'_>,
        batch: &mut Batch,
        key: i64,
        limit: usize,
        cause: Cause,
    ) -> Result<Option<i64>> {
        batch.clear();
        let Some(table) = &self.table else {
            return Ok(None);
        };
        let mut key = key;
        for _ in 0..window.width.min(limit) {
            let span = batch.read(window.pages, window.walker, table.root, key, &self.known)?;
            let beyond = span.high.checked_add(1);
            let next = match cause {
                Cause::Hint => beyond.and_then(|beyond| self.pending.from(beyond)),
                Cause::Resync | Cause::Audit { .. } => beyond,
            };
            match next {
                Some(next) => key = next,
                None => return Ok(None),
            }
            if batch.size() > BYTES_A_WINDOW {
                break;
            }
        }
        Ok(Some(key))
    }

    /// Reports to `sink` how the leaves of `batch` differ from what was reported before, as far as `guard` lets
    /// removals through. Whether the guard has been raised by that.
    pub(super) fn report(
        &mut self,
        now: Duration,
        batch: &Batch,
        cause: Cause,
        guard: &mut MassRemovalGuard,
        sink: &mut dyn Sink,
    ) -> bool {
        self.note_places(batch);
        let leaves = batch.leaves.iter();
        let found: Vec<_> = leaves
            .map(|leaf| (leaf.span, batch.differences(leaf, &self.known)))
            .collect();
        let balance = self.balance(found.iter().flat_map(|it| &it.1));
        let raised = guard.weigh(now, self.index, self.known.len(), balance);
        let mut values = Vec::new();
        for (span, differences) in found {
            if !matches!(cause, Cause::Audit { .. }) {
                self.pending.remove(span);
            }
            for difference in differences {
                match difference {
                    Difference::Gone(rowid) => self.remove(rowid, cause, guard, sink),
                    Difference::Present(rowid, hash, payload) => {
                        self.count_miss(rowid, cause);
                        self.recheck_later(now, rowid, cause);
                        self.known.insert(rowid, hash);
                        self.upsert(rowid, payload, &mut values, sink);
                    }
                }
            }
        }
        raised
    }

    fn balance<'a>(&self, found: impl Iterator<Item = &'a Difference<'a>>) -> Balance {
        let mut balance = Balance::default();
        for difference in found {
            match difference {
                Difference::Gone(_) => balance.gone += 1,
                Difference::Present(rowid, ..) => {
                    balance.new += usize::from(!self.known.contains(*rowid));
                }
            }
        }
        balance
    }

    fn remove(
        &mut self,
        rowid: i64,
        cause: Cause,
        guard: &mut MassRemovalGuard,
        sink: &mut dyn Sink,
    ) {
        if !guard.reports_removals() {
            guard.count_missing();
            return;
        }
        self.known.remove(rowid);
        self.counters.deletes += 1;
        self.counters.audit_misses += u64::from(cause == Cause::Audit { proves: true });
        sink.delete(self.index, rowid);
    }

    /// Counts a change that an audit found although all hints had been followed.
    fn count_miss(&mut self, rowid: i64, cause: Cause) {
        if cause == (Cause::Audit { proves: true }) {
            // What no index shows can only be found so.
            let blind = self.hints.miss_some() && self.known.contains(rowid);
            self.counters.blind_spots += u64::from(blind);
            self.counters.audit_misses += u64::from(!blind);
        }
    }

    /// Has a row that has changed looked at again when the hint index shows another change of it.
    fn recheck_later(&mut self, now: Duration, rowid: i64, cause: Cause) {
        if cause == Cause::Hint
            && self.hints.miss_some()
            && self.rules.has(Rule::Recheck)
            && self.rechecks.len() < RECHECKS
            && let Some(index) = &self.spec.hint_index
        {
            let later = index.resolution + index.resolution / 2;
            self.rechecks.push_back((now + later, rowid));
        }
    }

    /// `values` is room for those of the row.
    fn upsert<'a>(
        &mut self,
        rowid: i64,
        payload: &'a [u8],
        values: &mut Vec<Value<'a>>,
        sink: &mut dyn Sink,
    ) {
        let Some(table) = &self.table else {
            return;
        };
        match record::decode_into(payload, values) {
            Ok(()) => {
                self.counters.upserts += 1;
                sink.upsert(self.index, Row::new(table, rowid, values));
            }
            Err(_) => self.counters.malformed_rows += 1,
        }
    }

    /// Notes which pages `batch` has shown to hold which keys.
    fn note_places(&mut self, batch: &Batch) {
        if !self.hints.come_from_log() {
            return;
        }
        let place = |interior, span| Place { interior, span };
        for &(number, span) in &batch.above {
            self.nodes.note(number, place(true, span));
        }
        for leaf in &batch.leaves {
            self.nodes.note(leaf.number, place(false, leaf.span));
        }
        if self.rules.has(Rule::Overflows) {
            for &(number, rowid) in &batch.overflows {
                self.nodes.note(number, place(false, Span::of(rowid)));
            }
        }
    }

    /// Whether there are hints left to be followed.
    pub(super) fn has_hints(&self) -> bool {
        self.has_suspects() || self.first_pending().is_some()
    }

    /// Whether all hints have been taken that `state` gives.
    pub(super) fn has_hints_of(&self, state: Option<Committed>) -> bool {
        self.hints.are_of(state)
    }

    /// Whether what changes from now on will give hints.
    pub(super) fn is_ready(&self) -> bool {
        self.hints.are_ready()
    }

    /// How long its hints may wait, with `state` committed.
    pub(super) fn rest(&self, now: Duration, state: Option<Committed>) -> Option<Duration> {
        self.hints.rest(now, state)
    }

    /// What was reported.
    pub(super) fn counters(&self) -> Counters {
        Counters {
            rows: self.known.len() as u64,
            ..self.counters
        }
    }

    /// Takes hints by `rules` from now on.
    #[cfg(test)]
    pub(super) fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }
}
