//! What a step does: open, see what was committed, read the schema, visit leaves, tell the differences.

use std::collections::HashSet;
use std::time::Duration;

use crate::sqlite_file::counters::Counters;
use crate::sqlite_file::known::Known;
use crate::sqlite_file::reason::{Reason, Result};
use crate::sqlite_file::source::{Committed, Source};
use crate::sqlite_file::table::{self, Row, Table};
use crate::sqlite_file::visit::{Batch, Difference, Leaf};
use crate::sqlite_file::walker::Walker;

use super::sweep::Sweep;
use super::{Sink, TableSpec, TailOptions};

/// Frames of the log read in a step.
const FRAMES: u32 = 4096;
/// Lost windows after which a step gives up.
const LOSSES: u32 = 50;
/// Until the next step, after one that told something.
const BUSY: Duration = Duration::from_millis(10);
/// Until the next step, when nothing happens.
const IDLE: Duration = Duration::from_millis(250);

/// The tail without its states.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) options: TailOptions,
    pub(super) source: Option<Source>,
    pub(super) tables: Vec<Followed>,
    pub(super) counters: Counters,
    pub(super) sweep: Sweep,
    /// What the epoch depends on.
    pub(super) epoch: Option<Epoch>,
    /// The committed state that the last step saw.
    pub(super) seen: Option<Committed>,
    /// Pages that commits have changed and nobody has looked at.
    pub(super) changed_pages: HashSet<u32>,
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
    pub(super) current: bool,
    pub(super) wake: Duration,
}

impl Engine {
    pub(super) fn new(options: TailOptions) -> Self {
        let tables = options.tables.iter().cloned().map(Followed::new).collect();
        Self {
            options,
            source: None,
            tables,
            counters: Counters::default(),
            sweep: Sweep::default(),
            epoch: None,
            seen: None,
            changed_pages: HashSet::new(),
            batch: Batch::default(),
            walker: Walker::default(),
        }
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How often the sink was told something.
    pub(super) fn told(&self) -> u64 {
        self.counters.upserts + self.counters.deletes
    }

    pub(super) fn is_open(&self) -> bool {
        self.source.is_some()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.epoch.is_some() && self.sweep.is_complete()
    }

    pub(super) fn step(&mut self, now: Duration, sink: &mut dyn Sink) -> Result<Progress> {
        let told = self.told();
        let before = self.seen;
        self.open()?;
        let behind = self.refresh(now)?;
        self.read_schema(now, sink)?;
        let at_start = self.seen;
        self.sweep_some(now, sink)?;
        let complete = self.is_complete();
        let current = complete && !behind && self.sweep.is_done() && self.seen == at_start;
        let wake = if behind || !self.sweep.is_done() {
            Duration::ZERO
        } else if self.told() != told || self.seen != before {
            BUSY
        } else {
            IDLE
        };
        Ok(Progress {
            complete,
            current,
            wake,
        })
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
        self.changed_pages.clear();
    }

    /// Looks what was committed; whether there is more in the log than one step reads.
    pub(super) fn refresh(&mut self, now: Duration) -> Result<bool> {
        let source = self.source.as_mut().ok_or(Reason::Missing)?;
        let found = source.refresh(now, FRAMES, &mut self.changed_pages)?;
        self.counters.frames_followed += u64::from(found.frames);
        self.counters.wal_restarts += u64::from(found.restarted);
        self.counters.gaps += u64::from(found.gap);
        if found.gap || found.behind || self.seen.is_some_and(|seen| seen != found.state) {
            self.sweep.again();
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
                return Ok(value);
            }
            self.sweep.narrow();
            self.refresh(now)?;
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

    /// Tells how `leaf` of the batch differs from what is known. Rows that are gone are told only if `deletes`;
    /// how many there were.
    pub(super) fn tell(
        &mut self,
        index: usize,
        leaf: &Leaf,
        deletes: bool,
        sink: &mut dyn Sink,
    ) -> u64 {
        let Some(followed) = self.tables.get_mut(index) else {
            return 0;
        };
        let Some(table) = &followed.table else {
            return 0;
        };
        let mut gone = 0;
        for difference in self.batch.differences(leaf, &followed.known) {
            match difference {
                Difference::Gone(rowid) => {
                    gone += 1;
                    if deletes {
                        followed.known.remove(rowid);
                        self.counters.deletes += 1;
                        sink.delete(index, rowid);
                    }
                }
                Difference::Present(rowid, hash, payload) => {
                    followed.known.insert(rowid, hash);
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
        gone
    }

    /// Counts the rows that are known.
    pub(super) fn count_rows(&mut self) {
        self.counters.rows = self.tables.iter().map(|it| it.known.len() as u64).sum();
    }
}

impl Followed {
    fn new(spec: TableSpec) -> Self {
        Self {
            spec,
            table: None,
            announced: None,
            known: Known::default(),
        }
    }
}
