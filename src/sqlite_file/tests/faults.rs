//! What writers do: checkpoints and restarts of the log, spilled transactions, crashes, rowids that are used again.

use std::fs;
use std::time::Duration;

use super::support::{Bench, TABLE, beside, idle, ripen, rows, spec, started};
use crate::sqlite_file::tail::{Rule, Rules};
use crate::sqlite_file::{Reason, State};

#[test]
fn a_checkpoint_of_any_kind_loses_nothing() {
    for kind in ["PASSIVE", "FULL", "RESTART", "TRUNCATE"] {
        let (mut bench, mut writer) = started("wal", 200);
        for round in 0..12 {
            // Some rounds are read before the checkpoint, some after, some in between.
            writer.run(&format!(
                "UPDATE t SET b='v{round}' WHERE id % 12 = {round};"
            ));
            if round % 3 == 0 {
                bench.settle();
            }
            writer.run(&format!("PRAGMA wal_checkpoint({kind});"));
            if round % 4 == 0 {
                bench.settle();
            }
            writer.run(&format!(
                "DELETE FROM t WHERE id = {}; {}",
                150 + round,
                rows(300, 300 + round)
            ));
            if round % 2 == 0 {
                bench.check(&mut writer);
            }
        }
        bench.check(&mut writer);
    }
}

#[test]
fn a_restart_of_the_log_that_was_read_in_time_is_no_gap() {
    let (mut bench, mut writer) = started("wal", 200);
    let gaps = bench.tail.counters().gaps;
    for round in 0..30 {
        writer.run(&format!("{} PRAGMA wal_checkpoint(RESTART);", rows(1, 30)));
        writer.run(&format!("UPDATE t SET b={round} WHERE id=7;"));
        bench.check(&mut writer);
    }
    assert_eq!(bench.tail.counters().gaps, gaps);
    assert_eq!(bench.tail.counters().wal_restarts, 30);
}

#[test]
fn a_log_that_laps_the_tail_is_a_gap_and_heals() {
    let (mut bench, mut writer) = started("wal", 500);
    let gaps = bench.tail.counters().gaps;
    for round in 0..5 {
        writer.run(&format!("UPDATE t SET b='before {round}';"));
        writer.run("PRAGMA wal_checkpoint(RESTART);");
        writer.run(&format!(
            "UPDATE t SET b='after {round}' WHERE id < 400; DELETE FROM t WHERE id={round};"
        ));
        writer.run("PRAGMA wal_checkpoint(RESTART);");
        writer.run("UPDATE t SET a=0 WHERE id=3;");
        bench.check(&mut writer);
    }
    assert_eq!(bench.tail.counters().gaps, gaps + 5);
}

/// A tail of a database that nobody has had open for a while.
fn at_rest() -> Bench {
    let (mut bench, writer) = started("wal", 200);
    writer.close();
    ripen(&mut bench);
    bench.settle();
    bench
}

#[test]
fn opening_a_database_that_nobody_had_open_is_no_gap() {
    let mut bench = at_rest();
    for round in 0..4 {
        let gaps = bench.tail.counters().gaps;
        // A program opens it, which makes an index that knows of no log yet.
        let mut writer = bench.writer();
        writer.run("SELECT count(*) FROM t;");
        for _ in 0..round {
            bench.step();
        }
        writer.run(&format!("UPDATE t SET b='first {round}' WHERE id=7;"));
        bench.check(&mut writer);
        assert_eq!(bench.tail.counters().gaps, gaps);
        writer.close();
        ripen(&mut bench);
        bench.settle();
        // The last frames of a log that is gone may not have been read.
        assert_eq!(bench.tail.counters().gaps, gaps + 1);
    }
}

#[test]
fn who_only_reads_makes_no_gap() {
    let mut bench = at_rest();
    let before = bench.tail.counters();
    for _ in 0..3 {
        let mut reader = bench.writer();
        reader.run("SELECT count(*) FROM t;");
        bench.step();
        reader.close();
        bench.step();
        bench.settle();
    }
    let now = bench.tail.counters();
    assert_eq!((now.gaps, now.epochs), (before.gaps, before.epochs));
}

#[test]
fn a_log_that_began_twice_since_it_was_opened_is_a_gap() {
    for restart in ["RESTART", "TRUNCATE"] {
        let mut bench = at_rest();
        let mut writer = bench.writer();
        writer.run("SELECT count(*) FROM t;");
        bench.step();
        let gaps = bench.tail.counters().gaps;
        writer.run(&format!(
            "UPDATE t SET b='unread'; PRAGMA wal_checkpoint({restart}); UPDATE t SET b=1 WHERE id=7;"
        ));
        bench.check(&mut writer);
        assert_eq!(bench.tail.counters().gaps, gaps + 1);
    }
}

#[test]
fn after_a_gap_what_changes_is_told_before_every_row_is_compared() {
    let (mut bench, mut writer) = started("wal", 60_000);
    bench.settle();
    let sweeps = bench.tail.counters().sweeps;
    writer.run("UPDATE t SET b='before' WHERE id=3; PRAGMA wal_checkpoint(RESTART);");
    writer.run("UPDATE t SET b='after' WHERE id=4; PRAGMA wal_checkpoint(RESTART);");
    writer.run("UPDATE t SET b='now' WHERE id=59000;");
    let step = bench.step();
    assert!(!step.current, "{step:?}");
    assert_eq!(bench.tail.counters().sweeps, sweeps);
    let told = |bench: &Bench, id: i64| bench.mirror.tables[&0][&id].clone();
    assert!(told(&bench, 59_000).contains(&hex::encode_upper("now")));
    writer.run("UPDATE t SET b='later' WHERE id=58000;");
    let step = bench.step();
    assert!(!step.current, "{step:?}");
    assert!(told(&bench, 58_000).contains(&hex::encode_upper("later")));
    bench.check(&mut writer);
}

/// What is noted of pages before a gap must not mislead when another table has them after it.
#[test]
fn pages_that_another_table_takes_after_a_gap() {
    let mut bench = Bench::new(&["t0", "t1"]);
    let mut writer = bench.writer();
    writer.run(
        "PRAGMA page_size=512; PRAGMA journal_mode=wal; PRAGMA synchronous=off; PRAGMA wal_autocheckpoint=0; \
         CREATE TABLE t0(id INTEGER PRIMARY KEY, x); CREATE TABLE t1(id INTEGER PRIMARY KEY, x);",
    );
    bench.settle();
    let x = "x".repeat(60);
    for number in 0..300 {
        writer.run(&format!(
            "BEGIN; INSERT INTO t0(x) VALUES ('{x}'), ('{x}'), ('{x}'), ('{x}'); \
             INSERT INTO t1 VALUES ({}, '{x}'); COMMIT;",
            100_000 + number
        ));
        if number % 10 == 0 {
            bench.settle();
        }
    }
    bench.check(&mut writer);
    let gaps = bench.tail.counters().gaps;
    // What is deleted stands where the log begins, and is written over before it is read.
    writer.run("PRAGMA wal_checkpoint(RESTART); DELETE FROM t0 WHERE id > 1;");
    writer.run("PRAGMA wal_checkpoint(RESTART); UPDATE t1 SET x = printf('%060d', id);");
    bench.check(&mut writer);
    assert_eq!(bench.tail.counters().gaps, gaps + 1);
    // It would come by before anybody has seen what is missed in so small a table.
    bench.tail.set_rules(Rules::without(Rule::Audit));
    for number in 1..=600 {
        writer.run(&format!("INSERT INTO t1(x) VALUES ('{x}');"));
        bench.settle();
        if number % 5 == 0 {
            writer.run(&format!("UPDATE t1 SET x = printf('%060d', {number});"));
            bench.settle();
            bench.compare(&mut writer);
        }
    }
}

#[test]
fn automatic_checkpoints_of_any_size_and_spilled_transactions() {
    for pages in [0, 1, 3] {
        let (mut bench, mut writer) = started("wal", 300);
        writer.run(&format!(
            "PRAGMA wal_autocheckpoint={pages}; PRAGMA cache_size=5; PRAGMA cache_spill=5;"
        ));
        for round in 0..6 {
            writer.run(&format!(
                "BEGIN; UPDATE t SET b='spilled{round}'; {}",
                rows(1000, 2000)
            ));
            let told = bench.mirror.upserts;
            idle(&mut bench, Duration::from_millis(50));
            assert_eq!(
                bench.mirror.upserts, told,
                "nothing is told before it is committed"
            );
            writer.run(if round % 2 == 0 {
                "ROLLBACK;"
            } else {
                "COMMIT;"
            });
            writer.run(&format!("UPDATE t SET b='single' WHERE id={};", round + 1));
            bench.check(&mut writer);
        }
    }
}

#[test]
fn clean_ends_and_crashes_of_the_writer() {
    for journal in ["wal", "delete", "truncate", "persist"] {
        let (mut bench, mut writer) = started(journal, 300);
        for round in 0..6 {
            writer.run(&format!(
                "UPDATE t SET a=a+1, b='round{round}' WHERE id % 5 = {};",
                round % 5
            ));
            if round % 2 == 0 {
                writer.close();
            } else {
                writer.kill();
            }
            if round % 3 == 0 {
                bench.settle();
            }
            writer = bench.writer();
            writer.run(&format!(
                "UPDATE t SET a=a+1, b='again' WHERE id={round}; DELETE FROM t WHERE id={};",
                9 + round
            ));
            bench.check(&mut writer);
        }
    }
}

#[test]
fn a_log_without_its_index_is_read_alone() {
    let (bench, mut writer) = started("wal", 300);
    writer.run("UPDATE t SET b='in the log' WHERE id<50;");
    // As a copy of a crashed machine's files: the index is not trusted by anyone, or not there.
    for index in [None, Some(Vec::new()), Some(vec![0; 32768])] {
        let mut copy = Bench::new(&["t"]);
        for suffix in ["", "-wal"] {
            fs::copy(beside(&bench.path, suffix), beside(&copy.path, suffix)).unwrap();
        }
        if let Some(index) = index {
            fs::write(beside(&copy.path, "-shm"), index).unwrap();
        }
        copy.settle();
        copy.compare(&mut writer);
    }
}

#[test]
fn rowids_that_are_used_again() {
    for journal in ["wal", "delete"] {
        let (mut bench, mut writer) = started(journal, 300);
        for round in 0..5 {
            writer.run(&format!(
                "DELETE FROM t WHERE id=(SELECT max(id) FROM t); INSERT INTO t(a, b) VALUES({round}, 'reused');"
            ));
            bench.check(&mut writer);
        }
        writer.run(&format!("DELETE FROM t; {}", rows(1, 20)));
        bench.check(&mut writer);
        writer.run(&format!("BEGIN; {} COMMIT;", rows(1, 20_000)));
        bench.check(&mut writer);
        writer.run("DELETE FROM t;");
        bench.check(&mut writer);
        assert!(bench.mirror.tables[&0].is_empty());
    }
}

#[test]
fn a_log_that_cannot_be_opened_for_a_while_is_a_gap() {
    let (mut bench, mut writer) = started("wal", 500);
    let gaps = bench.tail.counters().gaps;
    let (log, away) = (beside(&bench.path, "-wal"), beside(&bench.path, "-away"));
    // The writer has its log open, and does not notice.
    fs::rename(&log, &away).unwrap();
    fs::create_dir(&log).unwrap();
    for _ in 0..3 {
        assert!(!bench.step().current);
    }
    writer.run("UPDATE t SET b='unseen' WHERE id=7; PRAGMA wal_checkpoint(RESTART); UPDATE t SET b='seen' WHERE id=8;");
    bench.step();
    fs::remove_dir(&log).unwrap();
    fs::rename(&away, &log).unwrap();
    bench.check(&mut writer);
    assert_eq!(bench.tail.counters().gaps, gaps + 1);
}

#[test]
fn other_tables_do_not_matter() {
    let (mut bench, mut writer) = started("wal", 500);
    writer.run("CREATE TABLE twin(id INTEGER PRIMARY KEY, a, b);");
    bench.check(&mut writer);
    let told = bench.mirror.upserts;
    for round in 0..20 {
        writer.run(&format!(
            "INSERT INTO twin SELECT id + {round}000, a, b FROM t; DELETE FROM twin WHERE id % 3 = 0;"
        ));
        bench.settle();
    }
    writer.run("DROP TABLE twin;");
    bench.check(&mut writer);
    assert_eq!(bench.mirror.upserts, told);
}

#[test]
fn several_tables_one_of_them_optional() {
    let mut specs = vec![spec("t", Some("a")), spec("attrs", None)];
    specs[1].optional = true;
    let mut bench = Bench::with(specs);
    let mut writer = bench.writer();
    writer.run(&format!(
        "PRAGMA journal_mode=wal; {TABLE} {}",
        rows(1, 100)
    ));
    bench.check(&mut writer);
    writer.run("CREATE TABLE attrs(id INTEGER PRIMARY KEY, name, value); INSERT INTO attrs VALUES(1, 'n', 'v');");
    bench.check(&mut writer);
    assert_eq!(bench.mirror.tables[&1].len(), 1);
    writer.run("BEGIN; UPDATE attrs SET value='w'; UPDATE t SET a=0 WHERE id=1; COMMIT;");
    bench.check(&mut writer);
    writer.run("DROP TABLE attrs;");
    becomes_absent(&mut bench, &Reason::NoTable("attrs".to_owned()));
    writer.run("CREATE VIEW attrs AS SELECT 1 AS id, 'n' AS name, 'v' AS value;");
    let view = Reason::Unsupported {
        table: "attrs".to_owned(),
        why: "it is a view",
    };
    becomes_absent(&mut bench, &view);
    assert_eq!(
        bench.mirror.tables[&1].len(),
        1,
        "what cannot be read is not told to be gone"
    );
    writer.run(
        "DROP VIEW attrs; CREATE TABLE attrs(id INTEGER PRIMARY KEY, name, value); INSERT INTO attrs VALUES(2, 'n', 'v');",
    );
    bench.check(&mut writer);
}

fn becomes_absent(bench: &mut Bench, reason: &Reason) {
    let absent = State::Absent(reason.clone());
    let becomes = (0..100).any(|_| bench.step().state == absent);
    assert!(becomes, "{:?} and not {absent:?}", bench.step().state);
}

#[test]
fn columns_that_rows_mean_nothing_without() {
    for journal in ["wal", "delete"] {
        let mut specs = vec![spec("t", Some("a"))];
        (specs[0].required, specs[0].used) = (&["a"], &["b"]);
        let mut bench = Bench::with(specs);
        let mut writer = bench.writer();
        writer.run(&format!(
            "PRAGMA journal_mode={journal}; {TABLE} {}",
            rows(1, 100)
        ));
        bench.check(&mut writer);
        writer.run("ALTER TABLE t RENAME COLUMN a TO other;");
        let missing = Reason::NoColumn {
            table: "t".to_owned(),
            columns: vec!["a"],
        };
        becomes_absent(&mut bench, &missing);
        writer.run("ALTER TABLE t ADD COLUMN a AS (other);");
        let computed = |column| Reason::NotStored {
            table: "t".to_owned(),
            column,
        };
        becomes_absent(&mut bench, &computed("a"));
        writer.run(
            "ALTER TABLE t DROP COLUMN a; ALTER TABLE t RENAME COLUMN other TO A; ALTER TABLE t RENAME COLUMN b TO c; \
             ALTER TABLE t ADD COLUMN b AS (c);",
        );
        becomes_absent(&mut bench, &computed("b"));
        assert_eq!(bench.mirror.tables[&0].len(), 100);
        // What is used need not be there.
        writer.run("ALTER TABLE t DROP COLUMN b;");
        bench.check(&mut writer);
    }
}
