//! A log whose index cannot be read while writers live: the log alone tells.

use std::fs;
use std::time::Duration;

use super::support::{Bench, Writer, beside, idle, rows, started};

/// A live writer, whose index has no name any more.
fn without_index(pragmas: &str) -> (Bench, Writer) {
    let (mut bench, mut writer) = started("wal", 300);
    writer.run(pragmas);
    fs::remove_file(beside(&bench.path, "-shm")).unwrap();
    bench.check(&mut writer);
    (bench, writer)
}

#[test]
fn commits_checkpoints_and_restarts() {
    for kind in ["PASSIVE", "FULL", "RESTART", "TRUNCATE"] {
        let (mut bench, mut writer) = without_index("PRAGMA wal_autocheckpoint=0;");
        for round in 0..10 {
            writer.run(&format!(
                "UPDATE t SET a=a+1, b='{round}' WHERE id % 10 = {round};"
            ));
            if round % 2 == 0 {
                bench.settle();
            }
            writer.run(&format!("PRAGMA wal_checkpoint({kind});"));
            if round % 3 == 0 {
                bench.check(&mut writer);
            }
            writer.run(&format!(
                "{} DELETE FROM t WHERE id={round};",
                rows(400, 402 + round)
            ));
            bench.check(&mut writer);
        }
    }
}

#[test]
fn transactions_that_spill() {
    for end in ["ROLLBACK;", "COMMIT;"] {
        let (mut bench, mut writer) = without_index("PRAGMA cache_size=5; PRAGMA cache_spill=5;");
        for round in 0..4 {
            writer.run(&format!("BEGIN; UPDATE t SET b='spilled {round}';"));
            idle(&mut bench, Duration::from_millis(100));
            writer.run("SAVEPOINT s; UPDATE t SET b='taken back'; ROLLBACK TO s;");
            idle(&mut bench, Duration::from_millis(100));
            writer.run(&rows(1000, 1100));
            let told = bench.mirror.upserts;
            idle(&mut bench, Duration::from_millis(100));
            assert_eq!(
                bench.mirror.upserts, told,
                "nothing is told before it is committed"
            );
            writer.run(end);
            writer.run(&format!("UPDATE t SET b='single' WHERE id={};", round + 1));
            bench.check(&mut writer);
        }
    }
}

#[test]
fn a_vast_transaction_is_not_read_again_and_again() {
    let (mut bench, mut writer) = without_index("PRAGMA cache_size=200; PRAGMA cache_spill=200;");
    // Overflow pages are written once each, so that the log only grows.
    writer.run("BEGIN; INSERT INTO t SELECT id + 1000, 0, zeroblob(450000) FROM t WHERE id <= 20;");
    let log = beside(&bench.path, "-wal");
    bench.settle();
    assert_eq!(bench.mirror.tables[&0].len(), 300);
    let frames = bench.tail.frames_verified();
    assert!(frames > 2000, "{frames}");
    // Until the file is so old that another write would show.
    let age = || fs::metadata(&log).unwrap().modified().unwrap().elapsed();
    while age().is_ok_and(|it| it < Duration::from_millis(200)) {
        bench.step();
    }
    let frames = bench.tail.frames_verified();
    idle(&mut bench, Duration::from_secs(5));
    bench.settle();
    let again = bench.tail.frames_verified() - frames;
    assert!(again < 6000, "{again}");
    writer.run("COMMIT;");
    bench.check(&mut writer);
}
