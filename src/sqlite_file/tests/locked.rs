//! Rollback mode: a writer that is in the way, or looks as if it were.

use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::time::Duration;

use super::support::{Bench, beside, idle, spec, started};
use crate::sqlite_file::tail::{Rule, Rules};
use crate::sqlite_file::{Reason, State};

#[test]
fn a_hot_journal_is_waited_for() {
    let (mut bench, mut writer) = started("delete", 2000);
    let before = bench.mirror.tables.clone();
    // The transaction has written into the file when its process dies.
    writer.run("PRAGMA cache_size=5; PRAGMA cache_spill=5; BEGIN; UPDATE t SET b=zeroblob(300);");
    writer.kill();
    assert!(fs::metadata(beside(&bench.path, "-journal")).unwrap().len() > 0);
    idle(&mut bench, Duration::from_secs(3));
    assert_eq!(bench.step().state, State::Blocked(Reason::HotJournal));
    assert_eq!(bench.mirror.tables, before);
    let mut writer = bench.writer();
    writer.run("SELECT count(*) FROM t; UPDATE t SET b='x' WHERE id=1;");
    bench.check(&mut writer);
}

#[test]
fn an_exclusive_writer_is_waited_for() {
    let (mut bench, mut writer) = started("delete", 100);
    writer.run("PRAGMA locking_mode=EXCLUSIVE; UPDATE t SET b='mine';");
    idle(&mut bench, Duration::from_secs(2));
    assert_eq!(bench.step().state, State::Blocked(Reason::Locked));
    writer.run("PRAGMA locking_mode=NORMAL; SELECT count(*) FROM t;");
    bench.check(&mut writer);
}

#[test]
fn changes_that_the_hint_index_does_not_show() {
    let (mut bench, mut writer) = started("delete", 3000);
    bench.tail.set_rules(Rules::without(Rule::Audit));
    writer.run("UPDATE t SET a=a+1, b='first' WHERE id=1000;");
    bench.settle();
    let start = bench.now;
    writer.run("UPDATE t SET b='second, in the same second' WHERE id=1000;");
    while !bench.mirror.tables[&0][&1000].contains(&hex::encode_upper("second")) {
        bench.step();
        assert!(bench.now.saturating_sub(start) < Duration::from_secs(2));
    }
}

#[test]
fn rows_that_are_looked_at_again_do_not_disturb_the_rest() {
    let (mut bench, mut writer) = started("delete", 100);
    writer.run("UPDATE t SET a=a+1 WHERE id=7;");
    bench.settle();
    // No commit is expected any more, and the row is due before the next look but one.
    bench.now += Duration::from_millis(1100);
    for _ in 0..10 {
        let step = bench.step();
        // A caller that is told to come soon does not watch the files meanwhile.
        assert!(step.wake >= Duration::from_millis(250), "{step:?}");
    }
}

#[test]
fn a_writer_that_has_locked_but_not_written_is_no_hindrance() {
    let (mut bench, mut writer) = started("delete", 1000);
    let shows = |bench: &Bench, id, text: &str| {
        let text = hex::encode_upper(text);
        bench.mirror.tables[&0][&id].contains(&text)
    };
    writer.run("UPDATE t SET a=a+1, b='committed' WHERE id=2;");
    // Where the clock of the file system is coarse, the journal may be as old as the last write.
    let read = (0..100).any(|_| {
        writer.run("BEGIN EXCLUSIVE; UPDATE t SET b='not yet' WHERE id=1;");
        let current = (0..100).any(|_| bench.step().current);
        assert_eq!(shows(&bench, 2, "committed"), current);
        writer.run("ROLLBACK;");
        current
    });
    assert!(!shows(&bench, 1, "not yet"));
    let knows_age = fs::metadata(&bench.path).unwrap().created().is_ok();
    assert_eq!(read, knows_age);
}

#[test]
fn a_writer_that_has_spilled_is_waited_for() {
    let (mut bench, mut writer) = started("delete", 2000);
    let before = bench.mirror.tables.clone();
    writer.run(
        "PRAGMA cache_size=5; PRAGMA cache_spill=5; BEGIN EXCLUSIVE; UPDATE t SET b=zeroblob(300);",
    );
    idle(&mut bench, Duration::from_secs(2));
    assert_eq!(bench.step().state, State::Blocked(Reason::Locked));
    assert_eq!(bench.mirror.tables, before);
    // Nor when it seems to have written before its journal, because the clock was set back in between.
    let file = fs::File::options().write(true).open(&bench.path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    file.set_modified(modified - Duration::from_hours(1))
        .unwrap();
    idle(&mut bench, Duration::from_secs(2));
    assert_eq!(bench.step().state, State::Blocked(Reason::Locked));
    assert_eq!(bench.mirror.tables, before);
    // Nor to one who has never seen the file at peace.
    let mut fresh = Bench::with(vec![spec("t", Some("a"))]);
    symlink(&bench.path, &fresh.path).unwrap();
    idle(&mut fresh, Duration::from_secs(2));
    assert_eq!(fresh.step().state, State::Blocked(Reason::Locked));
    assert!(fresh.mirror.tables.is_empty());
    writer.run("ROLLBACK;");
    bench.check(&mut writer);
    assert_eq!(bench.mirror.tables, before);
}

#[test]
fn hints_outlive_a_window_whose_end_cannot_be_verified() {
    for windows in 0..4 {
        let (mut bench, mut writer) = started("delete", 3000);
        bench.tail.set_rules(Rules::without(Rule::Audit));
        writer.run(
            "UPDATE t SET a=a+1, b='hinted at once' WHERE id % 500 = 7; DELETE FROM t WHERE id=9;",
        );
        bench.tail.break_end_after(windows);
        bench.settle();
        bench.compare(&mut writer);
    }
}

#[test]
fn a_damaged_hint_index_is_done_without() {
    let (mut bench, mut writer) = started("delete", 3000);
    let root = writer.run("SELECT rootpage FROM sqlite_schema WHERE name='i';");
    let root: u64 = root[0].parse().unwrap();
    let file = fs::File::options().write(true).open(&bench.path).unwrap();
    file.write_all_at(&[0xff; 4096], (root - 1) * 4096).unwrap();
    idle(&mut bench, Duration::from_secs(5));
    bench.settle();
    bench.tail.set_rules(Rules::without(Rule::Audit));
    for round in 0..3 {
        writer.run(&format!(
            "UPDATE t SET b='told {round}' WHERE id=1000+{round};"
        ));
        bench.settle();
        assert!(bench.mirror.tables[&0][&(1000 + round)].contains(&hex::encode_upper("told")));
    }
}
