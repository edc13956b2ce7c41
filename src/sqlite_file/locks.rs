//! Asking, without locking, what locks the writers of a database hold
//! (<https://sqlite.org/src/file?name=src/os_unix.c>, "Posix Advisory Locking" and `unixLockSharedMemory`).

use std::os::fd::AsFd;

use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};

use super::reason::{Reason, Result};

const PENDING: (u64, u64) = (0x4000_0000, 1);
const RESERVED: (u64, u64) = (0x4000_0001, 1);
const SHARED: (u64, u64) = (0x4000_0002, 510);
/// PENDING, RESERVED and the SHARED range together.
const ALL: (u64, u64) = (0x4000_0000, 512);
/// In the index of the log: held by a process that writes to the log (`WAL_WRITE_LOCK`).
const LOG_WRITER: (u64, u64) = (120, 1);
/// In the index of the log: held shared by every process that has the database open.
const DEAD_MAN_SWITCH: (u64, u64) = (128, 1);

/// Whether a writer changes the file `fd` now, or may.
///
/// A writer holds PENDING and the SHARED range while it writes pages; one that rolls back a hot journal may hold
/// only the SHARED range.
pub(super) fn exclusive(fd: impl AsFd + Copy) -> Result<bool> {
    Ok(held(fd, PENDING, FlockType::ReadLock)? || held(fd, SHARED, FlockType::ReadLock)?)
}

/// Whether a writer prepares a transaction on the file `fd`; the file itself is still as it was.
pub(super) fn reserved(fd: impl AsFd) -> Result<bool> {
    held(fd, RESERVED, FlockType::ReadLock)
}

/// Whether anybody has the database file `fd` open and has read from it; with a log, until they close it.
pub(super) fn connected(fd: impl AsFd) -> Result<bool> {
    held(fd, SHARED, FlockType::WriteLock)
}

/// Whether anybody reads or writes the file `fd` of a database without a log, or is about to: a reader is in the way of
/// a commit, too.
pub(super) fn any(fd: impl AsFd) -> Result<bool> {
    held(fd, ALL, FlockType::WriteLock)
}

/// Whether somebody writes to the log whose index (`-shm`) is `fd`.
pub(super) fn writes_log(fd: impl AsFd) -> Result<bool> {
    held(fd, LOG_WRITER, FlockType::ReadLock)
}

/// Whether anybody has the database open whose index (`-shm`) is `fd`.
///
/// The next to open an index that nobody has open trusts nothing in it, and makes it anew from the log.
pub(super) fn in_use(fd: impl AsFd) -> Result<bool> {
    held(fd, DEAD_MAN_SWITCH, FlockType::WriteLock)
}

/// Whether another process has a lock in `range` that would be in the way of one of `kind`. Nothing is locked by
/// asking. Locks of this process are not seen.
fn held(fd: impl AsFd, range: (u64, u64), kind: FlockType) -> Result<bool> {
    let question = Flock {
        start: range.0,
        length: range.1,
        pid: None,
        typ: kind,
        offset_type: FlockOffsetType::Set,
    };
    match fcntl_getlk(fd, &question) {
        Ok(answer) => Ok(answer.is_some()),
        Err(source) => Err(Reason::Io {
            operation: "query the locks of the database",
            source,
        }),
    }
}
