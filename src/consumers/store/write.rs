//! Writing the store: what is bound to its statements.
//!
//! A call into SQLite's thread and back costs more than the statement that it runs, so statements take many rows at
//! once: in their text `/*rows*/` stands for all of them.

use sqlx::query_builder::{QueryBuilder, Separated};
use sqlx::{Sqlite, SqliteConnection};
use xxhash_rust::xxh3::xxh3_64;

use super::shapes::KnownShapes;
use super::{AuditId, AuditRecord, Batch, Hidden, Stored, record};
use crate::registration::{Key, Text};

/// How long and how many flushes and NOTIFYs the audit keeps.
const AUDIT_SECONDS: i64 = 400 * 86_400;
const AUDIT_ROWS: i64 = 100_000;

/// How many rows a statement takes at most.
const ROWS: usize = 256;

/// The values of a row.
type Values<'q> = Separated<'q, Sqlite, &'static str>;

/// Writes a batch, and the shapes that are not `known` yet; the caller's transaction is around it. `is_indexed` is whether
/// there is an index of owners, or may be.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    batch: &Batch,
    is_indexed: bool,
    known: &mut KnownShapes,
) -> Result<(), sqlx::Error> {
    const ADD_SHAPE: &str = include_str!("../../../sql/store/shape_add.sql");
    const REMOVE: &str = include_str!("../../../sql/store/registration_remove.sql");
    const UPSERT: &str = include_str!("../../../sql/store/registration_upsert.sql");
    const UPSERT_OWNED: &str = include_str!("../../../sql/store/registration_upsert_owned.sql");
    const OWN: &str = include_str!("../../../sql/store/registration_own.sql");
    const DEPART: &str = include_str!("../../../sql/store/departed_add.sql");
    for_all(connection, REMOVE, &batch.removed, push_key).await?;
    unhide(connection, &batch.unhidden).await?;
    let new = known.learn(&batch.upserts);
    for_all(connection, ADD_SHAPE, &new, |values, (number, key)| {
        values.push_bind(*number).push_bind(&**key);
    })
    .await?;
    let upsert = if is_indexed { UPSERT } else { UPSERT_OWNED };
    for_all(connection, upsert, &batch.upserts, |values, stored| {
        push_owned(values, stored);
        values.push_bind(record::encode(stored, known));
    })
    .await?;
    if is_indexed {
        for_all(connection, OWN, &batch.upserts, push_owned).await?;
    }
    for_all(connection, DEPART, &batch.departed, |values, departed| {
        values
            .push_bind(departed.account.clone())
            .push_bind(departed.username.as_bytes())
            .push_bind(departed.domain.as_ref().map(Text::as_bytes))
            .push_bind(departed.at);
    })
    .await?;
    sqlx::query(include_str!("../../../sql/store/departed_forget.sql"))
        .bind(batch.forget_departed_before)
        .execute(&mut *connection)
        .await?;
    let told = if let Some(as_of) = batch.as_of {
        sqlx::query(include_str!("../../../sql/store/source_put.sql"))
            .bind(i64::try_from(as_of.as_millis()).unwrap_or(i64::MAX))
            .bind(batch.owners.map(u64::cast_signed))
    } else {
        // More is to come, and until then rows may be owned by one rule or by another.
        sqlx::query(include_str!("../../../sql/store/owners_forget.sql"))
    };
    told.execute(connection).await?;
    Ok(())
}

/// Hides rows, for good or until it is known whether they go; the caller's transaction is around it.
pub(super) async fn hide(
    connection: &mut SqliteConnection,
    rows: &[Hidden],
    is_intent: bool,
) -> Result<(), sqlx::Error> {
    const HIDE: &str = include_str!("../../../sql/store/hide.sql");
    for_all(connection, HIDE, rows, |values, row| {
        push_key(values, &row.key);
        values
            .push_bind(row.fingerprint.cast_signed())
            .push_bind(row.at)
            .push_bind(is_intent);
    })
    .await
}

/// Shows hidden rows again, unless they were hidden once more since; the caller's transaction is around it.
pub(super) async fn unhide(
    connection: &mut SqliteConnection,
    rows: &[Hidden],
) -> Result<(), sqlx::Error> {
    const UNHIDE: &str = include_str!("../../../sql/store/unhide.sql");
    for_all(connection, UNHIDE, rows, |values, row| {
        push_key(values, &row.key);
        values.push_bind(row.at);
    })
    .await
}

/// Puts a row into the audit, in place of the one with this `id`; returns its id. Drops rows that are too old or too
/// many.
pub(super) async fn record(
    connection: &mut SqliteConnection,
    id: Option<AuditId>,
    record: &AuditRecord,
) -> Result<AuditId, sqlx::Error> {
    let (put, prune) = match record.event {
        None => (
            include_str!("../../../sql/store/flush_put.sql"),
            include_str!("../../../sql/store/flushes_prune.sql"),
        ),
        Some(_) => (
            include_str!("../../../sql/store/notify_put.sql"),
            include_str!("../../../sql/store/notifies_prune.sql"),
        ),
    };
    let mut put = sqlx::query_scalar(put)
        .bind(id.map(|id| id.0))
        .bind(record.at)
        .bind(record.token.as_str())
        .bind(record.client.as_str())
        .bind(record.request_id.as_str())
        .bind(record.account.as_deref())
        .bind(record.username.as_deref())
        .bind(record.filters.as_str())
        .bind(i64::try_from(record.done).unwrap_or(i64::MAX))
        .bind(i64::try_from(record.failed).unwrap_or(i64::MAX))
        .bind(record.ended);
    if let Some(event) = &record.event {
        put = put.bind(event.as_str());
    }
    let id: i64 = put.fetch_one(&mut *connection).await?;
    sqlx::query(prune)
        .bind(record.at.saturating_sub(AUDIT_SECONDS))
        .bind(AUDIT_ROWS)
        .execute(connection)
        .await?;
    Ok(AuditId(id))
}

/// A hash of the id of the account that owns a registration, by which its registrations are found.
pub(super) fn owner(account: &str) -> i64 {
    xxh3_64(account.as_bytes()).cast_signed()
}

/// Runs `sql` for all items, many at a time.
async fn for_all<T>(
    connection: &mut SqliteConnection,
    sql: &'static str,
    items: &[T],
    mut push: impl FnMut(&mut Values<'_>, &T),
) -> Result<(), sqlx::Error> {
    let (head, tail) = sql
        .split_once("/*rows*/")
        .expect("the statement says where its rows are");
    for part in items.chunks(ROWS) {
        let mut query = QueryBuilder::new(head);
        query.push_values(part, |mut values, item| push(&mut values, item));
        query.push(tail);
        // Of all the sizes that a rest may have none is worth keeping.
        let query = query.build().persistent(part.len() == ROWS);
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

fn push_key(values: &mut Values<'_>, key: &Key) {
    values
        .push_bind(key.table.clone())
        .push_bind(key.ruid.0.as_bytes());
}

fn push_owned(values: &mut Values<'_>, stored: &Stored) {
    push_key(values, &stored.binding.key);
    values.push_bind(stored.account.as_deref().map(owner));
}
