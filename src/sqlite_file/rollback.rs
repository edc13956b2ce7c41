//! Windows on a database that commits through a rollback journal.
//!
//! A window holds when no writer was changing the file at its beginning or its end and no commit came between:
//! the locks are asked first and the change counter is read after, both times. The file's stamp catches a
//! transaction that spilled into the file and was taken back within the window.
//!
//! A writer holds its exclusive lock while it waits for the disk to have the journal, and only then changes the file.
//! On a slow disk that is most of the time. Until then the file is as it was committed last, and this can be proved:
//! it was last written to before that journal was created, and the clock has not been set back since.

use std::path::Path;

use super::file::{self, File, Stamp};
use super::header::{self, Header};
use super::locks;
use super::reason::{Reason, Result};

/// More commits between two looks than these are not believed: a writer without a disk to wait for is not so fast.
const COMMITS: u32 = 10_000;

/// What is equal at the beginning and the end of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    header: Header,
    stamp: Stamp,
}

/// The state of `database`, if no writer has begun to change it. `earlier` is what was found before, if anything was.
///
/// # Errors
/// [`Reason::Locked`] or [`Reason::HotJournal`] when one does, or died doing so; and when it cannot be read.
pub(super) fn probe(database: &File, journal: &Path, earlier: Option<&Version>) -> Result<Version> {
    if locks::exclusive(database)? {
        // In this order: what is written after the first look is younger than the journal.
        let journal = file::created(journal)?;
        let version = version(database)?;
        // Who rolls back the journal of another, which may be a copy younger than the file, reserves nothing.
        // Without an earlier look, nobody knows whether the clock was set back since the file was written to.
        let set_back = earlier.is_none_or(|it| version.stamp.is_older_than(it.stamp.modified));
        let untouched = !set_back && journal.is_some_and(|it| version.stamp.is_older_than(it));
        return if untouched && locks::reserved(database)? {
            Ok(version)
        } else {
            Err(Reason::Locked)
        };
    }
    // PERSIST and TRUNCATE leave a journal that begins with a zero, or is empty.
    let written = file::glance(journal)?.is_some_and(|first| first != 0);
    if written && !locks::reserved(database)? {
        return Err(Reason::HotJournal);
    }
    version(database)
}

/// The state of `database`, whatever its writers do.
///
/// # Errors
/// When it cannot be read.
pub(super) fn version(database: &File) -> Result<Version> {
    let mut bytes = [0; header::LENGTH];
    let length = database.read(&mut bytes, 0)?;
    // The stamp after the header: it shows whether that may have been written just now.
    let stamp = database.stamp()?;
    Ok(Version {
        header: Header::parse(&bytes[..length])?,
        stamp,
    })
}

impl Version {
    /// The header.
    pub(super) fn header(&self) -> Header {
        self.header
    }

    /// Whether commits can have led here from `earlier`. A file that was overwritten seldom has a counter that is
    /// later by so little; nor has one into which a transaction was written and taken back. And a file of which the
    /// end was cut off is another, unless a single commit (`VACUUM`) did it, or each does.
    pub(super) fn follows(&self, earlier: &Self) -> bool {
        let counter = |it: &Self| it.header.change_counter;
        let commits = counter(self).wrapping_sub(counter(earlier));
        let shrunk = self.length() < earlier.length() && !self.header.auto_vacuum;
        self == earlier || (1..=COMMITS).contains(&commits) && (commits == 1 || !shrunk)
    }

    /// The length of the file.
    pub(super) fn length(&self) -> u64 {
        self.stamp.length
    }
}
