//! How long the audit takes to go round, and what it costs while nothing is committed.

use std::time::Duration;

use super::support::{Bench, Writer, idle, spec};

/// A table of some ten thousand leaves.
fn large() -> (Bench, Writer) {
    let mut bench = Bench::with(vec![spec("t", Some("a"))]);
    let mut writer = bench.writer();
    writer.run(
        "PRAGMA page_size=512; PRAGMA journal_mode=wal; PRAGMA synchronous=off; \
         CREATE TABLE t(id INTEGER PRIMARY KEY, a, b); CREATE INDEX i ON t(a); \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<40000) \
         INSERT INTO t SELECT i, i, printf('%.*c', 100, 'x') FROM n;",
    );
    bench.settle();
    (bench, writer)
}

#[test]
fn goes_round_in_a_minute_after_the_last_commit() {
    let (mut bench, mut writer) = large();
    writer.run("UPDATE t SET a=a+1 WHERE id=7;");
    bench.settle();
    let start = bench.now;
    bench.audit();
    let took = bench.now.saturating_sub(start);
    assert!(took < Duration::from_mins(1), "{took:?}");
    assert!(took > Duration::from_secs(10), "{took:?}");
}

#[test]
fn rests_then_and_goes_round_again_slowly() {
    let (mut bench, _writer) = large();
    bench.audit();
    let before = bench.tail.counters();
    idle(&mut bench, Duration::from_mins(9));
    assert_eq!(bench.tail.counters().pages_read, before.pages_read);
    idle(&mut bench, Duration::from_mins(21));
    let pages = bench.tail.counters().pages_read - before.pages_read;
    assert!(pages > 10_000, "{pages}");
    // Forty pages a second are less than a thousandth of a core.
    assert!(pages < 21 * 60 * 60, "{pages}");
    assert_eq!(bench.tail.counters().sweeps, before.sweeps + 1);
}
