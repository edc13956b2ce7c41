//! Why the program ends, and with which exit status.

use thiserror::Error;

use crate::config::Problems;
use crate::consumers::store;

/// Why the program ends before its work is done; each has its own exit status (`sysexits.h`).
#[derive(Debug, Error)]
pub enum Failure {
    /// It failed, or the answer is no.
    #[error("{0:#}")]
    Failed(anyhow::Error),
    /// Part of it is done.
    #[error("{0:#}")]
    Partly(anyhow::Error),
    /// A usage error.
    #[error("{0:#}")]
    Usage(anyhow::Error),
    /// Something that is needed does not answer.
    #[error("{0:#}")]
    Unavailable(anyhow::Error),
    /// An internal error.
    #[error("{0:#}")]
    Software(anyhow::Error),
    /// The system refused, for instance because a port is in use.
    #[error("{0:#}")]
    System(anyhow::Error),
    /// One of usrlocd's files cannot be created.
    #[error("{0:#}")]
    CannotCreate(anyhow::Error),
    /// One of usrlocd's files cannot be read or written.
    #[error("{0:#}")]
    Io(anyhow::Error),
    /// Permission denied.
    #[error("{0:#}")]
    Permission(anyhow::Error),
    /// The configuration has mistakes.
    #[error("{0}")]
    Config(#[from] Problems),
}

impl Failure {
    /// The exit status of the process.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Partly(_) => 2,
            Self::Usage(_) => 64,
            Self::Unavailable(_) => 69,
            Self::Software(_) => 70,
            Self::System(_) => 71,
            Self::CannotCreate(_) => 73,
            Self::Io(_) => 74,
            Self::Permission(_) => 77,
            Self::Config(problems) if problems.denied() => 77,
            Self::Config(_) => 78,
        }
    }

    /// That of a store that cannot be opened or read.
    pub(super) fn of_store(error: store::Error) -> Self {
        match error {
            store::Error::CannotCreate { .. } | store::Error::Foreign { .. } => {
                Self::CannotCreate(error.into())
            }
            store::Error::InUse { .. } => Self::System(error.into()),
            store::Error::CannotWrite { .. }
            | store::Error::CannotRead { .. }
            | store::Error::BegunAnew { .. } => Self::Io(error.into()),
        }
    }
}
