//! Reading the store: what its rows mean.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::write::owner;
use super::{AuditId, AuditRecord, Contents, Hidden, Tombstone};
use crate::registration::intern::Interner;
use crate::registration::{Key, Ruid, Text};

/// Records side by side.
#[derive(Debug)]
pub(super) struct Block {
    /// The id of the last of them.
    pub(super) last: i64,
    pub(super) records: Vec<u8>,
}

/// Everything but the registrations.
pub(super) async fn all_but_registrations(
    connection: &mut SqliteConnection,
) -> Result<Contents, sqlx::Error> {
    let (hidden, intents) = hidden(connection).await?;
    Ok(Contents {
        registrations: Vec::new(),
        departed: departed(connection).await?,
        hidden,
        intents,
        as_of: as_of(connection).await?,
    })
}

/// How many registrations there are.
pub(super) async fn count(connection: &mut SqliteConnection) -> Result<usize, sqlx::Error> {
    let count: i64 = sqlx::query_scalar(include_str!("../../../sql/store/registration_count.sql"))
        .fetch_one(connection)
        .await?;
    Ok(usize::try_from(count).unwrap_or_default())
}

/// The next `limit` records after the one with the id `after`; `None` where there are no more.
pub(super) async fn block(
    connection: &mut SqliteConnection,
    after: i64,
    limit: u32,
) -> Result<Option<Block>, sqlx::Error> {
    let block = sqlx::query(include_str!("../../../sql/store/registration_block.sql"))
        .bind(after)
        .bind(limit)
        .fetch_one(connection)
        .await?;
    let Some(last) = block.try_get(0)? else {
        return Ok(None);
    };
    let records = block.try_get(1)?;
    Ok(Some(Block { last, records }))
}

/// The records of those who may belong to `account`; `None` where these are more than `most`.
pub(super) async fn block_of(
    connection: &mut SqliteConnection,
    account: &str,
    most: u32,
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    let block = sqlx::query(include_str!("../../../sql/store/account_block.sql"))
        .bind(owner(account))
        .bind(most)
        .fetch_one(connection)
        .await?;
    if block.try_get::<i64, _>(0)? > i64::from(most) {
        return Ok(None);
    }
    let records: Option<Vec<u8>> = block.try_get(1)?;
    Ok(Some(records.unwrap_or_default()))
}

/// Whether accounts can be read one by one, and who decided which row belongs to which of them.
pub(super) async fn owners(connection: &mut SqliteConnection) -> Result<Option<u64>, sqlx::Error> {
    let owners: Option<Option<i64>> =
        sqlx::query_scalar(include_str!("../../../sql/store/owners.sql"))
            .fetch_optional(connection)
            .await?;
    Ok(owners.flatten().map(i64::cast_unsigned))
}

async fn as_of(connection: &mut SqliteConnection) -> Result<Option<Duration>, sqlx::Error> {
    let milliseconds: Option<i64> =
        sqlx::query_scalar(include_str!("../../../sql/store/source.sql"))
            .fetch_optional(connection)
            .await?;
    Ok(milliseconds.map(|it| Duration::from_millis(it.cast_unsigned())))
}

async fn departed(connection: &mut SqliteConnection) -> Result<Vec<Tombstone>, sqlx::Error> {
    let mut rows = sqlx::query(include_str!("../../../sql/store/departed.sql")).fetch(connection);
    let mut accounts = Interner::<Arc<str>>::default();
    let mut departed = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let account: Option<&str> = row.try_get("account")?;
        let domain: Option<&[u8]> = row.try_get("domain")?;
        departed.push(Tombstone {
            account: account.map(|account| accounts.get(account)),
            username: text(&row, "username")?,
            domain: domain.map(Text::from),
            at: row.try_get("at")?,
        });
    }
    Ok(departed)
}

/// Hidden rows, and those that a flush intended to remove.
async fn hidden(
    connection: &mut SqliteConnection,
) -> Result<(Vec<Hidden>, Vec<Hidden>), sqlx::Error> {
    let mut rows = sqlx::query(include_str!("../../../sql/store/hidden.sql")).fetch(connection);
    let mut tables = Interner::default();
    let (mut hidden, mut intents) = (Vec::new(), Vec::new());
    while let Some(row) = rows.try_next().await? {
        let is_intent: bool = row.try_get("is_intent")?;
        if is_intent { &mut intents } else { &mut hidden }.push(Hidden {
            key: key(&row, &mut tables)?,
            fingerprint: row.try_get::<i64, _>("fingerprint")?.cast_unsigned(),
            at: row.try_get("at")?,
        });
    }
    Ok((hidden, intents))
}

/// The keys of registrations, but for those of which `is_kept` is true.
pub(super) async fn keys_but(
    connection: &mut SqliteConnection,
    is_kept: impl Fn(&Key) -> bool,
) -> Result<Vec<Key>, sqlx::Error> {
    let mut rows =
        sqlx::query(include_str!("../../../sql/store/registration_keys.sql")).fetch(connection);
    let mut tables = Interner::default();
    let mut keys = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let key = key(&row, &mut tables)?;
        if !is_kept(&key) {
            keys.push(key);
        }
    }
    Ok(keys)
}

/// Flushes, the last one first: those of `accounts`, or all; those before the one with the number `before`.
pub(super) async fn audit(
    connection: &mut SqliteConnection,
    accounts: Option<&[String]>,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<(AuditId, AuditRecord)>, sqlx::Error> {
    let accounts = accounts.map(|ids| serde_json::json!(ids).to_string());
    let number = |it: u64| i64::try_from(it).unwrap_or(i64::MAX);
    let rows = sqlx::query(include_str!("../../../sql/store/flushes.sql"))
        .bind(before.map(number))
        .bind(accounts)
        .bind(number(limit as u64))
        .fetch_all(connection)
        .await?;
    let count = |row: &SqliteRow, column| {
        let count: i64 = row.try_get(column)?;
        Ok::<_, sqlx::Error>(u64::try_from(count).unwrap_or_default())
    };
    rows.iter()
        .map(|row| {
            let record = AuditRecord {
                at: row.try_get("at")?,
                token: row.try_get("token")?,
                client: row.try_get("client")?,
                request_id: row.try_get("request_id")?,
                account: row.try_get("account")?,
                username: row.try_get("username")?,
                filters: row.try_get("filters")?,
                event: None,
                done: count(row, "flushed")?,
                failed: count(row, "failed")?,
                ended: row.try_get("ended")?,
            };
            Ok((AuditId(row.try_get("id")?), record))
        })
        .collect()
}

fn key(row: &SqliteRow, tables: &mut Interner<Arc<str>>) -> Result<Key, sqlx::Error> {
    Ok(Key {
        table: tables.get(row.try_get("location_table")?),
        ruid: Ruid(text(row, "ruid")?),
    })
}

fn text(row: &SqliteRow, column: &str) -> Result<Text, sqlx::Error> {
    row.try_get::<&[u8], _>(column).map(Text::from)
}
