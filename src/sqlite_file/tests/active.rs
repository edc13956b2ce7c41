//! Whether somebody writes, as it is seen from outside.

use std::fs;
use std::time::Duration;

use super::support::started;
use crate::sqlite_file::{Activity, Reason};

fn writers_are_seen(journal: &str) {
    let (bench, mut writer) = started(journal, 10);
    let activity = Activity::open(&bench.path).unwrap();
    assert_eq!(activity.has_log(), journal == "wal");
    assert!(activity.idle().unwrap() < Duration::from_mins(1));
    let quiet = activity.look().unwrap();
    assert!(!quiet.locked);
    assert_eq!(activity.look().unwrap(), quiet);
    writer.run("BEGIN IMMEDIATE; UPDATE t SET b='x' WHERE id=1;");
    let writing = activity.look().unwrap();
    assert!(writing.locked);
    assert_eq!(writing.commits, quiet.commits);
    writer.run("COMMIT;");
    let after = activity.look().unwrap();
    assert!(!after.locked);
    assert_ne!(after.commits, quiet.commits);
}

#[test]
fn writers_to_a_log_are_seen() {
    writers_are_seen("wal");
}

#[test]
fn writers_with_a_rollback_journal_are_seen() {
    writers_are_seen("delete");
}

#[test]
fn a_reader_is_in_the_way_of_a_rollback_journal_only() {
    for (journal, in_the_way) in [("wal", false), ("delete", true)] {
        let (bench, mut writer) = started(journal, 10);
        let activity = Activity::open(&bench.path).unwrap();
        writer.run("BEGIN; SELECT count(*) FROM t;");
        assert_eq!(activity.look().unwrap().locked, in_the_way, "{journal}");
    }
}

#[test]
fn a_database_that_cannot_be_read_is_an_error() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("no.db");
    assert!(matches!(Activity::open(&path), Err(Reason::Missing)));
    fs::write(&path, "text").unwrap();
    assert!(Activity::open(&path).is_err());
}
