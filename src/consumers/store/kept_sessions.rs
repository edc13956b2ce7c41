//! The page's sessions in the store.

use sqlx::{Row, SqliteConnection};

use super::{Change, Durability, Error, Store};
use crate::sessions::{Id, Keep, Keeping, Record};

impl Store {
    /// The node's id, by which its cookie is called, and the sessions that are kept. One that cannot be read is none.
    ///
    /// # Errors
    /// [`Error::CannotRead`].
    pub async fn sessions(&self) -> Result<(String, Vec<Record>), Error> {
        let pool = self.pool();
        let read = async { read(&mut *pool.acquire().await?).await };
        read.await.map_err(|error| self.cannot_read(error))
    }
}

impl Keep for Store {
    fn keep<'a>(&'a self, put: &'a [Record], remove: &'a [Id]) -> Keeping<'a> {
        Box::pin(async move {
            let change = Change::Sessions(put, remove);
            Ok(self.write_surely(Durability::Power, change).await?)
        })
    }
}

async fn read(connection: &mut SqliteConnection) -> Result<(String, Vec<Record>), sqlx::Error> {
    let node = sqlx::query_scalar(include_str!("../../../sql/store/node.sql"))
        .fetch_one(&mut *connection)
        .await?;
    let rows = sqlx::query(include_str!("../../../sql/store/sessions.sql"))
        .fetch_all(connection)
        .await?;
    let mut sessions = Vec::new();
    for row in rows {
        let id: &[u8] = row.try_get("id")?;
        let holder: &str = row.try_get("holder")?;
        if let (Ok(id), Ok(holder)) = (id.try_into(), serde_json::from_str(holder)) {
            sessions.push(Record {
                id: Id(id),
                holder,
                began: row.try_get("began")?,
                used: row.try_get("used")?,
            });
        }
    }
    Ok((node, sessions))
}

/// Writes sessions and forgets others; the caller's transaction is around it.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    put: &[Record],
    remove: &[Id],
) -> Result<(), sqlx::Error> {
    for record in put {
        let holder = serde_json::to_string(&record.holder)
            .map_err(|error| sqlx::Error::Encode(error.into()))?;
        sqlx::query(include_str!("../../../sql/store/session_put.sql"))
            .bind(record.id.0.as_slice())
            .bind(holder)
            .bind(record.began)
            .bind(record.used)
            .execute(&mut *connection)
            .await?;
    }
    for id in remove {
        sqlx::query(include_str!("../../../sql/store/session_remove.sql"))
            .bind(id.0.as_slice())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
