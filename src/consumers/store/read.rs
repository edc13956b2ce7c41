//! Reading the store through SQLite: what its rows mean.
//!
//! Columns are read unchecked, which halves the time: STRICT tables hold no other types than the schema says.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row, Sqlite, SqliteConnection};

use super::{Contents, FlushRecord, Hidden, Stored, Tombstone};
use crate::progress::Progress;
use crate::registration::{Attributes, Binding, Expiry, Key, Number, Ruid, Text};

type Select = Query<'static, Sqlite, SqliteArguments>;

/// Accounts by id.
pub(super) type Names = HashMap<i64, Arc<str>>;

/// Everything but the registrations, and the accounts that they may have.
pub(super) async fn all_but_registrations(
    connection: &mut SqliteConnection,
) -> Result<(Contents, Names), sqlx::Error> {
    let accounts = accounts(connection).await?;
    let contents = Contents {
        registrations: Vec::new(),
        departed: departed(connection, &accounts).await?,
        hidden: hidden(connection, &mut Interner::default()).await?,
        as_of: as_of(connection).await?,
    };
    Ok((contents, accounts))
}

/// How many registrations there are.
pub(super) async fn count(connection: &mut SqliteConnection) -> Result<usize, sqlx::Error> {
    let count: i64 = sqlx::query_scalar(include_str!("../../../sql/store/registration_count.sql"))
        .fetch_one(connection)
        .await?;
    Ok(usize::try_from(count).unwrap_or_default())
}

/// The registrations, as SQLite reads them.
pub(super) async fn registrations(
    connection: &mut SqliteConnection,
    accounts: &Names,
    progress: &Progress,
) -> Result<Vec<Stored>, sqlx::Error> {
    const ATTRIBUTES: &str = include_str!("../../../sql/store/attributes.sql");
    const REGISTRATIONS: &str = include_str!("../../../sql/store/registrations.sql");
    let attributes = attributes(connection, sqlx::query(ATTRIBUTES)).await?;
    let query = sqlx::query(REGISTRATIONS);
    stored(connection, query, attributes, accounts, progress).await
}

/// The registrations of the account with this id; `None` where these are more than `most`.
pub(super) async fn registrations_of(
    connection: &mut SqliteConnection,
    account: i64,
    most: u32,
    accounts: &Names,
) -> Result<Option<Vec<Stored>>, sqlx::Error> {
    const COUNT: &str = include_str!("../../../sql/store/account_count.sql");
    const ATTRIBUTES: &str = include_str!("../../../sql/store/account_attributes.sql");
    const REGISTRATIONS: &str = include_str!("../../../sql/store/account_registrations.sql");
    let counting = sqlx::query_scalar(COUNT).bind(account).bind(most);
    let count: i64 = counting.fetch_one(&mut *connection).await?;
    if count > i64::from(most) {
        return Ok(None);
    }
    let attributes = attributes(connection, sqlx::query(ATTRIBUTES).bind(account)).await?;
    let query = sqlx::query(REGISTRATIONS).bind(account);
    let nobody_looks = Progress::default();
    stored(connection, query, attributes, accounts, &nobody_looks)
        .await
        .map(Some)
}

/// The registrations that `query` selects with the columns of `registrations.sql`, by id. So are `attributes`.
async fn stored(
    connection: &mut SqliteConnection,
    query: Select,
    attributes: Vec<(i64, Text, Text)>,
    accounts: &Names,
    progress: &Progress,
) -> Result<Vec<Stored>, sqlx::Error> {
    let mut attributes = attributes.into_iter().peekable();
    let mut names = Interner::default();
    let mut rows = query.fetch(connection);
    let mut registrations = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let id: i64 = row.try_get_unchecked(0)?;
        let own = std::iter::from_fn(|| attributes.next_if(|(of, ..)| *of <= id));
        let own = own.map(|(_, name, value)| (name, value)).collect();
        progress.advance(1);
        registrations.push(Stored {
            account: account(&row, 3, accounts)?,
            first_registration: row.try_get_unchecked(4)?,
            binding: Arc::new(binding(&row, own, &mut names)?),
        });
    }
    Ok(registrations)
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

async fn accounts(connection: &mut SqliteConnection) -> Result<Names, sqlx::Error> {
    let mut rows = sqlx::query(include_str!("../../../sql/store/accounts.sql")).fetch(connection);
    let mut accounts = Names::new();
    while let Some(row) = rows.try_next().await? {
        accounts.insert(
            row.try_get_unchecked(0)?,
            row.try_get_unchecked::<&str, _>(1)?.into(),
        );
    }
    Ok(accounts)
}

/// Attributes in the order of their registrations' ids.
async fn attributes(
    connection: &mut SqliteConnection,
    query: Select,
) -> Result<Vec<(i64, Text, Text)>, sqlx::Error> {
    let mut rows = query.fetch(connection);
    let mut attributes = Vec::new();
    while let Some(row) = rows.try_next().await? {
        attributes.push((row.try_get_unchecked(0)?, text(&row, 1)?, text(&row, 2)?));
    }
    Ok(attributes)
}

/// The binding in a row of `registrations.sql`.
fn binding(
    row: &SqliteRow,
    attributes: Attributes,
    names: &mut Interner,
) -> Result<Binding, sqlx::Error> {
    Ok(Binding {
        key: Key {
            table: names.intern(row.try_get_unchecked(1)?),
            ruid: Ruid(text(row, 2)?),
        },
        username: text(row, 5)?,
        domain: optional(row, 6)?,
        contact: text(row, 7)?,
        received: optional(row, 8)?,
        path: optional(row, 9)?,
        expiry: row
            .try_get_unchecked::<Option<i64>, _>(10)?
            .map_or(Expiry::Permanent, Expiry::At),
        last_modified: row.try_get_unchecked(11)?,
        q: row.try_get_unchecked(12)?,
        call_id: optional(row, 13)?,
        cseq: number(row, 14)?,
        flags: number(row, 15)?,
        cflags: number(row, 16)?,
        user_agent: optional(row, 17)?,
        socket: optional(row, 18)?,
        methods: number(row, 19)?,
        instance: optional(row, 20)?,
        reg_id: number(row, 21)?,
        server_id: number(row, 22)?,
        attributes,
    })
}

async fn departed(
    connection: &mut SqliteConnection,
    accounts: &Names,
) -> Result<Vec<Tombstone>, sqlx::Error> {
    let mut rows = sqlx::query(include_str!("../../../sql/store/departed.sql")).fetch(connection);
    let mut departed = Vec::new();
    while let Some(row) = rows.try_next().await? {
        departed.push(Tombstone {
            account: account(&row, 0, accounts)?,
            username: text(&row, 1)?,
            domain: optional(&row, 2)?,
            at: row.try_get_unchecked(3)?,
        });
    }
    Ok(departed)
}

async fn hidden(
    connection: &mut SqliteConnection,
    names: &mut Interner,
) -> Result<Vec<Hidden>, sqlx::Error> {
    let mut rows = sqlx::query(include_str!("../../../sql/store/hidden.sql")).fetch(connection);
    let mut hidden = Vec::new();
    while let Some(row) = rows.try_next().await? {
        hidden.push(Hidden {
            key: Key {
                table: names.intern(row.try_get_unchecked(0)?),
                ruid: Ruid(text(&row, 1)?),
            },
            fingerprint: row.try_get_unchecked::<i64, _>(2)?.cast_unsigned(),
            at: row.try_get_unchecked(3)?,
        });
    }
    Ok(hidden)
}

/// The keys of registrations, but for those of which `is_kept` is true.
pub(super) async fn keys_but(
    connection: &mut SqliteConnection,
    is_kept: impl Fn(&Key) -> bool,
) -> Result<Vec<Key>, sqlx::Error> {
    let mut rows =
        sqlx::query(include_str!("../../../sql/store/registration_keys.sql")).fetch(connection);
    let mut names = Interner::default();
    let mut keys = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let key = Key {
            table: names.intern(row.try_get_unchecked(0)?),
            ruid: Ruid(text(&row, 1)?),
        };
        if !is_kept(&key) {
            keys.push(key);
        }
    }
    Ok(keys)
}

/// The latest flushes, the last one first.
pub(super) async fn flushes(
    connection: &mut SqliteConnection,
    limit: u32,
) -> Result<Vec<FlushRecord>, sqlx::Error> {
    let rows = sqlx::query(include_str!("../../../sql/store/flushes.sql"))
        .bind(limit)
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(FlushRecord {
                at: row.try_get_unchecked(0)?,
                token: row.try_get_unchecked(1)?,
                client: row.try_get_unchecked(2)?,
                request_id: row.try_get_unchecked(3)?,
                account: row.try_get_unchecked(4)?,
                username: row.try_get_unchecked(5)?,
                filters: row.try_get_unchecked(6)?,
                flushed: u64::try_from(row.try_get_unchecked::<i64, _>(7)?).unwrap_or_default(),
                failed: u64::try_from(row.try_get_unchecked::<i64, _>(8)?).unwrap_or_default(),
                ended: row.try_get_unchecked(9)?,
            })
        })
        .collect()
}

fn text(row: &SqliteRow, column: usize) -> Result<Text, sqlx::Error> {
    row.try_get_unchecked::<&[u8], _>(column).map(Text::from)
}

fn number(row: &SqliteRow, column: usize) -> Result<Option<Number>, sqlx::Error> {
    Ok(row
        .try_get_unchecked::<Option<i64>, _>(column)?
        .and_then(Number::new))
}

fn optional(row: &SqliteRow, column: usize) -> Result<Option<Text>, sqlx::Error> {
    Ok(row
        .try_get_unchecked::<Option<&[u8]>, _>(column)?
        .map(Text::from))
}

fn account(
    row: &SqliteRow,
    column: usize,
    accounts: &Names,
) -> Result<Option<Arc<str>>, sqlx::Error> {
    let id: Option<i64> = row.try_get_unchecked(column)?;
    Ok(id.and_then(|id| accounts.get(&id).cloned()))
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
