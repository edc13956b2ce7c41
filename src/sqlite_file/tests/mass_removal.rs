//! Much of a table that is gone at once is looked at twice; ordinary losses are reported at once.

use std::time::Duration;

use super::support::started;

/// Steps as long as there is something to do at once; how many rows were reported to be gone.
fn at_once(bench: &mut super::support::Bench) -> usize {
    let before = bench.mirror.deletes;
    while bench.step().wake.is_zero() {}
    bench.mirror.deletes - before
}

#[test]
fn a_table_that_is_emptied() {
    for (journal, rows) in [("wal", 3000), ("wal", 300), ("delete", 300)] {
        let (mut bench, mut writer) = started(journal, rows);
        writer.run("DELETE FROM t;");
        let start = bench.now;
        assert_eq!(at_once(&mut bench), 0);
        bench.check(&mut writer);
        assert_eq!(bench.mirror.deletes, usize::try_from(rows).unwrap());
        let took = bench.now.saturating_sub(start);
        assert!(took >= Duration::from_secs(1));
    }
}

#[test]
fn most_rows_of_many_leaves() {
    let (mut bench, mut writer) = started("wal", 3000);
    writer.run("DELETE FROM t WHERE id % 20 <> 0;");
    let start = bench.now;
    assert_eq!(at_once(&mut bench), 0);
    bench.settle();
    assert_eq!(bench.mirror.deletes, 2850);
    let took = bench.now.saturating_sub(start);
    assert!(took < Duration::from_secs(2), "{took:?}");
    bench.check(&mut writer);
}

#[test]
fn many_rows_one_after_the_other() {
    let (mut bench, mut writer) = started("wal", 3000);
    for hundred in 0..30 {
        writer.run(&format!(
            "DELETE FROM t WHERE id BETWEEN {hundred}00 AND {hundred}99;"
        ));
        bench.step();
    }
    assert!(bench.mirror.deletes <= 750, "{}", bench.mirror.deletes);
    bench.check(&mut writer);
}

#[test]
fn ordinary_losses_are_told_at_once() {
    let (mut bench, mut writer) = started("wal", 3000);
    writer.run("DELETE FROM t WHERE id % 5 = 0;");
    assert_eq!(at_once(&mut bench), 600);
    let (mut bench, mut writer) = started("wal", 20);
    writer.run("DELETE FROM t;");
    assert_eq!(at_once(&mut bench), 20);
    // Rows that are written anew under other rowids are no loss.
    let (mut bench, mut writer) = started("wal", 100);
    writer
        .run("BEGIN; INSERT INTO t(a, b) SELECT a, b FROM t; DELETE FROM t WHERE id<=100; COMMIT;");
    assert_eq!(at_once(&mut bench), 100);
}

/// A caller that knew of more than the tables have: removals are reported only after every row was compared once more.
#[test]
fn removals_that_a_caller_has_confirmed() {
    for journal in ["wal", "delete"] {
        let (mut bench, mut writer) = started(journal, 300);
        bench.tail.confirm_removals(bench.now);
        writer.run("DELETE FROM t WHERE id=7;");
        let (start, sweeps) = (bench.now, bench.tail.counters().sweeps);
        while bench.now < start + Duration::from_millis(900) {
            assert!(!bench.step().complete);
            bench.now += Duration::from_millis(10);
        }
        assert_eq!(bench.mirror.deletes, 0);
        bench.settle();
        assert!(bench.now >= start + Duration::from_secs(1));
        assert_eq!(bench.tail.counters().sweeps, sweeps + 1);
        bench.check(&mut writer);
        assert_eq!(bench.mirror.deletes, 1);
    }
}
