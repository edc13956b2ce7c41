//! Users and accounts by their names.

use sqlx::{Row, SqliteConnection};

use super::common::Decoder;
use super::phones::name;
use super::state::State;
use crate::registration::{Cell, Column, Name, Text};

/// What stands for bytes that are not UTF-8.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// A phone, and whose it is.
#[derive(Debug)]
pub(super) struct Owned {
    pub(super) phone: i64,
    user: Vec<u8>,
    pub(super) realm: Option<Vec<u8>>,
}

/// The ids of accounts.
pub(super) async fn accounts(
    connection: &mut SqliteConnection,
    names: &[String],
) -> Result<Vec<i64>, sqlx::Error> {
    let names = serde_json::to_string(names).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query_scalar("SELECT id FROM account WHERE name IN (SELECT value FROM json_each(?1))")
        .bind(names)
        .fetch_all(connection)
        .await
}

/// The phones of the users of an account whom a name means: in any case of letters, unless one is spelled exactly so.
pub(super) async fn phones(
    connection: &mut SqliteConnection,
    account: &str,
    username: &[u8],
) -> Result<Vec<i64>, sqlx::Error> {
    let ids = accounts(connection, &[account.to_owned()]).await?;
    let mut all = Vec::new();
    for id in ids {
        all.extend(owned(connection, (id, Some(account)), username).await?);
    }
    Ok(all.into_iter().map(|one| one.phone).collect())
}

/// As [`phones`], with whose they are; the account by its id and name.
pub(super) async fn owned(
    connection: &mut SqliteConnection,
    (id, account): (i64, Option<&str>),
    username: &[u8],
) -> Result<Vec<Owned>, sqlx::Error> {
    let looks = std::str::from_utf8(username).ok();
    let looks = looks.filter(|text| text.contains(REPLACEMENT));
    // Names that only look so have other hashes.
    let hash = looks.is_none().then(|| name(account, username));
    let rows = sqlx::query(include_str!("../../../sql/history/users.sql"))
        .bind(hash)
        .bind(id)
        .fetch_all(connection)
        .await?;
    let mut decoder = Decoder::default();
    let mut all = Vec::new();
    for row in rows {
        let one = of_row(
            row.try_get(0)?,
            row.try_get(1)?,
            row.try_get(2)?,
            &mut decoder,
        );
        all.push(one.ok_or_else(|| sqlx::Error::Decode("a phone cannot be read".into()))?);
    }
    let lossy = |one: &Owned| String::from_utf8_lossy(&one.user).into_owned();
    all.retain(|one| {
        one.user.eq_ignore_ascii_case(username)
            || looks.is_some_and(|looks| lossy(one).eq_ignore_ascii_case(looks))
    });
    let is_exactly =
        |one: &Owned| one.user == username || looks.is_some_and(|looks| lossy(one) == looks);
    if all.iter().any(is_exactly) {
        all.retain(is_exactly);
    }
    Ok(all)
}

fn of_row(phone: i64, base: &[u8], common: &[u8], decoder: &mut Decoder) -> Option<Owned> {
    let base = State::from_difference(base, &State::default())?;
    let shared = decoder.shared(common)?;
    let Cell::Text(username) = base.column(Column::Username) else {
        return None;
    };
    let domain = shared.domain.as_ref().map(Text::as_bytes);
    let name = Name::of_columns(username, domain);
    Some(Owned {
        phone,
        user: name.user.into_owned(),
        realm: name.realm.map(<[u8]>::to_vec),
    })
}
