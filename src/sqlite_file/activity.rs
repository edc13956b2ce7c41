//! Whether anybody writes to a database just now, seen without taking a lock.

use std::path::Path;
use std::time::Duration;

use super::file::File;
use super::header::{self, Header};
use super::locks;
use super::reason::{Reason, Result};
use super::shm;
use super::source::beside;

/// The files through which writers show themselves.
///
/// It is for short use: it does not notice when the files are replaced.
#[derive(Debug)]
pub struct Activity {
    database: File,
    /// The log and its index, in WAL mode.
    log: Option<(File, File)>,
}

/// What is seen in a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Whether somebody holds a lock that a writer needs.
    pub locked: bool,
    /// A number that moves with each commit.
    pub commits: u32,
}

impl Activity {
    /// Opens the database at `path`.
    ///
    /// # Errors
    /// When it cannot be read, or nobody has its log open yet.
    pub fn open(path: &Path) -> Result<Self> {
        // SQLite puts the other files beside the file that a link leads to.
        let real = std::fs::canonicalize(path).map_err(|_| Reason::Missing)?;
        let database = File::open(&real)?.ok_or(Reason::Missing)?;
        let log = if header_of(&database)?.wal {
            let open = |suffix| File::open(&beside(&real, suffix))?.ok_or(Reason::Missing);
            Some((open("-wal")?, open("-shm")?))
        } else {
            None
        };
        Ok(Self { database, log })
    }

    /// Whether commits go through a write-ahead log, so that readers are in nobody's way.
    #[must_use]
    pub fn has_log(&self) -> bool {
        self.log.is_some()
    }

    /// What is to be seen now.
    ///
    /// # Errors
    /// When a file cannot be read, or its locks cannot be asked for.
    pub fn look(&self) -> Result<Moment> {
        Ok(match &self.log {
            Some((_, index)) => Moment {
                locked: locks::writes_log(index)?,
                commits: shm::commits(index)?,
            },
            None => Moment {
                locked: locks::any(&self.database)?,
                commits: header_of(&self.database)?.change_counter,
            },
        })
    }

    /// How long ago anybody wrote, as exactly as the file system records it.
    ///
    /// # Errors
    /// When a file cannot be looked at.
    pub fn idle(&self) -> Result<Duration> {
        let written = match &self.log {
            Some((log, _)) => log.stamp()?.age(),
            None => Duration::MAX,
        };
        Ok(written.min(self.database.stamp()?.age()))
    }
}

fn header_of(database: &File) -> Result<Header> {
    let mut bytes = [0; header::LENGTH];
    let length = database.read(&mut bytes, 0)?;
    Header::parse(&bytes[..length])
}
