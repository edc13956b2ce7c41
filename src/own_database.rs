//! SQLite files of our own: lock, create, open, migrate, set aside.
//!
//! What is in one can be had again, or is not worth a stop: a file whose content is at fault is set aside and a new one
//! begun. Another program's database is never written, moved or locked, whichever path led there.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a file of ours is for.
#[derive(Debug)]
pub struct Purpose {
    /// Marks a SQLite file as ours and of this purpose.
    pub application_id: u32,
    /// Schema versions in order; `user_version` counts how many a file has. Never change one that was released.
    pub migrations: &'static [&'static str],
    /// The permissions of the file.
    pub mode: u32,
    /// What the log says when one is set aside.
    pub set_aside: &'static str,
    /// What connections have besides; `auto_vacuum` takes effect when the file is made.
    pub tune: fn(SqliteConnectOptions) -> SqliteConnectOptions,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file, or its directory, cannot be made or opened.
    #[error("cannot create {path}")]
    CannotCreate {
        /// What cannot be created.
        path: PathBuf,
        /// The operating system's error.
        source: BoxError,
    },
    /// The file there is another program's database, or a part of one. It is left as it is.
    #[error("{path} is another program's database")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Another process has it open.
    #[error("{path} is in use by another process")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// SQLite refuses.
    #[error("cannot write to {path}")]
    CannotWrite {
        /// The file.
        path: PathBuf,
        /// SQLite's error.
        source: BoxError,
    },
}

/// How many broken files are kept.
const KEPT_ASIDE: usize = 3;

/// What a database starts with, and where its header has the application's id (SQLite's file format, 1.3).
const MAGIC: &[u8] = b"SQLite format 3\0";
const ID_AT: usize = 68;
const HEADER: u64 = 100;

/// What the files start with that SQLite keeps beside a database: logs in either byte order, and journals.
const MAGIC_BESIDE: [&[u8]; 3] = [
    &[0x37, 0x7f, 0x06, 0x82],
    &[0x37, 0x7f, 0x06, 0x83],
    &[0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7],
];

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Rows buffered between SQLite's thread and ours; with fewer each waits for the other's turn.
pub const ROW_BUFFER: usize = 1024;

/// SQLite result codes that say that the file's content is at fault (`SQLITE_CORRUPT`, `SQLITE_NOTADB`).
const BROKEN_CODES: [i32; 2] = [11, 26];

/// What keeps a file from being used.
enum Refusal {
    /// It is not a database, is corrupt, or was written by a later version of usrlocd.
    Broken(String),
    /// It is another program's database.
    Foreign,
    /// The system or SQLite refuses.
    Failed(sqlx::Error),
}

/// Refuses a file that is another program's database, or kept beside one: it is not ours to write, to lock or to
/// move, whichever path led there. It is only read.
///
/// # Errors
/// [`Error::Foreign`], and [`Error::CannotCreate`] where the file cannot be read.
pub fn refuse_foreign(purpose: &Purpose, path: &Path) -> Result<(), Error> {
    // If it is not a file, creating it will say what is wrong.
    if !path.is_file() {
        return Ok(());
    }
    let mut header = Vec::new();
    File::open(path)
        .and_then(|file| file.take(HEADER).read_to_end(&mut header))
        .map_err(|source| cannot_create(path, source))?;
    if is_foreign(purpose, &header) {
        return Err(Error::Foreign {
            path: path.to_path_buf(),
        });
    }
    Ok(())
}

/// Whether a file that starts so belongs to another program. A file that is not a database at all is a broken one of ours.
fn is_foreign(purpose: &Purpose, header: &[u8]) -> bool {
    if MAGIC_BESIDE.iter().any(|magic| header.starts_with(magic)) {
        return true;
    }
    let id = header.get(ID_AT..ID_AT + 4);
    header.starts_with(MAGIC) && id.is_some_and(|id| id != purpose.application_id.to_be_bytes())
}

/// The right to use a file alone; given up with this value.
#[derive(Debug)]
pub struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child that is being started has every open file until it executes its
        // program, and a lock of flock(2) lasts until the last copy is closed.
        if let Err(error) = self.0.unlock() {
            tracing::debug!(%error, "cannot unlock a database; closing its lock file does that");
        }
    }
}

/// Makes sure that this process alone uses the file at `path`, for as long as the lock is held. Makes its directory.
///
/// # Errors
/// [`Error::InUse`] and [`Error::CannotCreate`].
pub fn lock(path: &Path) -> Result<Lock, Error> {
    if let Some(directory) = path.parent().filter(|path| !path.as_os_str().is_empty()) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| cannot_create(directory, source))?;
    }
    let lock_path = beside(path, ".lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&lock_path)
        .map_err(|source| cannot_create(&lock_path, source))?;
    match lock.try_lock() {
        Ok(()) => Ok(Lock(lock)),
        Err(TryLockError::WouldBlock) => Err(Error::InUse {
            path: path.to_path_buf(),
        }),
        Err(TryLockError::Error(source)) => Err(cannot_create(&lock_path, source)),
    }
}

/// Opens the file at `path`, or sets aside what is there and begins a new one.
///
/// # Errors
/// Where not even a new one can be had.
pub async fn open(purpose: &Purpose, path: &Path, now: i64) -> Result<SqlitePool, Error> {
    let refusal = match try_open(purpose, path).await? {
        Ok(pool) => return Ok(pool),
        Err(refusal) => refusal,
    };
    let Refusal::Broken(reason) = refusal else {
        return Err(refused(path, refusal));
    };
    set_aside(purpose, path, now, &reason)?;
    try_open(purpose, path)
        .await?
        .map_err(|refusal| refused(path, refusal))
}

fn refused(path: &Path, refusal: Refusal) -> Error {
    match refusal {
        Refusal::Failed(source) => failed(path, source),
        Refusal::Broken(reason) => failed(path, sqlx::Error::Protocol(reason)),
        Refusal::Foreign => Error::Foreign {
            path: path.to_path_buf(),
        },
    }
}

async fn try_open(purpose: &Purpose, path: &Path) -> Result<Result<SqlitePool, Refusal>, Error> {
    create(purpose, path)?;
    if let Err(refusal) = mark(purpose, path).await {
        return Ok(Err(refusal));
    }
    let pool = unopened(purpose, path);
    let prepared = async { prepare(purpose, &mut *pool.acquire().await?).await };
    match prepared.await {
        Ok(()) => Ok(Ok(pool)),
        Err(refusal) => {
            pool.close().await;
            Ok(Err(refusal))
        }
    }
}

/// The file at `path`, to be opened when it is first needed.
fn unopened(purpose: &Purpose, path: &Path) -> SqlitePool {
    let options = (purpose.tune)(SqliteConnectOptions::new())
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(BUSY_TIMEOUT)
        .row_buffer_size(ROW_BUFFER)
        .disable_statement_logging();
    SqlitePoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_lazy_with(options)
}

/// Marks a new file as ours before it has a log: the mark is then in the file itself, where it can be seen without
/// SQLite.
async fn mark(purpose: &Purpose, path: &Path) -> Result<(), Refusal> {
    // A mark that was interrupted has left a journal, and is rolled back when the file is opened next.
    let interrupted = beside(path, "-journal").exists();
    if fs::metadata(path).map_err(sqlx::Error::Io)?.len() > 0 && !interrupted {
        return Ok(());
    }
    let options = (purpose.tune)(SqliteConnectOptions::new())
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    let mut connection = options.connect().await?;
    let mark = format!("PRAGMA application_id = {}", purpose.application_id);
    let marked = sqlx::raw_sql(AssertSqlSafe(mark)).execute(&mut connection);
    let marked = marked.await.map(drop);
    connection.close().await?;
    Ok(marked?)
}

/// Makes an empty file with our mode, which SQLite's side files then take over. Side files of one that is gone would be
/// read as part of the new one.
fn create(purpose: &Purpose, path: &Path) -> Result<(), Error> {
    if !path.exists() {
        for side in sides(path) {
            remove_if_there(&side).map_err(|source| cannot_create(&side, source))?;
        }
    }
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(purpose.mode)
        .open(path)
        .and_then(|file| file.set_permissions(Permissions::from_mode(purpose.mode)))
        .map_err(|source| cannot_create(path, source))
}

/// Checks whose database this is, brings its schema up to date, and shows that it can be written.
async fn prepare(purpose: &Purpose, connection: &mut SqliteConnection) -> Result<(), Refusal> {
    let application_id = number(connection, "PRAGMA application_id").await?;
    let version = number(connection, "PRAGMA user_version").await?;
    let objects = number(connection, "SELECT count(*) FROM sqlite_schema").await?;
    let is_new = application_id == 0 && version == 0 && objects == 0;
    if !is_new && application_id != i64::from(purpose.application_id) {
        return Err(Refusal::Foreign);
    }
    let known = usize::try_from(version)
        .ok()
        .filter(|version| *version <= purpose.migrations.len());
    let Some(done) = known else {
        return Err(Refusal::Broken(format!(
            "its schema version {version} is not known to this usrlocd, which knows {}",
            purpose.migrations.len()
        )));
    };
    execute(connection, "BEGIN IMMEDIATE").await?;
    for migration in &purpose.migrations[done..] {
        execute(connection, migration).await?;
    }
    let marks = format!(
        "PRAGMA application_id = {}; PRAGMA user_version = {}; COMMIT",
        purpose.application_id,
        purpose.migrations.len()
    );
    sqlx::raw_sql(AssertSqlSafe(marks))
        .execute(&mut *connection)
        .await?;
    Ok(())
}

async fn number(connection: &mut SqliteConnection, sql: &'static str) -> Result<i64, Refusal> {
    Ok(sqlx::query_scalar(sql).fetch_one(connection).await?)
}

async fn execute(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), Refusal> {
    sqlx::raw_sql(sql).execute(connection).await?;
    Ok(())
}

/// Renames the file and its side files to `<name>.broken-<now>`, or the next free second, and forgets all but the latest
/// of such copies.
///
/// # Errors
/// [`Error::CannotCreate`]
pub fn set_aside(purpose: &Purpose, path: &Path, now: i64, reason: &str) -> Result<(), Error> {
    let aside = (now..now.saturating_add(1000))
        .map(|second| beside(path, &format!(".broken-{second}")))
        .find(|aside| !aside.exists())
        .unwrap_or_else(|| beside(path, ".broken"));
    // The file itself goes last: a crash in between leaves no side file for a new one to read.
    let moves = sides(path).into_iter().zip(sides(&aside));
    for (from, to) in moves.chain([(path.to_path_buf(), aside.clone())]) {
        match fs::rename(&from, &to) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(cannot_create(&to, source));
            }
            _ => {}
        }
    }
    tracing::warn!(
        file = %path.display(), aside = %aside.display(), reason,
        "{}", purpose.set_aside
    );
    forget_old_copies(path);
    Ok(())
}

/// A failure to tidy up must not prevent a start.
fn forget_old_copies(path: &Path) {
    for aside in copies_aside(path).into_iter().rev().skip(KEPT_ASIDE) {
        for file in sides(&aside).into_iter().chain([aside]) {
            if let Err(error) = remove_if_there(&file) {
                tracing::warn!(file = %file.display(), %error, "cannot remove an old broken database");
            }
        }
    }
}

/// Files that were set aside, the oldest first.
#[must_use]
pub fn copies_aside(path: &Path) -> Vec<PathBuf> {
    let directory = path.parent().filter(|path| !path.as_os_str().is_empty());
    let prefix = format!(
        "{}.broken-",
        path.file_name().unwrap_or_default().to_string_lossy()
    );
    let Ok(entries) = fs::read_dir(directory.unwrap_or(Path::new("."))) else {
        return Vec::new();
    };
    let mut copies: Vec<(i64, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name();
            let second = name.to_str()?.strip_prefix(&prefix)?.parse().ok()?;
            Some((second, entry.path()))
        })
        .collect();
    copies.sort();
    copies.into_iter().map(|(_, path)| path).collect()
}

/// Whether an error means that the file's content is at fault, so that a new one is the way on.
#[must_use]
pub fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error
            .code()
            .and_then(|code| code.parse::<i32>().ok())
            .is_some_and(|code| BROKEN_CODES.contains(&(code & 0xff))),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => true,
        _ => false,
    }
}

/// SQLite and permissions: what opening failed with, as the operator should read it.
fn failed(path: &Path, source: sqlx::Error) -> Error {
    Error::CannotWrite {
        path: path.to_path_buf(),
        source: source.into(),
    }
}

fn cannot_create(path: &Path, source: io::Error) -> Error {
    Error::CannotCreate {
        path: path.to_path_buf(),
        source: source.into(),
    }
}

#[cfg(test)]
impl Lock {
    /// The copy of the open lock file that a child has until it executes its program.
    pub(crate) fn of_a_child(&self) -> File {
        self.0.try_clone().expect("an open file can be copied")
    }
}

fn sides(path: &Path) -> [PathBuf; 2] {
    [beside(path, "-shm"), beside(path, "-wal")]
}

/// The file that SQLite keeps beside a database under this suffix.
#[must_use]
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        if is_broken(&error) {
            Self::Broken(error.to_string())
        } else {
            Self::Failed(error)
        }
    }
}
