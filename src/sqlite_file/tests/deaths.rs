//! Between two writes of a writer: one that dies between the last frame of a commit and its publication in the index
//! of the log, and a generation of the log whose index is there before its header.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use super::support::{Bench, Writer, beside};
use crate::sqlite_file::State;
use crate::sqlite_file::wal::{Order, checksum};

/// Both copies of the header of the index.
const PUBLISHED: usize = 96;

fn started() -> (Bench, Writer) {
    let mut bench = Bench::new(&["t"]);
    let mut writer = bench.writer();
    writer.run(
        "PRAGMA journal_mode=wal; CREATE TABLE t(id INTEGER PRIMARY KEY, b); \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<300) \
         INSERT INTO t SELECT i, printf('%.*c', 100, 'x') FROM n;",
    );
    bench.check(&mut writer);
    (bench, writer)
}

fn published(database: &Path) -> Vec<u8> {
    let index = fs::read(beside(database, "-shm")).unwrap();
    index[..PUBLISHED].to_vec()
}

/// Commits `sql` and dies before the commit is published: of the index, the header is written last.
fn dies_in_commit(mut writer: Writer, database: &Path, sql: &str) {
    let before = published(database);
    writer.run(sql);
    assert_ne!(published(database), before);
    writer.kill();
    let index = OpenOptions::new()
        .write(true)
        .open(beside(database, "-shm"))
        .unwrap();
    index.write_all_at(&before, 0).unwrap();
}

/// Whether row `id` is told to begin with `text`.
fn shows(bench: &Bench, id: i64, text: &str) -> bool {
    let wanted = format!("text:{}", hex::encode_upper(text));
    bench.mirror.tables[&0][&id].contains(&wanted)
}

/// Steps for two seconds.
fn wait(bench: &mut Bench) {
    let end = bench.now + Duration::from_secs(2);
    while bench.now < end {
        bench.step();
        bench.now += Duration::from_millis(10);
    }
}

#[test]
fn a_commit_that_nobody_announced_counts_when_nobody_has_the_file_open() {
    let (mut bench, writer) = started();
    dies_in_commit(
        writer,
        &bench.path,
        "UPDATE t SET b='unannounced' WHERE id=7;",
    );
    bench.settle();
    assert!(shows(&bench, 7, "unannounced"));
    // The next to open it recovers the log, and finds the same.
    let told = bench.mirror.upserts;
    let mut writer = bench.writer();
    assert_eq!(writer.run("SELECT b FROM t WHERE id=7;"), ["unannounced"]);
    bench.check(&mut writer);
    assert_eq!(bench.mirror.upserts, told);
    writer.run("UPDATE t SET b='next' WHERE id=8;");
    bench.check(&mut writer);
}

#[test]
fn a_commit_that_nobody_announced_counts_at_a_start() {
    let (bench, writer) = started();
    dies_in_commit(
        writer,
        &bench.path,
        "UPDATE t SET b='unannounced' WHERE id=7;",
    );
    let mut fresh = Bench::new(&["t"]);
    for suffix in ["", "-wal", "-shm"] {
        fs::copy(beside(&bench.path, suffix), beside(&fresh.path, suffix)).unwrap();
    }
    fresh.settle();
    assert!(shows(&fresh, 7, "unannounced"));
}

#[test]
fn a_commit_that_nobody_announced_does_not_count_while_another_writer_lives() {
    let (mut bench, writer) = started();
    let mut other = bench.writer();
    other.run("SELECT count(*) FROM t;");
    dies_in_commit(
        writer,
        &bench.path,
        "UPDATE t SET b='unannounced' WHERE id=7;",
    );
    wait(&mut bench);
    assert_eq!(bench.step().state, State::Live);
    assert!(!shows(&bench, 7, "unannounced"));
    // The other writes over it.
    other.run("UPDATE t SET b='another' WHERE id=8;");
    assert_ne!(other.run("SELECT b FROM t WHERE id=7;"), ["unannounced"]);
    bench.check(&mut other);
    // Its death changes nothing, and leaves the file to nobody.
    other.kill();
    wait(&mut bench);
    let mut writer = bench.writer();
    bench.check(&mut writer);
}

#[test]
fn an_index_that_its_writer_left_half_written_is_not_waited_for() {
    let (mut bench, mut writer) = started();
    writer.run("UPDATE t SET b='announced by halves' WHERE id=7;");
    writer.kill();
    let index = OpenOptions::new()
        .write(true)
        .open(beside(&bench.path, "-shm"))
        .unwrap();
    index.write_all_at(&[0xff; 4], 16).unwrap();
    bench.settle();
    assert!(bench.now < Duration::from_secs(1), "{:?}", bench.now);
    assert!(shows(&bench, 7, "announced by halves"));
}

#[test]
fn an_exclusive_writer_beside_an_old_index_is_followed() {
    let (mut bench, writer) = started();
    writer.kill();
    let old = published(&bench.path);
    // In this mode the index is in the writer's own memory, and the file is left as it was.
    let mut writer = bench.writer();
    writer.run("PRAGMA locking_mode=EXCLUSIVE; UPDATE t SET b='mine' WHERE id=7;");
    assert_eq!(published(&bench.path), old);
    bench.settle();
    assert!(shows(&bench, 7, "mine"));
    writer.run("UPDATE t SET b='mine too' WHERE id=8; DELETE FROM t WHERE id=9;");
    bench.check(&mut writer);
}

#[test]
fn generations_begun_and_abandoned() {
    let (mut bench, mut writer) = started();
    for round in 0..6 {
        writer.run(&format!(
            "UPDATE t SET b='a{round}' WHERE id={round}+1; PRAGMA wal_checkpoint(RESTART);"
        ));
        if round % 2 == 0 {
            bench.settle();
        }
        dies_in_commit(
            writer,
            &bench.path,
            &format!("UPDATE t SET b='b{round}' WHERE id={round}+10;"),
        );
        if round % 3 == 0 {
            bench.settle();
            assert!(shows(&bench, round + 10, &format!("b{round}")));
        }
        writer = bench.writer();
        writer.run(&format!("UPDATE t SET b='c{round}' WHERE id={round}+20;"));
        bench.check(&mut writer);
    }
}

/// Publishes a new generation of the log without a frame, as a writer does before it writes the header of the log
/// (`walRestartHdr` in SQLite's `wal.c`).
fn begin_generation(database: &Path) {
    let path = beside(database, "-shm");
    let mut header = fs::read(&path).unwrap()[..PUBLISHED / 2].to_vec();
    header[16..20].fill(0);
    let salt = u32::from_be_bytes(header[32..36].try_into().unwrap());
    header[32..36].copy_from_slice(&salt.wrapping_add(1).to_be_bytes());
    header[36..40].copy_from_slice(b"salt");
    let sum = checksum(Order::Native, [0, 0], &header[..40]);
    header[40..44].copy_from_slice(&sum[0].to_ne_bytes());
    header[44..48].copy_from_slice(&sum[1].to_ne_bytes());
    let index = OpenOptions::new().write(true).open(path).unwrap();
    index
        .write_all_at(&[header.clone(), header].concat(), 0)
        .unwrap();
    // Nothing of it is in the database file, and nobody reads it.
    index.write_all_at(&[0; 12], 96).unwrap();
    index.write_all_at(&[0xff; 12], 108).unwrap();
    index.write_all_at(&[0; 4], 128).unwrap();
}

#[test]
fn a_generation_is_published_before_its_header_is_written() {
    let (mut bench, mut writer) = started();
    // A connection that has never begun a generation takes salts by chance, and that is a gap.
    writer.run("PRAGMA wal_checkpoint(RESTART); UPDATE t SET b='begun' WHERE id=100;");
    bench.settle();
    let before = bench.tail.counters();
    for round in 0..4 {
        writer.run(&format!("UPDATE t SET b='a{round}' WHERE id={round}+1;"));
        if round % 2 == 0 {
            bench.settle();
        }
        writer.run("PRAGMA wal_checkpoint(FULL);");
        begin_generation(&bench.path);
        bench.settle();
        assert!(shows(&bench, round + 1, &format!("a{round}")));
        wait(&mut bench);
        assert_eq!(bench.step().state, State::Live);
        writer.run(&format!("UPDATE t SET b='b{round}' WHERE id={round}+50;"));
        bench.check(&mut writer);
    }
    let after = bench.tail.counters();
    assert_eq!(after.gaps, before.gaps);
    assert_eq!(after.wal_restarts, before.wal_restarts + 4);
}
