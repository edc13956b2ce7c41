//! Looks at the fleet's database for the doctor; changes nothing.

use sqlx::Row;

use super::connection::{answered, connect};
use super::{Error, schema};
use crate::clock::Clock;

const CLOCK: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::int8";
const OTHERS: &str = "SELECT count(*)::int8 FROM usrlocd.node WHERE name = $1 AND id::text <> $2";

/// What was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inspection {
    /// Our clock minus that of the database.
    pub clock_offset_ms: i64,
    /// Whether another node has the name.
    pub is_name_taken: bool,
}

/// Looks whether the database at `url` can be used by the node called `name`, which has this id, if it has any yet.
///
/// # Errors
/// When it cannot.
pub async fn inspect(
    url: &str,
    name: &str,
    id: Option<&str>,
    clock: &dyn Clock,
) -> Result<Inspection, Error> {
    let mut connection = connect(url).await?;
    schema::check(&mut connection).await?;
    answered(async {
        let before = clock.unix();
        let theirs: i64 = sqlx::query(CLOCK)
            .fetch_one(&mut connection)
            .await?
            .try_get(0)?;
        let ours = (before + clock.unix()) / 2;
        let ours = i64::try_from(ours.as_millis()).unwrap_or(i64::MAX);
        let others = sqlx::query(OTHERS).bind(name).bind(id.unwrap_or_default());
        let others: i64 = others.fetch_one(&mut connection).await?.try_get(0)?;
        Ok(Inspection {
            clock_offset_ms: ours.saturating_sub(theirs),
            is_name_taken: others > 0,
        })
    })
    .await
}
