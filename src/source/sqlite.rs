//! The SQLite source: follows the file that Kamailio's `db_sqlite` writes, on a thread of its own.

mod discover;
mod follow;
mod permissions;
mod rows;
mod schedule;
mod translate;

mod watch;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::oneshot;

use self::follow::Follower;
use self::watch::StopOnDrop;
use super::updates::Updates;
use super::{Ended, Parts, Source, Update};
use crate::registration::Binding;

/// What to follow.
#[derive(Clone, Debug)]
pub struct Options {
    /// Kamailio's database.
    pub database: PathBuf,
    /// Look for the database below this directory, until there is one; `None` when it is known.
    pub discover: Option<PathBuf>,
    /// usrlocd's own store, which is never what is looked for.
    pub store: PathBuf,
    /// The usrloc tables in it.
    pub tables: Vec<String>,
}

/// Follows a database until it is dropped.
#[derive(Debug)]
pub struct SqliteSource {
    updates: Arc<Updates>,
    ended: oneshot::Receiver<()>,
    _stop: StopOnDrop,
}

impl SqliteSource {
    /// Starts to follow the tables in `options`. `former` are the bindings that an earlier run knew: they are taken to
    /// exist until all rows have been read.
    ///
    /// # Errors
    /// When the operating system cannot start a thread.
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
