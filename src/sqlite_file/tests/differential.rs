//! Random schemas and values: what the tail tells equals what SQLite reads.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::sample::select;

use super::support::{Bench, cases, spec};

#[derive(Debug, Clone)]
struct Layout {
    page_size: u32,
    reserved: u8,
    auto_vacuum: u8,
    journal: &'static str,
    columns: Vec<&'static str>,
    /// The columns of an index that gives hints.
    index: &'static str,
}

#[derive(Debug, Clone)]
enum Change {
    Put(i64, Vec<String>),
    Drop(i64),
    DropMany(i64),
    Update(i64, usize, String),
    AddColumn(&'static str),
    Checkpoint(&'static str),
    Vacuum,
    Reopen,
    Crash,
}

fn literal() -> impl Strategy<Value = String> {
    let integer = prop_oneof![
        select(vec![
            0,
            1,
            -1,
            127,
            128,
            -128,
            -129,
            32767,
            32768,
            1 << 23,
            -(1 << 23) - 1
        ]),
        select(vec![
            1 << 31,
            -(1_i64 << 31) - 1,
            1 << 47,
            -(1 << 47) - 1,
            i64::MAX,
            i64::MIN + 1
        ]),
        any::<i32>().prop_map(i64::from),
    ];
    prop_oneof![
        Just("NULL".to_owned()),
        integer.prop_map(|it| it.to_string()),
        any::<i16>().prop_map(|it| format!("{}", f64::from(it) / 8.0)),
        any::<f64>()
            .prop_filter("finite", |it| it.is_finite())
            .prop_map(|it| format!("{it:e}")),
        proptest::collection::vec(any::<u8>(), 0..40)
            .prop_map(|it| format!("CAST(x'{}' AS TEXT)", hex::encode(it))),
        proptest::collection::vec(any::<u8>(), 0..40)
            .prop_map(|it| format!("x'{}'", hex::encode(it))),
        (0..20_000_u32).prop_map(|it| format!("printf('%.*c', {it}, 'y')")),
        (0..3_000_u32).prop_map(|it| format!("zeroblob({it})")),
    ]
}

fn layout() -> impl Strategy<Value = Layout> {
    (
        select(vec![512, 1024, 4096, 4096, 8192, 65536]),
        select(vec![0, 0, 8, 32]),
        0..3_u8,
        select(vec![
            "wal", "wal", "delete", "truncate", "persist", "memory",
        ]),
        proptest::collection::vec(
            select(vec![
                "INTEGER",
                "REAL",
                "TEXT",
                "BLOB",
                "",
                "VARCHAR(20)",
                "DOUBLE PRECISION",
            ]),
            1..6,
        ),
        select(vec![
            "",
            "c0",
            "c0 DESC",
            "c0 COLLATE NOCASE ASC, id",
            "c0, c0 DESC",
        ]),
    )
        .prop_map(
            |(page_size, reserved, auto_vacuum, journal, columns, index)| Layout {
                page_size,
                reserved,
                auto_vacuum,
                journal,
                columns,
                index,
            },
        )
}

fn change() -> impl Strategy<Value = Change> {
    let rowid = prop_oneof![6 => 1..60_i64, 1 => -20..0_i64, 1 => any::<i64>()];
    prop_oneof![
        12 => (rowid.clone(), proptest::collection::vec(literal(), 12)).prop_map(|(id, it)| Change::Put(id, it)),
        4 => (rowid.clone(), 0..12_usize, literal()).prop_map(|(id, at, it)| Change::Update(id, at, it)),
        4 => rowid.clone().prop_map(Change::Drop),
        1 => rowid.prop_map(Change::DropMany),
        1 => select(vec![
            "INTEGER DEFAULT 7", "TEXT DEFAULT 'it''s'", "REAL DEFAULT 2", "TEXT DEFAULT 12", "INTEGER DEFAULT '5'",
            "BLOB DEFAULT x'00ff'", "", "INTEGER NOT NULL DEFAULT -3", "REAL DEFAULT -1.5e3", "NUMERIC DEFAULT (4)",
            "INTEGER DEFAULT TRUE", "TEXT DEFAULT \"dq\" COLLATE NOCASE", "INTEGER CHECK (1 < 2) DEFAULT +0x1F",
        ]).prop_map(Change::AddColumn),
        1 => select(vec!["PASSIVE", "RESTART", "TRUNCATE"]).prop_map(Change::Checkpoint),
        1 => Just(Change::Vacuum),
        1 => Just(Change::Reopen),
        1 => Just(Change::Crash),
    ]
}

fn create(layout: &Layout) -> String {
    let mut sql = String::new();
    if layout.reserved > 0 {
        let _ = writeln!(sql, ".filectrl reserve_bytes {}", layout.reserved);
    }
    let _ = writeln!(
        sql,
        "PRAGMA page_size={}; PRAGMA auto_vacuum={}; PRAGMA journal_mode={};",
        layout.page_size, layout.auto_vacuum, layout.journal
    );
    sql.push_str("CREATE TABLE other(a); INSERT INTO other VALUES(1),(2);");
    sql.push_str("CREATE TABLE \"The Table\" (/* ( */ id INTEGER PRIMARY KEY -- )\n");
    for (index, kind) in layout.columns.iter().enumerate() {
        let _ = write!(sql, ", c{index} {kind}");
    }
    sql.push_str(", CHECK (id <> 123456789));");
    if !layout.index.is_empty() {
        let _ = write!(
            sql,
            "CREATE INDEX hint ON \"The Table\" ({});",
            layout.index
        );
    }
    sql
}

fn statement(change: &Change, columns: usize) -> String {
    match change {
        Change::Put(id, values) => {
            let mut sql = format!("REPLACE INTO \"The Table\" VALUES({id}");
            for index in 0..columns {
                let _ = write!(sql, ", {}", values[index % values.len()]);
            }
            sql + "); UPDATE other SET a=a+1;"
        }
        Change::Drop(id) => format!("DELETE FROM \"The Table\" WHERE id={id};"),
        Change::DropMany(id) => format!("DELETE FROM \"The Table\" WHERE id>{id};"),
        Change::Update(id, at, value) => {
            let at = at % columns;
            format!("UPDATE \"The Table\" SET c{at}={value} WHERE id>={id};")
        }
        Change::AddColumn(definition) => {
            format!("ALTER TABLE \"The Table\" ADD COLUMN c{columns} {definition};")
        }
        Change::Checkpoint(kind) => format!("PRAGMA wal_checkpoint({kind});"),
        Change::Vacuum => "VACUUM;".to_owned(),
        Change::Reopen | Change::Crash => String::new(),
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn tail_tells_what_sqlite_reads(
        layout in layout(),
        rounds in proptest::collection::vec(proptest::collection::vec(change(), 1..30), 1..5),
    ) {
        let mut bench = Bench::with(vec![spec("the table", Some("C0"))]);
        let mut writer = bench.writer();
        writer.run(&create(&layout));
        let mut columns = layout.columns.len();
        bench.mirror.reals = reals(&layout.columns);
        for round in rounds {
            for change in round {
                writer.run(&statement(&change, columns));
                match change {
                    Change::AddColumn(definition) if columns < 12 => {
                        if definition.starts_with("REAL") {
                            bench.mirror.reals.push(format!("c{columns}"));
                        }
                        columns += 1;
                    }
                    Change::AddColumn(_) => columns += 1,
                    Change::Reopen => {
                        writer.close();
                        writer = bench.writer();
                    }
                    Change::Crash => {
                        writer.kill();
                        bench.settle();
                        writer = bench.writer();
                    }
                    _ => {}
                }
            }
            bench.check(&mut writer);
        }
    }
}

fn reals(columns: &[&str]) -> Vec<String> {
    let real = |kind: &str| kind.starts_with("REAL") || kind.starts_with("DOUBLE");
    let named = columns.iter().enumerate().filter(|(_, kind)| real(kind));
    named.map(|(index, _)| format!("c{index}")).collect()
}
