//! A connection to the fleet's database: each statement is answered within a bounded time.

use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _};

use super::Error;
use crate::source::sql;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a statement may take; the server itself ends it a second earlier.
const ANSWER: Duration = Duration::from_secs(6);

/// Applies to the session. A transaction that hangs would keep rows locked.
const SETTINGS: &str =
    "SET statement_timeout = '5s'; SET idle_in_transaction_session_timeout = '10s'";

/// Connects to the database that `url` names.
///
/// # Errors
/// When it cannot be reached, or refuses.
pub async fn connect(url: &str) -> Result<PgConnection, Error> {
    let options = PgConnectOptions::from_str(url).map_err(|_| Error::Server(sql::Error::Url))?;
    let options = options
        .application_name("usrlocd fleet")
        .disable_statement_logging();
    let connecting = async { Ok(PgConnection::connect_with(&options).await?) };
    let mut connection = within(CONNECT, connecting).await?;
    execute(&mut connection, SETTINGS).await?;
    Ok(connection)
}

/// Executes statements without parameters.
pub(super) async fn execute(connection: &mut PgConnection, sql: &str) -> Result<(), Error> {
    let statements = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
    answered(async { Ok(statements.execute(connection).await.map(drop)?) }).await
}

/// The answer to a statement, if it comes in time.
pub(super) async fn answered<T>(
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    within(ANSWER, answer).await
}

async fn within<T>(
    time: Duration,
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let answer = tokio::time::timeout(time, answer).await;
    answer.map_err(|_| Error::no_answer(time))?
}
