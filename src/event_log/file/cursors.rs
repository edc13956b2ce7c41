//! How far consumers have read.

use sqlx::{Row, SqliteConnection};

use super::{Error, History};
use crate::events::json::LogId;

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
            sqlx::query("INSERT OR REPLACE INTO cursor (consumer, log, seq) VALUES (?1, ?2, ?3)")
                .bind(consumer)
                .bind(log.0.cast_signed())
                .bind(seq.cast_signed())
                .execute(connection)
                .await
                .map(drop)
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
