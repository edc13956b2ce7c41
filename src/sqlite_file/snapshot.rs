//! A committed state of a database with a write-ahead log.

use super::file::Stamp;
use super::wal::Salts;

/// A committed state of a database with a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// The generation of the log; `None` where there is no log yet.
    pub(super) salts: Option<Salts>,
    /// The last frame of a commit in it.
    pub(super) frame: u32,
    /// Pages of the database; 0 where the length of the file decides.
    pub(super) pages: u32,
    /// The length of the database file, where that decides.
    pub(super) length: u64,
    /// What shows that it holds.
    pub(super) verified_by: Witness,
}

/// What shows that a snapshot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Witness {
    /// The index.
    Index,
    /// The index, which knows of no log yet, and the stamp of the database file.
    Unlogged(Stamp),
    /// The log alone: the index is of no use.
    Log,
    /// The log alone: nobody keeps the index up to date. Where nobody has the database open at all, the stamp of
    /// its file as well.
    Abandoned(Option<Stamp>),
    /// There is no log: the stamp of the database file.
    Stamp(Stamp),
}
