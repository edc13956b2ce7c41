//! Where hints come from, and how often they are taken.

use std::time::Duration;

use crate::sqlite_file::reason::Result;
use crate::sqlite_file::source::Committed;
use crate::sqlite_file::walker::Span;

use super::hint_index::HintIndex;
use super::pending::Pending;
use super::rules::Rules;
use super::windows::Windows;

/// Rest after looking at all rows, for each row: 25 times what it takes.
const REST_A_ROW: Duration = Duration::from_micros(25);

/// Where the hints of a table come from.
#[derive(Debug, Default)]
pub(super) enum Hints {
    /// The write-ahead log.
    #[default]
    Log,
    /// An index.
    Index(Box<HintIndex>),
    /// Nowhere: each commit may have changed every row. There is no index, or it is damaged.
    Everything(Pace),
}

/// When hints are taken, and of which state they are.
#[derive(Debug, Default)]
pub(super) struct Pace {
    of: Option<Committed>,
    next: Duration,
}

impl Hints {
    /// Hints from the index with its root there, or from nowhere.
    pub(super) fn without_log(index: Option<u32>) -> Self {
        match index {
            None => Self::Everything(Pace::default()),
            Some(root) => Self::Index(Box::new(HintIndex::new(root))),
        }
    }

    /// Takes the hints that do not come from the log, where their rest is over. The table has `rows` rows;
    /// `looks_at_all`: all of them are about to be compared
    /// anyway.
    ///
    /// # Errors
    /// When an index cannot be read.
    pub(super) fn take(
        &mut self,
        now: Duration,
        windows: &mut Windows,
        pending: &mut Pending,
        rows: usize,
        looks_at_all: bool,
        rules: Rules,
    ) -> Result<()> {
        let mut walked = Ok(());
        if let Self::Index(index) = self {
            walked = index.take(now, windows, pending, rules);
            if index.is_given_up() {
                *self = Self::Everything(Pace::default());
            }
        }
        if let Self::Everything(pace) = self
            && pace.is_due(now, windows.state())
        {
            if !looks_at_all {
                pending.add(Span::ALL);
            }
            pace.rest(now, windows.state(), REST_A_ROW, rows);
        }
        walked
    }

    /// Whether all hints have been taken that `state` gives.
    pub(super) fn are_of(&self, state: Option<Committed>) -> bool {
        match self {
            Self::Log => true,
            Self::Index(index) => index.is_of(state),
            Self::Everything(pace) => pace.of == state,
        }
    }

    /// Whether what changes from now on will give hints.
    pub(super) fn are_ready(&self) -> bool {
        match self {
            Self::Log | Self::Everything(_) => true,
            Self::Index(index) => index.is_known(),
        }
    }

    /// Whether they come from the log.
    pub(super) fn come_from_log(&self) -> bool {
        matches!(self, Self::Log)
    }

    /// Whether some changes give no hint.
    pub(super) fn miss_some(&self) -> bool {
        matches!(self, Self::Index(_))
    }

    /// How long they may wait, with `state` committed.
    pub(super) fn rest(&self, now: Duration, state: Option<Committed>) -> Option<Duration> {
        let pace = match self {
            Self::Log => return None,
            Self::Index(index) => index.pace(),
            Self::Everything(pace) => pace,
        };
        (!self.are_of(state)).then(|| pace.next.saturating_sub(now))
    }
}

impl Pace {
    /// Whether it is time to take those of `state`.
    pub(super) fn is_due(&self, now: Duration, state: Option<Committed>) -> bool {
        self.of != state && now >= self.next
    }

    /// Whether those of `state` have been taken.
    pub(super) fn is_of(&self, state: Option<Committed>) -> bool {
        self.of == state
    }

    /// Those of `state` have been taken: rest for so long for each of so many.
    pub(super) fn rest(
        &mut self,
        now: Duration,
        state: Option<Committed>,
        each: Duration,
        many: usize,
    ) {
        let many = u32::try_from(many).unwrap_or(u32::MAX);
        self.of = state;
        self.next = now + each.saturating_mul(many);
    }

    /// Taking them has failed: it is tried again at once.
    pub(super) fn hurry(&mut self, now: Duration) {
        self.next = now;
    }
}
