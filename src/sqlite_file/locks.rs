//! Asking, without locking, what locks the writers of a database hold
//! (<https://sqlite.org/src/file?name=src/os_unix.c>, "Posix Advisory Locking").

use std::os::fd::AsFd;

use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};

use super::reason::{Reason, Result};

const PENDING: (u64, u64) = (0x4000_0000, 1);
const RESERVED: (u64, u64) = (0x4000_0001, 1);
const SHARED: (u64, u64) = (0x4000_0002, 510);

/// Whether a writer changes the file `fd` now, or may.
///
/// A writer holds PENDING and the SHARED range while it writes pages; one that rolls back a hot journal may hold
/// only the SHARED range.
pub(super) fn exclusive(fd: impl AsFd + Copy) -> Result<bool> {
    Ok(held(fd, PENDING)? || held(fd, SHARED)?)
}

/// Whether a writer prepares a transaction on the file `fd`; the file itself is still as it was.
pub(super) fn reserved(fd: impl AsFd) -> Result<bool> {
    held(fd, RESERVED)
}

/// Whether another process has a write lock in `range`. Locks of this process are not seen.
fn held(fd: impl AsFd, range: (u64, u64)) -> Result<bool> {
    let question = Flock {
        start: range.0,
        length: range.1,
        pid: None,
        typ: FlockType::ReadLock,
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
