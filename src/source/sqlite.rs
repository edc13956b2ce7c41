//! The SQLite source: follows the file that Kamailio's `db_sqlite` writes, on a thread of its own.

mod completeness;
mod discover;
mod follow;
mod mass_removal;
mod permissions;
mod rows;
mod schedule;
mod trouble;
mod updates;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::oneshot;

use self::follow::Follower;
use self::schedule::StopOnDrop;
use self::updates::Updates;
use super::{Ended, Source, Update};
use crate::clock::Clock;
use crate::heartbeat::Heartbeat;
use crate::metrics::Metrics;
use crate::progress::Progress;
use crate::registration::Binding;

/// What to follow.
#[derive(Clone, Debug)]
pub struct Options {
    /// Kamailio's database.
    pub database: PathBuf,
    /// Look for the database below this directory, until there is one; `None` when it is known.
    pub discover: Option<PathBuf>,
    /// Our own store, which is never what is looked for.
    pub store: PathBuf,
    /// The usrloc tables in it.
    pub tables: Vec<String>,
}

/// The parts that the source works with.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where the thread shows that it is at work.
    pub heartbeat: Arc<Heartbeat>,
    /// Where the rows are counted that have been read.
    pub rows_read: Arc<Progress>,
}

/// A database that is followed until this is dropped.
#[derive(Debug)]
pub struct SqliteSource {
    updates: Arc<Updates>,
    ended: oneshot::Receiver<()>,
    _stop: StopOnDrop,
}

impl SqliteSource {
    /// Follows what `options` say. `former` are the bindings that an earlier run knew: they are taken to exist until all
    /// rows have been read.
    ///
    /// # Errors
    /// When the operating system starts no thread.
    pub fn start(
        options: Options,
        parts: Parts,
        former: Vec<Arc<Binding>>,
    ) -> std::io::Result<Self> {
        let updates = Arc::new(Updates::default());
        let (ended, stop) = Follower::new(options, Arc::clone(&updates), parts).start(former)?;
        Ok(Self {
            updates,
            ended,
            _stop: stop,
        })
    }
}

impl Source for SqliteSource {
    async fn next(&mut self) -> Result<Update, Ended> {
        tokio::select! {
            update = self.updates.take() => Ok(update),
            _ = &mut self.ended => Err(Ended),
        }
    }
}
