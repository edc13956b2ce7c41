//! A file held open for reading, and whether its name still leads to it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Stat, StatxFlags, fstat, open, stat, statx,
};
use rustix::io::{Errno, pread};
use rustix::time::{ClockId, Timespec, clock_gettime};

use super::reason::{Reason, Result};

/// Nanoseconds within which two writes may leave the same stamp, and some to spare.
const RIPE: i64 = 50_000_000;

/// A file held open for reading.
#[derive(Debug)]
pub(super) struct File {
    fd: OwnedFd,
    device: u64,
    inode: u64,
}

/// What changes when anything writes to a file: its length and times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Its length in bytes.
    pub(super) length: u64,
    /// When it was last written to.
    pub(super) modified: Moment,
    changed: Moment,
}

/// A time of the file system: seconds and nanoseconds.
pub(super) type Moment = (i64, u64);

impl File {
    /// Opens the file; `None` where there is none.
    ///
    /// # Errors
    /// When it is no regular file or must not be read.
    pub(super) fn open(path: &Path) -> Result<Option<Self>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = match open(path, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(source) => {
                return Err(Reason::Io {
                    operation: "open the database or a file beside it",
                    source,
                });
            }
        };
        let status = fstat(&fd).map_err(stat_failed)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return Err(Reason::NotAFile);
        }
        Ok(Some(Self {
            fd,
            device: status.st_dev,
            inode: status.st_ino,
        }))
    }

    /// Whether `path` leads to this file.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        stat(path).is_ok_and(|it| it.st_dev == self.device && it.st_ino == self.inode)
    }

    /// Whether no name leads to this file any more.
    pub(super) fn is_unlinked(&self) -> Result<bool> {
        Ok(fstat(&self.fd).map_err(stat_failed)?.st_nlink == 0)
    }

    /// Its device and inode.
    pub(super) fn identity(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// Its stamp now.
    pub(super) fn stamp(&self) -> Result<Stamp> {
        Ok(Stamp::of(&fstat(&self.fd).map_err(stat_failed)?))
    }

    /// Reads bytes at `offset` until `buffer` is full or the file ends; how many there were.
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|it| !it.is_empty()) {
            match pread(&self.fd, rest, offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(source) => {
                    return Err(Reason::Io {
                        operation: "read the database or a file beside it",
                        source,
                    });
                }
            }
        }
        Ok(done)
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Stamp {
    /// Whether the last write to the file was before `moment`.
    pub(super) fn is_older_than(&self, moment: Moment) -> bool {
        self.modified < moment
    }

    /// How long ago the file was written to; nothing where that is in the future.
    pub(super) fn age(&self) -> Duration {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::RealtimeCoarse);
        let (seconds, nanoseconds) = self.modified;
        let age = i128::from(tv_sec - seconds) * 1_000_000_000
            + i128::from(tv_nsec - nanoseconds.cast_signed());
        Duration::from_nanos(u64::try_from(age.max(0)).unwrap_or(u64::MAX))
    }

    /// This stamp, if it is so old that whatever writes from now on is bound to change it: file systems take the time
    /// from a clock that ticks some hundred times a second.
    pub(super) fn if_ripe(self) -> Option<Self> {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::RealtimeCoarse);
        let (seconds, nanoseconds) = self.modified;
        let age = (tv_sec - seconds)
            .saturating_mul(1_000_000_000)
            .saturating_add(tv_nsec - nanoseconds.cast_signed());
        (age > RIPE).then_some(self)
    }

    #[expect(
        clippy::unnecessary_cast,
        clippy::cast_sign_loss,
        reason = "the types differ by platform"
    )]
    fn of(status: &Stat) -> Self {
        Self {
            length: status.st_size as u64,
            modified: (status.st_mtime as i64, status.st_mtime_nsec as u64),
            changed: (status.st_ctime as i64, status.st_ctime_nsec as u64),
        }
    }
}

/// The length and first byte of the file at `path`; `None` where there is none.
pub(super) fn glance(path: &Path) -> Result<Option<u8>> {
    let Some(file) = File::open(path)? else {
        return Ok(None);
    };
    let mut first = [0];
    Ok((file.read(&mut first, 0)? == 1).then_some(first[0]))
}

/// Whether there is something of length greater than 0 at `path`.
pub(super) fn has_content(path: &Path) -> Result<bool> {
    match stat(path) {
        Ok(status) => Ok(status.st_size > 0),
        Err(Errno::NOENT) => Ok(false),
        Err(source) => Err(stat_failed(source)),
    }
}

/// When the file at `path` was created; `None` where there is none, or where the file system does not know.
pub(super) fn created(path: &Path) -> Result<Option<Moment>> {
    match statx(CWD, path, AtFlags::empty(), StatxFlags::BTIME) {
        Ok(status) => {
            let known = StatxFlags::from_bits_retain(status.stx_mask).contains(StatxFlags::BTIME);
            let moment = (status.stx_btime.tv_sec, status.stx_btime.tv_nsec.into());
            Ok(known.then_some(moment))
        }
        Err(Errno::NOENT | Errno::NOSYS) => Ok(None),
        Err(source) => Err(stat_failed(source)),
    }
}

fn stat_failed(source: Errno) -> Reason {
    Reason::Io {
        operation: "look at the database or a file beside it",
        source,
    }
}
