//! What can go wrong with the history.

use std::path::PathBuf;

use crate::own_database;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why the history cannot do what was asked. Nothing is written then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be made or opened.
    #[error(
        "cannot open the history; let usrlocd's user write the directory, or set [history] path"
    )]
    CannotOpen(#[source] own_database::Error),
    /// A write failed: a full disk, a read-only file system, a faulty disk. The next one may work.
    #[error(
        "cannot write to the history {path}; check the disk's free space and health, and the file's permissions"
    )]
    CannotWrite {
        /// The history.
        path: PathBuf,
        /// SQLite's error.
        source: BoxError,
    },
    /// A read failed.
    #[error("cannot read the history {path}")]
    CannotRead {
        /// The history.
        path: PathBuf,
        /// SQLite's error.
        source: BoxError,
    },
    /// The file was damaged and has been set aside, or was deleted. A new one was begun: it is empty, and has another
    /// id. Numbers go on.
    #[error("the history {path} was damaged or deleted; a new one was started")]
    BegunAnew {
        /// The history.
        path: PathBuf,
    },
}

/// Why events cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The first of them are not kept any more.
    #[error("the following events are no longer kept")]
    TooOld,
    /// The history cannot be read.
    #[error(transparent)]
    Failed(#[from] Error),
}
