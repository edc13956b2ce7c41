//! Why the tables cannot be read at the moment.

use rustix::io::Errno;

/// Why the tables cannot be read now; each message is a sentence for an operator.
///
/// None of them is final: the tail keeps trying, and what it has reported before stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// There is no such file.
    #[error("the database file does not exist")]
    Missing,
    /// The file has no byte, or no table has been created in it.
    #[error("the database is empty")]
    Empty,
    /// The path leads to something else than a file.
    #[error("the path is not a regular file")]
    NotAFile,
    /// The first bytes are not those of a SQLite database.
    #[error("the file is not a SQLite database")]
    NotADatabase,
    /// A newer file format than this reader knows.
    #[error("the file format is newer than this reader")]
    NewerFormat,
    /// The database stores its text in UTF-16.
    #[error("the database stores text as UTF-16; only UTF-8 is supported")]
    Utf16,
    /// A table is not there (yet).
    #[error("the database has no table {0:?}")]
    NoTable(String),
    /// A table is there, but of a kind that cannot be tailed.
    #[error("the table {table:?} cannot be read: {why}")]
    Unsupported {
        /// The table.
        table: String,
        /// What is in the way.
        why: &'static str,
    },
    /// A table lacks columns without which its rows mean nothing.
    #[error("the table {table:?} has no column {}", columns.join(" and no column "))]
    NoColumn {
        /// The table.
        table: String,
        /// The columns that are missing.
        columns: Vec<&'static str>,
    },
    /// The values of a column are computed by SQLite whenever they are read, and are not in the file.
    #[error("the table {table:?} cannot be read: its column {column} is generated and not stored")]
    NotStored {
        /// The table.
        table: String,
        /// The column.
        column: &'static str,
    },
    /// A table can be read, and has rows, but none that its reader understands.
    #[error("no row of the table {table:?} can be understood; row {rowid}: {why}")]
    NotUnderstood {
        /// The table.
        table: String,
        /// One of the rows.
        rowid: i64,
        /// What is wrong with that one.
        why: String,
    },
    /// A journal was left by a writer that died; the next program that opens the database rolls it back.
    #[error("a transaction was interrupted and waits to be rolled back by the next writer")]
    HotJournal,
    /// A writer holds the database exclusively, in the middle of a commit or for good.
    #[error("a writer holds the database exclusively")]
    Locked,
    /// The writer was faster than each attempt to read.
    #[error("the database changes faster than it can be read")]
    Busy,
    /// The write-ahead log and its index do not fit together.
    #[error("the write-ahead log and its index do not match")]
    WalMismatch,
    /// Bytes that no SQLite writes; torn while they change, or a damaged file.
    #[error("the database is malformed: {0}")]
    Malformed(&'static str),
    /// The operating system refused.
    #[error("cannot {operation}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// What the system said.
        source: Errno,
    },
}

/// A result whose error is a [`Reason`].
pub(super) type Result<T> = std::result::Result<T, Reason>;

/// The value, or the finding that the bytes are malformed.
pub(super) trait OrMalformed<T> {
    /// `Err(Malformed(what))` for `None`.
    fn or_malformed(self, what: &'static str) -> Result<T>;
}

impl<T> OrMalformed<T> for Option<T> {
    fn or_malformed(self, what: &'static str) -> Result<T> {
        // `ok_or` would make a reason of each value, and drop it.
        match self {
            Some(value) => Ok(value),
            None => Err(Reason::Malformed(what)),
        }
    }
}
