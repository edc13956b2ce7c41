//! Why the fleet's database cannot be used, in words that hold no secret.

use std::time::Duration;

use crate::source::sql;

/// Why the fleet's database cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be reached, or refuses.
    #[error(transparent)]
    Server(sql::Error),
    /// A privilege is missing.
    #[error("the database user lacks a privilege on the tables of the fleet")]
    Permission,
    /// It takes no writes.
    #[error("the database is read-only: a standby, or one that is being switched over")]
    ReadOnly,
    /// Its disk is full.
    #[error("the database server has no room left on its disk")]
    Full,
    /// There are no tables.
    #[error("the database has no tables of the fleet; run `usrlocd fleet migrate`")]
    NoSchema,
    /// It has older tables.
    #[error(
        "the database has version {found} of the fleet's tables, older than version {wanted} that this usrlocd needs; run `usrlocd fleet migrate`"
    )]
    Older {
        /// What it has.
        found: i32,
        /// What is needed.
        wanted: i32,
    },
    /// Another node has this name.
    #[error(
        "another node already has the name {0}; set `[fleet] node`, or run `usrlocd nodes forget {0}` if that node will not come back"
    )]
    NameTaken(String),
    /// Another process acts as this node.
    #[error(
        "another usrlocd has started with the identity of this node; if this machine was copied, delete the file fleet-id beside the store and restart"
    )]
    Fenced,
    /// What is there was not written by usrlocd.
    #[error("the tables of the fleet have unexpected content")]
    Content,
}

impl Error {
    /// In a word, for metrics and the log.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Server(error) => error.kind(),
            Self::Permission => "permission",
            Self::ReadOnly => "read_only",
            Self::Full => "full",
            Self::NoSchema | Self::Older { .. } => "schema",
            Self::NameTaken(_) => "name_taken",
            Self::Fenced => "fenced",
            Self::Content => "content",
        }
    }

    /// No answer within this time.
    pub(super) fn no_answer(after: Duration) -> Self {
        Self::Server(sql::Error::NoAnswer(after))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if matches!(
            error,
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)
        ) {
            return Self::Content;
        }
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        match code.as_deref() {
            Some("25006") => Self::ReadOnly,
            Some("53100") => Self::Full,
            _ => match sql::Error::from(error) {
                sql::Error::Permission => Self::Permission,
                sql::Error::Altered => Self::NoSchema,
                error => Self::Server(error),
            },
        }
    }
}
