//! Each rule by which hints are taken is needed, and the audit finds what a missing rule misses.

use super::support::{Bench, Writer, spec};
use crate::sqlite_file::tail::{Rule, Rules};

/// Changes of every kind: in leaves, splits and merges of leaves, keys that change hands.
fn change(writer: &mut Writer, round: usize) {
    writer.run(&format!(
        "UPDATE t SET a=a+1, b='u{round}' WHERE id % 97 = {round}; \
         DELETE FROM t WHERE id BETWEEN {round}00 AND {round}60; \
         INSERT INTO t(a, b) SELECT {round}, printf('%.*c', 900, 'y') FROM t LIMIT 20; \
         UPDATE t SET b=printf('%.*c', 2000, 'z') WHERE id BETWEEN {round}70 AND {round}80;"
    ));
}

/// Whether the audit had to find something.
fn audit_finds(journal: &str, rules: Rules) -> bool {
    let mut bench = Bench::with(vec![spec("t", Some("a"))]);
    let mut writer = bench.writer();
    writer.run(&format!(
        "PRAGMA page_size=1024; PRAGMA journal_mode={journal}; PRAGMA wal_autocheckpoint=0; \
         CREATE TABLE t(id INTEGER PRIMARY KEY, a, b); CREATE INDEX i ON t(a); \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<3000) \
         INSERT INTO t SELECT i, i, printf('%.*c', 100 + i % 50, 'x') FROM n;"
    ));
    bench.audit();
    bench.compare(&mut writer);
    bench.tail.set_rules(rules);
    for round in 1..8 {
        change(&mut writer, round);
        bench.audit();
        bench.compare(&mut writer);
    }
    let counters = bench.tail.counters();
    counters.audit_misses + counters.blind_spots > 0
}

#[test]
fn with_all_rules_the_audit_finds_nothing() {
    assert!(!audit_finds("wal", Rules::default()));
    // What does not move in the hint index is found by an audit, or by looking again if that comes first.
    let mut bench = Bench::with(vec![spec("t", Some("a"))]);
    let mut writer = bench.writer();
    writer.run("CREATE TABLE t(id INTEGER PRIMARY KEY, a, b); CREATE INDEX i ON t(a);");
    bench.audit();
    for round in 0..200 {
        writer.run(&format!(
            "INSERT INTO t(a, b) VALUES({round}, 'x'); UPDATE t SET a=a+1 WHERE id % 7 = {}; \
             DELETE FROM t WHERE id % 50 = {round};",
            round % 7
        ));
        bench.audit();
    }
    bench.compare(&mut writer);
    assert_eq!(bench.tail.counters().audit_misses, 0);
    assert_eq!(bench.tail.counters().blind_spots, 0);
}

#[test]
fn without_changed_leaves() {
    assert!(audit_finds("wal", Rules::without(Rule::Leaves)));
}

#[test]
fn without_changed_interior_pages() {
    assert!(audit_finds("wal", Rules::without(Rule::Interiors)));
}

/// What the audit had to find when only an overflow page of a row has changed.
fn missed_in_an_overflow(rules: Rules) -> u64 {
    let mut bench = Bench::new(&["t"]);
    let mut writer = bench.writer();
    writer.run(
        "PRAGMA page_size=512; PRAGMA journal_mode=wal; CREATE TABLE t(id INTEGER PRIMARY KEY, b); \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<50) \
         INSERT INTO t SELECT i, printf('%.*c', 4000, 'x') FROM n; PRAGMA wal_checkpoint;",
    );
    bench.tail.set_rules(rules);
    bench.audit();
    // SQLite overwrites a row of the same length in place, and only those pages of it that differ.
    writer.run("UPDATE t SET b=printf('%.*c', 3999, 'x') || 'y' WHERE id=7;");
    bench.audit();
    bench.compare(&mut writer);
    bench.tail.counters().audit_misses
}

#[test]
fn without_the_hint_index() {
    assert!(audit_finds("delete", Rules::without(Rule::Index)));
}

/// What the audit had to find when a row changed twice, the second time without moving in the hint index.
fn missed_within_a_second(rules: Rules) -> u64 {
    let mut bench = Bench::with(vec![spec("t", Some("a"))]);
    let mut writer = bench.writer();
    // So large that looking again comes long before an audit has gone round.
    writer.run(
        "PRAGMA page_size=512; CREATE TABLE t(id INTEGER PRIMARY KEY, a, b); CREATE INDEX i ON t(a); \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<40000) \
         INSERT INTO t SELECT i, i, printf('%.*c', 100, 'x') FROM n;",
    );
    bench.audit();
    bench.tail.set_rules(rules);
    writer.run("UPDATE t SET a=a+1, b='first' WHERE id=40000;");
    bench.settle();
    writer.run("UPDATE t SET b='second, in the same second' WHERE id=40000;");
    bench.audit();
    bench.compare(&mut writer);
    assert_eq!(bench.tail.counters().audit_misses, 0);
    bench.tail.counters().blind_spots
}

/// What the audit had to find when rows have gone with the pages of the hint index that pointed at them.
fn missed_with_vanished_pages(rules: Rules) -> u64 {
    let mut bench = Bench::with(vec![spec("t", Some("a"))]);
    let mut writer = bench.writer();
    writer.run(
        "PRAGMA page_size=512; CREATE TABLE t(id INTEGER PRIMARY KEY, a, b); CREATE INDEX i ON t(a); \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<9000) \
         INSERT INTO t SELECT i, i * 7919 % 9000, printf('%.*c', 100, 'x') FROM n;",
    );
    bench.audit();
    bench.tail.set_rules(rules);
    // They stand side by side in the index, and nowhere in the table.
    writer.run("DELETE FROM t WHERE a BETWEEN 3000 AND 4500;");
    bench.audit();
    bench.compare(&mut writer);
    bench.tail.counters().audit_misses
}

#[test]
fn without_pages_that_have_left_the_hint_index() {
    assert_eq!(missed_with_vanished_pages(Rules::default()), 0);
    assert_ne!(
        missed_with_vanished_pages(Rules::without(Rule::VanishedPages)),
        0
    );
}

#[test]
fn without_looking_again() {
    assert_eq!(missed_within_a_second(Rules::default()), 0);
    assert_eq!(missed_within_a_second(Rules::without(Rule::Recheck)), 1);
}

#[test]
fn without_changed_overflow_pages() {
    assert_eq!(missed_in_an_overflow(Rules::default()), 0);
    assert_eq!(missed_in_an_overflow(Rules::without(Rule::Overflows)), 1);
}
