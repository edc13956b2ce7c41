//! A writer that does not pause: what is told converges to what was committed, and the writer notices nothing.

use std::fmt::Write as _;
use std::time::Duration;

use super::support::{Bench, Writer, spec};

/// A table of `rows` rows of about 400 bytes with an index on `expires`.
fn fill(writer: &mut Writer, journal: &str, rows: usize) {
    let lines = writer.run(&format!(
        "PRAGMA journal_mode={journal}; PRAGMA synchronous=OFF; \
         CREATE TABLE location(id INTEGER PRIMARY KEY, ruid TEXT, expires REAL, contact TEXT); \
         CREATE INDEX expires_idx ON location(expires); \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<{rows}) \
         INSERT INTO location SELECT i, 'r'||i, 2460000.5+i, printf('%.*c', 350, 'c') FROM n;"
    ));
    assert_eq!(lines, [journal]);
}

/// Statements, each a transaction: mostly updates, some inserts and deletes.
fn load(rows: usize, count: usize, seed: usize) -> String {
    let mut sql = String::new();
    for at in 0..count {
        let id = (at * 7919 + seed * 104_729) % rows + 1;
        let _ = match at % 20 {
            0 => writeln!(sql, "DELETE FROM location WHERE id={id};"),
            1 => writeln!(
                sql,
                "INSERT INTO location(ruid, expires, contact) VALUES('n{at}', {at}, printf('%.*c', {}, 'n'));",
                at % 700
            ),
            _ => writeln!(
                sql,
                "UPDATE location SET expires=expires+1, contact='u{at}' WHERE id={id};"
            ),
        };
    }
    sql
}

fn converges(journal: &'static str, hint: Option<&str>) {
    const ROWS: usize = 3000;
    let mut bench = Bench::with(vec![spec("location", hint)]);
    bench.mirror.reals.push("expires".to_owned());
    let mut writer = bench.writer();
    fill(&mut writer, journal, ROWS);
    let busy = std::thread::spawn(move || {
        // It has no patience: a lock of ours would fail a statement, which ends the shell, and so the test.
        writer.run(".bail on");
        for seed in 0..10 {
            writer.run(&load(ROWS, 400, seed));
        }
        writer
    });
    while !busy.is_finished() {
        bench.step();
        bench.now += Duration::from_millis(1);
    }
    let mut writer = busy.join().unwrap();
    bench.check(&mut writer);
}

#[test]
fn under_load_with_a_log() {
    converges("wal", None);
}

#[test]
fn under_load_with_a_rollback_journal() {
    for journal in ["delete", "truncate", "persist", "memory", "off"] {
        converges(journal, Some("expires"));
        converges(journal, None);
    }
}

/// Four writers at once, each with patience: none may lose a statement, and the tail tells what they leave behind.
fn several_writers(journal: &'static str, synchronous: &str) {
    const ROWS: usize = 1000;
    let mut bench = Bench::with(vec![spec("location", Some("expires"))]);
    bench.mirror.reals.push("expires".to_owned());
    let mut writer = bench.writer();
    fill(&mut writer, journal, ROWS);
    let writers: Vec<_> = (0..4)
        .map(|number| {
            let mut writer = bench.writer();
            // A statement that fails ends the shell, and so the test.
            writer.run(&format!(
                ".bail on\n.timeout 60000\nPRAGMA synchronous={synchronous};"
            ));
            std::thread::spawn(move || {
                writer.run(&load(ROWS, 100, number));
                writer.close();
            })
        })
        .collect();
    while writers.iter().any(|it| !it.is_finished()) {
        bench.step();
        bench.now += Duration::from_millis(1);
    }
    for busy in writers {
        busy.join().unwrap();
    }
    bench.check(&mut writer);
}

#[test]
fn several_writers_at_once_with_a_log() {
    for synchronous in ["off", "normal", "full"] {
        several_writers("wal", synchronous);
    }
}

#[test]
fn several_writers_at_once_with_a_rollback_journal() {
    for journal in ["delete", "truncate", "persist"] {
        for synchronous in ["off", "normal", "full"] {
            several_writers(journal, synchronous);
        }
    }
}

#[test]
#[ignore = "writes more than a gigabyte: make large"]
fn a_file_with_a_lock_byte_page() {
    for (page_size, journal) in [(65536, "wal"), (4096, "delete")] {
        let mut bench = Bench::with(vec![spec("t", Some("a"))]);
        let mut writer = bench.writer();
        writer.run(&format!(
            "PRAGMA page_size={page_size}; PRAGMA journal_mode=off; PRAGMA synchronous=off; \
             CREATE TABLE filler(b); INSERT INTO filler VALUES(zeroblob(900000000)); \
             INSERT INTO filler VALUES(zeroblob(150000000)); PRAGMA journal_mode={journal}; \
             CREATE TABLE t(id INTEGER PRIMARY KEY, a, b); CREATE INDEX i ON t(a); \
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<60000) \
             INSERT INTO t SELECT i, i, printf('%.*c', 900, 'x') FROM n; PRAGMA wal_checkpoint;"
        ));
        assert!(std::fs::metadata(&bench.path).unwrap().len() > 1 << 30);
        bench.check(&mut writer);
        writer.run(
            "UPDATE t SET a=a+1, b='y' WHERE id % 1000 = 0; DELETE FROM t WHERE id % 777 = 0;",
        );
        bench.check(&mut writer);
    }
}
