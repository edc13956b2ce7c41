//! Warns about permissions on a database before it is read.

use std::path::Path;

use rustix::fs::{Access, access};

/// Warns if this user could write to Kamailio's database or beside it. usrlocd never does; but a program of the
/// same user that opens the database with SQLite may leave files there that Kamailio cannot write.
pub(super) fn warn_if_writable(database: &Path) {
    // Root may write everywhere; `doctor` points that out.
    if rustix::process::geteuid().is_root() {
        return;
    }
    if let Some(place) = writable(database) {
        tracing::warn!(
            place = %place.display(),
            "this user can write to Kamailio's database or its directory, where one stray file can stop Kamailio from writing; revoke write access (see `usrlocd doctor`)"
        );
    }
}

/// The database's directory or the database, whichever may be written.
fn writable(database: &Path) -> Option<&Path> {
    let directory = database.parent()?;
    let may_write = |path: &&Path| access(*path, Access::WRITE_OK).is_ok();
    [directory, database].into_iter().find(may_write)
}
