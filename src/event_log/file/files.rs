//! The open file: its connections, and what makes it ours.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::Error;
use crate::own_database::{self, Purpose};

/// Never change a migration that was released.
pub(super) const PURPOSE: Purpose = Purpose {
    application_id: u32::from_be_bytes(*b"usrh"),
    migrations: &[include_str!(
        "../../../sql/history/migrations/0001_begin.sql"
    )],
    mode: 0o640,
    set_aside: "The history cannot be used; it was set aside and a new one was started. Earlier events are not shown",
    tune,
};

/// How many reads may go on at the same time.
const READERS: u32 = 4;

/// How long a reader's connection stays open without use.
const IDLE: Duration = Duration::from_mins(1);

/// The open file.
#[derive(Clone, Debug)]
pub(super) struct Files {
    /// One connection.
    pub(super) writer: SqlitePool,
    /// Read-only ones.
    pub(super) readers: SqlitePool,
    /// Device and inode.
    pub(super) identity: Option<(u64, u64)>,
}

fn tune(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        // What is deleted is gone from the file as well.
        .pragma("secure_delete", "ON")
        // The phones of a batch are all over the file: 8 MiB of it stay in memory.
        .pragma("cache_size", "-8192")
        .pragma("journal_size_limit", "4194304")
}

impl Files {
    pub(super) async fn open(path: &Path, now: i64) -> Result<Self, Error> {
        let writer = own_database::open(&PURPOSE, path, now).await;
        let writer = writer.map_err(Error::CannotOpen)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .row_buffer_size(own_database::ROW_BUFFER)
            // The upper levels of the trees stay in memory.
            .pragma("cache_size", "-4096")
            .disable_statement_logging();
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .idle_timeout(IDLE)
            .test_before_acquire(false)
            .connect_lazy_with(options);
        Ok(Self {
            writer,
            readers,
            identity: identity(path),
        })
    }
}

/// One transaction. After a failure its connection is closed: SQLite may have rolled back by itself, as it does when the
/// disk is full, and sqlx would believe to be in a transaction ever after.
pub(super) async fn commit<T>(
    pool: &SqlitePool,
    change: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
) -> Result<T, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let done = async {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let done = change(&mut transaction).await?;
        transaction.commit().await?;
        Ok(done)
    };
    let result = done.await;
    if result.is_err() {
        let _nothing_to_add = connection.close().await;
    }
    result
}

/// Device and inode of the file there.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

/// A number that nobody expects.
pub(super) fn random() -> Result<i64, sqlx::Error> {
    let random = getrandom::u64();
    random
        .map(u64::cast_signed)
        .map_err(|error| sqlx::Error::Io(io::Error::other(error.to_string())))
}
