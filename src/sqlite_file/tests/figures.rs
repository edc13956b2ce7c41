//! Figures, to be looked at: `cargo test --release --lib sqlite_file::tests::figures -- --ignored --nocapture`.
//!
//! A writer in another process commits single rows as Kamailio does and prints when each commit returned; the tail
//! steps as a caller would, and the sink notes when it is told. Set by environment: `ROWS`, `RATE`, `SECONDS`,
//! `JOURNAL`, `FIGURES_DIR`.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::support::hint_index;
use crate::sqlite_file::{Row, Sink, Table, TableSpec, Tail, TailOptions, Value};

const WRITER: &str = r#"
import random, sqlite3, sys, time
path, journal, rows, rate, seconds = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
db = sqlite3.connect(path, timeout=0, isolation_level=None)
db.execute(f"PRAGMA journal_mode={journal}")
columns = "ruid TEXT, username TEXT, domain TEXT, contact TEXT, received TEXT, path TEXT, expires REAL, q REAL, callid TEXT, cseq INT, last_modified REAL, flags INT, user_agent TEXT"
db.execute(f"CREATE TABLE location(id INTEGER PRIMARY KEY NOT NULL, {columns})")
db.execute("CREATE INDEX location_expires_idx ON location(expires)")
db.execute("CREATE INDEX ruid_idx ON location(ruid)")
def row(i):
    return (f"uloc-{i}-5f-{i}", f"user{i}", "example.com", f"sip:user{i}@192.0.2.{i % 250}:5060;transport=udp;ob" + "x" * 60,
            f"sip:198.51.100.{i % 250}:40{i % 1000}", "<sip:edge.example.com;lr>", 2460000.5 + random.random(), 1.0, f"call-{i}@host" + "y" * 40,
            i, 2460000.5, 0, "Phone/1.0 (a long user agent)" + "z" * 40)
db.execute("BEGIN")
db.executemany("INSERT INTO location(ruid,username,domain,contact,received,path,expires,q,callid,cseq,last_modified,flags,user_agent) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)", (row(i) for i in range(rows)))
db.execute("COMMIT")
print("ready", flush=True)
sys.stdin.readline()
start, busy, out = time.time(), 0, []
for n in range(rate * seconds):
    wait = start + n / rate - time.time()
    if wait > 0: time.sleep(wait)
    kind = n % 20
    try:
        if kind == 0: db.execute("DELETE FROM location WHERE id=?", (random.randrange(rows) + 1,))
        elif kind == 1: db.execute("INSERT INTO location(ruid,username,domain,contact,received,path,expires,q,callid,cseq,last_modified,flags,user_agent) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)", row(10_000_000 + n))
        else: db.execute("UPDATE location SET expires=?, cseq=?, callid=?, last_modified=? WHERE ruid=?", (2460001.5 + random.random(), -n, f"call-{n}", 2460001.0, row(random.randrange(rows))[0]))
        out.append((-n, time.time_ns()))
    except sqlite3.OperationalError as error:
        busy += 1
        print(error, file=sys.stderr)
    if n % 50 == 49:
        print("\n".join(f"{a} {b}" for a, b in out), flush=True); out = []
print("end", busy, flush=True)
sys.stdin.readline()
"#;

#[derive(Default)]
struct Noted {
    cseq: usize,
    seen: HashMap<i64, u128>,
    quiet: bool,
}

impl Sink for Noted {
    fn schema(&mut self, _: usize, schema: &Table) {
        self.cseq = schema.column("cseq").unwrap();
    }

    fn upsert(&mut self, _: usize, row: Row<'_>) {
        if let (Value::Integer(cseq @ ..0), false) = (row.get(self.cseq), self.quiet) {
            self.seen.insert(cseq, wall());
        }
    }

    fn delete(&mut self, _: usize, _: i64) {}
}

#[expect(clippy::disallowed_methods, reason = "measures across two processes")]
fn wall() -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos()
}

fn since(start: u128) -> Duration {
    Duration::from_nanos(u64::try_from(wall() - start).unwrap())
}

/// Processor time of this thread.
fn processor() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

fn resident_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|it| it.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// Steps for `time`, sleeping as the steps say; the processor time taken.
fn run(tail: &mut Tail, sink: &mut Noted, start: u128, time: Duration) -> Duration {
    let (from, before) = (wall(), processor());
    while since(from) < time {
        let step = tail.step(since(start), sink);
        std::thread::sleep(step.wake);
    }
    processor().saturating_sub(before)
}

#[test]
#[ignore = "takes long, and is to be looked at: make large"]
fn figures() {
    let directory = match std::env::var("FIGURES_DIR") {
        Ok(path) => tempfile::tempdir_in(path).unwrap(),
        Err(_) => tempfile::tempdir().unwrap(),
    };
    let path: PathBuf = directory.path().join("figures.db");
    let seconds: u64 = setting("SECONDS", "20").parse().unwrap();
    let mut child = Command::new("python3")
        .args(["-c", WRITER])
        .arg(&path)
        .args([
            setting("JOURNAL", "wal"),
            setting("ROWS", "100000"),
            setting("RATE", "500"),
        ])
        .arg(seconds.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    while lines.next().unwrap() != "ready" {}
    let mut tail = Tail::new(TailOptions {
        path,
        tables: vec![TableSpec {
            name: "location".to_owned(),
            hint_index: hint_index("expires"),
            optional: false,
            ..TableSpec::default()
        }],
    });
    let mut sink = Noted {
        quiet: true,
        ..Noted::default()
    };
    let (start, memory) = (wall(), resident_kib());
    while !tail.step(since(start), &mut sink).complete {}
    let rows = tail.counters().rows;
    println!(
        "cold: {:?}, {} bytes a row",
        since(start),
        (resident_kib() - memory) * 1024 / rows
    );
    sink.quiet = false;
    run(&mut tail, &mut sink, start, Duration::from_secs(2));
    let idle = run(&mut tail, &mut sink, start, Duration::from_secs(5));
    println!("idle: {:.3} % of a core", idle.as_secs_f64() / 5.0 * 100.0);
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"go\n").unwrap();
    let (sender, receiver) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut commits = Vec::new();
        for line in lines {
            let (first, second) = line.split_once(' ').unwrap_or_default();
            if first == "end" {
                let _ = sender.send(second.to_owned());
                break;
            }
            if let (Ok(cseq), Ok(time)) = (first.parse::<i64>(), second.parse::<u128>()) {
                commits.push((cseq, time));
            }
        }
        commits
    });
    let used = run(&mut tail, &mut sink, start, Duration::from_secs(seconds));
    run(&mut tail, &mut sink, start, Duration::from_secs(4));
    let refused = receiver.recv().unwrap();
    let commits = reader.join().unwrap();
    // The first second finds the tail asleep; to wake it is the caller's task.
    let from = commits[0].1 + 1_000_000_000;
    let mut delays: Vec<u128> = commits
        .iter()
        .filter(|(_, time)| *time > from)
        .filter_map(|(cseq, time)| Some(sink.seen.get(cseq)?.saturating_sub(*time) / 1000))
        .collect();
    delays.sort_unstable();
    println!(
        "memory: {} bytes a row; {:?}",
        (resident_kib() - memory) * 1024 / rows,
        tail.counters()
    );
    let part =
        |percent: usize| delays[(delays.len() * percent / 100).min(delays.len().saturating_sub(1))];
    println!(
        "busy: p50 {} us, p90 {} us, p99 {} us, max {} us, {:.2} % of a core, {} commits, {refused} refused",
        part(50),
        part(90),
        part(99),
        part(100),
        used.as_secs_f64() / Duration::from_secs(seconds).as_secs_f64() * 100.0,
        commits.len(),
    );
    let _ = child.kill();
    let _ = child.wait();
}
