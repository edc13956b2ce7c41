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

use super::{Batch, FlushId, FlushRecord, Hidden, Stored, Tombstone};
use crate::registration::{Attributes, Key, Text};

/// How long and how many flushes the audit keeps.
const AUDIT_SECONDS: i64 = 400 * 86_400;
const AUDIT_ROWS: i64 = 100_000;

/// How many rows a statement takes: few sizes, because each is a prepared statement of its own, and few statements
/// for any number of rows.
const SIZES: [usize; 4] = [64, 16, 4, 1];

type Statement = Query<'static, Sqlite, SqliteArguments>;

/// A registration to be written.
#[derive(Clone, Copy)]
struct Upsert<'a> {
    stored: &'a Stored,
    /// See [`attributes_hash`].
    attributes: i64,
    /// What the store has in its place.
    former: Option<Former>,
}

/// What the store has of a registration.
#[derive(Clone, Copy)]
struct Former {
    attributes: i64,
    /// It belongs to the account that it is to belong to.
    same_account: bool,
}

impl<'a> Upsert<'a> {
    fn of_new(stored: &'a Stored) -> Self {
        Self {
            stored,
            attributes: attributes_hash(&stored.binding.attributes),
            former: None,
        }
    }

    fn is_same_account(&self) -> bool {
        self.former.is_some_and(|former| former.same_account)
    }

    fn has_same_attributes(&self) -> bool {
        let former = self.former.map(|former| former.attributes);
        former == Some(self.attributes)
    }
}

/// Writes a batch; the caller's transaction is around it.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    batch: &Batch,
) -> Result<(), sqlx::Error> {
    const REMOVE: &str = include_str!("../../../sql/store/registration_remove.sql");
    const DEPART: &str = include_str!("../../../sql/store/departed_add.sql");
    in_chunks(connection, REMOVE, &batch.removed, by_key).await?;
    unhide(connection, &batch.unhidden).await?;
    let upserts = known(connection, latest(&batch.upserts)).await?;
    add_accounts(connection, &upserts, &batch.departed).await?;
    upsert(connection, &upserts).await?;
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

/// Adds the accounts that may not be there yet.
async fn add_accounts(
    connection: &mut SqliteConnection,
    upserts: &[Upsert<'_>],
    departed: &[Tombstone],
) -> Result<(), sqlx::Error> {
    const ADD: &str = include_str!("../../../sql/store/account_add.sql");
    let upserts = upserts.iter().filter(|upsert| !upsert.is_same_account());
    let upserted = upserts.map(|upsert| &upsert.stored.account);
    let departed = departed.iter().map(|departed| &departed.account);
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
    const FORGET: &str = include_str!("../../../sql/store/accounts_forget.sql");
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
async fn upsert(
    connection: &mut SqliteConnection,
    upserts: &[Upsert<'_>],
) -> Result<(), sqlx::Error> {
    const UPSERT: &str = include_str!("../../../sql/store/registration_upsert.sql");
    const OWN: &str = include_str!("../../../sql/store/registration_own.sql");
    const REMOVE: &str = include_str!("../../../sql/store/attributes_remove.sql");
    const ADD: &str = include_str!("../../../sql/store/attribute_add.sql");
    in_chunks(connection, UPSERT, upserts, by_registration).await?;
    let there = upserts.iter().filter(|upsert| upsert.former.is_some());
    let moved: Vec<&Stored> = there
        .clone()
        .filter(|upsert| !upsert.is_same_account())
        .map(|upsert| upsert.stored)
        .collect();
    in_chunks(connection, OWN, &moved, |statement, stored| {
        by_owner(statement, stored)
    })
    .await?;

    let stale: Vec<&Key> = there
        .filter(|upsert| !upsert.has_same_attributes())
        .map(|upsert| &upsert.stored.binding.key)
        .collect();
    in_chunks(connection, REMOVE, &stale, |statement, key| {
        by_key(statement, key)
    })
    .await?;
    let fresh: Vec<(&Key, &Text, &Text)> = upserts
        .iter()
        .filter(|upsert| !upsert.has_same_attributes())
        .map(|upsert| &upsert.stored.binding)
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

/// The registrations, with what the store has of each.
async fn known<'a>(
    connection: &mut SqliteConnection,
    registrations: Vec<&'a Stored>,
) -> Result<Vec<Upsert<'a>>, sqlx::Error> {
    const KNOWN: &str = include_str!("../../../sql/store/registration_known.sql");
    let mut upserts: Vec<Upsert<'a>> = registrations.into_iter().map(Upsert::of_new).collect();
    let mut rest = upserts.as_mut_slice();
    while let Some(size) = size_for(rest) {
        let (part, after) = rest.split_at_mut(size);
        let numbered: Vec<(i64, &Stored)> =
            (0..).zip(part.iter().map(|upsert| upsert.stored)).collect();
        let rows = statement(KNOWN, &numbered, |statement, (number, stored)| {
            by_owner(statement.bind(*number), stored)
        });
        for row in rows.fetch_all(&mut *connection).await? {
            let number = usize::try_from(row.try_get::<i64, _>(0)?).ok();
            if let Some(upsert) = number.and_then(|number| part.get_mut(number)) {
                upsert.former = Some(Former {
                    attributes: row.try_get(1)?,
                    same_account: row.try_get(2)?,
                });
            }
        }
        rest = after;
    }
    Ok(upserts)
}

/// A registration's key and account.
fn by_owner(statement: Statement, stored: &Stored) -> Statement {
    by_key(statement, &stored.binding.key).bind(stored.account.clone())
}

/// The parameters of `registration_upsert.sql`.
fn by_registration(statement: Statement, upsert: &Upsert<'_>) -> Statement {
    let stored = upsert.stored;
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
        .bind(upsert.attributes)
}

/// Hides rows; the caller's transaction is around it.
pub(super) async fn hide(
    connection: &mut SqliteConnection,
    rows: &[Hidden],
) -> Result<(), sqlx::Error> {
    const HIDE: &str = include_str!("../../../sql/store/hide.sql");
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
    const UNHIDE: &str = include_str!("../../../sql/store/unhide.sql");
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
    let id: i64 = sqlx::query_scalar(include_str!("../../../sql/store/flush_put.sql"))
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
    sqlx::query(include_str!("../../../sql/store/flushes_prune.sql"))
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
        let (part, rest) = items.split_at(size_for(items)?);
        items = rest;
        Some(part)
    })
}

/// How many of the items the next statement takes; `None` where there are none.
fn size_for<T>(items: &[T]) -> Option<usize> {
    SIZES.into_iter().find(|size| *size <= items.len())
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
