//! Much of a table that is gone at once is looked at twice; ordinary losses are told at once.

use std::time::Duration;

use super::support::started;

/// Steps as long as there is something to do at once; how many rows were told to be gone.
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
