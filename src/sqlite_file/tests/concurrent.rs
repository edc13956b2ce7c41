//! A writer that does not pause: what is told converges to what was committed, and the writer notices nothing.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
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

/// Where files are in memory.
const MEMORY: &str = "/dev/shm";

fn converges(journal: &'static str, hint: Option<&str>, folder: &Path) {
    const ROWS: usize = 3000;
    let mut bench = Bench::within(folder, vec![spec("location", hint)]);
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
    converges("wal", None, &std::env::temp_dir());
    converges("wal", None, Path::new(MEMORY));
}

#[test]
fn under_load_with_a_rollback_journal() {
    for journal in ["delete", "truncate", "persist", "memory", "off"] {
        converges(journal, Some("expires"), &std::env::temp_dir());
        converges(journal, None, &std::env::temp_dir());
        converges(journal, Some("expires"), Path::new(MEMORY));
    }
}

/// Statements that change the schema, or move pages.
const UPHEAVALS: [&str; 8] = [
    "CREATE TABLE f(x); INSERT INTO f SELECT contact FROM location LIMIT 500;",
    "ALTER TABLE location ADD COLUMN extra TEXT DEFAULT 'e';",
    "DELETE FROM location WHERE id % 7 = 0; VACUUM;",
    "DROP INDEX expires_idx; CREATE INDEX expires_idx ON location(expires, ruid);",
    "DROP TABLE f; CREATE TABLE g(x, y); INSERT INTO g SELECT expires, contact FROM location LIMIT 900;",
    "ALTER TABLE location RENAME COLUMN extra TO more;",
    "BEGIN; CREATE TABLE l AS SELECT * FROM location; DROP TABLE location; \
     CREATE TABLE location(id INTEGER PRIMARY KEY, ruid TEXT, expires REAL, contact TEXT, more TEXT); \
     INSERT INTO location SELECT * FROM l; DROP TABLE l; \
     CREATE INDEX expires_idx ON location(expires DESC); COMMIT;",
    "PRAGMA auto_vacuum=1; VACUUM;",
];

#[test]
fn upheavals_under_load() {
    const ROWS: usize = 2000;
    for journal in ["wal", "delete"] {
        let mut bench = Bench::with(vec![spec("location", Some("expires"))]);
        bench.mirror.reals.push("expires".to_owned());
        let mut writer = bench.writer();
        fill(&mut writer, journal, ROWS);
        let busy = std::thread::spawn(move || {
            writer.run(".bail on");
            for (seed, upheaval) in UPHEAVALS.iter().enumerate() {
                writer.run(&load(ROWS, 100, seed));
                writer.run(upheaval);
                writer.run(&load(ROWS, 20, seed));
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
}

#[test]
fn after_a_standstill_of_ten_seconds() {
    const ROWS: usize = 2000;
    for journal in ["wal", "delete", "memory"] {
        let mut bench = Bench::with(vec![spec("location", Some("expires"))]);
        bench.mirror.reals.push("expires".to_owned());
        let mut writer = bench.writer();
        fill(&mut writer, journal, ROWS);
        bench.check(&mut writer);
        for seed in 0..3 {
            writer.run(&load(ROWS, 2000, seed));
            bench.now += Duration::from_secs(10);
            bench.step();
        }
        bench.check(&mut writer);
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

/// Makes the database so long that the page which locks stand for is `left` pages away; the new pages are holes in the
/// file, and belong to nothing.
fn stretch(path: &Path, page_size: u64, left: u64) {
    let pages = (1 << 30) / page_size - left;
    let mut header = fs::read(path).unwrap()[..100].to_vec();
    header[28..32].copy_from_slice(&u32::try_from(pages).unwrap().to_be_bytes());
    let file = fs::File::options().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &header, 0).unwrap();
    file.set_len(pages * page_size).unwrap();
}

#[test]
fn a_file_with_a_lock_byte_page() {
    for (page_size, journal) in [(65536, "wal"), (4096, "delete"), (512, "wal")] {
        let mut bench = Bench::with(vec![spec("t", Some("a"))]);
        let mut writer = bench.writer();
        writer.run(&format!(
            "PRAGMA page_size={page_size}; CREATE TABLE t(id INTEGER PRIMARY KEY, a, b); CREATE INDEX i ON t(a);"
        ));
        writer.close();
        stretch(&bench.path, page_size, 5);
        let mut writer = bench.writer();
        writer.run(&format!(
            "PRAGMA journal_mode={journal}; PRAGMA synchronous=off; \
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<2000) \
             INSERT INTO t SELECT i, i, printf('%.*c', 900, 'x') FROM n; PRAGMA wal_checkpoint;"
        ));
        assert!(fs::metadata(&bench.path).unwrap().len() > 1 << 30);
        bench.check(&mut writer);
        writer.run(
            "UPDATE t SET a=a+1, b='y' WHERE id % 100 = 0; DELETE FROM t WHERE id % 77 = 0; \
             INSERT INTO t(a, b) SELECT a, printf('%.*c', 70000, 'z') FROM t LIMIT 9;",
        );
        bench.check(&mut writer);
    }
}
