//! How far a start has come: what an earlier run left is restored, then Kamailio's tables are read. It is over when
//! every row of them is shown.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Registry;
use crate::progress::Progress;

/// What is known of a start while it lasts, and after it.
#[derive(Debug, Default)]
pub(super) struct Startup {
    pub(super) over: AtomicBool,
    restored: Arc<Progress>,
    read: Arc<Progress>,
}

/// How far a start has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Starting {
    /// Registrations of an earlier run that have been read back.
    pub restored: usize,
    /// How many there are of them; 0 where there are none, or their number is not known yet.
    pub total: usize,
    /// Rows of Kamailio's tables that have been read.
    pub read: usize,
}

impl fmt::Display for Starting {
    /// What is being done, in words for an operator.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            restored,
            total,
            read,
        } = self;
        if restored < total {
            write!(
                f,
                "restored {restored} of {total} registrations of the previous run"
            )
        } else if *total > 0 {
            write!(
                f,
                "compared {read} rows of Kamailio's tables with {total} registrations of the previous run"
            )
        } else {
            write!(f, "read {read} rows of Kamailio's tables")
        }
    }
}

impl Registry {
    /// How far the start has come; `None` once every row of Kamailio's tables has been shown.
    #[must_use]
    pub fn starting(&self) -> Option<Starting> {
        let Startup {
            over,
            restored,
            read,
        } = &self.startup;
        (!over.load(Ordering::Acquire)).then(|| Starting {
            restored: restored.done(),
            total: restored.total(),
            read: read.done(),
        })
    }

    /// Where to count the registrations of an earlier run that are read back.
    #[must_use]
    pub fn restored(&self) -> &Arc<Progress> {
        &self.startup.restored
    }

    /// Where to count the rows of Kamailio's tables that are read.
    #[must_use]
    pub fn read_rows(&self) -> &Arc<Progress> {
        &self.startup.read
    }

    /// Where a source says how long it takes from one comparison of all rows to the next, in milliseconds; 0 for one that
    /// hears of changes.
    #[must_use]
    pub fn cycle(&self) -> &Arc<AtomicU64> {
        &self.cycle
    }
}
