//! The source that asks a server: follows the usrloc tables that Kamailio's `db_postgres` or `db_mysql` writes.
//!
//! A server raises no event that a user with `SELECT` alone could hear, so the tables are asked. Each *comparison*
//! reads the id and the version of every row, in pages by primary key, then the rows that have changed: it finds
//! whatever has changed, and what is gone, and what was committed before it began is known when it ends. It costs more
//! the more rows there are, so its pace follows its cost. Between two of them *glances* look for what an index can find:
//! new ids, and the latest values of `last_modified`; they prove nothing, but are quick.

mod connection;
mod dialect;
mod error;
mod follow;
mod inspect;
mod pace;
mod rows;
mod standby;
mod table;
mod times;

use std::sync::Arc;

use jiff::tz::TimeZone;
use tokio::task::JoinSet;

pub use self::connection::check;
pub use self::error::Error;
use self::follow::Follower;
pub use self::inspect::{Inspected, Inspection, inspect};
use super::updates::Updates;
use super::{Ended, Parts, Source, Update};
use crate::own_thread;
use crate::registration::Binding;

/// What to follow.
#[derive(Clone)]
pub struct Options {
    /// The URL of the database, which may hold a password.
    pub url: String,
    /// The usrloc tables in it.
    pub tables: Vec<String>,
    /// The zone of Kamailio's process, in which it writes times.
    pub zone: TimeZone,
    /// The `server_id`s whose rows count; all where there are none.
    pub servers: Vec<i64>,
    /// The share of one of the server's cores that reading may take.
    pub load: f64,
}

/// Follows the tables of a server until it is dropped.
#[derive(Debug)]
pub struct SqlSource {
    updates: Arc<Updates>,
    task: JoinSet<std::io::Result<()>>,
}

/// Without the URL, which may hold a password.
impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("tables", &self.tables)
            .finish_non_exhaustive()
    }
}

impl SqlSource {
    /// Starts to follow the tables in `options`. `former` are the bindings that an earlier run knew: they are taken to
    /// exist until all rows have been read.
    #[must_use]
    pub fn start(options: Options, parts: Parts, former: Vec<Arc<Binding>>) -> Self {
        let updates = Arc::new(Updates::default());
        let follower = Follower::new(options, Arc::clone(&updates), parts);
        let mut task = JoinSet::new();
        task.spawn(own_thread::run("tail", follower.run(former)));
        Self { updates, task }
    }
}

impl Source for SqlSource {
    async fn next(&mut self) -> Result<Update, Ended> {
        tokio::select! {
            update = self.updates.take() => Ok(update),
            _ = self.task.join_next() => Err(Ended),
        }
    }
}
