//! Where events stand in the file, and how many rows are written and asked for together.

use sqlx::query_builder::QueryBuilder;
use sqlx::{Sqlite, SqliteConnection};

/// How many rows a statement takes at most.
const ROWS: usize = 128;

/// How long a moment lasts, in milliseconds.
pub(super) const MOMENT: u64 = 1 << 16;

/// The phone that has the events that are not about a registration.
pub(super) const NO_PHONE: i64 = 0;

/// The place of the event of this number.
pub(super) fn last_place(seq: u64) -> u64 {
    2 * seq
}

/// The places that belong to it: where its former state may stand, and its own.
pub(super) fn places_of(seq: u64) -> [u64; 2] {
    [last_place(seq) - 1, last_place(seq)]
}

/// The number of the event that a place belongs to.
pub(super) fn seq_at(place: u64) -> u64 {
    place.div_ceil(2)
}

/// Inserts rows, many at a time.
pub(super) async fn insert<T>(
    connection: &mut SqliteConnection,
    into: &'static str,
    rows: Vec<T>,
    mut push: impl FnMut(&mut sqlx::query_builder::Separated<'_, Sqlite, &'static str>, T),
) -> Result<(), sqlx::Error> {
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let part: Vec<T> = rows.by_ref().take(ROWS).collect();
        let length = part.len();
        let mut query = QueryBuilder::new(into);
        query.push_values(part, |mut values, row| push(&mut values, row));
        // Of all the sizes that a rest may have these are worth keeping.
        let query = query.build().persistent(length == ROWS || length == 1);
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Numbers as a JSON array: one value to bind, however many they are.
pub(super) fn json(numbers: impl IntoIterator<Item = u64>) -> String {
    let mut out = String::from("[");
    let mut digits = itoa::Buffer::new();
    for number in numbers {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(digits.format(number));
    }
    out.push(']');
    out
}
