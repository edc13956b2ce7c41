//! The composition root.

use thiserror::Error;

use crate::config::{Config, Problems};

/// Why the program ends before its work is done; each has an exit status of its own (`sysexits.h`).
#[derive(Debug, Error)]
pub enum Failure {
    /// It did not work, or the answer is no.
    #[error("{0:#}")]
    Failed(anyhow::Error),
    /// Part of it is done.
    #[error("{0:#}")]
    Partly(anyhow::Error),
    /// It was asked for in the wrong way.
    #[error("{0:#}")]
    Usage(anyhow::Error),
    /// Something that is needed does not answer.
    #[error("{0:#}")]
    Unavailable(anyhow::Error),
    /// A defect of ours.
    #[error("{0:#}")]
    Software(anyhow::Error),
    /// The system refused, for instance a port that is taken.
    #[error("{0:#}")]
    System(anyhow::Error),
    /// A file of ours cannot be created.
    #[error("{0:#}")]
    CannotCreate(anyhow::Error),
    /// A file of ours cannot be read or written.
    #[error("{0:#}")]
    Io(anyhow::Error),
    /// We may not.
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
            Self::Config(_) => 78,
        }
    }
}

/// Runs until SIGTERM. `reload` gives the configuration as it is now, and has already set the log's level.
///
/// # Errors
/// When something that cannot be waited for prevents the start, or a defect ends the run.
pub fn run(
    config: Config,
    reload: impl Fn() -> Result<Config, Problems> + Send + 'static,
) -> Result<(), Failure> {
    drop((config, reload));
    Err(Failure::Software(anyhow::anyhow!(
        "this build has no daemon"
    )))
}
