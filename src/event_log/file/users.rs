//! Users and accounts by their names.

use sqlx::{Row, SqliteConnection};

use super::common::{Decoder, account_of};
use super::phones::{name, names_of};
use super::state::State;
use crate::registration::{Cell, Column, Name, Text};

/// What stands for bytes that are not UTF-8.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// A phone, and whose it is.
#[derive(Debug)]
pub(super) struct Owned {
    pub(super) phone: i64,
    user: Vec<u8>,
    /// `None` where its rows name none.
    pub(super) realm: Option<Vec<u8>>,
}

/// Whom a name means, wherever he is.
#[derive(Clone, Copy, Debug)]
pub(super) struct User<'a> {
    /// The account's id; `None` for all.
    pub(super) account: Option<&'a str>,
    pub(super) username: &'a str,
    /// `None` for all.
    pub(super) realm: Option<&'a str>,
}

/// An account that is known.
#[derive(Debug)]
pub(super) struct Account {
    /// `None` for that of registrations that belong to no account.
    pub(super) id: Option<String>,
    pub(super) trait_id: i64,
}

/// Those of these accounts that are known.
pub(super) async fn accounts(
    connection: &mut SqliteConnection,
    ids: &[String],
) -> Result<Vec<Account>, sqlx::Error> {
    let mut known = Vec::new();
    for id in ids {
        let trait_id = sqlx::query_scalar("SELECT id FROM trait WHERE content = ?1")
            .bind(account_of(id))
            .fetch_optional(&mut *connection)
            .await?;
        known.extend(trait_id.map(|trait_id| Account {
            id: Some(id.clone()),
            trait_id,
        }));
    }
    Ok(known)
}

/// All accounts that are known, and that of registrations without one.
async fn all_accounts(connection: &mut SqliteConnection) -> Result<Vec<Account>, sqlx::Error> {
    let ids: Vec<Vec<u8>> = sqlx::query_scalar(include_str!("../../../sql/history/accounts.sql"))
        .fetch_all(&mut *connection)
        .await?;
    let ids: Result<Vec<String>, _> = ids.into_iter().map(String::from_utf8).collect();
    let ids = ids.map_err(|error| sqlx::Error::Decode(error.into()))?;
    let mut all = accounts(connection, &ids).await?;
    all.push(Account {
        id: None,
        trait_id: 0,
    });
    Ok(all)
}

/// The phones of a user, each with the account that it belongs to.
pub(super) async fn named(
    connection: &mut SqliteConnection,
    user: &User<'_>,
) -> Result<Vec<(Option<String>, Owned)>, sqlx::Error> {
    let accounts = match user.account {
        Some(id) => accounts(connection, &[id.to_owned()]).await?,
        None => all_accounts(connection).await?,
    };
    let is_meant = |one: &Owned| {
        let own = one.realm.as_deref().unwrap_or_default();
        user.realm
            .is_none_or(|realm| own.eq_ignore_ascii_case(realm.as_bytes()))
    };
    let mut phones = Vec::new();
    for account in accounts {
        let found = owned(connection, &account, user.username.as_bytes()).await?;
        let meant = found.into_iter().filter(is_meant);
        phones.extend(meant.map(|one| (account.id.clone(), one)));
    }
    Ok(phones)
}

/// The phones of accounts; `None` where there are more than `most`.
pub(super) async fn phones_of(
    connection: &mut SqliteConnection,
    accounts: &[Account],
    most: usize,
) -> Result<Option<Vec<i64>>, sqlx::Error> {
    const PHONES: &str =
        "SELECT id FROM phone WHERE name BETWEEN ?1 AND ?2 AND account = ?3 LIMIT ?4";
    let mut phones: Vec<i64> = Vec::new();
    for account in accounts {
        let (from, to) = names_of(account.id.as_deref());
        let own: Vec<i64> = sqlx::query_scalar(PHONES)
            .bind(from)
            .bind(to)
            .bind(account.trait_id)
            .bind(i64::try_from(most).unwrap_or(i64::MAX - 1) + 1)
            .fetch_all(&mut *connection)
            .await?;
        phones.extend(own);
        if phones.len() > most {
            return Ok(None);
        }
    }
    Ok(Some(phones))
}

/// The phones of the users of an account whom a name means: in any case of letters, unless one is spelled exactly so.
pub(super) async fn phones(
    connection: &mut SqliteConnection,
    account: &str,
    username: &[u8],
) -> Result<Vec<i64>, sqlx::Error> {
    let mut all = Vec::new();
    for account in accounts(connection, &[account.to_owned()]).await? {
        all.extend(owned(connection, &account, username).await?);
    }
    Ok(all.into_iter().map(|one| one.phone).collect())
}

/// As [`phones`], with whose they are.
pub(super) async fn owned(
    connection: &mut SqliteConnection,
    account: &Account,
    username: &[u8],
) -> Result<Vec<Owned>, sqlx::Error> {
    let looks = std::str::from_utf8(username).ok();
    let looks = looks.filter(|text| text.contains(REPLACEMENT));
    let id = account.id.as_deref();
    // Names that only look so have other hashes.
    let (from, to) = match looks {
        Some(_) => names_of(id),
        None => (name(id, username), name(id, username)),
    };
    let rows = sqlx::query(include_str!("../../../sql/history/users.sql"))
        .bind(from)
        .bind(to)
        .bind(account.trait_id)
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
    let base = State::from_difference(base, &State::usual())?;
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
