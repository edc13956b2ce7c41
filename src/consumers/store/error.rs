//! What can go wrong with the store.

use std::path::PathBuf;

use crate::own_database;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why the store cannot do what was asked. Nothing of a batch is written then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file, or its directory, cannot be made or opened.
    #[error("cannot create {path}; let usrlocd's user write its directory, or set [store] path")]
    CannotCreate {
        /// What cannot be created.
        path: PathBuf,
        /// The operating system's error.
        source: BoxError,
    },
    /// The file there is another program's database, or a part of one. It is left as it is.
    #[error(
        "{path} is another program's database, which usrlocd neither writes nor moves; set [store] path to a file of usrlocd's own"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Another process has it open.
    #[error("the store {path} is in use by another process; stop it, or set another [store] path")]
    InUse {
        /// The store.
        path: PathBuf,
    },
    /// A write failed: a full disk, a read-only file system, a faulty disk. The next one may work.
    #[error(
        "cannot write to the store {path}; check the disk's free space and health, and the file's permissions"
    )]
    CannotWrite {
        /// The store.
        path: PathBuf,
        /// SQLite's error.
        source: BoxError,
    },
    /// A read failed.
    #[error("cannot read the store {path}")]
    CannotRead {
        /// The store.
        path: PathBuf,
        /// SQLite's error.
        source: BoxError,
    },
    /// Its content was at fault and it was set aside; the new one is empty and wants every registration and every
    /// hidden row again.
    #[error("the store {path} was broken and has been begun anew")]
    BegunAnew {
        /// The store.
        path: PathBuf,
    },
}

impl From<own_database::Error> for Error {
    fn from(error: own_database::Error) -> Self {
        use own_database::Error as E;
        match error {
            E::CannotCreate { path, source } => Self::CannotCreate { path, source },
            E::Foreign { path } => Self::Foreign { path },
            E::InUse { path } => Self::InUse { path },
            E::CannotWrite { path, source } => Self::CannotWrite { path, source },
        }
    }
}
