//! Deleting what is kept of a user, at once.

use std::collections::BTreeSet;

use sqlx::SqliteConnection;

use super::places::{json, seq_at};
use super::users::{self, Account, Owned};

/// Whom to forget.
#[derive(Clone, Copy, Debug)]
pub(super) struct User<'a> {
    /// The account's id; `None` for all.
    pub(super) account: Option<&'a str>,
    pub(super) username: &'a str,
    /// `None` for all.
    pub(super) realm: Option<&'a str>,
}

/// Deletes the events of a user's phones and the phones; the caller's transaction is around it. Returns how many events
/// that was. Empty rows stay in their places, because chains lead over them.
pub(super) async fn forget(
    connection: &mut SqliteConnection,
    user: &User<'_>,
) -> Result<u64, sqlx::Error> {
    const FORGET: [&str; 3] = [
        include_str!("../../../sql/history/forget_halves.sql"),
        include_str!("../../../sql/history/forget_rows.sql"),
        "DELETE FROM phone WHERE id IN (SELECT value FROM json_each(?1))",
    ];
    let phones = phones(connection, user).await?;
    let ids = json(phones.iter().map(|id| id.cast_unsigned()));
    let places: Vec<i64> =
        sqlx::query_scalar(include_str!("../../../sql/history/forget_places.sql"))
            .bind(&ids)
            .fetch_all(&mut *connection)
            .await?;
    let numbers = places.iter().map(|place| seq_at(place.cast_unsigned()));
    let numbers: BTreeSet<u64> = numbers.collect();
    let places = json(places.iter().map(|place| place.cast_unsigned()));
    for sql in FORGET {
        let query = sqlx::query(sql).bind(&ids).bind(&places);
        query.execute(&mut *connection).await?;
    }
    Ok(numbers.len() as u64)
}

async fn phones(
    connection: &mut SqliteConnection,
    user: &User<'_>,
) -> Result<Vec<i64>, sqlx::Error> {
    let mut phones = Vec::new();
    for account in accounts(connection, user.account).await? {
        let found = users::owned(connection, &account, user.username.as_bytes()).await?;
        let is_meant = |one: &Owned| {
            let own = one.realm.as_deref().unwrap_or_default();
            user.realm
                .is_none_or(|realm| own.eq_ignore_ascii_case(realm.as_bytes()))
        };
        phones.extend(found.into_iter().filter(is_meant).map(|one| one.phone));
    }
    Ok(phones)
}

/// The account of this id, or all and that of registrations without one.
async fn accounts(
    connection: &mut SqliteConnection,
    id: Option<&str>,
) -> Result<Vec<Account>, sqlx::Error> {
    if let Some(id) = id {
        return users::accounts(connection, &[id.to_owned()]).await;
    }
    let ids: Vec<Vec<u8>> = sqlx::query_scalar(include_str!("../../../sql/history/accounts.sql"))
        .fetch_all(&mut *connection)
        .await?;
    let ids: Result<Vec<String>, _> = ids.into_iter().map(String::from_utf8).collect();
    let ids = ids.map_err(|error| sqlx::Error::Decode(error.into()))?;
    let mut accounts = users::accounts(connection, &ids).await?;
    accounts.push(Account {
        id: None,
        trait_id: 0,
    });
    Ok(accounts)
}
