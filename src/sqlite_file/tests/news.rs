//! A look between two steps: whether something may have been committed.

use std::fs;

use super::support::{Writer, beside, rows, started};

#[test]
fn commits_are_news_until_a_step_has_seen_them() {
    let (mut bench, mut writer) = started("wal", 300);
    for round in 0..20 {
        bench.settle();
        assert_eq!(bench.tail.has_news(), Some(false));
        writer.run(&format!("UPDATE t SET a=a+1 WHERE id={round} + 1;"));
        assert_eq!(bench.tail.has_news(), Some(true));
        if round % 5 == 0 {
            writer.run("PRAGMA wal_checkpoint(RESTART);");
        }
    }
    bench.check(&mut writer);
}

#[test]
fn a_transaction_is_no_news_before_its_commit() {
    let (mut bench, mut writer) = started("wal", 300);
    writer.run("PRAGMA cache_size=5; PRAGMA cache_spill=5;");
    bench.settle();
    writer.run(&format!("BEGIN; {}", rows(1000, 1500)));
    assert_eq!(bench.tail.has_news(), Some(false));
    writer.run("COMMIT;");
    assert_eq!(bench.tail.has_news(), Some(true));
    bench.check(&mut writer);
}

#[test]
fn only_a_step_can_tell_without_an_index_that_somebody_keeps() {
    let (mut bench, mut writer) = started("delete", 300);
    bench.settle();
    assert_eq!(bench.tail.has_news(), None);
    writer.run("PRAGMA journal_mode=wal;");
    bench.check(&mut writer);
    assert_eq!(bench.tail.has_news(), Some(false));
    fs::remove_file(beside(&bench.path, "-shm")).unwrap();
    bench.settle();
    assert_eq!(bench.tail.has_news(), None);
    drop(writer);
    let mut writer = Writer::open(&bench.path);
    bench.check(&mut writer);
    assert_eq!(bench.tail.has_news(), Some(false));
}
