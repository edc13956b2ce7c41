//! What becomes of the file itself: gone, replaced, with another schema or another journal.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::support::{TABLE, Writer, idle, rows, started};
use crate::sqlite_file::{Reason, State};

#[test]
fn a_missing_or_emptied_file_deletes_nothing() {
    let (mut bench, writer) = started("delete", 100);
    writer.close();
    let (before, copy) = (bench.mirror.tables.clone(), fs::read(&bench.path).unwrap());
    fs::remove_file(&bench.path).unwrap();
    assert_eq!(bench.step().state, State::Absent(Reason::Missing));
    fs::write(&bench.path, b"").unwrap();
    assert_eq!(bench.step().state, State::Absent(Reason::Empty));
    fs::write(&bench.path, vec![0; 8192]).unwrap();
    assert_eq!(bench.step().state, State::Absent(Reason::NotADatabase));
    fs::write(&bench.path, &copy[..4096]).unwrap();
    idle(&mut bench, Duration::from_secs(2));
    assert!(matches!(bench.step().state, State::Blocked(_)));
    assert_eq!((bench.mirror.deletes, &bench.mirror.tables), (0, &before));
    fs::write(&bench.path, &copy).unwrap();
    let upserts = bench.mirror.upserts;
    bench.check(&mut Writer::open(&bench.path));
    assert_eq!(
        bench.mirror.upserts, upserts,
        "an identical file is no news"
    );
}

/// Makes the file at `path` another database by `put`, and checks that rows that are gone are confirmed first.
fn replaced(put: impl Fn(&Path, &Path)) {
    for journal in ["wal", "delete"] {
        let (mut bench, writer) = started(journal, 300);
        writer.close();
        let other = bench.path.with_extension("other");
        let mut writer = Writer::open(&other);
        writer.run(&format!(
            "PRAGMA journal_mode={journal}; {TABLE} {}",
            rows(200, 250)
        ));
        writer.close();
        put(&other, &bench.path);
        let start = bench.now;
        while bench.step().wake.is_zero() {}
        assert_eq!(bench.mirror.deletes, 0);
        assert!(!bench.step().complete);
        let mut writer = bench.writer();
        bench.check(&mut writer);
        assert!(bench.now.saturating_sub(start) >= Duration::from_secs(1));
        assert_eq!(bench.mirror.deletes, 249);
    }
}

#[test]
fn a_file_moved_over_it() {
    replaced(|from, to| fs::rename(from, to).unwrap());
}

#[test]
fn a_file_copied_over_it() {
    replaced(|from, to| {
        fs::copy(from, to).unwrap();
    });
}

#[test]
fn a_link_that_leads_elsewhere() {
    replaced(|from, to| {
        fs::remove_file(to).unwrap();
        std::os::unix::fs::symlink(from, to).unwrap();
    });
}

#[test]
fn changes_of_the_schema() {
    for journal in ["wal", "delete"] {
        let (mut bench, mut writer) = started(journal, 300);
        writer
            .run("ALTER TABLE t ADD COLUMN c TEXT DEFAULT 'new'; UPDATE t SET c='set' WHERE id=5;");
        bench.check(&mut writer);
        writer.run("CREATE TABLE unrelated(x); INSERT INTO unrelated VALUES(1);");
        bench.check(&mut writer);
        writer.run("ALTER TABLE t RENAME COLUMN b TO renamed;");
        bench.check(&mut writer);
        assert_eq!(
            bench.mirror.schemas[&0].columns,
            ["id", "a", "renamed", "c"]
        );
        writer.run("DROP TABLE t;");
        idle(&mut bench, Duration::from_secs(3));
        assert_eq!(
            bench.step().state,
            State::Absent(Reason::NoTable("t".to_owned()))
        );
        assert_eq!(
            (bench.mirror.deletes, bench.mirror.tables[&0].len()),
            (0, 300)
        );
        writer.run(&format!("CREATE TABLE filler(x); {TABLE} {}", rows(1, 10)));
        bench.now += Duration::from_secs(1);
        bench.check(&mut writer);
        writer.run("PRAGMA page_size=1024; VACUUM;");
        bench.check(&mut writer);
    }
}

#[test]
fn the_journal_mode_is_switched_while_running() {
    let (mut bench, mut writer) = started("delete", 300);
    for (round, mode) in ["wal", "truncate", "wal", "persist", "wal", "delete"]
        .iter()
        .enumerate()
    {
        writer.run(&format!(
            "PRAGMA journal_mode={mode}; UPDATE t SET a=a+1, b='{mode}' WHERE id>{round};"
        ));
        bench.check(&mut writer);
        writer.run(&format!("DELETE FROM t WHERE id={};", 50 + round));
        bench.check(&mut writer);
    }
}
