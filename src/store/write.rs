//! Writing the store: what is bound to its statements.
//!
//! A call into SQLite's thread and back costs more than the statement that it runs, so statements take many rows at
//! once: the part of their text between `/*row*/` and `/*end*/` is repeated for each.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Row, Sqlite, SqliteConnection};
use xxhash_rust::xxh3::Xxh3;

use super::{Batch, FlushId, FlushRecord, Hidden, Stored};
use crate::registration::{Attributes, Key, Ruid, Text};

/// How long and how many flushes the audit keeps.
const AUDIT_SECONDS: i64 = 400 * 86_400;
const AUDIT_ROWS: i64 = 100_000;

/// How many rows a statement takes; few sizes, because each is a prepared statement of its own.
const SIZES: [usize; 3] = [64, 8, 1];

type Statement = Query<'static, Sqlite, SqliteArguments>;

/// Writes a batch; the caller's transaction is around it.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    batch: &Batch,
) -> Result<(), sqlx::Error> {
    const REMOVE: &str = include_str!("../../sql/registration_remove.sql");
    const DEPART: &str = include_str!("../../sql/departed_add.sql");
    in_chunks(connection, REMOVE, &batch.removed, by_key).await?;
    unhide(connection, &batch.unhidden).await?;
    add_accounts(connection, batch).await?;
    let latest = latest(&batch.upserts);
    for chunk in latest.chunks(SIZES[0]) {
        upsert(connection, chunk).await?;
    }
    in_chunks(
        connection,
        DEPART,
        &batch.departed,
        |statement, departed| {
            statement
                .bind(departed.account.clone())
                .bind(departed.username.as_bytes())
                .bind(bytes(departed.domain.as_ref()))
                .bind(departed.at)
        },
    )
    .await?;
    sqlx::query(include_str!("../../sql/departed_forget.sql"))
        .bind(batch.forget_departed_before)
        .execute(&mut *connection)
        .await?;
    let told = if let Some(as_of) = batch.as_of {
        sqlx::query(include_str!("../../sql/source_put.sql"))
            .bind(i64::try_from(as_of.as_millis()).unwrap_or(i64::MAX))
            .bind(batch.owners.map(u64::cast_signed))
    } else {
        // More is to come, and until then rows may be owned by one rule or by another.
        sqlx::query(include_str!("../../sql/owners_forget.sql"))
    };
    told.execute(connection).await?;
    Ok(())
}

async fn add_accounts(connection: &mut SqliteConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    const ADD: &str = include_str!("../../sql/account_add.sql");
    let upserted = batch.upserts.iter().map(|stored| &stored.account);
    let departed = batch.departed.iter().map(|departed| &departed.account);
    let accounts: HashSet<&Arc<str>> = upserted.chain(departed).flatten().collect();
    let accounts: Vec<&Arc<str>> = accounts.into_iter().collect();
    in_chunks(connection, ADD, &accounts, |statement, account| {
        statement.bind(Arc::clone(account))
    })
    .await
}

/// Forgets accounts that nobody has any more; the caller's transaction is around it.
pub(super) async fn forget_accounts(
    connection: &mut SqliteConnection,
    ids: &[i64],
) -> Result<(), sqlx::Error> {
    const FORGET: &str = include_str!("../../sql/accounts_forget.sql");
    in_chunks(connection, FORGET, ids, |statement, id| statement.bind(*id)).await
}

/// The upserts, of each key the last one.
fn latest(upserts: &[Stored]) -> Vec<&Stored> {
    let places: HashMap<&Key, usize> = upserts
        .iter()
        .enumerate()
        .map(|(place, stored)| (&stored.binding.key, place))
        .collect();
    let upserts = upserts.iter().enumerate();
    upserts
        .filter(|(place, stored)| places.get(&stored.binding.key) == Some(place))
        .map(|(_, stored)| stored)
        .collect()
}

/// Writes registrations of different keys. Attributes are touched only where they are not those that are there
/// already, so that a plain refresh costs least.
async fn upsert(connection: &mut SqliteConnection, chunk: &[&Stored]) -> Result<(), sqlx::Error> {
    const UPSERT: &str = include_str!("../../sql/registration_upsert.sql");
    const OWN: &str = include_str!("../../sql/registration_own.sql");
    const REMOVE: &str = include_str!("../../sql/attributes_remove.sql");
    const ADD: &str = include_str!("../../sql/attribute_add.sql");
    let hashed: Vec<(i64, &Stored)> = chunk
        .iter()
        .map(|stored| (attributes_hash(&stored.binding.attributes), *stored))
        .collect();
    let known = known(connection, chunk).await?;
    in_chunks(connection, UPSERT, &hashed, by_registration).await?;
    let is_moved = |stored: &Stored| known.get(&stored.binding.key).is_some_and(|it| !it.1);
    let moved = chunk.iter().copied().filter(|stored| is_moved(stored));
    let moved: Vec<&Stored> = moved.collect();
    in_chunks(connection, OWN, &moved, |statement, stored| {
        by_owner(statement, stored)
    })
    .await?;

    let former = |stored: &Stored| known.get(&stored.binding.key).map(|it| it.0);
    let stale: Vec<&Key> = hashed
        .iter()
        .filter(|(hash, stored)| former(stored).is_some_and(|former| former != *hash))
        .map(|(_, stored)| &stored.binding.key)
        .collect();
    in_chunks(connection, REMOVE, &stale, |statement, key| {
        by_key(statement, key)
    })
    .await?;
    let fresh: Vec<(&Key, &Text, &Text)> = hashed
        .iter()
        .filter(|(hash, stored)| former(stored) != Some(*hash))
        .map(|(_, stored)| &stored.binding)
        .flat_map(|binding| {
            binding
                .attributes
                .iter()
                .map(|(name, value)| (&binding.key, name, value))
        })
        .collect();
    in_chunks(connection, ADD, &fresh, |statement, (key, name, value)| {
        by_key(statement, key)
            .bind(name.as_bytes())
            .bind(value.as_bytes())
    })
    .await
}

/// Of those that are in the store: their attributes' hash, and whether they belong to the same account.
async fn known(
    connection: &mut SqliteConnection,
    chunk: &[&Stored],
) -> Result<HashMap<Key, (i64, bool)>, sqlx::Error> {
    const KNOWN: &str = include_str!("../../sql/registration_known.sql");
    let mut known = HashMap::new();
    for part in parts(chunk) {
        let rows = statement(KNOWN, part, |statement, stored| by_owner(statement, stored))
            .fetch_all(&mut *connection)
            .await?;
        for row in rows {
            let key = Key {
                table: row.try_get::<&str, _>(0)?.into(),
                ruid: Ruid(row.try_get::<&[u8], _>(1)?.into()),
            };
            known.insert(key, (row.try_get(2)?, row.try_get(3)?));
        }
    }
    Ok(known)
}

/// A registration's key and account.
fn by_owner(statement: Statement, stored: &Stored) -> Statement {
    by_key(statement, &stored.binding.key).bind(stored.account.clone())
}

/// The parameters of `registration_upsert.sql`.
fn by_registration(statement: Statement, (hash, stored): &(i64, &Stored)) -> Statement {
    let binding = &*stored.binding;
    by_key(statement, &binding.key)
        .bind(stored.account.clone())
        .bind(stored.first_registration)
        .bind(binding.username.as_bytes())
        .bind(bytes(binding.domain.as_ref()))
        .bind(binding.contact.as_bytes())
        .bind(bytes(binding.received.as_ref()))
        .bind(bytes(binding.path.as_ref()))
        .bind(binding.expiry.end())
        .bind(binding.last_modified)
        .bind(binding.q)
        .bind(bytes(binding.call_id.as_ref()))
        .bind(binding.cseq.map(i64::from))
        .bind(binding.flags.map(i64::from))
        .bind(binding.cflags.map(i64::from))
        .bind(bytes(binding.user_agent.as_ref()))
        .bind(bytes(binding.socket.as_ref()))
        .bind(binding.methods.map(i64::from))
        .bind(bytes(binding.instance.as_ref()))
        .bind(binding.reg_id.map(i64::from))
        .bind(binding.server_id.map(i64::from))
        .bind(*hash)
}

/// Hides rows; the caller's transaction is around it.
pub(super) async fn hide(
    connection: &mut SqliteConnection,
    rows: &[Hidden],
) -> Result<(), sqlx::Error> {
    const HIDE: &str = include_str!("../../sql/hide.sql");
    in_chunks(connection, HIDE, rows, |statement, row| {
        by_key(statement, &row.key)
            .bind(row.fingerprint.cast_signed())
            .bind(row.at)
    })
    .await
}

/// Shows hidden rows again, unless they were hidden once more since; the caller's transaction is around it.
pub(super) async fn unhide(
    connection: &mut SqliteConnection,
    rows: &[Hidden],
) -> Result<(), sqlx::Error> {
    const UNHIDE: &str = include_str!("../../sql/unhide.sql");
    in_chunks(connection, UNHIDE, rows, |statement, row| {
        by_key(statement, &row.key).bind(row.at)
    })
    .await
}

/// Puts a row into the audit, in place of the one with this `id`; returns its id. Drops rows that are too old or too
/// many.
pub(super) async fn record_flush(
    connection: &mut SqliteConnection,
    id: Option<FlushId>,
    record: &FlushRecord,
) -> Result<FlushId, sqlx::Error> {
    let id: i64 = sqlx::query_scalar(include_str!("../../sql/flush_put.sql"))
        .bind(id.map(|id| id.0))
        .bind(record.at)
        .bind(record.token.as_str())
        .bind(record.client.as_str())
        .bind(record.request_id.as_str())
        .bind(record.account.as_deref())
        .bind(record.username.as_deref())
        .bind(record.filters.as_str())
        .bind(i64::try_from(record.flushed).unwrap_or(i64::MAX))
        .bind(i64::try_from(record.failed).unwrap_or(i64::MAX))
        .bind(record.ended)
        .fetch_one(&mut *connection)
        .await?;
    sqlx::query(include_str!("../../sql/flushes_prune.sql"))
        .bind(record.at.saturating_sub(AUDIT_SECONDS))
        .bind(AUDIT_ROWS)
        .execute(connection)
        .await?;
    Ok(FlushId(id))
}

/// Runs `sql` over all items.
async fn in_chunks<T>(
    connection: &mut SqliteConnection,
    sql: &'static str,
    items: &[T],
    bind: impl Fn(Statement, &T) -> Statement,
) -> Result<(), sqlx::Error> {
    for part in parts(items) {
        statement(sql, part, &bind)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// The items in parts of one of [`SIZES`].
fn parts<T>(mut items: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= items.len())?;
        let (part, rest) = items.split_at(size);
        items = rest;
        Some(part)
    })
}

/// `sql` for the items of a part.
fn statement<T>(
    sql: &'static str,
    part: &[T],
    bind: impl Fn(Statement, &T) -> Statement,
) -> Statement {
    let statement = sqlx::query(AssertSqlSafe(repeated(sql, part.len())));
    part.iter().fold(statement, bind)
}

/// `sql` with its row repeated.
fn repeated(sql: &str, rows: usize) -> String {
    let (head, rest) = sql
        .split_once("/*row*/")
        .expect("the statement marks its row");
    let (row, tail) = rest.split_once("/*end*/").expect("the row has an end");
    let mut text = String::with_capacity(sql.len() + rows * (row.len() + 1));
    text.push_str(head);
    for number in 0..rows {
        text.push_str(if number == 0 { "" } else { "," });
        text.push_str(row.trim());
    }
    text.push_str(tail);
    text
}

fn by_key(statement: Statement, key: &Key) -> Statement {
    statement
        .bind(Arc::clone(&key.table))
        .bind(key.ruid.0.as_bytes())
}

fn bytes(text: Option<&Text>) -> Option<Vec<u8>> {
    text.map(|text| text.as_bytes().to_vec())
}

/// A hash over names and values that is the same in every run.
fn attributes_hash(attributes: &Attributes) -> i64 {
    let mut hash = Xxh3::new();
    for text in attributes.iter().flat_map(|(name, value)| [name, value]) {
        hash.update(&(text.as_bytes().len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    hash.digest().cast_signed()
}
