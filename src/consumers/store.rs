//! Our own store: registrations with the time they were first seen, hidden (flushed) ones, the audit of flushes, the
//! sessions of the page.
//!
//! A SQLite file of our own, and a cache: if anything is wrong with its content, it is set aside and a new one is
//! filled from Kamailio's tables. It is read once, at a start; after that the pipeline only writes to it. It must
//! never touch Kamailio's database.

mod content;
mod error;
mod kept_sessions;
mod read;
mod reading;
mod record;
mod shapes;
#[cfg(test)]
mod tests;
mod write;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use sqlx::sqlite::SqlitePool;
use sqlx::{Connection, SqliteConnection};
use tokio::sync::RwLock;

use crate::own_database::{self, Lock, Purpose};
use crate::registration::Key;
pub use crate::registration::{Hidden, Stored, Tombstone};
use crate::sessions::{Id, Record};
pub use content::{AuditId, AuditRecord, Batch, Contents};
pub use error::Error;
pub use reading::Reading;
use shapes::KnownShapes;

/// Never change a migration that was released.
const PURPOSE: Purpose = Purpose {
    application_id: u32::from_be_bytes(*b"usrl"),
    migrations: &[
        include_str!("../../sql/store/migrations/0001_begin.sql"),
        include_str!("../../sql/store/migrations/0002_source.sql"),
        include_str!("../../sql/store/migrations/0003_owners.sql"),
        include_str!("../../sql/store/migrations/0004_ended.sql"),
        include_str!("../../sql/store/migrations/0005_records.sql"),
        include_str!("../../sql/store/migrations/0006_intents.sql"),
        include_str!("../../sql/store/migrations/0007_sessions.sql"),
        include_str!("../../sql/store/migrations/0008_notify.sql"),
        include_str!("../../sql/store/migrations/0009_shapes.sql"),
    ],
    mode: 0o600,
    set_aside: "The store cannot be used; it was set aside and a new one is filled from Kamailio's tables. \
                First-registration times and the audit of flushes begin anew",
    tune: |options| options,
};

/// The open store. No other process can open it at the same time.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    opened_at: i64,
    pool: Mutex<SqlitePool>,
    renewal: tokio::sync::Mutex<()>,
    /// A new store was begun outside [`Store::apply`], whose caller does not know it yet.
    begun_anew: AtomicBool,
    /// Whether the index of owners has been made.
    indexed: AtomicBool,
    /// The shapes that it has; `None` where that is not known.
    shapes: Mutex<Option<KnownShapes>>,
    /// Writes wait while the store is read as it was left.
    gate: RwLock<()>,
    _lock: Lock,
}

/// How much a write must survive once it has returned.
#[derive(Clone, Copy)]
enum Durability {
    /// The end of this process.
    Process,
    /// The end of power.
    Power,
}

/// What a transaction writes.
#[derive(Clone, Copy)]
enum Change<'a> {
    /// What was gathered, and whether there is an index of owners.
    Batch(&'a Batch, bool, &'a Mutex<Option<KnownShapes>>),
    Hide(&'a [Hidden]),
    /// Rows that are about to be removed.
    Intend(&'a [Hidden]),
    Unhide(&'a [Hidden]),
    /// A line of the audit, and where to say which one it is.
    Audit(Option<AuditId>, &'a AuditRecord, &'a OnceLock<AuditId>),
    /// Sessions of the page, and those that ended.
    Sessions(&'a [Record], &'a [Id]),
}

impl Store {
    /// Opens the store at `path`, making it and its directory where they are missing. A file whose content is at
    /// fault is set aside as `<name>.broken-<now>`; a database that is not ours is left as it is.
    ///
    /// # Errors
    /// [`Error::CannotCreate`], [`Error::Foreign`], [`Error::InUse`], [`Error::CannotWrite`].
    pub async fn open(path: &Path, now: i64) -> Result<Self, Error> {
        own_database::refuse_foreign(&PURPOSE, path)?;
        let lock = own_database::lock(path)?;
        let pool = own_database::open(&PURPOSE, path, now).await?;
        Ok(Self {
            path: path.to_path_buf(),
            opened_at: now,
            pool: Mutex::new(pool),
            renewal: tokio::sync::Mutex::default(),
            begun_anew: AtomicBool::default(),
            indexed: AtomicBool::default(),
            shapes: Mutex::default(),
            gate: RwLock::default(),
            _lock: lock,
        })
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a batch, all or nothing.
    ///
    /// # Errors
    /// [`Error::CannotWrite`]: nothing was written, and the same batch may be tried again. [`Error::BegunAnew`]:
    /// nothing is there, the next batch must bring everything.
    pub async fn apply(&self, batch: &Batch) -> Result<(), Error> {
        if self.begun_anew.swap(false, Ordering::AcqRel) {
            return Err(self.is_begun_anew());
        }
        let pool = self.pool();
        let indexed = self.indexed.load(Ordering::Acquire);
        let change = Change::Batch(batch, indexed, &self.shapes);
        let Err(error) = self.commit(&pool, Durability::Process, change).await else {
            if batch.owners.is_some() {
                self.index(&pool).await;
            }
            return Ok(());
        };
        if !own_database::is_broken(&error) {
            return Err(self.cannot_write(error));
        }
        self.begin_anew(&pool, &error).await?;
        Err(self.is_begun_anew())
    }

    /// The keys of its registrations, but for those of which `is_kept` is true.
    ///
    /// # Errors
    /// [`Error::CannotRead`].
    pub async fn keys_but(&self, is_kept: impl Fn(&Key) -> bool) -> Result<Vec<Key>, Error> {
        let pool = self.pool();
        let read = async { read::keys_but(&mut *pool.acquire().await?, is_kept).await };
        read.await.map_err(|error| self.cannot_read(error))
    }

    /// Hides rows. On return this holds even if the machine loses power.
    ///
    /// # Errors
    /// [`Error::CannotWrite`].
    pub async fn hide(&self, rows: &[Hidden]) -> Result<(), Error> {
        self.write_surely(Durability::Power, Change::Hide(rows))
            .await
    }

    /// Notes rows that are about to be removed; [`Store::hide`] says that they were, [`Store::unhide`] that they were
    /// not. On return this holds even if this process is killed; until the next [`Store::hide`] a loss of power may undo it.
    ///
    /// # Errors
    /// [`Error::CannotWrite`].
    pub async fn intend(&self, rows: &[Hidden]) -> Result<(), Error> {
        self.write_surely(Durability::Process, Change::Intend(rows))
            .await
    }

    /// Shows hidden rows again, but for those that were hidden anew after what `rows` says.
    ///
    /// # Errors
    /// [`Error::CannotWrite`].
    pub async fn unhide(&self, rows: &[Hidden]) -> Result<(), Error> {
        self.write_surely(Durability::Process, Change::Unhide(rows))
            .await
    }

    /// Adds a line to the audit, or writes over the one that is there as `id`; the audit keeps 100,000 lines and 400
    /// days. It holds even if the machine loses power.
    ///
    /// # Errors
    /// [`Error::CannotWrite`].
    ///
    /// # Panics
    /// Never: what is written has an id.
    pub async fn record(
        &self,
        id: Option<AuditId>,
        record: &AuditRecord,
    ) -> Result<AuditId, Error> {
        let written = OnceLock::new();
        let change = Change::Audit(id, record, &written);
        self.write_surely(Durability::Power, change).await?;
        Ok(*written.get().expect("what is written has an id"))
    }

    /// Begins to read what an earlier run left. A store that turns out to be broken is set aside, and a new one has
    /// nothing.
    ///
    /// # Errors
    /// [`Error::CannotRead`], and those of [`Store::open`].
    pub async fn reading(&self) -> Result<Reading<'_>, Error> {
        Reading::begin(self).await
    }

    /// Everything that is kept.
    ///
    /// # Errors
    /// Those of [`Store::reading`].
    pub async fn load(&self) -> Result<Contents, Error> {
        let reading = self.reading().await?;
        reading.everything(&std::sync::Arc::default()).await
    }

    /// The audit's last lines, the latest first.
    ///
    /// # Errors
    /// [`Error::CannotRead`].
    pub async fn flushes(&self, limit: usize) -> Result<Vec<AuditRecord>, Error> {
        let lines = self.audit(None, None, limit).await?;
        Ok(lines.into_iter().map(|(_, record)| record).collect())
    }

    /// The lines of the audit before the one with the number `before`, the latest first: those of `accounts`, or all.
    ///
    /// # Errors
    /// [`Error::CannotRead`].
    pub async fn audit(
        &self,
        accounts: Option<&[String]>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(AuditId, AuditRecord)>, Error> {
        let pool = self.pool();
        let read =
            async { read::audit(&mut *pool.acquire().await?, accounts, before, limit).await };
        read.await.map_err(|error| self.cannot_read(error))
    }

    /// Ends the connection, whoever may still have the store; what SQLite's log still has goes into the file. No other process
    /// can open the store until the last holder has let go.
    pub async fn close(&self) {
        self.pool().close().await;
    }

    /// Writes into this store or, where it is broken, into the new one. The pipeline learns of that at its next
    /// batch.
    async fn write_surely(&self, durability: Durability, change: Change<'_>) -> Result<(), Error> {
        let pool = self.pool();
        let Err(error) = self.commit(&pool, durability, change).await else {
            return Ok(());
        };
        if !own_database::is_broken(&error) {
            return Err(self.cannot_write(error));
        }
        self.begin_anew(&pool, &error).await?;
        self.begun_anew.store(true, Ordering::Release);
        self.commit(&self.pool(), durability, change)
            .await
            .map_err(|error| self.cannot_write(error))
    }

    /// Sees to it, once, that accounts can be read one by one at the next start. Without that it waits for all.
    async fn index(&self, pool: &SqlitePool) {
        if self.indexed.swap(true, Ordering::AcqRel) {
            return;
        }
        let index = sqlx::query(include_str!("../../sql/store/registration_owner.sql"));
        if let Err(error) = index.execute(pool).await {
            tracing::debug!(%error, "cannot make an index of accounts");
        }
    }

    async fn commit(
        &self,
        pool: &SqlitePool,
        durability: Durability,
        change: Change<'_>,
    ) -> Result<(), sqlx::Error> {
        let _nobody_reads = self.gate.read().await;
        commit(pool, durability, change).await
    }

    /// Sets the file aside and opens a new one, unless another caller has done so since `broken` was taken.
    async fn begin_anew(&self, broken: &SqlitePool, reason: &sqlx::Error) -> Result<(), Error> {
        let _one_at_a_time = self.renewal.lock().await;
        if broken.is_closed() {
            return Ok(());
        }
        self.renew(broken, reason).await
    }

    async fn renew(&self, broken: &SqlitePool, reason: &sqlx::Error) -> Result<(), Error> {
        broken.close().await;
        own_database::set_aside(&PURPOSE, &self.path, self.opened_at, &reason.to_string())?;
        let new = own_database::open(&PURPOSE, &self.path, self.opened_at).await?;
        *self.pool.lock().unwrap_or_else(PoisonError::into_inner) = new;
        self.indexed.store(false, Ordering::Release);
        self.forget_shapes();
        Ok(())
    }

    /// Has the shapes read again before anything is written.
    fn forget_shapes(&self) {
        *self.shapes.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn pool(&self) -> SqlitePool {
        self.pool
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn is_begun_anew(&self) -> Error {
        Error::BegunAnew {
            path: self.path.clone(),
        }
    }

    fn cannot_read(&self, source: sqlx::Error) -> Error {
        Error::CannotRead {
            path: self.path.clone(),
            source: source.into(),
        }
    }

    fn cannot_write(&self, source: sqlx::Error) -> Error {
        Error::CannotWrite {
            path: self.path.clone(),
            source: source.into(),
        }
    }
}

#[cfg(test)]
impl Store {
    /// The copy of the lock's file that a child has until it executes its program.
    #[expect(
        clippy::used_underscore_binding,
        reason = "only tests look at what is held to the end"
    )]
    fn lock_of_a_child(&self) -> std::fs::File {
        self._lock.of_a_child()
    }

    /// Runs a test's own statements.
    pub(crate) async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.pool()).await.unwrap();
    }
}

/// One transaction. After a failure its connection is closed: SQLite may have rolled back by itself, as it does
/// when the disk is full, and sqlx would believe to be in a transaction ever after.
async fn commit(
    pool: &SqlitePool,
    durability: Durability,
    change: Change<'_>,
) -> Result<(), sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let result = match durability {
        Durability::Process => write_once(&mut connection, change).await,
        Durability::Power => write_through(&mut connection, change).await,
    };
    if result.is_err() {
        let _nothing_to_add = connection.close().await;
    }
    result
}

/// `synchronous=FULL` makes SQLite flush its log at the commit. It cannot change inside a transaction; should this
/// future be dropped in the middle, later commits are slower but right.
async fn write_through(
    connection: &mut SqliteConnection,
    change: Change<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query("PRAGMA synchronous = FULL")
        .execute(&mut *connection)
        .await?;
    write_once(connection, change).await?;
    sqlx::query("PRAGMA synchronous = NORMAL")
        .execute(connection)
        .await?;
    Ok(())
}

async fn write_once(
    connection: &mut SqliteConnection,
    change: Change<'_>,
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    match change {
        Change::Batch(batch, is_indexed, shapes) => {
            let known = || shapes.lock().unwrap_or_else(PoisonError::into_inner);
            // Taken: what is not committed is not known.
            let taken = known().take();
            let mut now = match taken {
                Some(taken) => taken,
                None => KnownShapes::read(&mut transaction).await?,
            };
            write::apply(&mut transaction, batch, is_indexed, &mut now).await?;
            transaction.commit().await?;
            *known() = Some(now);
            return Ok(());
        }
        Change::Hide(rows) => write::hide(&mut transaction, rows, false).await?,
        Change::Intend(rows) => write::hide(&mut transaction, rows, true).await?,
        Change::Unhide(rows) => write::unhide(&mut transaction, rows).await?,
        Change::Audit(id, record, written) => {
            let id = write::record(&mut transaction, id, record).await?;
            written.get_or_init(|| id);
        }
        Change::Sessions(put, remove) => {
            kept_sessions::write(&mut transaction, put, remove).await?;
        }
    }
    transaction.commit().await
}
