//! Windows: reading pages that were one committed state, as often as writers make it necessary.
//!
//! [`Windows`] has the files open, knows what was committed last, and lends its pages for the length of a [`Window`].
//! What was read counts only when the window has held. What became of the files meanwhile is noted, for the engine to
//! act on.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::sqlite_file::counters::Counters;
use crate::sqlite_file::reason::{Reason, Result};
use crate::sqlite_file::source::{Committed, Source};
use crate::sqlite_file::walker::Walker;

use super::epoch::{Epoch, FIRST, Suspicion};

/// Frames of the log read at a time.
const FRAMES: u32 = 4096;
/// Lost windows in succession after which reading gives up until the next step.
const ATTEMPTS: u32 = 50;
/// Leaves read in a window, at most.
const WIDTH: usize = 128;
/// How long after a commit another is expected soon.
const LINGER: Duration = Duration::from_secs(1);

/// The files, and the committed state that windows on them show.
#[derive(Debug)]
pub(super) struct Windows {
    path: PathBuf,
    source: Option<Source>,
    /// The committed state that windows show.
    state: Option<Committed>,
    /// What that is a state of; `None` until the tables have been found in it.
    epoch: Option<Epoch>,
    suspicion: Suspicion,
    upheaval: Upheaval,
    /// Pages that commits have changed, not yet taken.
    changed: HashSet<u32>,
    /// When the last commit was seen.
    committed_at: Duration,
    walker: Walker,
    /// Leaves in a window, fewer while writers make windows fail.
    width: usize,
    counters: Counters,
}

/// The pages of one committed state, as long as it lasts.
#[derive(Debug)]
pub(super) struct Window<'a> {
    /// The pages.
    pub(super) pages: &'a mut Source,
    /// A way through them.
    pub(super) walker: &'a mut Walker,
    /// How many leaves to read at most, for the window to hold.
    pub(super) width: usize,
}

/// What became of the files, in order of what has to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Upheaval {
    /// Nothing but commits, each of which was seen.
    #[default]
    None,
    /// Changes may have gone by unread.
    Gap,
    /// The files may be others than before.
    Replaced,
}

impl Windows {
    /// Windows on the database at `path`; nothing is opened yet.
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            source: None,
            state: None,
            epoch: None,
            suspicion: Suspicion::default(),
            upheaval: Upheaval::default(),
            changed: HashSet::new(),
            committed_at: Duration::ZERO,
            walker: Walker::default(),
            width: WIDTH,
            counters: Counters::default(),
        }
    }

    /// Makes sure that the files asked for are the ones that are open.
    ///
    /// # Errors
    /// When there is no database to open.
    pub(super) fn open(&mut self) -> Result<()> {
        match self.is_in_place() {
            Ok(true) => return Ok(()),
            Ok(false) => self.close(),
            Err(reason) => {
                self.close();
                return Err(reason);
            }
        }
        self.source = Some(Source::open(&self.path)?);
        Ok(())
    }

    fn is_in_place(&self) -> Result<bool> {
        self.source.as_ref().map_or(Ok(false), Source::is_in_place)
    }

    fn close(&mut self) {
        self.source = None;
        self.epoch = None;
        self.state = None;
        self.changed.clear();
    }

    /// Looks what was committed; whether there is more in the log than is read at a time.
    ///
    /// # Errors
    /// When no committed state can be had now.
    pub(super) fn refresh(&mut self, now: Duration) -> Result<bool> {
        let source = self.source.as_mut().ok_or(Reason::Missing)?;
        let (state, found) = source.refresh(now, FRAMES, &mut self.changed)?;
        self.counters.frames_followed += u64::from(found.frames);
        self.counters.wal_restarts += u64::from(found.restarted);
        if found.gap {
            self.counters.gaps += 1;
            self.suspect(Suspicion::Schema);
            self.upheaval = self.upheaval.max(Upheaval::Gap);
        }
        if self.changed.remove(&FIRST) {
            self.suspect(Suspicion::Header);
        }
        if let Committed::File(version) = state
            && self.epoch.is_some_and(|it| !it.has(version.header()))
        {
            self.suspect(Suspicion::Schema);
        }
        if found.replaced {
            self.counters.epochs += 1;
            self.upheaval = Upheaval::Replaced;
        }
        if self.state.replace(state) != Some(state) {
            self.committed_at = now;
        }
        Ok(found.behind)
    }

    /// Reads in windows, as often as writers make it necessary; `read` begins anew each time.
    ///
    /// # Errors
    /// When writers leave no window or a page cannot be read; also when the schema has to be looked at first, because
    /// roots may have moved.
    pub(super) fn read<T>(
        &mut self,
        now: Duration,
        read: impl FnMut(&mut Window<'_>) -> Result<T>,
    ) -> Result<T> {
        self.read_while(now, read, |it| it.suspicion == Suspicion::None)
    }

    /// As [`Self::read`], but for the schema itself.
    ///
    /// # Errors
    /// When writers leave no window, or a page cannot be read.
    pub(super) fn read_schema<T>(
        &mut self,
        now: Duration,
        read: impl FnMut(&mut Window<'_>) -> Result<T>,
    ) -> Result<T> {
        self.read_while(now, read, |_| true)
    }

    fn read_while<T>(
        &mut self,
        now: Duration,
        mut read: impl FnMut(&mut Window<'_>) -> Result<T>,
        is_worthwhile: impl Fn(&Self) -> bool,
    ) -> Result<T> {
        for _ in 0..ATTEMPTS {
            if let Some(value) = self.try_read(&mut read)? {
                self.width = (self.width + 1 + self.width / 8).min(WIDTH);
                return Ok(value);
            }
            self.narrow();
            let behind = self.refresh(now)?;
            if behind || !is_worthwhile(self) || !self.is_in_place()? {
                break;
            }
        }
        Err(Reason::Busy)
    }

    /// Reads in one window; `None` when a writer was faster.
    ///
    /// # Errors
    /// When a page cannot be read, or whether the window has held cannot be known.
    pub(super) fn try_read<T>(
        &mut self,
        read: impl FnOnce(&mut Window<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let (Some(source), Some(state)) = (self.source.as_mut(), self.state) else {
            return Err(Reason::Missing);
        };
        self.walker.clear();
        source.begin(&state);
        let value = read(&mut Window {
            pages: source,
            walker: &mut self.walker,
            width: self.width,
        });
        let held = source.end(&state);
        let reads = std::mem::take(&mut source.reads);
        self.counters.pages_read += reads.pages;
        self.counters.bytes_read += reads.bytes;
        if !held? {
            self.counters.windows_lost += 1;
            return Ok(None);
        }
        self.counters.windows += 1;
        if matches!(value, Err(Reason::Malformed(_))) {
            // Perhaps it is not where it was.
            self.suspect(Suspicion::Schema);
        }
        value.map(Some)
    }

    /// Makes windows shorter, because one was lost.
    pub(super) fn narrow(&mut self) {
        self.width = (self.width / 2).max(1);
    }

    /// The schema may not be what it was.
    pub(super) fn suspect(&mut self, suspicion: Suspicion) {
        self.suspicion = self.suspicion.max(suspicion);
    }

    /// What has to be read before the roots of tables count again.
    pub(super) fn suspicion(&self) -> Suspicion {
        self.suspicion
    }

    /// The schema has been read.
    pub(super) fn trust(&mut self) {
        self.suspicion = Suspicion::None;
    }

    /// The committed state that windows show.
    pub(super) fn state(&self) -> Option<Committed> {
        self.state
    }

    /// What it is a state of.
    pub(super) fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// The tables have been found in `epoch`; or, with `None`, are being looked for.
    pub(super) fn set_epoch(&mut self, epoch: Option<Epoch>) {
        self.counters.epochs += u64::from(epoch.is_some());
        self.epoch = epoch;
    }

    /// What became of the files since this was last called.
    pub(super) fn take_upheaval(&mut self) -> Upheaval {
        std::mem::take(&mut self.upheaval)
    }

    /// The pages that commits have changed since this was last called.
    pub(super) fn take_changed(&mut self) -> HashSet<u32> {
        std::mem::take(&mut self.changed)
    }

    /// Whether commits come now.
    pub(super) fn is_busy(&self, now: Duration) -> bool {
        now.saturating_sub(self.committed_at) < LINGER
    }

    /// Whether something may have been committed since the last refresh; `None` where only a refresh can tell.
    pub(super) fn has_news(&self) -> Option<bool> {
        self.source.as_ref()?.has_news()
    }

    /// Whether files are open.
    pub(super) fn are_open(&self) -> bool {
        self.source.is_some()
    }

    /// The files, as far as they are known.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        match &self.source {
            Some(source) => source.paths(),
            None => vec![self.path.clone()],
        }
    }

    /// What was read, and what happened to the files.
    pub(super) fn counters(&self) -> Counters {
        self.counters
    }

    /// The open files.
    #[cfg(test)]
    pub(super) fn source(&mut self) -> Option<&mut Source> {
        self.source.as_mut()
    }
}
