//! The header of the WAL index (`-shm`), through which writers publish their commits
//! (<https://sqlite.org/walformat.html#the_wal_index_file_format>).

use super::bytes::{array, ne32};
use super::file::File;
use super::reason::Result;
use super::wal::{Order, Salts, checksum};

const VERSION: u32 = 3_007_000;
const HEADER: usize = 48;
const BACKFILLED: usize = 96;
const BACKFILL_ATTEMPTED: usize = 128;
const LENGTH: usize = 136;
/// In the place of salts: there is no log yet.
const NO_LOG: Salts = [0; 8];

/// What writers have published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Index {
    /// The salts of the log's generation; `None` when there was no log when the index was made, and nothing was
    /// committed since.
    pub(super) salts: Option<Salts>,
    /// The last committed frame; 0 when all commits are in the database file.
    pub(super) frames: u32,
    /// Pages of the database after it.
    pub(super) pages: u32,
    /// Moves with each commit.
    change: u32,
}

/// What can be read of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// A published state.
    Published(Index),
    /// A writer is publishing just now; or died while it did.
    Torn,
    /// Nobody has made this index; the log alone is to be read.
    Unusable,
}

impl Reading {
    /// The published state, if this is one.
    pub(super) fn published(self) -> Option<Index> {
        match self {
            Self::Published(index) => Some(index),
            Self::Torn | Self::Unusable => None,
        }
    }
}

/// Reads the index in `-shm`.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn read(file: &File) -> Result<Reading> {
    let mut bytes = [0; LENGTH];
    let length = file.read(&mut bytes, 0)?;
    Ok(if length == LENGTH {
        parse(&bytes)
    } else {
        Reading::Unusable
    })
}

/// A number that moves with each commit; whether or not a writer is publishing just now.
pub(super) fn commits(file: &File) -> Result<u32> {
    let mut bytes = [0; HEADER];
    file.read(&mut bytes, 0)?;
    Ok(ne32(&bytes, 8).unwrap_or_default())
}

/// The last frame that a checkpoint has begun to copy into the database file. Read it before the index that
/// says which generation it belongs to.
pub(super) fn backfilled(file: &File) -> Result<u32> {
    let mut bytes = [0; LENGTH];
    file.read(&mut bytes, 0)?;
    let at = |at| ne32(&bytes, at).unwrap_or(u32::MAX);
    Ok(at(BACKFILLED).max(at(BACKFILL_ATTEMPTED)))
}

/// What the first bytes of an index say.
pub(super) fn parse(bytes: &[u8; LENGTH]) -> Reading {
    let (Some(first), Some(second)) = (array::<HEADER>(bytes, 0), array::<HEADER>(bytes, HEADER))
    else {
        return Reading::Unusable;
    };
    if first != second {
        return Reading::Torn;
    }
    let long = |at| ne32(&first, at).unwrap_or_default();
    let initialized = first[12] == 1;
    if !initialized || long(0) != VERSION {
        return Reading::Unusable;
    }
    if checksum(Order::Native, [0, 0], &first[..40]) != [long(40), long(44)] {
        return Reading::Torn;
    }
    let salts = array(&first, 32).filter(|salts| *salts != NO_LOG);
    let frames = long(16);
    if salts.is_none() && frames > 0 {
        // Frames of a log that is not there: nobody publishes that.
        return Reading::Torn;
    }
    Reading::Published(Index {
        salts,
        frames,
        pages: long(20),
        change: long(8),
    })
}
