//! Deleting what is too old or too much, a little at a time.

use sqlx::{Row, SqliteConnection};

use super::places::{MOMENT, last_place, seq_at};

/// How many events are deleted at a time.
const LEAST: usize = 100;
const MOST: usize = 2_000;

/// So many free pages may stay in the file, and so many go at a time.
const FREE_PAGES: u64 = 256;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How many events may be deleted now.
    pub(super) events: usize,
    /// Events before this moment are too old, in milliseconds since the Unix epoch.
    pub(super) before: u64,
    /// What time it is, in milliseconds since the Unix epoch.
    pub(super) now: u64,
    /// How many bytes the file and its log may take.
    pub(super) bytes: u64,
    /// How many SQLite's log takes.
    pub(super) log_bytes: u64,
}

/// Deletes what is beyond the limits; the caller's transaction is around it.
pub(super) async fn prune(
    connection: &mut SqliteConnection,
    limits: &Limits,
) -> Result<(), sqlx::Error> {
    let row = sqlx::query(include_str!("../../../sql/history/limits.sql"))
        .bind(limits.before.saturating_sub(MOMENT).cast_signed())
        .bind(limits.now.cast_signed())
        .fetch_one(&mut *connection)
        .await?;
    let number = |column: usize| {
        let number: Option<i64> = row.try_get(column)?;
        Ok::<_, sqlx::Error>(number.map(i64::cast_unsigned))
    };
    let (Some(oldest), Some(newest)) = (number(0)?, number(1)?) else {
        return Ok(());
    };
    let (oldest, newest) = (seq_at(oldest), seq_at(newest));
    let (pages, free, page) = (number(4)?, number(5)?, number(6)?);
    let (pages, free) = (pages.unwrap_or_default(), free.unwrap_or_default());
    if free > FREE_PAGES {
        sqlx::query("PRAGMA incremental_vacuum(64)")
            .fetch_all(&mut *connection)
            .await?;
    }
    let used = (pages - free) * page.unwrap_or_default();
    let is_full = used + limits.log_bytes + margin(limits.bytes) > limits.bytes;
    let expired = match (number(2)?, number(3)?) {
        _ if is_full => newest + 1,
        (None, _) => oldest,
        (Some(_), Some(next)) => seq_at(next),
        (Some(_), None) => newest + 1,
    };
    let portion = limits.events.clamp(LEAST, MOST) as u64;
    let end = expired.min(oldest + portion);
    if end > oldest {
        delete_before(connection, end).await?;
    }
    Ok(())
}

/// How far below the limit the file stays, for what the next batches add.
fn margin(bytes: u64) -> u64 {
    (bytes / 32).min(16 << 20)
}

/// Deletes the events before number `end`, and what they alone needed.
async fn delete_before(connection: &mut SqliteConnection, end: u64) -> Result<(), sqlx::Error> {
    const DELETE: [&str; 5] = [
        include_str!("../../../sql/history/prune_kept.sql"),
        include_str!("../../../sql/history/prune_phones.sql"),
        "DELETE FROM event WHERE place <= ?1",
        "DELETE FROM moment WHERE place < (SELECT max(place) FROM moment WHERE place <= ?1 + 1)",
        "UPDATE log SET pruned = (?1 + 1) / 2",
    ];
    for sql in DELETE {
        sqlx::query(sql)
            .bind(last_place(end - 1).cast_signed())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
