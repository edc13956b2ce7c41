//! What a step does: open, see what was committed, take hints, visit leaves, tell the differences.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::time::Duration;

use crate::sqlite_file::counters::Counters;
use crate::sqlite_file::known::Known;
use crate::sqlite_file::reason::{Reason, Result};
use crate::sqlite_file::schema::Schema;
use crate::sqlite_file::source::{Committed, Source};
use crate::sqlite_file::table::Table;
use crate::sqlite_file::visit::Batch;
use crate::sqlite_file::walker::Walker;

use super::hints::Hints;
use super::losses::Losses;
use super::nodes::Nodes;
use super::pending::Pending;
use super::rules::Rules;
use super::schemas::{FIRST, Suspicion};
use super::sweep::Sweep;
use super::{Sink, TableSpec, TailOptions};

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
    /// The schema that was read last, and of which state and when.
    pub(super) schema: Schema,
    pub(super) schema_of: Option<Committed>,
    pub(super) schema_at: Duration,
    /// Whether it still is the schema.
    pub(super) suspicion: Suspicion,
    /// The committed state that windows show.
    pub(super) seen: Option<Committed>,
    /// The state of which all hints have been followed.
    pub(super) settled: Option<Committed>,
    /// When the last commit was seen.
    pub(super) committed_at: Duration,
    /// Pages that commits have changed and nobody has looked at.
    pub(super) changed_pages: HashSet<u32>,
    /// Interior pages among them.
    pub(super) suspects: BTreeSet<u32>,
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
    pub(super) losses: Losses,
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
            schema: Schema::default(),
            schema_of: None,
            schema_at: Duration::ZERO,
            suspicion: Suspicion::default(),
            seen: None,
            settled: None,
            committed_at: Duration::ZERO,
            changed_pages: HashSet::new(),
            suspects: BTreeSet::new(),
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

    /// How long the hints may wait. Rows to be looked at again are not in a hurry: a step that comes for their sake
    /// would end the watching of files, and make what is committed just then wait.
    fn rest(&self, now: Duration) -> Duration {
        let tables = self.tables.iter();
        let rests = tables.filter_map(|it| it.hints.rest(now, self.seen));
        rests.min().unwrap_or(IDLE)
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
        match self.is_in_place() {
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

    fn is_in_place(&self) -> Result<bool> {
        self.source.as_ref().map_or(Ok(false), Source::is_in_place)
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
            // The notes on pages stay. A wrong one leads to leaves that need no visit, or is found out; what they
            // lack is noted when it is compared.
            self.suspect(Suspicion::Schema);
            self.sweep.heal();
        }
        if self.changed_pages.remove(&FIRST) {
            self.suspect(Suspicion::Header);
        }
        if let Committed::File(version) = found.state
            && self.epoch.is_some_and(|it| !it.has(version.header()))
        {
            self.suspect(Suspicion::Schema);
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
    ///
    /// # Errors
    /// Also when the schema has to be looked at first, because roots may have moved.
    pub(super) fn in_window<T>(
        &mut self,
        now: Duration,
        read: impl FnMut(&mut Self, &mut Source) -> Result<T>,
    ) -> Result<T> {
        self.in_window_while(now, read, |engine| engine.suspicion == Suspicion::None)
    }

    /// Reads in windows as long as `sensible`.
    pub(super) fn in_window_while<T>(
        &mut self,
        now: Duration,
        mut read: impl FnMut(&mut Self, &mut Source) -> Result<T>,
        sensible: impl Fn(&Self) -> bool,
    ) -> Result<T> {
        for _ in 0..LOSSES {
            if let Some(value) = self.try_window(&mut read)? {
                self.sweep.widen();
                return Ok(value);
            }
            self.sweep.narrow();
            let behind = self.refresh(now)?;
            if behind || !sensible(self) || !self.is_in_place()? {
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
            if matches!(value, Err(Reason::Malformed(_))) {
                // Perhaps it is not where it was.
                self.suspect(Suspicion::Schema);
            }
            value.map(Some)
        } else {
            self.counters.windows_lost += 1;
            Ok(None)
        }
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
            losses: Losses::default(),
        }
    }
}
