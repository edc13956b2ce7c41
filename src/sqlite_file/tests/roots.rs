//! Roots that move: what is told is never taken from where a table has been.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::support::{Bench, Mirror, TABLE, Writer, beside, rows, spec, started};
use crate::sqlite_file::{Row, Sink, State, Table};

/// What no row of the table contains.
const ALIEN: &str = "of another table";

/// As many statements as those of a database whose tables have other roots, and so the same schema cookie.
fn layout(between: &str) -> String {
    format!("CREATE TABLE f(x, y); {between} {TABLE}")
}

/// Statements that fill the other table.
fn fill() -> String {
    format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<300) \
         INSERT INTO f SELECT i, '{ALIEN}' || printf('%.*c', 300, 'f') FROM n;"
    )
}

fn is_clean(mirror: &Mirror) {
    let alien = hex::encode_upper(ALIEN);
    let mut rows = mirror.tables.values().flatten();
    assert_eq!(rows.find(|(_, row)| row.contains(&alien)), None);
}

/// Steps until all is told, and looks after each step.
fn settle(bench: &mut Bench) {
    for _ in 0..5000 {
        let step = bench.step();
        is_clean(&bench.mirror);
        if step.current && step.state == State::Live {
            return;
        }
    }
    panic!("does not settle: {:?}", bench.tail.counters());
}

/// Copies a database with other roots over that of a tail; `commits` were made to it.
fn copied_over(journal: &str, commits: usize) {
    let mut bench = Bench::with(vec![spec("t", Some("a"))]);
    let mut writer = bench.writer();
    writer.run(&format!(
        "PRAGMA journal_mode={journal}; {} {}",
        layout(""),
        rows(1, 100)
    ));
    writer.run(&"UPDATE t SET a=a+1 WHERE id=1;".repeat(20));
    bench.check(&mut writer);
    writer.close();
    let other = bench.path.with_extension("other");
    let mut writer = Writer::open(&other);
    let kept = if journal == "wal" { "wal" } else { "memory" };
    writer.run(&format!(
        "PRAGMA journal_mode={kept}; PRAGMA synchronous=off; {} {}",
        layout(&fill()),
        rows(90, 150)
    ));
    writer.run(&"UPDATE t SET a=a+1 WHERE id=100;".repeat(commits));
    writer.close();
    bench.now += Duration::from_secs(1);
    fs::copy(&other, &bench.path).unwrap();
    settle(&mut bench);
    bench.check(&mut bench.writer());
    assert_eq!(bench.mirror.deletes, 89);
}

#[test]
fn a_copy_with_the_same_cookie_and_other_roots() {
    for journal in ["wal", "delete"] {
        copied_over(journal, 1);
    }
}

#[test]
fn a_copy_with_a_counter_that_is_a_little_later() {
    copied_over("delete", 40);
}

/// Copies over the file of a tail another with the same schema, a later counter and a few rows less: so few that only
/// doubt in the file holds their absence back.
fn later_copy(commits: usize, shape: &str) {
    let (mut bench, writer) = started("delete", 300);
    writer.close();
    let other = bench.path.with_extension("other");
    let mut writer = Writer::open(&other);
    writer.run(&format!(
        "PRAGMA journal_mode=memory; PRAGMA synchronous=off; {TABLE} {} {shape}",
        rows(10, 300)
    ));
    writer.run(&"UPDATE t SET a=a+1 WHERE id=300;".repeat(commits));
    writer.close();
    fs::copy(&other, &bench.path).unwrap();
    let start = bench.now;
    while bench.step().wake.is_zero() {}
    assert_eq!(bench.mirror.deletes, 0);
    bench.check(&mut bench.writer());
    assert!(bench.now.saturating_sub(start) >= Duration::from_secs(1));
    assert_eq!(bench.mirror.deletes, 9);
}

#[test]
fn a_shorter_copy_that_seems_to_be_a_later_state() {
    // Its rows are short, and the pages that they had are gone.
    later_copy(20, "UPDATE t SET b='short'; VACUUM;");
}

#[test]
fn a_copy_that_seems_to_be_a_much_later_state() {
    later_copy(20_000, "");
}

/// A sink during whose work a writer changes the database, once.
struct Interrupted<'a> {
    mirror: &'a mut Mirror,
    writer: &'a mut Writer,
    sql: Option<String>,
}

impl Sink for Interrupted<'_> {
    fn schema(&mut self, table: usize, schema: &Table) {
        self.mirror.schema(table, schema);
    }

    fn upsert(&mut self, table: usize, row: Row<'_>) {
        if let Some(sql) = self.sql.take() {
            self.writer.run(&sql);
        }
        self.mirror.upsert(table, row);
    }

    fn delete(&mut self, table: usize, rowid: i64) {
        self.mirror.delete(table, rowid);
    }
}

#[test]
fn a_schema_that_changes_in_the_middle_of_a_step() {
    let rebuilt = format!(
        "DROP TABLE t; DROP TABLE f; {} {} PRAGMA wal_checkpoint(RESTART); \
         UPDATE t SET b='after' WHERE id=2900;",
        layout(&fill()),
        rows(100, 3000)
    );
    for journal in ["wal", "delete"] {
        for sql in [
            rebuilt.clone(),
            "PRAGMA page_size=1024; VACUUM; PRAGMA wal_checkpoint(RESTART);".to_owned(),
            format!(
                "DELETE FROM f; {} VACUUM; PRAGMA wal_checkpoint(TRUNCATE);",
                fill()
            ),
            "ALTER TABLE t ADD COLUMN c DEFAULT 'new'; PRAGMA wal_checkpoint(RESTART);".to_owned(),
            "PRAGMA journal_mode=wal; UPDATE t SET b='switched'; PRAGMA journal_mode=delete; \
             UPDATE t SET b='switched back' WHERE id<2000;"
                .to_owned(),
        ] {
            let mut bench = Bench::with(vec![spec("t", Some("a"))]);
            let mut writer = bench.writer();
            writer.run(&format!(
                "PRAGMA journal_mode={journal}; {} {} {}",
                layout(""),
                fill(),
                rows(1, 3000)
            ));
            let mut sink = Interrupted {
                mirror: &mut bench.mirror,
                writer: &mut writer,
                sql: Some(sql),
            };
            while sink.sql.is_some() {
                bench.now += bench.tail.step(bench.now, &mut sink).wake;
            }
            is_clean(&bench.mirror);
            settle(&mut bench);
            bench.check(&mut writer);
        }
    }
}

#[test]
fn a_copy_beside_a_log_that_a_killed_writer_has_left() {
    let (mut bench, mut writer) = started("wal", 300);
    writer.run("PRAGMA wal_checkpoint(TRUNCATE);");
    let other = bench.path.with_extension("other");
    fs::copy(&bench.path, &other).unwrap();
    // One leaf stands in the log, and stays in force.
    writer.run("UPDATE t SET b='in the log' WHERE id=7;");
    bench.check(&mut writer);
    writer.kill();
    bench.settle();
    let mut writer = Writer::open(&other);
    writer.run("UPDATE t SET b='copied' WHERE id>250; DELETE FROM t WHERE id BETWEEN 100 AND 200;");
    writer.close();
    fs::copy(&other, &bench.path).unwrap();
    let start = bench.now;
    while bench.step().wake.is_zero() {}
    assert_eq!(bench.mirror.deletes, 0);
    bench.settle();
    assert!(bench.now.saturating_sub(start) >= Duration::from_secs(1));
    assert_eq!(bench.mirror.deletes, 101);
    bench.check(&mut bench.writer());
}

#[test]
fn a_parent_that_is_renamed() {
    for journal in ["wal", "delete"] {
        let mut bench = Bench::with(vec![spec("t", Some("a"))]);
        let folder = bench.path.parent().unwrap().to_owned();
        let (first, second, link) = (folder.join("1"), folder.join("2"), folder.join("link"));
        let point = |at: &Path| {
            let _ = fs::remove_file(&link);
            std::os::unix::fs::symlink(at, &link).unwrap();
        };
        fs::create_dir(&first).unwrap();
        point(&first);
        bench.path = link.join("test.db");
        bench.tail = super::support::tail(&bench.path, vec![spec("t", Some("a"))]);
        let mut writer = bench.writer();
        writer.run(&format!(
            "PRAGMA journal_mode={journal}; {TABLE} {}",
            rows(1, 300)
        ));
        bench.check(&mut writer);
        fs::rename(&first, &second).unwrap();
        point(&second);
        bench.step();
        // A connection that was open would not find its journal any more.
        let mut writer = Writer::open(&bench.path);
        writer.run("UPDATE t SET a=a+1, b='moved' WHERE id=7;");
        bench.settle();
        bench.check(&mut writer);
        assert!(beside(&second.join("test.db"), "").exists());
    }
}

#[test]
fn a_writer_that_still_has_the_old_file_open() {
    for journal in ["wal", "delete"] {
        let (mut bench, mut old) = started(journal, 300);
        let other = bench.path.with_extension("other");
        let mut writer = Writer::open(&other);
        writer.run(&format!(
            "PRAGMA journal_mode={journal}; {TABLE} {}",
            rows(200, 320)
        ));
        writer.close();
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(beside(&bench.path, suffix));
        }
        fs::rename(&other, &bench.path).unwrap();
        old.run(&format!("UPDATE t SET a=0, b='{ALIEN}';"));
        settle(&mut bench);
        let mut writer = bench.writer();
        writer.run("UPDATE t SET a=a+1, b='new' WHERE id=300;");
        old.run(&format!("INSERT INTO t(b) VALUES('{ALIEN}');"));
        bench.check(&mut writer);
        is_clean(&bench.mirror);
    }
}

#[test]
fn a_copy_over_a_file_that_a_writer_has_open() {
    let (mut bench, mut old) = started("delete", 300);
    let other = bench.path.with_extension("other");
    let mut writer = Writer::open(&other);
    writer.run(&format!("{TABLE} {}", rows(200, 320)));
    writer.close();
    fs::copy(&other, &bench.path).unwrap();
    old.run("UPDATE t SET a=a+1, b='goes on' WHERE id=300;");
    bench.check(&mut old);
    assert_eq!(bench.mirror.tables[&0].len(), 121);
}
