//! How far consumers have read.

use sqlx::{Row, SqliteConnection};

use super::files::random;
use super::{Error, History};
use crate::events::json::LogId;

/// Under this name stands that events were forgotten, until the log has reported it: in the log's place a number that is
/// drawn each time.
const FORGOTTEN: &str = "forgotten";

/// Under this name stands that the file was begun anew, until it is known who has no cursor because of that.
const BEGUN_ANEW: &str = "begun anew";

/// Events that were forgotten, and have not been reported as a gap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::event_log) struct Unreported(u64);

/// Notes that events were forgotten; the caller's transaction is around it, and around their deletion.
pub(super) async fn note_forgotten(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    put(connection, FORGOTTEN, random()?, 0).await
}

/// Notes that the file has just been begun, and has nobody's cursor; the caller's transaction is around it.
pub(super) async fn note_begun_anew(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    put(connection, BEGUN_ANEW, 0, 0).await
}

async fn put(
    connection: &mut SqliteConnection,
    consumer: &str,
    log: i64,
    seq: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT OR REPLACE INTO cursor (consumer, log, seq) VALUES (?1, ?2, ?3)")
        .bind(consumer)
        .bind(log)
        .bind(seq)
        .execute(connection)
        .await
        .map(drop)
}

impl History {
    /// How far a consumer has read: which log, and the number of the last event.
    ///
    /// # Errors
    /// [`Error::CannotRead`].
    pub async fn cursor(&self, consumer: &str) -> Result<Option<(LogId, u64)>, Error> {
        let read = async {
            sqlx::query("SELECT log, seq FROM cursor WHERE consumer = ?1")
                .bind(consumer)
                .fetch_optional(&mut *self.reader().await?)
                .await
        };
        let row = read.await.map_err(|error| self.cannot_read(error))?;
        Ok(row.map(|row| {
            let number = |column: usize| row.get::<i64, _>(column).cast_unsigned();
            (LogId(number(0)), number(1))
        }))
    }

    /// Notes how far a consumer has read.
    ///
    /// # Errors
    /// [`Error::CannotWrite`], [`Error::BegunAnew`].
    pub async fn put_cursor(&self, consumer: &str, (log, seq): (LogId, u64)) -> Result<(), Error> {
        let _one_at_a_time = self.writing.lock().await;
        self.be_there().await?;
        self.write(async |connection: &mut SqliteConnection| {
            put(connection, consumer, log.0.cast_signed(), seq.cast_signed()).await
        })
        .await
    }

    /// Forgets how far a consumer has read.
    ///
    /// # Errors
    /// [`Error::CannotWrite`], [`Error::BegunAnew`].
    pub async fn delete_cursor(&self, consumer: &str) -> Result<(), Error> {
        let _one_at_a_time = self.writing.lock().await;
        self.be_there().await?;
        self.write(async |connection: &mut SqliteConnection| {
            let delete = sqlx::query("DELETE FROM cursor WHERE consumer = ?1").bind(consumer);
            delete.execute(connection).await.map(drop)
        })
        .await
    }

    /// What was forgotten and has not been reported as a gap yet; it changes each time somebody is forgotten.
    ///
    /// # Errors
    /// [`Error::CannotRead`].
    pub(in crate::event_log) async fn unreported(&self) -> Result<Option<Unreported>, Error> {
        let cursor = self.cursor(FORGOTTEN).await?;
        Ok(cursor.map(|(LogId(mark), _)| Unreported(mark)))
    }

    /// Notes that this was reported as a gap. What was forgotten since remains to be reported.
    ///
    /// # Errors
    /// [`Error::CannotWrite`], [`Error::BegunAnew`].
    pub(in crate::event_log) async fn reported(
        &self,
        Unreported(mark): Unreported,
    ) -> Result<(), Error> {
        const DELETE: &str = "DELETE FROM cursor WHERE consumer = ?1 AND log = ?2";
        let _one_at_a_time = self.writing.lock().await;
        self.be_there().await?;
        self.write(async |connection: &mut SqliteConnection| {
            let delete = sqlx::query(DELETE).bind(FORGOTTEN).bind(mark.cast_signed());
            delete.execute(connection).await.map(drop)
        })
        .await
    }

    /// Whether the file was begun anew, and cursors that an earlier one had may be missing.
    ///
    /// # Errors
    /// [`Error::CannotRead`].
    pub async fn may_lack_cursors(&self) -> Result<bool, Error> {
        Ok(self.cursor(BEGUN_ANEW).await?.is_some())
    }

    /// Notes that no cursor is missing, or none any more.
    ///
    /// # Errors
    /// [`Error::CannotWrite`], [`Error::BegunAnew`].
    pub async fn lacks_no_cursors(&self) -> Result<(), Error> {
        self.delete_cursor(BEGUN_ANEW).await
    }

    /// The consumers of which it is known how far they have read.
    ///
    /// # Errors
    /// [`Error::CannotRead`].
    pub async fn consumers(&self) -> Result<Vec<String>, Error> {
        let read = async {
            sqlx::query_scalar("SELECT consumer FROM cursor ORDER BY consumer")
                .fetch_all(&mut *self.reader().await?)
                .await
        };
        read.await.map_err(|error| self.cannot_read(error))
    }
}
