//! Sources: where bindings come from.
//!
//! A source follows usrloc tables somewhere and reports, update by update, what became of the bindings in them, and
//! whether that is all there is. It knows nothing of accounts, lists or consumers.
//!
//! `usrloc` knows the columns and assembles bindings, for every source; `sqlite` follows the file that Kamailio's
//! `db_sqlite` writes, `sql` the tables that `db_postgres` or `db_mysql` writes on a server.

mod completeness;
pub mod sql;
pub mod sqlite;
mod updates;
pub mod usrloc;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use thiserror::Error;

use crate::clock::Clock;
use crate::heartbeat::Heartbeat;
use crate::metrics::Metrics;
use crate::progress::Progress;
use crate::registration::Changeset;

/// Something that bindings come from.
pub trait Source: Send {
    /// What is new since the last update; waits until there is something. Call it again when the update has been applied.
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the source has ended by itself, which is a bug.
    fn next(&mut self) -> impl Future<Output = Result<Update, Ended>> + Send;
}

/// Whichever source is configured.
#[derive(Debug)]
pub enum Configured {
    /// A file.
    File(sqlite::SqliteSource),
    /// The tables on a server.
    Server(sql::SqlSource),
}

impl Source for Configured {
    async fn next(&mut self) -> Result<Update, Ended> {
        match self {
            Self::File(source) => source.next().await,
            Self::Server(source) => source.next().await,
        }
    }
}

/// The source has ended although nobody stopped it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the thread that reads Kamailio's tables ended")]
pub struct Ended;

/// What a source works with.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where the thread shows that it is alive.
    pub heartbeat: Arc<Heartbeat>,
    /// Where the rows read so far are counted.
    pub rows_read: Arc<Progress>,
    /// Where the time from one comparison of all rows to the next is noted, in milliseconds.
    pub cycle: Arc<AtomicU64>,
}

/// What a source has found since the update before.
#[derive(Clone, Debug)]
pub struct Update {
    /// What became of bindings.
    pub changes: Changeset,
    /// The state of the tables after that.
    pub health: Health,
    /// Whether every row has been reported that was there when all of them had been read.
    pub complete: bool,
    /// Whether that was so at least once since the start.
    pub loaded: bool,
    /// The last moment (since the Unix epoch) at which everything committed until then is known to have been reported;
    /// `None` where that is no later than before.
    pub as_of: Option<Duration>,
    /// The file that is read, where the source reads a file and it is known.
    pub file: Option<PathBuf>,
}

/// The state of the tables.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Health {
    /// They are being opened for the first time.
    Opening,
    /// Every row is being compared with what was reported.
    CatchingUp,
    /// Everything that was committed has been reported.
    Live,
    /// They do not exist, or nobody could read them.
    Absent(Trouble),
    /// They exist, and cannot be read at the moment.
    Blocked(Trouble),
}

/// Why tables cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// In a word, for metrics.
    pub kind: &'static str,
    /// In words for an operator, without the name of a file.
    pub message: String,
}

impl Health {
    /// What is in the way; `None` while the tables can be read.
    #[must_use]
    pub fn trouble(&self) -> Option<&Trouble> {
        match self {
            Self::Absent(trouble) | Self::Blocked(trouble) => Some(trouble),
            Self::Opening | Self::CatchingUp | Self::Live => None,
        }
    }
}
