//! Deleting what is kept of a user, at once.

use std::collections::BTreeSet;

use sqlx::SqliteConnection;

use super::places::{json, seq_at};
use super::users::{self, User};

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
    let phones = users::named(connection, user).await?;
    let ids = json(phones.iter().map(|(_, one)| one.phone.cast_unsigned()));
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
