//! How far a `PostgreSQL` standby is behind the server that it follows.

use std::time::Duration;

use super::connection::Connection;
use super::error::Error;

/// Milliseconds. A standby that is connected and has replayed all that it received has everything, however long ago the
/// last transaction was; any other has what was committed by the last transaction that it replayed.
const BEHIND: &str = "select case when not pg_is_in_recovery() then 0 \
    when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() and exists (select from pg_stat_wal_receiver) then 0 \
    else greatest(0, extract(epoch from clock_timestamp() \
        - coalesce(pg_last_xact_replay_timestamp(), pg_postmaster_start_time())) * 1000) end::bigint";

/// Whether the server is one.
///
/// # Errors
/// When it cannot be asked.
pub(super) async fn is_standby(connection: &mut Connection) -> Result<bool, Error> {
    let said = connection
        .query("select pg_is_in_recovery()::int::text")
        .await?;
    Ok(said.first() == Some(b"1".as_slice()))
}

/// The age of the newest state of its primary that it certainly has; zero once it is no standby any more.
///
/// # Errors
/// When it cannot be asked.
pub(super) async fn behind(connection: &mut Connection) -> Result<Duration, Error> {
    let said = connection.query(BEHIND).await?;
    let row = said.iter().next().ok_or(Error::Failed)?;
    row.number(0)
        .map(Duration::from_millis)
        .ok_or(Error::Failed)
}
