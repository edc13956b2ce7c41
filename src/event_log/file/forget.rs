//! Deleting what is kept of a user, at once.

use std::collections::BTreeSet;

use sqlx::{Row, SqliteConnection};

use super::append::seq_at;
use super::rows::json;
use super::users::{self, Owned};

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
    let rows =
        sqlx::query("SELECT id, name FROM account WHERE id > 0 AND (?1 IS NULL OR name = ?1)")
            .bind(user.account)
            .fetch_all(&mut *connection)
            .await?;
    let mut phones = Vec::new();
    for row in rows {
        let name: Option<String> = row.try_get(1)?;
        let account = (row.try_get(0)?, name.as_deref());
        let found = users::owned(connection, account, user.username.as_bytes()).await?;
        let is_meant = |one: &Owned| {
            let own = one.realm.as_deref().unwrap_or_default();
            user.realm
                .is_none_or(|realm| own.eq_ignore_ascii_case(realm.as_bytes()))
        };
        phones.extend(found.into_iter().filter(is_meant).map(|one| one.phone));
    }
    Ok(phones)
}
