//! Our own store: registrations with the time they were first seen, hidden (flushed) ones, the audit of flushes.
//!
//! A SQLite file of our own, and a cache: whatever is wrong with its content, it is set aside and a new one is
//! filled from Kamailio's tables. It is read once, at a start; after that the mirror only writes to it. It must
//! never touch Kamailio's database.

mod bulk;
mod file;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use sqlx::sqlite::SqlitePool;
use sqlx::{Connection, SqliteConnection};

use crate::registration::{Binding, Key};
pub use crate::registration::{Departed, Hidden};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A registration as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The row of usrloc.
    pub binding: Arc<Binding>,
    /// When its ruid was first seen: `last_modified` of then, Unix seconds.
    pub first_registration: i64,
    /// The id of the account that owns it.
    pub account: Option<Arc<str>>,
}

/// A line of the audit that is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlushId(i64);

/// One line of the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlushRecord {
    /// When, Unix seconds.
    pub at: i64,
    /// The name of the token, never the token.
    pub token: String,
    /// The caller's address, or user on the Unix socket.
    pub client: String,
    /// The request's id.
    pub request_id: String,
    /// The account that was flushed.
    pub account: Option<String>,
    /// The user, where one user was flushed.
    pub username: Option<String>,
    /// The filters, as a query string.
    pub filters: String,
    /// How many bindings went.
    pub flushed: u64,
    /// How many did not.
    pub failed: u64,
    /// When it ended, Unix seconds; `None` while it has not, and for ever where usrlocd ended before it did.
    pub ended: Option<i64>,
}

/// What changed since the last batch. What is removed goes before what is upserted comes.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Registrations that are there, whether new or not.
    pub upserts: Vec<Stored>,
    /// Registrations whose rows are gone.
    pub removed: Vec<Key>,
    /// Users to remember; the latest time of each counts.
    pub departed: Vec<Departed>,
    /// Rows that are hidden no longer, as they were hidden.
    pub unhidden: Vec<Hidden>,
    /// Users who departed before this Unix second are forgotten.
    pub forget_departed_before: i64,
    /// With this batch the store equals Kamailio's tables as they were at this moment, since the Unix epoch.
    pub as_of: Option<Duration>,
}

/// Everything that is kept, but for the audit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    /// The registrations, in no particular order.
    pub registrations: Vec<Stored>,
    /// Users who departed, the earliest first.
    pub departed: Vec<Departed>,
    /// Hidden rows, the earliest first.
    pub hidden: Vec<Hidden>,
    /// The last moment, since the Unix epoch, at which this was known to equal Kamailio's tables.
    pub as_of: Option<Duration>,
}

/// The open store. No other process can open it at the same time.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    opened_at: i64,
    pool: Mutex<SqlitePool>,
    renewal: tokio::sync::Mutex<()>,
    /// A new store was begun outside [`Store::apply`], whose caller does not know it yet.
    begun_anew: AtomicBool,
    _lock: File,
}

/// Why the store cannot do what was asked. Nothing of a batch is written then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file, or its directory, cannot be made or opened.
    #[error("cannot create {path}; let usrlocd's user write its directory, or set [store] path")]
    CannotCreate {
        /// What cannot be created.
        path: PathBuf,
        /// The system's word.
        source: BoxError,
    },
    /// Another process has it open.
    #[error("the store {path} is in use by another process; stop it, or set another [store] path")]
    InUse {
        /// The store.
        path: PathBuf,
    },
    /// A write failed: a full disk, a read-only file system, a faulty disk. The next one may work.
    #[error(
        "cannot write to the store {path}; check the disk's free space and health, and the file's permissions"
    )]
    CannotWrite {
        /// The store.
        path: PathBuf,
        /// SQLite's word.
        source: BoxError,
    },
    /// A read failed.
    #[error("cannot read the store {path}")]
    CannotRead {
        /// The store.
        path: PathBuf,
        /// SQLite's word.
        source: BoxError,
    },
    /// Its content was at fault and it was set aside; the new one is empty and wants every registration and every
    /// hidden row again.
    #[error("the store {path} was broken and has been begun anew")]
    BegunAnew {
        /// The store.
        path: PathBuf,
    },
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
    Batch(&'a Batch),
    Hide(&'a [Hidden]),
    Unhide(&'a [Hidden]),
    /// A line of the audit, and where to say which one it is.
    Flush(Option<FlushId>, &'a FlushRecord, &'a OnceLock<FlushId>),
    /// Accounts that nobody has any more.
    Forget(&'a [i64]),
}

impl Store {
    /// Opens the store at `path`, making it and its directory where they are missing. A file whose content is at
    /// fault is set aside as `<name>.broken-<now>`.
    ///
    /// # Errors
    /// [`Error::CannotCreate`], [`Error::InUse`], [`Error::CannotWrite`].
    pub async fn open(path: &Path, now: i64) -> Result<Self, Error> {
        let lock = file::lock(path)?;
        let pool = file::open(path, now).await?;
        Ok(Self {
            path: path.to_path_buf(),
            opened_at: now,
            pool: Mutex::new(pool),
            renewal: tokio::sync::Mutex::default(),
            begun_anew: AtomicBool::default(),
            _lock: lock,
        })
    }

    /// Reads everything; to be called before the first batch, because what is written meanwhile fails. A store that
    /// turns out to be broken is set aside, and a new one has nothing.
    ///
    /// # Errors
    /// [`Error::CannotRead`], and those of [`Store::open`].
    pub async fn load(&self) -> Result<Contents, Error> {
        let _one_at_a_time = self.renewal.lock().await;
        match self.read_all().await {
            Ok((contents, unused)) => {
                self.forget_accounts(&unused).await;
                Ok(contents)
            }
            Err(error) if file::is_broken(&error) => {
                self.renew(&self.pool(), &error).await?;
                Ok(Contents::default())
            }
            Err(error) => Err(self.cannot_read(error)),
        }
    }

    /// The contents, and the ids of accounts that nobody has any more.
    async fn read_all(&self) -> Result<(Contents, Vec<i64>), sqlx::Error> {
        let pool = self.pool();
        let (mut contents, accounts) =
            read::all_but_registrations(&mut *pool.acquire().await?).await?;
        let accounts = Arc::new(accounts);
        // To close a file drops the locks that SQLite of the same process has on it: it must have none then.
        pool.close().await;
        let (path, names) = (self.path.clone(), Arc::clone(&accounts));
        let bulk = move || bulk::registrations(&path, &names);
        let read = tokio::task::spawn_blocking(bulk).await;
        let pool = file::unopened(&self.path);
        self.replace_pool(pool.clone());
        contents.registrations = match read {
            Ok(Ok(registrations)) => registrations,
            strange => {
                tracing::debug!(?strange, "reads the store row by row");
                read::registrations(&mut *pool.acquire().await?, &accounts).await?
            }
        };
        // Whoever has an account shares its name.
        let is_unused = |name: &Arc<str>| Arc::strong_count(name) == 1;
        let unused = accounts.iter().filter(|(_, name)| is_unused(name));
        let unused = unused.map(|(id, _)| *id).collect();
        Ok((contents, unused))
    }

    /// Forgets accounts that nobody has any more.
    async fn forget_accounts(&self, unused: &[i64]) {
        if unused.is_empty() {
            return;
        }
        let forget = Change::Forget(unused);
        if let Err(error) = commit(&self.pool(), Durability::Process, forget).await {
            // They take a little room until the next start.
            tracing::debug!(%error, "cannot forget accounts");
        }
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
        let Err(error) = commit(&pool, Durability::Process, Change::Batch(batch)).await else {
            return Ok(());
        };
        if !file::is_broken(&error) {
            return Err(self.cannot_write(error));
        }
        self.begin_anew(&pool, &error).await?;
        Err(self.is_begun_anew())
    }

    /// Hides rows. On return this holds even if the machine loses power.
    ///
    /// # Errors
    /// [`Error::CannotWrite`].
    pub async fn hide(&self, rows: &[Hidden]) -> Result<(), Error> {
        self.write_surely(Durability::Power, Change::Hide(rows))
            .await
    }

    /// Hides rows. On return this holds even if this process is killed; until the next [`Store::hide`] a loss of
    /// power may undo it.
    ///
    /// # Errors
    /// [`Error::CannotWrite`].
    pub async fn hide_lightly(&self, rows: &[Hidden]) -> Result<(), Error> {
        self.write_surely(Durability::Process, Change::Hide(rows))
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
    pub async fn record_flush(
        &self,
        id: Option<FlushId>,
        record: &FlushRecord,
    ) -> Result<FlushId, Error> {
        let written = OnceLock::new();
        let change = Change::Flush(id, record, &written);
        self.write_surely(Durability::Power, change).await?;
        Ok(*written.get().expect("what is written has an id"))
    }

    /// The audit's last lines, the latest first.
    ///
    /// # Errors
    /// [`Error::CannotRead`].
    pub async fn flushes(&self, limit: u32) -> Result<Vec<FlushRecord>, Error> {
        let pool = self.pool();
        let read = async { read::flushes(&mut *pool.acquire().await?, limit).await };
        read.await.map_err(|error| self.cannot_read(error))
    }

    /// Ends the connection; what SQLite's log still has goes into the file.
    pub async fn close(self) {
        self.pool().close().await;
    }

    /// Writes into this store or, where it is broken, into the new one. The mirror learns of that at its next
    /// batch.
    async fn write_surely(&self, durability: Durability, change: Change<'_>) -> Result<(), Error> {
        let pool = self.pool();
        let Err(error) = commit(&pool, durability, change).await else {
            return Ok(());
        };
        if !file::is_broken(&error) {
            return Err(self.cannot_write(error));
        }
        self.begin_anew(&pool, &error).await?;
        self.begun_anew.store(true, Ordering::Release);
        commit(&self.pool(), durability, change)
            .await
            .map_err(|error| self.cannot_write(error))
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
        file::set_aside(&self.path, self.opened_at, &reason.to_string())?;
        let new = file::open(&self.path, self.opened_at).await?;
        self.replace_pool(new);
        Ok(())
    }

    fn replace_pool(&self, new: SqlitePool) {
        *self.pool.lock().unwrap_or_else(PoisonError::into_inner) = new;
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
        Change::Batch(batch) => write::apply(&mut transaction, batch).await?,
        Change::Hide(rows) => write::hide(&mut transaction, rows).await?,
        Change::Unhide(rows) => write::unhide(&mut transaction, rows).await?,
        Change::Flush(id, record, written) => {
            let id = write::record_flush(&mut transaction, id, record).await?;
            written.get_or_init(|| id);
        }
        Change::Forget(ids) => write::forget_accounts(&mut transaction, ids).await?,
    }
    transaction.commit().await
}
