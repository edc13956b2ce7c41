//! The history: events on disk, in a SQLite file of our own.
//!
//! Most of what an event says, an earlier one has said: the file has each phone once, and of each event only what
//! differs. The rows of a phone, and those of an account, are chains from the newest to the oldest. What is too old or
//! too much is deleted a little at a time, with each append; everything that only deleted events needed goes with them.
//!
//! One connection writes; others read at the same time, and neither waits for the other.

mod append;
mod code;
mod common;
mod cursors;
mod error;
mod files;
mod forget;
mod pack;
mod phones;
mod places;
mod prune;
mod query;
mod record;
mod rows;
mod state;
#[cfg(test)]
mod tests;
mod users;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::Row;
use sqlx::SqliteConnection;

use crate::clock::Clock;
use crate::events::Event;
use crate::events::json::LogId;
use crate::own_database::{self, Lock};
pub use error::{Error, ReadError};
use files::{Files, PURPOSE, commit, identity, random};
pub use query::{Of, Query};
use users::User;

/// After so many events it is looked what is too old or too much: not with each that comes alone.
const UNPRUNED: usize = 64;

/// Where the history is, and how much of it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The file.
    pub path: PathBuf,
    /// How long events are kept.
    pub keep: Duration,
    /// How many bytes the file and its log may take.
    pub size: u64,
}

/// The history. No other process can open it at the same time.
#[derive(Debug)]
pub struct History {
    options: Options,
    clock: Arc<dyn Clock>,
    files: Mutex<Files>,
    /// One change at a time; and how many events were appended since it was last looked what is too old or too much.
    writing: tokio::sync::Mutex<usize>,
    figures: Figures,
    _lock: Lock,
}

/// What can be asked without the file.
#[derive(Debug, Default)]
struct Figures {
    log: AtomicU64,
    newest: AtomicU64,
    oldest: AtomicU64,
    /// One more than the time of the oldest event; 0 where there is none.
    oldest_at: AtomicU64,
    bytes: AtomicU64,
}

impl History {
    /// Opens the history, making it and its directory where they are missing. A file whose content is at fault, or that
    /// a later version wrote, is set aside as `<name>.broken-<now>`; a database that is not ours is left as it is.
    ///
    /// # Errors
    /// [`Error::CannotOpen`], [`Error::CannotWrite`].
    pub async fn open(options: Options, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        own_database::refuse_foreign(&PURPOSE, &options.path).map_err(Error::CannotOpen)?;
        let lock = own_database::lock(&options.path).map_err(Error::CannotOpen)?;
        let files = Files::open(&options.path, clock.unix_seconds()).await?;
        let history = Self {
            options,
            clock,
            files: Mutex::new(files),
            writing: tokio::sync::Mutex::default(),
            figures: Figures::default(),
            _lock: lock,
        };
        match history.begin().await {
            Ok(()) => {}
            Err(error) if own_database::is_broken(&error) => {
                history.begin_anew_because(&error.to_string()).await?;
            }
            Err(error) => return Err(history.cannot_write(error)),
        }
        Ok(history)
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.options.path
    }

    /// Which log it is.
    #[must_use]
    pub fn log(&self) -> LogId {
        LogId(self.figures.log.load(Ordering::Acquire))
    }

    /// The number of the newest event; 0 before the first.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.figures.newest.load(Ordering::Acquire)
    }

    /// The number of the oldest event that is kept; one more than the newest where none is.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.figures.oldest.load(Ordering::Acquire)
    }

    /// When the oldest event that is kept was seen, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn oldest_at(&self) -> Option<u64> {
        self.figures
            .oldest_at
            .load(Ordering::Acquire)
            .checked_sub(1)
    }

    /// How many bytes the file and its log take.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.figures.bytes.load(Ordering::Acquire)
    }

    /// How many numbers of events are kept.
    #[must_use]
    pub fn events(&self) -> u64 {
        (self.newest() + 1).saturating_sub(self.oldest())
    }

    /// Gives the log another id, because continuity was lost. Numbers go on.
    ///
    /// # Errors
    /// [`Error::CannotWrite`], [`Error::BegunAnew`].
    pub async fn new_log(&self) -> Result<LogId, Error> {
        let _one_at_a_time = self.writing.lock().await;
        let renew = async |connection: &mut SqliteConnection| {
            let log = random()?;
            let put = sqlx::query("UPDATE log SET number = ?1").bind(log);
            put.execute(connection).await.map(|_| log.cast_unsigned())
        };
        let log = self.write(renew).await?;
        self.figures.log.store(log, Ordering::Release);
        Ok(LogId(log))
    }

    /// Writes events, all or none. Their numbers follow the newest, without a hole among them; those that are there
    /// already are passed over. Deletes some of what is too old or too much.
    ///
    /// # Errors
    /// [`Error::CannotWrite`]: nothing was written, and the same events may be tried again. [`Error::BegunAnew`]: nothing
    /// is there any more, and the same events may be tried again.
    pub async fn append(&self, events: &[Arc<Event>]) -> Result<(), Error> {
        let mut unpruned = self.writing.lock().await;
        self.be_there().await?;
        let added = *unpruned + events.len();
        let is_due = events.is_empty() || added >= UNPRUNED || self.oldest_at().is_none();
        let newest = self
            .write(async |connection: &mut SqliteConnection| {
                let newest = append::append(connection, events).await?;
                if is_due {
                    prune::prune(connection, &self.limits(2 * added)).await?;
                }
                Ok(newest)
            })
            .await?;
        self.figures.newest.fetch_max(newest, Ordering::AcqRel);
        *unpruned = if is_due { 0 } else { added };
        if is_due {
            self.refresh().await?;
        }
        Ok(())
    }

    /// Deletes some of what is too old or too much; for times when nothing is appended.
    ///
    /// # Errors
    /// Those of [`Self::append`].
    pub async fn prune(&self) -> Result<(), Error> {
        self.append(&[]).await
    }

    /// At most `limit` of the events after number `after`, ascending.
    ///
    /// # Errors
    /// [`ReadError::TooOld`] where the first of them is not kept any more.
    pub async fn read(&self, after: u64, limit: usize) -> Result<Vec<Event>, ReadError> {
        if after + 1 < self.oldest() {
            return Err(ReadError::TooOld);
        }
        let read = async { rows::after(&mut *self.reader().await?, after, limit).await };
        let found = read.await.map_err(|error| self.cannot_read(error))?;
        match found {
            // Some were deleted in between.
            Some((oldest, _)) if after + 1 < oldest => Err(ReadError::TooOld),
            found => Ok(found.map(|(_, events)| events).unwrap_or_default()),
        }
    }

    /// The events that are asked for, the newest first.
    ///
    /// # Errors
    /// [`Error::CannotRead`].
    pub async fn query(&self, query: &Query) -> Result<Vec<Event>, Error> {
        let answer = async { query::answer(&mut *self.reader().await?, query).await };
        answer.await.map_err(|error| self.cannot_read(error))
    }

    /// The accounts that the phones of a user of this realm belonged to, sorted. Where the rows of a phone name no realm,
    /// it may be any; an empty one means all.
    ///
    /// # Errors
    /// [`Error::CannotRead`].
    pub async fn owners(&self, username: &str, realm: &str) -> Result<Vec<String>, Error> {
        let user = User {
            account: None,
            username,
            realm: None,
        };
        let named = async { users::named(&mut *self.reader().await?, &user).await };
        let named = named.await.map_err(|error| self.cannot_read(error))?;
        let is_of_realm = |own: Option<&[u8]>| {
            realm.is_empty() || own.is_none_or(|own| own.eq_ignore_ascii_case(realm.as_bytes()))
        };
        let owners = named
            .into_iter()
            .filter_map(|(account, phone)| account.filter(|_| is_of_realm(phone.realm.as_deref())));
        let owners: BTreeSet<String> = owners.collect();
        Ok(owners.into_iter().collect())
    }

    /// The events that were seen at `at` (milliseconds since the Unix epoch) or later, and those after the number `seq`
    /// whenever they were seen, ascending.
    ///
    /// # Errors
    /// [`Error::CannotRead`].
    pub async fn since(&self, at: u64, seq: u64) -> Result<Vec<Event>, Error> {
        let since = async { query::since(&mut *self.reader().await?, at, seq).await };
        since.await.map_err(|error| self.cannot_read(error))
    }

    /// A number before which no event was seen at `at` (milliseconds since the Unix epoch) or later, however the clock
    /// was set; `None` where none was seen then.
    ///
    /// # Errors
    /// [`Error::CannotRead`].
    pub(super) async fn first_since(&self, at: u64) -> Result<Option<u64>, Error> {
        let first = async { query::first_since(&mut *self.reader().await?, at).await };
        first.await.map_err(|error| self.cannot_read(error))
    }

    /// Deletes what is kept of the SIP users that `username` means, in any case of letters: those of this account and
    /// realm, where they are given. Returns how many events that was. On return their bytes are gone from the file.
    ///
    /// # Errors
    /// [`Error::CannotWrite`], [`Error::BegunAnew`].
    pub async fn forget(
        &self,
        account: Option<&str>,
        username: &str,
        realm: Option<&str>,
    ) -> Result<u64, Error> {
        let _one_at_a_time = self.writing.lock().await;
        self.be_there().await?;
        let user = User {
            account,
            username,
            realm,
        };
        let forget = async |connection: &mut SqliteConnection| {
            // Together: a crash must not leave a hole that is not reported.
            cursors::note_forgotten(connection).await?;
            forget::forget(connection, &user).await
        };
        let count = self.write(forget).await?;
        self.empty_log().await?;
        self.refresh().await?;
        Ok(count)
    }

    /// Sets the file aside and begins a new one, with another id; numbers go on. For a reader who finds it damaged:
    /// whoever writes does so by himself.
    ///
    /// # Errors
    /// [`Error::CannotOpen`], [`Error::CannotWrite`].
    pub async fn begin_anew(&self, reason: &str) -> Result<(), Error> {
        let _one_at_a_time = self.writing.lock().await;
        self.begin_anew_because(reason).await
    }

    /// Waits until nothing is being written, and keeps it so.
    #[cfg(test)]
    pub(super) async fn at_rest(&self) -> tokio::sync::MutexGuard<'_, usize> {
        self.writing.lock().await
    }

    /// Ends the connections; what SQLite's log still has goes into the file.
    pub async fn close(&self) {
        let files = self.files();
        files.readers.close().await;
        files.writer.close().await;
    }
}

impl History {
    /// Runs a change in a transaction. Where the file is damaged, a new one is begun.
    async fn write<T>(
        &self,
        change: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, Error> {
        match commit(&self.files().writer, change).await {
            Ok(done) => Ok(done),
            Err(error) if own_database::is_broken(&error) => {
                self.begin_anew_because(&error.to_string()).await?;
                Err(self.begun_anew())
            }
            Err(error) => Err(self.cannot_write(error)),
        }
    }

    /// Begins a new file where the one that is open is not there any more.
    async fn be_there(&self) -> Result<(), Error> {
        if identity(&self.options.path) == self.files().identity {
            return Ok(());
        }
        self.begin_anew_because("it was deleted or replaced")
            .await?;
        Err(self.begun_anew())
    }

    /// Reads which log this is; gives a new one its id.
    async fn begin(&self) -> Result<(), sqlx::Error> {
        let newest = self.figures.newest.load(Ordering::Acquire);
        let begin = async |connection: &mut SqliteConnection| {
            const BEGIN: &str = "INSERT OR IGNORE INTO log (id, number, pruned) VALUES (1, ?1, ?2)";
            let begin = sqlx::query(BEGIN)
                .bind(random()?)
                .bind(newest.cast_signed());
            if begin.execute(&mut *connection).await?.rows_affected() > 0 {
                cursors::note_begun_anew(connection).await?;
            }
            sqlx::query_scalar("SELECT number FROM log")
                .fetch_one(connection)
                .await
        };
        let log: i64 = commit(&self.files().writer, begin).await?;
        self.figures
            .log
            .store(log.cast_unsigned(), Ordering::Release);
        self.look().await
    }

    async fn begin_anew_because(&self, reason: &str) -> Result<(), Error> {
        let files = self.files();
        files.readers.close().await;
        files.writer.close().await;
        let now = self.clock.unix_seconds();
        if files.identity.is_some() && identity(&self.options.path) == files.identity {
            own_database::set_aside(&PURPOSE, &self.options.path, now, reason)
                .map_err(Error::CannotOpen)?;
        }
        let new = Files::open(&self.options.path, now).await?;
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = new;
        self.begin().await.map_err(|error| self.cannot_write(error))
    }

    async fn refresh(&self) -> Result<(), Error> {
        self.look().await.map_err(|error| self.cannot_write(error))
    }

    /// Looks which events there are, and how large the file is.
    async fn look(&self) -> Result<(), sqlx::Error> {
        const LOOK: &str = include_str!("../../sql/history/look.sql");
        let files = self.files();
        let row = sqlx::query(LOOK)
            .fetch_one(&mut *files.writer.acquire().await?)
            .await?;
        let number = |column: usize| row.get::<Option<i64>, _>(column).map(i64::cast_unsigned);
        let newest = number(1)
            .map_or(0, places::seq_at)
            .max(number(2).unwrap_or_default());
        let oldest = number(0).map_or(newest + 1, places::seq_at);
        let figures = &self.figures;
        figures.newest.store(newest, Ordering::Release);
        figures.oldest.store(oldest, Ordering::Release);
        figures
            .oldest_at
            .store(number(3).map_or(0, |at| at + 1), Ordering::Release);
        figures.bytes.store(
            number(4).unwrap_or_default() + self.log_bytes(),
            Ordering::Release,
        );
        Ok(())
    }

    /// Empties SQLite's log, which has what was in the file before.
    async fn empty_log(&self) -> Result<(), Error> {
        let files = self.files();
        let checkpoint = async {
            let mut connection = files.writer.acquire().await?;
            let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)");
            row.fetch_one(&mut *connection).await
        };
        let row = checkpoint.await.map_err(|error| self.cannot_write(error))?;
        if row.get::<i64, _>(0) == 0 {
            return Ok(());
        }
        let busy = "it is being read; what was deleted may still be in its log for a while";
        Err(self.cannot_write(sqlx::Error::Protocol(busy.to_owned())))
    }

    async fn reader(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Sqlite>, sqlx::Error> {
        self.files().readers.acquire().await
    }

    fn files(&self) -> Files {
        self.files
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How much is kept, and that so many events may be deleted now.
    fn limits(&self, events: usize) -> prune::Limits {
        let now = self.clock.unix();
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        prune::Limits {
            events,
            before: milliseconds(now.saturating_sub(self.options.keep)),
            now: milliseconds(now),
            bytes: self.options.size,
            log_bytes: self.log_bytes(),
        }
    }

    /// How large SQLite's log is.
    fn log_bytes(&self) -> u64 {
        let log = own_database::beside(&self.options.path, "-wal");
        fs::metadata(log).map_or(0, |file| file.len())
    }

    fn begun_anew(&self) -> Error {
        Error::BegunAnew {
            path: self.options.path.clone(),
        }
    }

    fn cannot_write(&self, source: sqlx::Error) -> Error {
        Error::CannotWrite {
            path: self.options.path.clone(),
            source: source.into(),
        }
    }

    fn cannot_read(&self, source: sqlx::Error) -> Error {
        Error::CannotRead {
            path: self.options.path.clone(),
            source: source.into(),
        }
    }
}
