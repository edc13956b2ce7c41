//! The task that follows the tables of a server: it asks, assembles bindings and posts updates.

mod compare;

use std::sync::Arc;
use std::time::Duration;

use super::Options;
use super::connection::Connection;
use super::dialect::Dialect;
use super::error::Error;
use super::pace::{Due, Pace, Ways};
use super::rows::Rows;
use super::standby;
use super::table::{self, Table};
use crate::metrics::TailCounts;
use crate::registration::Binding;
use crate::source::completeness::{Completeness, Extent, Moment};
use crate::source::updates::Updates;
use crate::source::usrloc::{Holds, Reading, Usrloc};
use crate::source::{Health, Parts, Update};
use crate::sqlite_file::MassRemovalGuard;

/// The rows of a page of whole rows.
const ROWS: usize = 2_000;

/// Whole rows that are asked for by their ids, at a time.
const CHOSEN: usize = 500;

/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(1);

/// Where so many updates wait that more had better come later.
const PAUSE: Duration = Duration::from_millis(10);

/// Between two looks at the columns and indexes of the tables.
const LOOK: Duration = Duration::from_mins(1);

/// Follows the tables of a server.
#[derive(Debug)]
pub(super) struct Follower {
    options: Options,
    parts: Parts,
    updates: Arc<Updates>,
    connection: Option<Connection>,
    /// By their places in [`Usrloc`].
    tables: Vec<Table>,
    /// Whether the server follows another one.
    is_standby: bool,
    /// The latest moment (Unix) as of which a standby had everything.
    replayed: Duration,
    /// When their columns were looked at.
    looked: Duration,
    usrloc: Usrloc,
    guard: MassRemovalGuard,
    completeness: Completeness,
    pace: Pace,
    reading: Reading,
    health: Health,
    /// The health and completeness of the last update.
    posted: Option<(Health, bool)>,
    counts: TailCounts,
}

impl Follower {
    pub(super) fn new(options: Options, updates: Arc<Updates>, parts: Parts) -> Self {
        let usrloc = Usrloc::new(&options.tables);
        Self {
            pace: Pace::new(options.load),
            options,
            parts,
            updates,
            connection: None,
            tables: Vec::new(),
            is_standby: false,
            replayed: Duration::ZERO,
            looked: Duration::ZERO,
            usrloc,
            guard: MassRemovalGuard::default(),
            completeness: Completeness::default(),
            reading: Reading::Underway,
            health: Health::Opening,
            posted: None,
            counts: TailCounts::default(),
        }
    }

    /// Follows the tables until it is dropped. `former` are the bindings that an earlier run knew.
    pub(super) async fn run(mut self, former: Vec<Arc<Binding>>) {
        let (clock, heartbeat) = (
            Arc::clone(&self.parts.clock),
            Arc::clone(&self.parts.heartbeat),
        );
        let follow = async {
            self.usrloc.know(former);
            loop {
                self.turn().await;
            }
        };
        let beat = async {
            let mut beat = tokio::time::interval(BEAT);
            loop {
                beat.tick().await;
                heartbeat.beat(clock.monotonic());
            }
        };
        tokio::select! {
            () = follow => {}
            () = beat => {}
        }
    }

    fn now(&self) -> Duration {
        self.parts.clock.monotonic()
    }

    /// Waits for the next thing to do, and does it.
    async fn turn(&mut self) {
        let now = self.now();
        let (due, at) = self.pace.next();
        let wake = self
            .usrloc
            .deadline()
            .map_or(at, |deadline| deadline.min(at));
        if now < wake {
            tokio::time::sleep(wake.saturating_sub(now)).await;
        } else if self.updates.is_full() {
            tokio::time::sleep(PAUSE).await;
        } else if now < at {
            self.post(None);
        } else if let Err(error) = self.ask(due).await {
            self.fail(&error);
        }
    }

    async fn ask(&mut self, due: Due) -> Result<(), Error> {
        self.connect().await?;
        match due {
            Due::Comparison => self.compare().await,
            Due::Ids => self.read_ids().await,
            Due::Glance => self.glance().await,
        }
    }

    /// Nothing can be read for this reason.
    fn fail(&mut self, error: &Error) {
        self.connection = None;
        self.health = error.health();
        self.reading = Reading::Interrupted;
        self.post(None);
        self.pace.failed(self.now());
    }

    /// Connects, where that has not been done, and looks what the tables are like, now and then.
    async fn connect(&mut self) -> Result<(), Error> {
        let now = self.now();
        let is_new = self.connection.is_none();
        if !is_new && now.saturating_sub(self.looked) < LOOK {
            return Ok(());
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.options.url, Arc::clone(&self.parts.clock)).await?,
        };
        if self.tables.is_empty()
            && let Some(dialect) = Dialect::of(&self.options.url)
        {
            let wanted = self.usrloc.tables().into_iter();
            self.tables = wanted.map(|table| Table::new(dialect, table)).collect();
        }
        if Dialect::of(&self.options.url) == Some(Dialect::Postgres) {
            self.is_standby = standby::is_standby(&mut connection).await?;
        }
        for (place, table) in self.tables.iter_mut().enumerate() {
            table.look(&mut connection, &self.options.servers).await?;
            self.usrloc.set_columns(place, |name| table.place(name));
        }
        let mut bindings = self.tables.iter().filter(|it| it.holds == Holds::Bindings);
        let has_index = bindings.clone().all(Table::has_index);
        self.pace.set_ways(Ways {
            has_index,
            // Without an index only comparisons find changes, and they have the whole share.
            reads_ids: has_index && bindings.any(Table::has_costly_versions),
        });
        self.looked = now;
        self.connection = Some(connection);
        if is_new {
            // It may be another server than before, or an older copy of the tables.
            self.guard.raise();
            self.reading = Reading::Underway;
            self.health = Health::CatchingUp;
            self.post(None);
        }
        Ok(())
    }

    /// Reads a table of which nothing is known.
    async fn load(&mut self, table: usize) -> Result<(), Error> {
        loop {
            let rows = {
                let (tables, connection) = self.parts_of(table)?;
                tables.rows_after(connection, None, ROWS).await?
            };
            let before = self.tables[table].known.len();
            self.upsert(table, &rows);
            self.post(None);
            if rows.len() < ROWS || self.tables[table].known.len() == before {
                return Ok(());
            }
        }
    }

    /// Looks for what can be found by an index: new rows, and those that were modified last.
    async fn glance(&mut self) -> Result<(), Error> {
        let mut rows = 0;
        for table in 0..self.tables.len() {
            if self.tables[table].holds != Holds::Bindings {
                continue;
            }
            if self.tables[table].has_index() {
                let now = self.now();
                let connection = self.connection.as_mut().ok_or(Error::Failed)?;
                let (seen, changed) = self.tables[table].recent(connection, now).await?;
                self.read(table, &changed).await?;
                rows += seen + changed.len();
            }
            rows += self.read_new(table).await?;
        }
        rows += self.read_attributes().await?;
        self.post(None);
        let (now, busy) = (self.now(), self.busy());
        self.pace.glanced(now, rows, busy);
        Ok(())
    }

    /// Reads the rows with these ids. Where they are bindings, the attributes that came with them are read before they
    /// are reported: without these a registration may seem to be another account's.
    async fn read(&mut self, table: usize, ids: &[i64]) -> Result<(), Error> {
        for ids in ids.chunks(CHOSEN) {
            let (of, connection) = self.parts_of(table)?;
            let rows = of.rows_of(connection, ids).await?;
            self.upsert(table, &rows);
        }
        if !ids.is_empty() && self.tables[table].holds == Holds::Bindings {
            self.read_attributes().await?;
            self.post(None);
        }
        Ok(())
    }

    /// Reads the attributes that have come. Returns how many.
    async fn read_attributes(&mut self) -> Result<usize, Error> {
        let mut rows = 0;
        for table in 0..self.tables.len() {
            if self.tables[table].holds == Holds::Attributes {
                rows += self.read_new(table).await?;
            }
        }
        Ok(rows)
    }

    /// Reads rows with ids beyond those that are known, a page at most. Returns how many.
    async fn read_new(&mut self, table: usize) -> Result<usize, Error> {
        let (of, connection) = self.parts_of(table)?;
        let rows = of.rows_after(connection, None, ROWS).await?;
        self.upsert(table, &rows);
        Ok(rows.len())
    }

    /// A table, and the connection to read it.
    fn parts_of(&mut self, table: usize) -> Result<(&Table, &mut Connection), Error> {
        let connection = self.connection.as_mut().ok_or(Error::Failed)?;
        Ok((&self.tables[table], connection))
    }

    /// Takes over rows of a table.
    fn upsert(&mut self, table: usize, rows: &Rows) {
        let reading = table::Reading {
            zone: self.options.zone.clone(),
            now: self.parts.clock.unix_seconds(),
        };
        let mut versions = Vec::with_capacity(rows.len());
        for (id, version, row) in self.tables[table].read(rows, &reading) {
            self.usrloc.upsert(table, &row);
            versions.push((id, version));
        }
        self.counts.upserts += versions.len() as u64;
        self.tables[table].known.extend(versions);
        let known: usize = self.tables.iter().map(|table| table.known.len()).sum();
        self.parts.rows_read.reach(known);
    }

    fn busy(&mut self) -> Duration {
        let connection = self.connection.as_mut();
        connection.map(Connection::take_busy).unwrap_or_default()
    }

    fn count(&mut self, took: Duration) {
        self.counts.rows = self.tables.iter().map(|it| it.known.len() as u64).sum();
        let source = &self.parts.metrics.source;
        source.stepped(&self.counts, took);
        source.understood(self.usrloc.bad_rows(), self.usrloc.orphans());
    }

    /// Reports what is new. `compared` is the moment as of which every row has been compared, where that has just been
    /// done.
    fn post(&mut self, compared: Option<Moment>) {
        let now = self.now();
        let changes = self.usrloc.changes(now, self.reading);
        let withheld = self.usrloc.withheld_since();
        let unix = self.parts.clock.unix();
        let moment = compared.unwrap_or(Moment { now, unix });
        let Extent {
            complete,
            loaded,
            as_of,
        } = self
            .completeness
            .after_step(moment, self.reading, compared.is_some(), withheld);
        let state = Some((self.health.clone(), complete));
        if changes.is_empty() && self.posted == state && as_of.is_none() {
            return;
        }
        self.posted = state;
        self.updates.put(Update {
            changes,
            health: self.health.clone(),
            complete,
            loaded,
            as_of,
            file: None,
        });
    }
}
