//! The one connection to a database server: short statements, each of which is a transaction of its own and is answered
//! within a bounded time.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, Row, ValueRef};

use super::dialect::Dialect;
use super::error::Error;
use super::rows::Rows;
use crate::clock::Clock;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a statement may take; the server itself ends it a second earlier.
const ANSWER: Duration = Duration::from_secs(6);

/// A session on a server.
#[derive(Debug)]
pub(super) struct Connection {
    session: Session,
    clock: Arc<dyn Clock>,
    /// The time that statements have taken since it was last asked for.
    busy: Duration,
}

#[derive(Debug)]
enum Session {
    Postgres(PgConnection),
    MySql(MySqlConnection),
}

/// Whether a URL is one that names a server and how to log in.
///
/// # Errors
/// When it is not.
pub fn check(url: &str) -> Result<(), Error> {
    match Dialect::of(url).ok_or(Error::Url)? {
        Dialect::Postgres => PgConnectOptions::from_str(url).map(drop)?,
        Dialect::MySql => MySqlConnectOptions::from_str(url).map(drop)?,
    }
    Ok(())
}

impl Connection {
    /// Connects to the server that `url` names.
    pub(super) async fn open(url: &str, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let dialect = Dialect::of(url).ok_or(Error::Url)?;
        let connecting = async {
            Ok::<_, sqlx::Error>(match dialect {
                Dialect::Postgres => {
                    let options = PgConnectOptions::from_str(url)?;
                    let options = options
                        .application_name("usrlocd")
                        .disable_statement_logging();
                    Session::Postgres(PgConnection::connect_with(&options).await?)
                }
                Dialect::MySql => {
                    let options = MySqlConnectOptions::from_str(url)?.disable_statement_logging();
                    Session::MySql(MySqlConnection::connect_with(&options).await?)
                }
            })
        };
        let session = tokio::time::timeout(CONNECT, connecting)
            .await
            .map_err(|_| Error::NoAnswer(CONNECT))??;
        let mut connection = Self {
            session,
            clock,
            busy: Duration::ZERO,
        };
        let version = connection.query("select version()").await?;
        let version = String::from_utf8_lossy(version.first().unwrap_or_default()).into_owned();
        for setting in dialect.settings(&version) {
            connection.query(*setting).await?;
        }
        Ok(connection)
    }

    /// The answer to a statement.
    pub(super) async fn query(&mut self, statement: impl Into<String>) -> Result<Rows, Error> {
        let began = self.clock.monotonic();
        let answer = tokio::time::timeout(ANSWER, self.session.query(statement.into())).await;
        self.busy += self.clock.monotonic().saturating_sub(began);
        Ok(answer.map_err(|_| Error::NoAnswer(ANSWER))??)
    }

    /// The time that statements have taken since the last call: as much as the server can have worked for them.
    pub(super) fn take_busy(&mut self) -> Duration {
        std::mem::take(&mut self.busy)
    }
}

impl Session {
    /// The statement goes as text, and so do the values: nothing is prepared on the server, and a value that no type
    /// of ours could hold (`infinity`, `0000-00-00`) costs itself alone.
    async fn query(&mut self, statement: String) -> Result<Rows, sqlx::Error> {
        let query = sqlx::raw_sql(AssertSqlSafe(statement));
        let mut rows = Rows::default();
        match self {
            Self::Postgres(session) => {
                let mut answer = query.fetch(session);
                while let Some(row) = answer.try_next().await? {
                    if rows.len() == 0 {
                        rows = Rows::of_width(row.len());
                    }
                    for place in 0..row.len() {
                        let value = row.try_get_raw(place)?;
                        let bytes = (!value.is_null()).then(|| value.as_bytes()).transpose();
                        rows.push(bytes.map_err(sqlx::Error::Decode)?);
                    }
                }
            }
            Self::MySql(session) => {
                let mut answer = query.fetch(session);
                while let Some(row) = answer.try_next().await? {
                    if rows.len() == 0 {
                        rows = Rows::of_width(row.len());
                    }
                    for place in 0..row.len() {
                        rows.push(row.try_get_unchecked(place)?);
                    }
                }
            }
        }
        Ok(rows)
    }
}
