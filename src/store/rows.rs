//! Statements of the store: what is bound to them, and what their rows mean.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::TryStreamExt;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row, Sqlite, SqliteConnection};
use xxhash_rust::xxh3::Xxh3;

use super::{Batch, Contents, Departed, FlushRecord, Hidden, Stored};
use crate::registration::{Attributes, Binding, Expiry, Key, Ruid, Text};

/// How long and how many flushes the audit keeps.
const AUDIT_SECONDS: i64 = 400 * 86_400;
const AUDIT_ROWS: i64 = 100_000;

type Names = HashMap<i64, Arc<str>>;

/// Everything that the mirror wants to know at a start.
pub(super) async fn load(connection: &mut SqliteConnection) -> Result<Contents, sqlx::Error> {
    let accounts = accounts(connection).await?;
    let attributes = attributes(connection).await?;
    let mut names = Interner::default();
    Ok(Contents {
        registrations: registrations(connection, &accounts, attributes, &mut names).await?,
        departed: departed(connection, &accounts).await?,
        hidden: hidden(connection, &mut names).await?,
    })
}

async fn accounts(connection: &mut SqliteConnection) -> Result<Names, sqlx::Error> {
    let mut rows = sqlx::query(include_str!("../../sql/accounts.sql")).fetch(connection);
    let mut accounts = Names::new();
    while let Some(row) = rows.try_next().await? {
        accounts.insert(row.try_get(0)?, row.try_get::<&str, _>(1)?.into());
    }
    Ok(accounts)
}

/// Attributes in the order of their registrations' ids.
async fn attributes(
    connection: &mut SqliteConnection,
) -> Result<Vec<(i64, Text, Text)>, sqlx::Error> {
    let mut rows = sqlx::query(include_str!("../../sql/attributes.sql")).fetch(connection);
    let mut attributes = Vec::new();
    while let Some(row) = rows.try_next().await? {
        attributes.push((row.try_get(0)?, text(&row, 1)?, text(&row, 2)?));
    }
    Ok(attributes)
}

async fn registrations(
    connection: &mut SqliteConnection,
    accounts: &Names,
    attributes: Vec<(i64, Text, Text)>,
    names: &mut Interner,
) -> Result<Vec<Stored>, sqlx::Error> {
    let mut attributes = attributes.into_iter().peekable();
    let mut rows = sqlx::query(include_str!("../../sql/registrations.sql")).fetch(connection);
    let mut registrations = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let id: i64 = row.try_get(0)?;
        let own = std::iter::from_fn(|| attributes.next_if(|(of, ..)| *of <= id));
        let own = own.map(|(_, name, value)| (name, value)).collect();
        registrations.push(Stored {
            account: account(&row, 3, accounts)?,
            first_registration: row.try_get(4)?,
            binding: Arc::new(binding(&row, own, names)?),
        });
    }
    Ok(registrations)
}

/// The binding in a row of `registrations.sql`.
fn binding(
    row: &SqliteRow,
    attributes: Attributes,
    names: &mut Interner,
) -> Result<Binding, sqlx::Error> {
    Ok(Binding {
        key: Key {
            table: names.intern(row.try_get(1)?),
            ruid: Ruid(text(row, 2)?),
        },
        username: text(row, 5)?,
        domain: optional(row, 6)?,
        contact: text(row, 7)?,
        received: optional(row, 8)?,
        path: optional(row, 9)?,
        expiry: row
            .try_get::<Option<i64>, _>(10)?
            .map_or(Expiry::Permanent, Expiry::At),
        last_modified: row.try_get(11)?,
        q: row.try_get(12)?,
        call_id: optional(row, 13)?,
        cseq: row.try_get(14)?,
        flags: row.try_get(15)?,
        cflags: row.try_get(16)?,
        user_agent: optional(row, 17)?,
        socket: optional(row, 18)?,
        methods: row.try_get(19)?,
        instance: optional(row, 20)?,
        reg_id: row.try_get(21)?,
        server_id: row.try_get(22)?,
        attributes,
    })
}

async fn departed(
    connection: &mut SqliteConnection,
    accounts: &Names,
) -> Result<Vec<Departed>, sqlx::Error> {
    let mut rows = sqlx::query(include_str!("../../sql/departed.sql")).fetch(connection);
    let mut departed = Vec::new();
    while let Some(row) = rows.try_next().await? {
        departed.push(Departed {
            account: account(&row, 0, accounts)?,
            username: text(&row, 1)?,
            domain: optional(&row, 2)?,
            at: row.try_get(3)?,
        });
    }
    Ok(departed)
}

async fn hidden(
    connection: &mut SqliteConnection,
    names: &mut Interner,
) -> Result<Vec<Hidden>, sqlx::Error> {
    let mut rows = sqlx::query(include_str!("../../sql/hidden.sql")).fetch(connection);
    let mut hidden = Vec::new();
    while let Some(row) = rows.try_next().await? {
        hidden.push(Hidden {
            key: Key {
                table: names.intern(row.try_get(0)?),
                ruid: Ruid(text(&row, 1)?),
            },
            fingerprint: row.try_get::<i64, _>(2)?.cast_unsigned(),
            at: row.try_get(3)?,
        });
    }
    Ok(hidden)
}

/// Writes a batch; the caller's transaction is around it.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    batch: &Batch,
) -> Result<(), sqlx::Error> {
    for key in &batch.removed {
        by_key(include_str!("../../sql/registration_remove.sql"), key)
            .execute(&mut *connection)
            .await?;
    }
    unhide(connection, &batch.unhidden).await?;
    add_accounts(connection, batch).await?;
    for stored in &batch.upserts {
        upsert(connection, stored).await?;
    }
    for departed in &batch.departed {
        sqlx::query(include_str!("../../sql/departed_add.sql"))
            .bind(departed.account.as_deref())
            .bind(departed.username.as_bytes())
            .bind(departed.domain.as_ref().map(Text::as_bytes))
            .bind(departed.at)
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query(include_str!("../../sql/departed_forget.sql"))
        .bind(batch.forget_departed_before)
        .execute(connection)
        .await?;
    Ok(())
}

async fn add_accounts(connection: &mut SqliteConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    let upserted = batch.upserts.iter().map(|stored| &stored.account);
    let departed = batch.departed.iter().map(|departed| &departed.account);
    let accounts: HashSet<&str> = upserted
        .chain(departed)
        .filter_map(Option::as_deref)
        .collect();
    for account in accounts {
        sqlx::query(include_str!("../../sql/account_add.sql"))
            .bind(account)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Writes one registration. Where its attributes are those that are there already, as with a plain refresh, that
/// is a single update of a single row.
async fn upsert(connection: &mut SqliteConnection, stored: &Stored) -> Result<(), sqlx::Error> {
    let hash = attributes_hash(&stored.binding.attributes);
    let refreshed = bound(
        include_str!("../../sql/registration_refresh.sql"),
        stored,
        hash,
    )
    .execute(&mut *connection)
    .await?;
    if refreshed.rows_affected() > 0 {
        return Ok(());
    }
    let id: i64 = bound(
        include_str!("../../sql/registration_upsert.sql"),
        stored,
        hash,
    )
    .fetch_one(&mut *connection)
    .await?
    .try_get(0)?;
    sqlx::query(include_str!("../../sql/attributes_remove.sql"))
        .bind(id)
        .execute(&mut *connection)
        .await?;
    for (name, value) in stored.binding.attributes.iter() {
        sqlx::query(include_str!("../../sql/attribute_add.sql"))
            .bind(id)
            .bind(name.as_bytes())
            .bind(value.as_bytes())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// `registration_refresh.sql` and `registration_upsert.sql` number their parameters alike.
fn bound<'q>(
    sql: &'static str,
    stored: &Stored,
    attributes_hash: i64,
) -> Query<'q, Sqlite, SqliteArguments> {
    let binding = &*stored.binding;
    let bytes = |text: &Option<Text>| text.as_ref().map(|text| text.as_bytes().to_vec());
    by_key(sql, &binding.key)
        .bind(stored.account.clone())
        .bind(stored.first_registration)
        .bind(binding.username.as_bytes())
        .bind(bytes(&binding.domain))
        .bind(binding.contact.as_bytes())
        .bind(bytes(&binding.received))
        .bind(bytes(&binding.path))
        .bind(binding.expiry.end())
        .bind(binding.last_modified)
        .bind(binding.q)
        .bind(bytes(&binding.call_id))
        .bind(binding.cseq)
        .bind(binding.flags)
        .bind(binding.cflags)
        .bind(bytes(&binding.user_agent))
        .bind(bytes(&binding.socket))
        .bind(binding.methods)
        .bind(bytes(&binding.instance))
        .bind(binding.reg_id)
        .bind(binding.server_id)
        .bind(attributes_hash)
}

/// Hides rows; the caller's transaction is around it.
pub(super) async fn hide(
    connection: &mut SqliteConnection,
    rows: &[Hidden],
) -> Result<(), sqlx::Error> {
    for row in rows {
        by_key(include_str!("../../sql/hide.sql"), &row.key)
            .bind(row.fingerprint.cast_signed())
            .bind(row.at)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Shows hidden rows again; the caller's transaction is around it.
pub(super) async fn unhide(
    connection: &mut SqliteConnection,
    keys: &[Key],
) -> Result<(), sqlx::Error> {
    for key in keys {
        by_key(include_str!("../../sql/unhide.sql"), key)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Adds a row to the audit and drops those that are too old or too many.
pub(super) async fn record_flush(
    connection: &mut SqliteConnection,
    record: &FlushRecord,
) -> Result<(), sqlx::Error> {
    sqlx::query(include_str!("../../sql/flush_add.sql"))
        .bind(record.at)
        .bind(record.token.as_str())
        .bind(record.client.as_str())
        .bind(record.request_id.as_str())
        .bind(record.account.as_deref())
        .bind(record.username.as_deref())
        .bind(record.filters.as_str())
        .bind(i64::try_from(record.flushed).unwrap_or(i64::MAX))
        .bind(i64::try_from(record.failed).unwrap_or(i64::MAX))
        .execute(&mut *connection)
        .await?;
    sqlx::query(include_str!("../../sql/flushes_prune.sql"))
        .bind(record.at.saturating_sub(AUDIT_SECONDS))
        .bind(AUDIT_ROWS)
        .execute(connection)
        .await?;
    Ok(())
}

/// The latest flushes, the last one first.
pub(super) async fn flushes(
    connection: &mut SqliteConnection,
    limit: u32,
) -> Result<Vec<FlushRecord>, sqlx::Error> {
    let rows = sqlx::query(include_str!("../../sql/flushes.sql"))
        .bind(limit)
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(FlushRecord {
                at: row.try_get(0)?,
                token: row.try_get(1)?,
                client: row.try_get(2)?,
                request_id: row.try_get(3)?,
                account: row.try_get(4)?,
                username: row.try_get(5)?,
                filters: row.try_get(6)?,
                flushed: u64::try_from(row.try_get::<i64, _>(7)?).unwrap_or_default(),
                failed: u64::try_from(row.try_get::<i64, _>(8)?).unwrap_or_default(),
            })
        })
        .collect()
}

fn by_key<'q>(sql: &'static str, key: &Key) -> Query<'q, Sqlite, SqliteArguments> {
    sqlx::query(sql)
        .bind(Arc::clone(&key.table))
        .bind(key.ruid.0.as_bytes())
}

fn text(row: &SqliteRow, column: usize) -> Result<Text, sqlx::Error> {
    row.try_get::<&[u8], _>(column).map(Text::from)
}

fn optional(row: &SqliteRow, column: usize) -> Result<Option<Text>, sqlx::Error> {
    Ok(row.try_get::<Option<&[u8]>, _>(column)?.map(Text::from))
}

fn account(
    row: &SqliteRow,
    column: usize,
    accounts: &Names,
) -> Result<Option<Arc<str>>, sqlx::Error> {
    let id: Option<i64> = row.try_get(column)?;
    Ok(id.and_then(|id| accounts.get(&id).cloned()))
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

/// Table names are few and in each row: all rows share them.
#[derive(Default)]
struct Interner {
    names: Vec<Arc<str>>,
}

impl Interner {
    fn intern(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.iter().find(|known| &***known == name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        self.names.push(Arc::clone(&name));
        name
    }
}
