//! Why a server's tables cannot be read, in words that hold no secret.

use std::time::Duration;

use sqlx::mysql::MySqlDatabaseError;
use thiserror::Error;

use crate::source::{Health, Trouble};

/// Why tables cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Error {
    /// It cannot be reached.
    #[error("cannot connect to the database server: {0}")]
    Unreachable(std::io::ErrorKind),
    /// It takes too long.
    #[error("the database server did not answer within {} s", .0.as_secs())]
    NoAnswer(Duration),
    /// TLS fails.
    #[error("TLS to the database server failed: {0}")]
    Tls(String),
    /// The URL is not one.
    #[error("the URL of the database is invalid")]
    Url,
    /// The user or the password is wrong, or not admitted from here.
    #[error(
        "the database server refused the login; check user, password and the server's access rules"
    )]
    Login,
    /// There is no such database.
    #[error("the database does not exist on the server")]
    NoDatabase,
    /// It accepts no more connections.
    #[error("the database server accepts no more connections")]
    Full,
    /// It is starting or stopping.
    #[error("the database server is starting, stopping, or was stopped")]
    Restarting,
    /// A privilege is missing.
    #[error("the database user lacks the SELECT privilege on a usrloc table")]
    Permission,
    /// A table is missing.
    #[error("no table {0}")]
    NoTable(String),
    /// A table was dropped or altered while it was read.
    #[error("a usrloc table was dropped or altered")]
    Altered,
    /// A column is missing.
    #[error("table {table} has no column {column}")]
    NoColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A statement took too long.
    #[error("the database server cancelled a query that took too long")]
    Slow,
    /// Anything else that the server refuses.
    #[error("the database server refused a query (SQLSTATE {0})")]
    Refused(String),
    /// Anything else.
    #[error("the connection to the database server failed")]
    Failed,
}

impl Error {
    /// In a word, for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unreachable(_) | Self::Failed | Self::Restarting | Self::Full => "unreachable",
            Self::NoAnswer(_) | Self::Slow => "timeout",
            Self::Tls(_) => "tls",
            Self::Url | Self::Login | Self::NoDatabase => "login",
            Self::Permission => "permission",
            Self::NoTable(_) | Self::Altered => "no_table",
            Self::NoColumn { .. } => "no_column",
            Self::Refused(_) => "refused",
        }
    }

    /// The state of tables that cannot be read for this reason.
    pub(super) fn health(&self) -> Health {
        let trouble = Trouble {
            kind: self.kind(),
            message: self.to_string(),
        };
        match self {
            Self::NoTable(_) | Self::NoColumn { .. } | Self::NoDatabase => Health::Absent(trouble),
            _ => Health::Blocked(trouble),
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        // The text of a driver may quote what it was given: not even the log shows it beyond debug.
        tracing::debug!(%error, "the database server or its driver reports an error");
        match error {
            sqlx::Error::Io(error) => of_io(&error),
            sqlx::Error::Tls(error) => Self::Tls(error.to_string()),
            sqlx::Error::Configuration(_) => Self::Url,
            sqlx::Error::Database(error) => {
                let number = error.try_downcast_ref::<MySqlDatabaseError>();
                match number.map(MySqlDatabaseError::number) {
                    Some(number) => of_mysql(number),
                    None => of_sqlstate(&error.code().unwrap_or_default()),
                }
            }
            _ => Self::Failed,
        }
    }
}

/// What an error of the line means: the driver reports what TLS refuses as one too.
fn of_io(error: &std::io::Error) -> Error {
    let inner = error.get_ref();
    match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(refusal) => Error::Tls(refusal.to_string()),
        None => Error::Unreachable(error.kind()),
    }
}

/// What an error code of `PostgreSQL` means (its appendix A).
fn of_sqlstate(code: &str) -> Error {
    match code {
        "28000" | "28P01" => Error::Login,
        "3D000" => Error::NoDatabase,
        "53300" => Error::Full,
        "57P01" | "57P02" | "57P03" => Error::Restarting,
        "42501" => Error::Permission,
        "42P01" | "42703" => Error::Altered,
        "57014" | "55P03" => Error::Slow,
        code => Error::Refused(code.to_owned()),
    }
}

/// What an error number of `MySQL` or `MariaDB` means.
fn of_mysql(number: u16) -> Error {
    match number {
        1045 | 1698 | 1130 => Error::Login,
        1044 | 1049 => Error::NoDatabase,
        1040 | 1203 | 1226 => Error::Full,
        1053 | 1927 => Error::Restarting,
        1142 | 1143 => Error::Permission,
        1146 | 1054 => Error::Altered,
        1205 | 1317 | 1969 | 3024 => Error::Slow,
        number => Error::Refused(format!("HY000, error {number}")),
    }
}
