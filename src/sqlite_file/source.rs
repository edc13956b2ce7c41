//! The files of a database, and windows on one committed state of it.
//!
//! [`Source::refresh`] finds out what has been committed; [`Source::begin`] and [`Source::end`] enclose the reading of
//! pages. What was read counts only when `end` confirms it.

use std::collections::HashSet;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::File;
use super::findings::Findings;
use super::header::Header;
use super::log::LogFiles;
use super::payload::Pages;
use super::reason::{Reason, Result};
use super::rollback::{self, Version};
use super::snapshot::Snapshot;

/// The byte that locks stand for; its page is never used.
const LOCK_BYTE: u64 = 0x4000_0000;

/// The open files of a database.
#[derive(Debug)]
pub(super) struct Source {
    /// What was asked for; it may be a link.
    asked: PathBuf,
    real: PathBuf,
    database: File,
    journal: PathBuf,
    header: Header,
    /// The log and its index, in WAL mode.
    pub(super) log: Option<LogFiles>,
    /// What was found last, without a log.
    last: Option<Version>,
    /// Pages of the database in the present window.
    count: u32,
    /// What has been read.
    pub(super) reads: Reads,
    /// After so many windows the end of one cannot be verified.
    #[cfg(test)]
    pub(super) broken_end: Option<u32>,
}

/// How much has been read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reads {
    /// Pages.
    pub(super) pages: u64,
    /// Bytes of pages.
    pub(super) bytes: u64,
}

/// A committed state; equal only to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Committed {
    /// As the database file is, in rollback mode or without a log.
    File(Version),
    /// As the log has it.
    Log(Snapshot),
}

impl Source {
    /// Opens the database at `path`.
    ///
    /// # Errors
    /// When there is none, or none that can be read.
    pub(super) fn open(path: &Path) -> Result<Self> {
        // SQLite puts the other files beside the file that a link leads to.
        let real = std::fs::canonicalize(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Reason::Missing,
            _ => Reason::Io {
                operation: "find the database",
                source: rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO),
            },
        })?;
        let database = File::open(&real)?.ok_or(Reason::Missing)?;
        let header = rollback::version(&database)?.header();
        let beside = |suffix| beside(&real, suffix);
        let log = header
            .wal
            .then(|| LogFiles::new(beside("-wal"), beside("-shm"), header.page_size));
        Ok(Self {
            asked: path.to_owned(),
            journal: beside("-journal"),
            real,
            database,
            header,
            log,
            last: None,
            count: 0,
            reads: Reads::default(),
            #[cfg(test)]
            broken_end: None,
        })
    }

    /// The device and inode of the database file.
    pub(super) fn identity(&self) -> (u64, u64) {
        self.database.identity()
    }

    /// The header of the database file when it was opened.
    pub(super) fn header(&self) -> Header {
        self.header
    }

    /// The database and, in WAL mode, its log.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let log = self.log.as_ref().map(LogFiles::path);
        std::iter::once(self.real.clone()).chain(log).collect()
    }

    /// Whether this is still the database that was asked for, of the same kind, and the other files are beside it.
    ///
    /// # Errors
    /// When it is there but no database any more.
    pub(super) fn is_in_place(&self) -> Result<bool> {
        let is_link = self.asked != self.real;
        if !self.database.is_at(&self.real) || is_link && !self.database.is_at(&self.asked) {
            return Ok(false);
        }
        let header = rollback::version(&self.database)?.header();
        Ok(header.page_size == self.header.page_size
            && header.usable == self.header.usable
            && header.wal == self.header.wal)
    }

    /// Finds out what has been committed, reading at most `budget` frames of the log; pages changed by them go to
    /// `changed`.
    ///
    /// # Errors
    /// When no committed state can be had now.
    pub(super) fn refresh(
        &mut self,
        now: Duration,
        budget: u32,
        changed: &mut HashSet<u32>,
    ) -> Result<(Committed, Findings)> {
        if let Some(log) = &mut self.log {
            let (snapshot, found) = log.refresh(&self.database, now, budget, changed)?;
            return Ok((Committed::Log(snapshot), found));
        }
        let version = rollback::probe(&self.database, &self.journal, self.last.as_ref())?;
        let last = self.last.replace(version);
        let mut found = Findings::default();
        if last.is_some_and(|last| !version.follows(&last)) {
            found.lose();
        }
        Ok((Committed::File(version), found))
    }

    /// Whether something may have been committed since the last [`Self::refresh`]; `None` where only that can tell.
    pub(super) fn has_news(&self) -> Option<bool> {
        self.log.as_ref()?.has_news()
    }

    /// Begins a window on `state`, which must be what the last [`Self::refresh`] found.
    pub(super) fn begin(&mut self, state: &Committed) {
        self.count = match state {
            Committed::Log(snapshot) if snapshot.pages > 0 => snapshot.pages,
            Committed::Log(snapshot) => self.pages_in(snapshot.length),
            Committed::File(version) => self.pages_in(version.length()),
        };
    }

    /// Whether all pages read since [`Self::begin`] were of `state`.
    ///
    /// # Errors
    /// When this cannot be known.
    pub(super) fn end(&mut self, state: &Committed) -> Result<bool> {
        #[cfg(test)]
        self.break_end()?;
        match (state, &self.log) {
            (Committed::Log(snapshot), Some(log)) => log.holds(&self.database, snapshot),
            (Committed::File(version), None) => {
                match rollback::probe(&self.database, &self.journal, Some(version)) {
                    Ok(now) => Ok(now == *version),
                    Err(Reason::Locked | Reason::HotJournal) => Ok(false),
                    Err(other) => Err(other),
                }
            }
            _ => Ok(false),
        }
    }

    #[cfg(test)]
    fn break_end(&mut self) -> Result<()> {
        let source = rustix::io::Errno::IO;
        let operation = "do what a test forbids";
        let broken = self.broken_end.take_if(|left| *left == 0);
        self.broken_end = self.broken_end.map(|left| left - 1);
        broken.map_or(Ok(()), |_| Err(Reason::Io { operation, source }))
    }

    fn pages_in(&self, length: u64) -> u32 {
        u32::try_from(length / self.header.page_size as u64).unwrap_or(u32::MAX)
    }
}

impl Pages for Source {
    fn usable(&self) -> usize {
        self.header.usable
    }

    fn count(&self) -> u32 {
        self.count
    }

    fn read(&mut self, number: u32, page: &mut Vec<u8>) -> Result<()> {
        let size = self.header.page_size;
        let lock_page = LOCK_BYTE / size as u64 + 1;
        if number == 0 || number > self.count || u64::from(number) == lock_page {
            return Err(Reason::Malformed("a reference to a page that is none"));
        }
        page.resize(size, 0);
        let logged = self.log.as_ref().and_then(|log| log.page(number));
        let length = match logged {
            Some((file, offset)) => file.read(page, offset)?,
            None => self
                .database
                .read(page, u64::from(number - 1) * size as u64)?,
        };
        self.reads.pages += 1;
        self.reads.bytes += length as u64;
        if length < size {
            return Err(Reason::Malformed("a page is cut short"));
        }
        Ok(())
    }
}

/// The path with `suffix` after its last character.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned().into_vec();
    name.extend_from_slice(suffix.as_bytes());
    PathBuf::from(std::ffi::OsString::from_vec(name))
}
