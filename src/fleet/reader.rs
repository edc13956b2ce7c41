//! The connection of those who ask the fleet's database.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Executor, Row as _};

use super::Error;
use super::nodes::{Node, Nodes, Row};
use super::tail::Tail;
use crate::source::sql;

/// How many connections there are at most: questions are short.
const CONNECTIONS: u32 = 4;

/// How long a question waits for a connection.
const CONNECT: Duration = Duration::from_secs(2);

/// How long a connection that nobody uses is kept.
const IDLE: Duration = Duration::from_mins(1);

/// How often the log tells of rows that cannot be read, in seconds.
const SAY_EVERY: i64 = 60;

/// When the registrations of nodes end, sorted, by the node's id; each with the number of the node's transaction.
pub(super) type Ends = HashMap<String, (i64, Arc<Vec<i64>>)>;

/// The fleet, for those who ask.
#[derive(Debug)]
pub struct Fleet {
    pool: PgPool,
    last: Mutex<Last>,
    ends: Mutex<Ends>,
    tail: Tail,
    unreadable: Mutex<Unreadable>,
    failures: AtomicU64,
}

/// Rows that could not be read: a newer usrlocd wrote them.
#[derive(Debug, Default)]
struct Unreadable {
    total: u64,
    /// How many of them the log does not tell of yet.
    unsaid: u64,
    /// When it last did, by the database's clock, Unix seconds.
    said_at: Option<i64>,
}

/// What was read last.
#[derive(Debug, Default)]
struct Last {
    /// The nodes.
    nodes: Option<Arc<Nodes>>,
    /// Why they could not be read since.
    trouble: Option<Error>,
}

/// What became of a node that was to be forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forgotten {
    /// It is, and so are its registrations.
    Done,
    /// It runs, or did a minute ago.
    Running,
    /// There is none.
    Unknown,
}

impl Fleet {
    /// The fleet in the database that `url` names; it is connected to when something is asked.
    ///
    /// # Errors
    /// When the URL is not one.
    pub fn new(url: &str) -> Result<Self, Error> {
        let options =
            PgConnectOptions::from_str(url).map_err(|_| Error::Server(sql::Error::Url))?;
        let options = options
            .application_name("usrlocd fleet")
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(CONNECT)
            .idle_timeout(IDLE)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    connection.execute("set statement_timeout = '5s'").await?;
                    Ok(())
                })
            })
            .connect_lazy_with(options);
        Ok(Self {
            pool,
            last: Mutex::default(),
            ends: Mutex::default(),
            tail: Tail::default(),
            unreadable: Mutex::default(),
            failures: AtomicU64::default(),
        })
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(super) fn tail(&self) -> &Tail {
        &self.tail
    }

    /// The nodes now.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn nodes(&self) -> Result<Arc<Nodes>, Error> {
        let read = self.read_nodes().await.map(Arc::new);
        let mut last = self.last();
        match &read {
            Ok(nodes) => {
                last.nodes = Some(Arc::clone(nodes));
                last.trouble = None;
            }
            Err(error) => {
                last.trouble = Some(error.clone());
                self.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
        read
    }

    async fn read_nodes(&self) -> Result<Nodes, Error> {
        let query = sqlx::query(include_str!("../../sql/fleet/nodes.sql"));
        let rows = query.fetch_all(&self.pool).await?;
        let mut now = 0.0;
        let mut nodes = Vec::with_capacity(rows.len());
        for row in rows {
            let silent: Option<f64> = row.try_get(4)?;
            let number: i64 = row.try_get(6)?;
            now = row.try_get(12)?;
            nodes.push(Row {
                id: row.try_get(0)?,
                name: row.try_get::<String, _>(1)?.into(),
                epoch: row.try_get(2)?,
                synced_epoch: row.try_get(3)?,
                silent: silent.map_or(Duration::MAX, |silent| {
                    Duration::try_from_secs_f64(silent.max(0.0)).unwrap_or(Duration::MAX)
                }),
                is_stopped: row.try_get(5)?,
                seq: row.try_get(13)?,
                rows: number.max(0).cast_unsigned(),
                source_state: row.try_get(7)?,
                source_as_of: row.try_get(8)?,
                lag_ms: row.try_get(9)?,
                clock_offset_ms: row.try_get(10)?,
                version: row.try_get(11)?,
            });
        }
        #[expect(clippy::cast_possible_truncation, reason = "whole seconds are wanted")]
        let mut nodes = Nodes::new(nodes, now as i64);
        self.count_left(&mut nodes).await?;
        Ok(nodes)
    }

    /// The nodes when they were last read; `None` where they never were.
    #[must_use]
    pub fn last_nodes(&self) -> Option<Arc<Nodes>> {
        self.last().nodes.clone()
    }

    /// Why they could not be read when that was last tried.
    #[must_use]
    pub fn trouble(&self) -> Option<Error> {
        self.last().trouble.clone()
    }

    /// How often they could not be read.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// How many rows could not be read, each counted each time.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.unreadable_rows().total
    }

    /// A row of this node cannot be read, and the answer lacks it.
    pub(super) fn cannot_read(&self, nodes: &Nodes, node: &Node) {
        nodes.cannot_read(node);
        let mut rows = self.unreadable_rows();
        rows.total += 1;
        rows.unsaid += 1;
        if rows
            .said_at
            .is_none_or(|said| nodes.now - said >= SAY_EVERY)
        {
            rows.said_at = Some(nodes.now);
            tracing::warn!(
                node = %node.row.name,
                version = node.row.version,
                count = std::mem::take(&mut rows.unsaid),
                "registrations of a node of the fleet cannot be read, and answers lack them; upgrade this usrlocd"
            );
        }
    }

    fn unreadable_rows(&self) -> MutexGuard<'_, Unreadable> {
        let rows = self.unreadable.lock();
        rows.unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a node that will not come back, and its registrations.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn forget(&self, name: &str) -> Result<Forgotten, Error> {
        let mut transaction = self.pool.begin().await?;
        // Without this row it publishes nothing more, should it come back.
        let silent = sqlx::query(include_str!("../../sql/fleet/forget_node.sql"));
        let found = silent.bind(name).fetch_optional(&mut *transaction).await?;
        let Some(found) = found else {
            drop(transaction);
            let nodes = self.nodes().await?;
            let mut all = nodes.all().iter();
            return Ok(if all.any(|node| *node.row.name == *name) {
                Forgotten::Running
            } else {
                Forgotten::Unknown
            });
        };
        let id: String = found.try_get(0)?;
        for statement in [
            include_str!("../../sql/fleet/forget_rows.sql"),
            include_str!("../../sql/fleet/forget_blocks.sql"),
            include_str!("../../sql/fleet/forget_intents.sql"),
            include_str!("../../sql/fleet/forget_flapping.sql"),
        ] {
            let forget = sqlx::query(statement).bind(&id);
            forget.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(Forgotten::Done)
    }
}
