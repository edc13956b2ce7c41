//! The tail: what it is asked for, what it tells, and its single step.

mod engine;
mod hints;
mod losses;
mod nodes;
mod pending;
mod rules;
mod schemas;
mod settle;
mod sweep;
mod tell;

use std::path::PathBuf;
use std::time::Duration;

use super::counters::Counters;
use super::reason::Reason;
use super::table::{Row, Table};
use engine::Engine;
#[cfg(test)]
pub(super) use rules::Rules;

/// How long a step may fail before the state says so.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a writer may be in the way for the length of a commit on a slow disk.
const COMMIT: Duration = Duration::from_millis(250);
/// Until the next step, when a writer commits.
const SOON: Duration = Duration::from_millis(1);
/// Until the next step, when a writer is in the way.
const RETRY: Duration = Duration::from_millis(10);
/// How long a writer may be in the way until it is asked for less often.
const LONG: Duration = Duration::from_secs(10);
/// Until the next step, when a writer has been in the way for long.
const SLOW_RETRY: Duration = Duration::from_millis(100);
/// Until the next step, when there is nothing to read.
const ABSENT: Duration = Duration::from_secs(1);

/// Who is told what stands in the tables. Only facts of verified windows are told.
pub trait Sink {
    /// The table with index `table` of [`TailOptions::tables`] looks like this from now on; told before its first
    /// row, and when it has changed. After a change that alters what rows mean, each is told again.
    fn schema(&mut self, table: usize, schema: &Table);

    /// A row is there with this content; it is new, or changed.
    fn upsert(&mut self, table: usize, row: Row<'_>);

    /// A row is gone.
    fn delete(&mut self, table: usize, rowid: i64);
}

/// What to tail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TailOptions {
    /// The database file.
    pub path: PathBuf,
    /// The tables.
    pub tables: Vec<TableSpec>,
}

/// A table to tail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableSpec {
    /// Its name.
    pub name: String,
    /// A column that most changes alter and an index begins with. In rollback mode the index tells cheaply which
    /// rows to look at; without it, every change leads to a look at all rows.
    pub hint_index_column: Option<String>,
    /// Whether the others are told when this one has never been there.
    pub optional: bool,
    /// Columns without which no row means anything: a table that lacks one cannot be read.
    pub required: &'static [&'static str],
    /// Columns whose values matter where the table has them: it cannot be read where one of them, or of the required
    /// ones, is generated and not stored.
    pub used: &'static [&'static str],
}

/// Follows tables of a database.
#[derive(Debug)]
pub struct Tail {
    engine: Engine,
    /// Since when steps have failed.
    failing: Option<Duration>,
    state: State,
}

/// What a step found.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// How the tail is.
    pub state: State,
    /// Since the present epoch began (a file, its schema, its journal mode) every row has been compared at least
    /// once, and what had been told before and is not there has been confirmed gone.
    pub complete: bool,
    /// All that was told equals the committed tables as of the beginning of this step.
    pub current: bool,
    /// The sink was told something.
    pub changed: bool,
    /// Sleep at most this long until the next step; zero for at once.
    pub wake: Duration,
}

/// How the tail is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// There is nothing to read; what was told before stands.
    Absent(Reason),
    /// The database has been opened, and not yet read.
    Opening,
    /// Every row is being compared; changes are told meanwhile.
    Healing,
    /// What is told follows the commits.
    Live,
    /// The database is there and has not been readable for a second; what was told before stands.
    Blocked(Reason),
}

impl Tail {
    /// A tail of what `options` say; nothing is opened before the first step.
    #[must_use]
    pub fn new(options: TailOptions) -> Self {
        Self {
            engine: Engine::new(options),
            failing: None,
            state: State::Opening,
        }
    }

    /// Looks for changes and tells them to `sink`. The work of a step is bounded: a few milliseconds, and it never
    /// waits. `now` is monotonic.
    pub fn step(&mut self, now: Duration, sink: &mut dyn Sink) -> Step {
        let told = self.engine.told();
        let windows = self.engine.counters.windows;
        let result = self.engine.step(now, sink);
        let changed = self.engine.told() != told;
        match result {
            Ok(progress) => {
                self.failing = None;
                self.state = if progress.complete && !progress.healing {
                    State::Live
                } else {
                    State::Healing
                };
                Step {
                    state: self.state.clone(),
                    complete: progress.complete,
                    current: progress.current,
                    changed,
                    wake: progress.wake,
                }
            }
            Err(reason) => {
                // A commit that ended the work of a step is no failure of it.
                let worked = self.engine.counters.windows > windows;
                if worked && matches!(reason, Reason::Locked | Reason::HotJournal | Reason::Busy) {
                    self.failing = None;
                }
                let wake = self.fail(now, reason);
                Step {
                    state: self.state.clone(),
                    complete: self.engine.is_complete(),
                    current: false,
                    changed,
                    wake,
                }
            }
        }
    }

    /// Whether something may have been committed since the last step, told by a glance that costs a small part of one.
    /// `None` where only a step can tell: without a write-ahead log, or while nobody keeps its index up to date.
    #[must_use]
    pub fn has_news(&self) -> Option<bool> {
        self.engine.source.as_ref()?.has_news()
    }

    /// The counts so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.engine.counters
    }

    /// The files whose changes are worth waking for, as far as they are known: the database and, with a
    /// write-ahead log, that log. A file that is not there yet appears in the directory.
    #[must_use]
    pub fn watch_paths(&self) -> Vec<PathBuf> {
        match &self.engine.source {
            Some(source) => source.paths(),
            None => vec![self.engine.options.path.clone()],
        }
    }

    /// Decides what a failed step means, and when to try again.
    fn fail(&mut self, now: Duration, reason: Reason) -> Duration {
        let since = *self.failing.get_or_insert(now);
        let failing = now.saturating_sub(since);
        match reason {
            Reason::Missing
            | Reason::Empty
            | Reason::NotAFile
            | Reason::NotADatabase
            | Reason::NewerFormat
            | Reason::Utf16
            | Reason::NoTable(_)
            | Reason::NoColumn { .. }
            | Reason::NotStored { .. }
            | Reason::NotUnderstood { .. }
            | Reason::Unsupported { .. } => {
                self.state = State::Absent(reason);
                return ABSENT;
            }
            Reason::Io { .. } if self.engine.source.is_none() => {
                self.state = State::Absent(reason);
                return ABSENT;
            }
            Reason::HotJournal
            | Reason::Locked
            | Reason::Busy
            | Reason::WalMismatch
            | Reason::Malformed(_)
            | Reason::Io { .. } => {}
        }
        if failing >= PATIENCE {
            self.state = State::Blocked(reason);
            return if failing < LONG { RETRY } else { SLOW_RETRY };
        }
        if matches!(self.state, State::Absent(_)) {
            self.state = State::Opening;
        }
        if failing < COMMIT { SOON } else { RETRY }
    }
}

#[cfg(test)]
impl Tail {
    /// Whether an audit has found everything as told, in the state committed last.
    pub(super) fn is_audited(&self) -> bool {
        self.engine.is_audited()
    }

    /// Frames of the log whose checksum was computed.
    pub(super) fn frames_verified(&self) -> u64 {
        let source = self.engine.source.as_ref();
        let log = source.and_then(|it| it.log.as_ref());
        log.map_or(0, super::log::LogFiles::frames_verified)
    }

    /// Makes the end of a window fail, after so many that do not.
    pub(super) fn break_end_after(&mut self, windows: u32) {
        if let Some(source) = &mut self.engine.source {
            source.broken_end = Some(windows);
        }
    }

    /// Takes hints by `rules` from now on.
    pub(super) fn set_rules(&mut self, rules: Rules) {
        self.engine.rules = rules;
    }
}
