//! The tail: its states and its single step.
//!
//! `windows` lends verified windows on the files, a `follower` for each table knows what was reported of it and which
//! keys may have changed, and `engine` is the loop that leads from one to the other. `hints`, `hint_index` and `nodes`
//! say where to look, `sweep` looks everywhere, `mass_removal` is the guard.

mod engine;
mod epoch;
mod follower;
mod hint_index;
mod hints;
mod mass_removal;
mod nodes;
mod options;
mod pace;
mod pending;
mod rules;
mod schema_watch;
mod sweep;
mod windows;

use std::path::PathBuf;
use std::time::Duration;

use super::counters::Counters;
use super::reason::Reason;
use engine::Engine;
pub use mass_removal::{Balance, MassRemovalGuard};
pub use options::{HintIndexSpec, Sink, TableSpec, TailOptions};
#[cfg(test)]
pub(super) use rules::{Rule, Rules};

/// How long steps may fail before the state shows it.
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
    /// once, and what had been reported before and is not there has been confirmed gone.
    pub complete: bool,
    /// All that was reported equals the committed tables as of the beginning of this step.
    pub current: bool,
    /// Something was reported to the sink.
    pub changed: bool,
    /// Sleep at most this long until the next step; zero for at once.
    pub wake: Duration,
}

/// How the tail is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// There is nothing to read; what was reported before stands.
    Absent(Reason),
    /// The database has been opened, and not yet read.
    Opening,
    /// Every row is being compared; changes are reported meanwhile.
    CatchingUp,
    /// What is reported follows the commits.
    Live,
    /// The database is there and has not been readable for a second; what was reported before stands.
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

    /// Looks for changes and reports them to `sink`. The work of a step is bounded: a few milliseconds, and it never
    /// waits. `now` is monotonic.
    pub fn step(&mut self, now: Duration, sink: &mut dyn Sink) -> Step {
        let before = self.engine.counters();
        let result = self.engine.step(now, sink);
        let after = self.engine.counters();
        let changed = (after.upserts, after.deletes) != (before.upserts, before.deletes);
        match result {
            Ok(progress) => {
                self.failing = None;
                self.state = if progress.complete && !progress.resyncing {
                    State::Live
                } else {
                    State::CatchingUp
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
                let worked = after.windows > before.windows;
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

    /// Whether something may have been committed since the last step: a glance that costs a small part of one. `None`
    /// where only a step can tell, which is so without a write-ahead log and while nobody keeps its index up to date.
    #[must_use]
    pub fn has_news(&self) -> Option<bool> {
        self.engine.windows().has_news()
    }

    /// The counts so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.engine.counters()
    }

    /// Has every row compared once more, a second after `now` (monotonic), before removals are reported and the tables
    /// count as complete again: for a caller who misses much of what it knew from before this tail was made.
    pub fn confirm_removals(&mut self, now: Duration) {
        self.engine.confirm_removals(now);
    }

    /// The files whose changes are worth waking for, as far as they are known: the database and, with a
    /// write-ahead log, that log. A file that is not there yet appears in the directory.
    #[must_use]
    pub fn watch_paths(&self) -> Vec<PathBuf> {
        self.engine.windows().paths()
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
            Reason::Io { .. } if !self.engine.windows().are_open() => {
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
    /// Whether an audit has found everything as reported, in the state committed last.
    pub(super) fn is_audited(&self) -> bool {
        self.engine.has_audited()
    }

    /// Frames of the log whose checksum was computed.
    pub(super) fn frames_verified(&mut self) -> u64 {
        let source = self.engine.windows_mut().source();
        let log = source.and_then(|it| it.log.as_ref());
        log.map_or(0, super::log::LogFiles::frames_verified)
    }

    /// Makes the end of a window fail, after so many that do not.
    pub(super) fn break_end_after(&mut self, windows: u32) {
        if let Some(source) = self.engine.windows_mut().source() {
            source.broken_end = Some(windows);
        }
    }

    /// Takes hints by `rules` from now on.
    pub(super) fn set_rules(&mut self, rules: Rules) {
        self.engine.set_rules(rules);
    }
}
