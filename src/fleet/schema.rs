//! The tables of the fleet's database, and their versions. Only `usrlocd fleet migrate` changes them.

use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::Error;
use super::connection::{answered, execute};

/// Versions in order. Never change one that was released; each only adds, so that older and newer nodes go together.
const MIGRATIONS: &[&str] = &[include_str!("../../sql/fleet/migrations/0001_first.sql")];

/// The version that this usrlocd needs at least.
pub const VERSION: i32 = 1;

/// Whether there are any.
const IS_THERE: &str = "SELECT 1 FROM information_schema.tables WHERE table_schema = 'usrlocd' AND table_name = 'migration'";

/// The version that the database has; 0 for none.
///
/// # Errors
/// When that cannot be told.
pub async fn version(connection: &mut PgConnection) -> Result<i32, Error> {
    answered(async {
        if sqlx::query(IS_THERE)
            .fetch_optional(&mut *connection)
            .await?
            .is_none()
        {
            return Ok(0);
        }
        let newest = "SELECT coalesce(max(version), 0)::int4 FROM usrlocd.migration";
        Ok(sqlx::query(newest)
            .fetch_one(connection)
            .await?
            .try_get(0)?)
    })
    .await
}

/// Whether the database has what this usrlocd needs. A newer version only adds to it.
///
/// # Errors
/// When it has not.
pub async fn check(connection: &mut PgConnection) -> Result<(), Error> {
    match version(connection).await? {
        0 => Err(Error::NoSchema),
        found if found < VERSION => Err(Error::Older {
            found,
            wanted: VERSION,
        }),
        _ => Ok(()),
    }
}

/// Brings the tables to the newest version that is known here. Returns the versions before and after.
///
/// # Errors
/// When the database refuses; what was not finished is undone.
pub async fn migrate(connection: &mut PgConnection) -> Result<(i32, i32), Error> {
    let before = version(connection).await?;
    for (version, migration) in (1..)
        .zip(MIGRATIONS)
        .filter(|(version, _)| *version > before)
    {
        // The number last: of two that migrate at once, one is undone.
        let whole = format!(
            "BEGIN; {migration}; INSERT INTO usrlocd.migration VALUES ({version}, now()); COMMIT"
        );
        execute(connection, &whole).await?;
    }
    Ok((before, version(connection).await?))
}
