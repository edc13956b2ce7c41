//! What the operator should know about a database before it is read.

use std::path::Path;

use rustix::fs::{Access, access};

/// Warns where this user could write to Kamailio's database or beside it. usrlocd never does; but a program of the
/// same user that opens the database with SQLite may leave files there that Kamailio cannot write.
pub(super) fn warn_if_writable(database: &Path) {
    // Root may write everywhere, and is told so by `doctor`.
    if rustix::process::geteuid().is_root() {
        return;
    }
    if let Some(place) = writable(database) {
        tracing::warn!(
            place = %place.display(),
            "this user may write to Kamailio's database or its directory, where one stray file can stop Kamailio's writing; take the right away, see `usrlocd doctor`"
        );
    }
}

/// The database's directory or the database, whichever may be written.
fn writable(database: &Path) -> Option<&Path> {
    let directory = database.parent()?;
    let may_write = |path: &&Path| access(*path, Access::WRITE_OK).is_ok();
    [directory, database].into_iter().find(may_write)
}
