//! A writer, a sink that keeps what it is told, and the oracle that compares them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use proptest::prelude::ProptestConfig;

use crate::sqlite_file::{
    HintIndexSpec, Row, Sink, State, Step, Table, TableSpec, Tail, TailOptions, Value,
};

/// The `sqlite3` shell with a database open.
pub(super) struct Writer {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Writer {
    pub(super) fn open(path: &Path) -> Self {
        let mut child = Command::new("sqlite3")
            .arg("-batch")
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the sqlite3 shell is installed");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            input,
            output,
        }
    }

    /// Runs statements; the lines they print.
    pub(super) fn run(&mut self, sql: &str) -> Vec<String> {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{sql}\n.print ~done").unwrap();
        input.flush().unwrap();
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "{sql}");
            if line.trim_end() == "~done" {
                return lines;
            }
            lines.push(line.trim_end().to_owned());
        }
    }

    /// Ends in good order: the last one to do so removes the log.
    pub(super) fn close(mut self) {
        self.input = None;
        self.child.wait().unwrap();
    }

    /// Ends like a crash.
    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A row as text, the same for the sink and the oracle.
pub(super) type Rows = BTreeMap<i64, String>;

/// Keeps what it is told.
#[derive(Default)]
pub(super) struct Mirror {
    pub(super) tables: BTreeMap<usize, Rows>,
    pub(super) schemas: BTreeMap<usize, Table>,
    pub(super) upserts: usize,
    pub(super) deletes: usize,
    /// Columns shown as numbers with a fraction even where integers are stored.
    pub(super) reals: Vec<String>,
}

impl Sink for Mirror {
    fn schema(&mut self, table: usize, schema: &Table) {
        self.schemas.insert(table, schema.clone());
    }

    fn upsert(&mut self, table: usize, row: Row<'_>) {
        self.upserts += 1;
        let schema = &self.schemas[&table];
        let mut text = String::new();
        for (index, column) in schema.columns.iter().enumerate() {
            let real = self.reals.contains(column);
            show(&mut text, row.get(index), real);
        }
        self.tables
            .entry(table)
            .or_default()
            .insert(row.rowid(), text);
    }

    fn delete(&mut self, table: usize, rowid: i64) {
        self.deletes += 1;
        let row = self.tables.entry(table).or_default().remove(&rowid);
        assert!(row.is_some(), "row {rowid} is deleted that was not there");
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "as SQLite shows integers of REAL columns"
)]
fn show(text: &mut String, value: Value<'_>, real: bool) {
    let hex = |bytes: &[u8]| hex::encode_upper(bytes);
    let _ = match value {
        Value::Null => write!(text, "null:|"),
        Value::Integer(it) if real => {
            write!(text, "real:{}|", hex(&(it as f64).to_be_bytes()))
        }
        Value::Integer(it) => write!(text, "integer:{}|", hex(it.to_string().as_bytes())),
        Value::Real(it) => write!(text, "real:{}|", hex(&it.to_be_bytes())),
        Value::Text(it) => write!(text, "text:{}|", hex(it)),
        Value::Blob(it) => write!(text, "blob:{}|", hex(it)),
    };
}

/// What SQLite reads.
pub(super) fn oracle(writer: &mut Writer, table: &str, columns: &[String]) -> Rows {
    let mut sql = String::from("SELECT rowid || ' '");
    for column in columns {
        let _ = write!(
            sql,
            " || typeof(\"{column}\") || ':' || ifnull(hex(CASE typeof(\"{column}\") \
             WHEN 'real' THEN ieee754_to_blob(\"{column}\") ELSE \"{column}\" END), '') || '|'"
        );
    }
    let _ = write!(sql, " FROM \"{table}\";");
    writer
        .run(&sql)
        .iter()
        .map(|line| {
            let (rowid, text) = line.split_once(' ').unwrap();
            (rowid.parse().unwrap(), text.to_owned())
        })
        .collect()
}

/// A database in a directory of its own, its tail and what that told.
pub(super) struct Bench {
    pub(super) path: PathBuf,
    pub(super) tail: Tail,
    pub(super) mirror: Mirror,
    pub(super) now: Duration,
    _directory: tempfile::TempDir,
}

impl Bench {
    pub(super) fn new(tables: &[&str]) -> Self {
        Self::with(tables.iter().map(|name| spec(name, None)).collect())
    }

    pub(super) fn with(tables: Vec<TableSpec>) -> Self {
        Self::within(&std::env::temp_dir(), tables)
    }

    /// As [`Self::with`], in a directory below `folder`.
    pub(super) fn within(folder: &Path, tables: Vec<TableSpec>) -> Self {
        let directory = tempfile::tempdir_in(folder).unwrap();
        let path = directory.path().join("test.db");
        let tail = tail(&path, tables);
        Self {
            path,
            tail,
            mirror: Mirror::default(),
            now: Duration::ZERO,
            _directory: directory,
        }
    }

    pub(super) fn writer(&self) -> Writer {
        Writer::open(&self.path)
    }

    pub(super) fn step(&mut self) -> Step {
        let step = self.tail.step(self.now, &mut self.mirror);
        self.now += step.wake;
        step
    }

    /// Steps until all is told.
    pub(super) fn settle(&mut self) {
        let mut last = None;
        for _ in 0..5000 {
            let step = self.step();
            if step.current {
                assert!(step.complete);
                assert_eq!(step.state, State::Live);
                return;
            }
            last = Some(step);
        }
        panic!("does not settle: {last:?} {:?}", self.tail.counters());
    }

    /// Steps until an audit has gone round.
    pub(super) fn audit(&mut self) {
        for _ in 0..20_000 {
            if self.step().current && self.tail.is_audited() {
                return;
            }
        }
        panic!("no audit goes round: {:?}", self.tail.counters());
    }

    /// Settles and compares each table with what SQLite reads. With a log the audit finds nothing after that; in
    /// rollback mode only what has no hint, and all is told after it.
    pub(super) fn check(&mut self, writer: &mut Writer) {
        self.settle();
        let mode = writer.run("PRAGMA journal_mode;");
        if mode == ["wal"] {
            self.compare(writer);
        }
        self.audit();
        self.compare(writer);
        assert_eq!(self.tail.counters().audit_misses, 0);
    }

    /// Compares each table with what SQLite reads.
    pub(super) fn compare(&mut self, writer: &mut Writer) {
        for (index, schema) in &self.mirror.schemas {
            let truth = oracle(writer, &schema.name, &schema.columns);
            let told = self.mirror.tables.entry(*index).or_default();
            for (rowid, row) in &truth {
                assert_eq!(told.get(rowid), Some(row), "row {rowid} of {}", schema.name);
            }
            assert_eq!(told.len(), truth.len(), "rows of {}", schema.name);
        }
        let rows: usize = self.mirror.tables.values().map(BTreeMap::len).sum();
        assert_eq!(self.tail.counters().rows, rows as u64);
    }
}

/// A tail of the database at `path`.
pub(super) fn tail(path: &Path, tables: Vec<TableSpec>) -> Tail {
    Tail::new(TailOptions {
        path: path.to_owned(),
        tables,
    })
}

pub(super) fn spec(name: &str, hint: Option<&str>) -> TableSpec {
    TableSpec {
        name: name.to_owned(),
        hint_index: hint.and_then(hint_index),
        optional: false,
        ..TableSpec::default()
    }
}

/// An index that resolves time to a second.
pub(super) fn hint_index(column: &str) -> Option<HintIndexSpec> {
    Some(HintIndexSpec {
        column: column.to_owned(),
        resolution: Duration::from_secs(1),
    })
}

/// The path with `suffix` appended.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

pub(super) const TABLE: &str =
    "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b); CREATE INDEX i ON t(a);";

/// Rows `from..=to` of some length.
pub(super) fn rows(from: i64, to: i64) -> String {
    format!(
        "WITH RECURSIVE n(i) AS (SELECT {from} UNION ALL SELECT i+1 FROM n WHERE i<{to}) \
         REPLACE INTO t SELECT i, i*10, printf('%.*c', 100 + i % 300, 'x') FROM n;"
    )
}

/// A tail that has read `count` rows.
pub(super) fn started(journal: &str, count: i64) -> (Bench, Writer) {
    let mut bench = Bench::with(vec![spec("t", Some("a"))]);
    let mut writer = bench.writer();
    writer.run(&format!(
        "PRAGMA journal_mode={journal}; {TABLE} {}",
        rows(1, count)
    ));
    bench.check(&mut writer);
    (bench, writer)
}

/// Steps for a while without expecting anything.
pub(super) fn idle(bench: &mut Bench, time: Duration) {
    let end = bench.now + time;
    while bench.now < end {
        bench.step();
        bench.now += Duration::from_millis(10);
    }
}

/// Waits until the database was written to so long ago that another write is bound to show.
pub(super) fn ripen(bench: &mut Bench) {
    let written = |bench: &Bench| std::fs::metadata(&bench.path).unwrap().modified().unwrap();
    while written(bench)
        .elapsed()
        .is_ok_and(|age| age < Duration::from_millis(200))
    {
        bench.step();
    }
    bench.step();
}

/// Inputs for a property test: as many as usual, or as the environment says (`PROPTEST_CASES`, for fuzzing).
pub(super) fn cases(usual: u32) -> ProptestConfig {
    let wanted = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|it| it.parse().ok());
    ProptestConfig::with_cases(wanted.unwrap_or(usual))
}
