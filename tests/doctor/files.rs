//! The database as a file: who may do what with it, how it is journaled, what it is instead.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{XattrFlags, setxattr};

use super::{NOBODY, examine, root, says};
use crate::support::daemon::Daemon;
use crate::support::kamailio::{Journal, Kamailio};

/// A directory with the database, which anybody may enter, and a usrlocd that is not started.
fn site() -> (Kamailio, Daemon, PathBuf) {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).prepare();
    let folder = kamailio
        .database()
        .parent()
        .expect("it is in one")
        .to_owned();
    set(folder.parent().expect("it is in one"), 0o755);
    (kamailio, daemon, folder)
}

fn set(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
}

/// Root may do everything: it asks for somebody else.
fn as_nobody() -> &'static [&'static str] {
    if root() { &["--user", "nobody"] } else { &[] }
}

#[test]
fn rollback_journal_is_a_warning() {
    let kamailio = Kamailio::builder().journal(Journal::Rollback).start();
    let daemon = Daemon::builder(&kamailio).start();
    let (report, status) = examine(&daemon, &[]);
    assert_eq!(status, Some(2), "{report:#}");
    says(&report, "journal", "warn", "rollback-journal mode");
}

#[test]
fn long_log_has_a_reader_that_never_ends() {
    let (kamailio, daemon, _) = site();
    let mut log = kamailio.database().as_os_str().to_owned();
    log.push("-wal");
    // What stands behind the last commit is nothing to SQLite.
    let log = OpenOptions::new().write(true).open(log).expect("WAL mode");
    log.set_len(65 << 20).expect("it is ours");
    let (report, _) = examine(&daemon, &[]);
    says(
        &report,
        "journal",
        "warn",
        "The write-ahead log has grown to 65 MB",
    );
}

#[test]
fn files_that_are_no_database_are_told_apart() {
    let kamailio = Kamailio::builder().start();
    let folder = tempfile::TempDir::new().expect("a temporary directory");
    let file = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("an own directory is writable");
        path
    };
    let broken = {
        let mut bytes = fs::read(kamailio.database()).expect("it is there");
        bytes.truncate(5000);
        file("broken", &bytes)
    };
    for (path, check, words) in [
        (
            folder.path().join("none"),
            "database_readable",
            "does not exist",
        ),
        (
            folder.path().to_owned(),
            "database_readable",
            "is not a file",
        ),
        (file("empty", b""), "database_format", "is empty"),
        (
            file("text", &b"not a database at all ".repeat(20)),
            "database_format",
            "not a SQLite database",
        ),
        (broken, "database_format", "cannot be read"),
    ] {
        let daemon = Daemon::builder(&kamailio).database(&path).prepare();
        let (report, status) = examine(&daemon, &[]);
        assert_eq!(status, Some(1), "{report:#}");
        says(&report, check, "fail", words);
    }
}

#[test]
fn closed_directory_is_told_for_the_user_judged() {
    let (_kamailio, daemon, folder) = site();
    let above = folder.parent().expect("it is in one");
    set(above, if root() { 0o700 } else { 0o000 });
    let (report, status) = examine(&daemon, as_nobody());
    set(above, 0o755);
    assert_eq!(status, Some(1), "{report:#}");
    let words = format!("no access to {}", above.display());
    says(&report, "database_readable", "fail", &words);
    if root() {
        assert_eq!(report["judged_for"], "nobody");
        says(&report, "store", "fail", "cannot write the store");
    }
}

#[test]
fn writable_directory_is_a_danger() {
    let (_kamailio, daemon, folder) = site();
    set(&folder, 0o777);
    let (report, _) = examine(&daemon, as_nobody());
    says(&report, "directory", "warn", "can write to");
}

/// A list that gives `id` these permissions, and others none to write.
fn acl(id: u32, permissions: u16) -> Vec<u8> {
    let entries: [(u16, u16, u32); 5] = [
        (0x01, 7, u32::MAX),
        (0x02, permissions, id),
        (0x04, 5, u32::MAX),
        (0x10, 7, u32::MAX),
        (0x20, 5, u32::MAX),
    ];
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

#[test]
fn access_control_lists_are_looked_at() {
    let (_kamailio, daemon, folder) = site();
    let id = if root() {
        NOBODY
    } else {
        rustix::process::geteuid().as_raw()
    };
    let directory = |attribute: &str, permissions: u16, mark, words| {
        setxattr(
            &folder,
            attribute,
            &acl(id, permissions),
            XattrFlags::empty(),
        )
        .expect("the temporary directory has access control lists");
        says(&examine(&daemon, as_nobody()).0, "directory", mark, words);
    };
    if root() {
        directory("system.posix_acl_access", 5, "ok", "cannot write to");
        directory("system.posix_acl_access", 7, "warn", "can write to");
        directory("system.posix_acl_access", 5, "ok", "cannot write to");
        directory("system.posix_acl_default", 7, "warn", "A default ACL of");
    } else {
        // The owner may always: the list shows in what mends it.
        directory("system.posix_acl_access", 7, "warn", "can write to");
    }
}

#[test]
fn side_files_of_somebody_else_are_an_error() {
    let (kamailio, daemon, _) = site();
    if !root() {
        // Only root can give a file away.
        return;
    }
    let mut log = kamailio.database().as_os_str().to_owned();
    log.push("-wal");
    chown(&log, Some(NOBODY), Some(NOBODY)).expect("root may");
    let (report, _) = examine(&daemon, &[]);
    says(
        &report,
        "side_files",
        "fail",
        "does not belong to the owner",
    );
}
