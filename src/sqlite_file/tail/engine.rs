//! What a step does: open, see what was committed, take hints, visit leaves, tell the differences.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use crate::sqlite_file::counters::Counters;
use crate::sqlite_file::known::Known;
use crate::sqlite_file::reason::{Reason, Result};
use crate::sqlite_file::source::{Committed, Source};
use crate::sqlite_file::table::{self, Row, Table};
use crate::sqlite_file::visit::{Batch, Difference, Leaf};
use crate::sqlite_file::walker::Walker;

use super::hints::Hints;
use super::nodes::Nodes;
use super::pending::Pending;
use super::rules::Rules;
use super::sweep::Sweep;
use super::{Sink, TableSpec, TailOptions, schemas};

/// Frames of the log read in a step.
const FRAMES: u32 = 4096;
/// Leaves visited in a step.
const LEAVES: usize = 1024;
/// Lost windows after which a step gives up.
const LOSSES: u32 = 50;
/// Between steps while commits come.
const BUSY: Duration = Duration::from_millis(10);
/// How long after a commit another is expected soon.
const LINGER: Duration = Duration::from_secs(1);
/// Between steps while nothing happens.
const IDLE: Duration = Duration::from_millis(250);
/// Rows that are gone at once make a visit doubtful if they are this many, and most of the table.
const MANY: u64 = 1000;

/// Rows that wait to be looked at again, at most; the audit has the others.
const RECHECKS: usize = 1 << 18;

/// The tail without its states.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) options: TailOptions,
    pub(super) rules: Rules,
    pub(super) source: Option<Source>,
    pub(super) tables: Vec<Followed>,
    pub(super) counters: Counters,
    pub(super) sweep: Sweep,
    pub(super) nodes: Nodes,
    /// What the epoch depends on.
    pub(super) epoch: Option<Epoch>,
    /// The committed state that windows show.
    pub(super) seen: Option<Committed>,
    /// The state of which all hints have been followed.
    pub(super) settled: Option<Committed>,
    /// When the last commit was seen.
    pub(super) committed_at: Duration,
    /// Pages that commits have changed and nobody has looked at.
    pub(super) changed_pages: HashSet<u32>,
    /// Interior pages among them.
    pub(super) suspects: Vec<u32>,
    /// Rows to be looked at again: when, table and rowid.
    pub(super) rechecks: VecDeque<(Duration, usize, i64)>,
    pub(super) batch: Batch,
    pub(super) walker: Walker,
}

/// A table and what was told of it.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) spec: TableSpec,
    /// As it is now; `None` while it is not there.
    pub(super) table: Option<Table>,
    /// Told to the sink.
    pub(super) announced: Option<Table>,
    pub(super) known: Known,
    /// Keys that hints point at.
    pub(super) pending: Pending,
    /// Where hints come from in rollback mode.
    pub(super) hints: Hints,
}

/// What does not change while changes can be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch {
    pub(super) file: (u64, u64),
    pub(super) page_size: usize,
    pub(super) wal: bool,
    pub(super) schema_cookie: u32,
}

/// How far a step came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    pub(super) complete: bool,
    pub(super) healing: bool,
    pub(super) current: bool,
    pub(super) wake: Duration,
}

/// Why leaves are visited, and so what a difference means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// A hint led there.
    Hint,
    /// Every row is to be compared.
    Heal,
    /// To prove that no hint was missed.
    Audit,
}

impl Engine {
    pub(super) fn new(options: TailOptions) -> Self {
        let tables = options.tables.iter().cloned().map(Followed::new).collect();
        Self {
            options,
            rules: Rules::default(),
            source: None,
            tables,
            counters: Counters::default(),
            sweep: Sweep::default(),
            nodes: Nodes::default(),
            epoch: None,
            seen: None,
            settled: None,
            committed_at: Duration::ZERO,
            changed_pages: HashSet::new(),
            suspects: Vec::new(),
            rechecks: VecDeque::new(),
            batch: Batch::default(),
            walker: Walker::default(),
        }
    }

    /// How often the sink was told something.
    pub(super) fn told(&self) -> u64 {
        self.counters.upserts + self.counters.deletes
    }

    pub(super) fn is_complete(&self) -> bool {
        self.epoch.is_some() && self.sweep.is_complete()
    }

    pub(super) fn step(&mut self, now: Duration, sink: &mut dyn Sink) -> Result<Progress> {
        self.open()?;
        let behind = self.refresh(now)?;
        if behind {
            return Ok(self.progress(now, false, Duration::ZERO));
        }
        self.read_schema(now, sink)?;
        let mut budget = LEAVES;
        self.recheck(now);
        self.walk_indexes(now)?;
        self.settle(now, &mut budget, sink)?;
        self.sweep(now, &mut budget, sink)?;
        self.counters.rows = self.tables.iter().map(|it| it.known.len() as u64).sum();
        let wake = self.wake(now);
        Ok(self.progress(now, self.is_settled(), wake))
    }

    fn progress(&self, now: Duration, settled: bool, wake: Duration) -> Progress {
        let healing = self.sweep.is_healing();
        Progress {
            complete: self.is_complete(),
            healing,
            current: self.is_complete() && settled && !healing,
            wake: wake.min(self.rest(now)),
        }
    }

    /// How long the hints and the sweep may wait.
    fn rest(&self, now: Duration) -> Duration {
        let hints = self
            .tables
            .iter()
            .filter_map(|it| it.hints.rest(now, self.seen));
        let recheck = self.rechecks.front().map(|it| it.0.saturating_sub(now));
        hints.chain(recheck).min().unwrap_or(IDLE)
    }

    fn wake(&self, now: Duration) -> Duration {
        if self.has_pending() || self.sweep.is_urgent(now) {
            Duration::ZERO
        } else if now.saturating_sub(self.committed_at) < LINGER {
            BUSY
        } else {
            IDLE
        }
    }

    /// Whether commits come now.
    pub(super) fn is_busy(&self, now: Duration) -> bool {
        now.saturating_sub(self.committed_at) < LINGER
    }

    /// Makes sure that the files asked for are the ones that are open.
    fn open(&mut self) -> Result<()> {
        let in_place = match &self.source {
            Some(source) => source.is_in_place(),
            None => Ok(false),
        };
        match in_place {
            Ok(true) => return Ok(()),
            Ok(false) => self.close(),
            Err(reason) => {
                self.close();
                return Err(reason);
            }
        }
        self.source = Some(Source::open(&self.options.path)?);
        Ok(())
    }

    /// Lets go of the files. What was known stays, and is compared with what comes next.
    fn close(&mut self) {
        self.source = None;
        self.epoch = None;
        self.seen = None;
        self.settled = None;
        self.changed_pages.clear();
        self.suspects.clear();
    }

    /// Looks what was committed; whether there is more in the log than one step reads.
    pub(super) fn refresh(&mut self, now: Duration) -> Result<bool> {
        let source = self.source.as_mut().ok_or(Reason::Missing)?;
        let found = source.refresh(now, FRAMES, &mut self.changed_pages)?;
        self.counters.frames_followed += u64::from(found.frames);
        self.counters.wal_restarts += u64::from(found.restarted);
        if found.gap {
            self.counters.gaps += 1;
            self.nodes.clear();
            self.changed_pages.insert(schemas::FIRST);
            self.sweep.heal();
        }
        if found.doubtful {
            self.counters.epochs += 1;
            self.sweep.begin_epoch(true);
        }
        if self.seen != Some(found.state) {
            self.committed_at = now;
        }
        self.seen = Some(found.state);
        Ok(found.behind)
    }

    /// Reads in windows, as often as writers make it necessary; `read` begins anew each time.
    pub(super) fn in_window<T>(
        &mut self,
        now: Duration,
        mut read: impl FnMut(&mut Self, &mut Source) -> Result<T>,
    ) -> Result<T> {
        for _ in 0..LOSSES {
            if let Some(value) = self.try_window(&mut read)? {
                self.sweep.widen();
                return Ok(value);
            }
            self.sweep.narrow();
            if self.refresh(now)? {
                break;
            }
        }
        Err(Reason::Busy)
    }

    /// Reads in one window; `None` when a writer was faster.
    pub(super) fn try_window<T>(
        &mut self,
        read: impl FnOnce(&mut Self, &mut Source) -> Result<T>,
    ) -> Result<Option<T>> {
        let (Some(mut source), Some(state)) = (self.source.take(), self.seen) else {
            return Err(Reason::Missing);
        };
        self.walker.clear();
        source.begin(&state);
        let value = read(self, &mut source);
        let held = source.end(&state);
        let reads = std::mem::take(&mut source.reads);
        self.counters.pages_read += reads.pages;
        self.counters.bytes_read += reads.bytes;
        self.source = Some(source);
        if held? {
            self.counters.windows += 1;
            value.map(Some)
        } else {
            self.counters.windows_lost += 1;
            Ok(None)
        }
    }

    /// Tells how the leaves of the batch differ from what is known of table `index`.
    pub(super) fn tell_batch(
        &mut self,
        now: Duration,
        index: usize,
        cause: Cause,
        sink: &mut dyn Sink,
    ) {
        self.note_places(index);
        let settled = self.is_settled();
        let leaves = std::mem::take(&mut self.batch.leaves);
        for leaf in &leaves {
            let told = self.told();
            let Some(followed) = self.tables.get_mut(index) else {
                continue;
            };
            if cause != Cause::Audit {
                followed.pending.remove(leaf.span);
            }
            let gone = self.tell(now, index, leaf, cause, sink);
            self.sweep.missed_rows(gone);
            if cause == Cause::Audit && settled {
                self.counters.audit_misses += self.told() - told;
            }
        }
        self.batch.leaves = leaves;
    }

    /// Tells how one leaf differs; how many rows are gone and were not told so, because that is doubtful.
    fn tell(
        &mut self,
        now: Duration,
        index: usize,
        leaf: &Leaf,
        cause: Cause,
        sink: &mut dyn Sink,
    ) -> u64 {
        let Some(followed) = self.tables.get_mut(index) else {
            return 0;
        };
        let Some(table) = &followed.table else {
            return 0;
        };
        let differences = self.batch.differences(leaf, &followed.known);
        let gone = differences
            .iter()
            .filter(|it| matches!(it, Difference::Gone(_)))
            .count() as u64;
        if gone > MANY && gone * 2 > followed.known.len() as u64 {
            self.sweep.doubt();
        }
        let believed = self.sweep.believes();
        let recheck = cause == Cause::Hint && followed.hints.miss_some() && self.rules.recheck;
        for difference in differences {
            match difference {
                Difference::Gone(rowid) if believed => {
                    followed.known.remove(rowid);
                    self.counters.deletes += 1;
                    sink.delete(index, rowid);
                }
                Difference::Gone(_) => {}
                Difference::Present(rowid, hash, payload) => {
                    followed.known.insert(rowid, hash);
                    if recheck && self.rechecks.len() < RECHECKS {
                        self.rechecks
                            .push_back((now + super::hints::RECHECK, index, rowid));
                    }
                    match table::values(payload) {
                        Ok(values) => {
                            self.counters.upserts += 1;
                            sink.upsert(index, Row::new(table, rowid, &values));
                        }
                        Err(_) => self.counters.malformed_rows += 1,
                    }
                }
            }
        }
        if believed { 0 } else { gone }
    }
}

impl Followed {
    fn new(spec: TableSpec) -> Self {
        Self {
            spec,
            table: None,
            announced: None,
            known: Known::default(),
            pending: Pending::default(),
            hints: Hints::default(),
        }
    }
}
