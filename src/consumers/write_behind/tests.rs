//! The write-behind against a real store.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::clock::{ManualClock, SystemClock};
use crate::consumers::store::Contents;
use crate::registration::testing::{binding, registration};
use crate::registration::{Change, Registration, Stored};
use crate::registry::{Snapshot, SourceReport, SourceState, Writer};

const NOW: i64 = 1_795_000_000;

/// More than one batch.
const MANY: usize = 5000;

struct Lab {
    writer: Writer,
    write_behind: WriteBehind,
    trouble: RateLimited,
    _folder: TempDir,
}

fn source(as_of: Option<Duration>) -> SourceReport {
    let state = SourceState::Live;
    SourceReport { state, as_of }
}

/// A registration of a user of its own.
fn row(ruid: &str, contact: &str) -> Arc<Registration> {
    Arc::new(registration(
        binding(ruid, ruid, contact, NOW + 600),
        Some("acme"),
    ))
}

fn key(ruid: &str) -> Key {
    row(ruid, "").binding.key.clone()
}

impl Lab {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let store = Store::open(&folder.path().join("usrlocd.db"), NOW).await;
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW.unsigned_abs()));
        let writer = Writer::new(Arc::clone(&clock));
        let feed = writer.restore(Snapshot::default(), source(None));
        let metrics = Metrics::new(Arc::clone(&clock), "test", "");
        Self {
            writer,
            write_behind: WriteBehind::new(
                Arc::new(store.unwrap()),
                feed,
                clock,
                watch::Sender::new(u64::MAX).subscribe(),
                metrics,
            ),
            trouble: RateLimited::default(),
            _folder: folder,
        }
    }

    fn show(&self, row: &Arc<Registration>) {
        self.writer.apply([Change::Upsert(Arc::clone(row))]);
    }

    /// Shows so many rows at once.
    fn show_many(&self, count: usize, contact: &str) {
        let row = |number: usize| row(&number.to_string(), &format!("{contact}{number}"));
        self.writer
            .apply((0..count).map(|number| Change::Upsert(row(number))));
    }

    fn drop(&self, ruid: &str) {
        self.writer.apply([Change::Remove(key(ruid))]);
    }

    async fn write(&mut self) -> bool {
        self.write_behind.write(&mut self.trouble).await
    }

    async fn write_all(&mut self) {
        while self.write().await && !self.write_behind.gathered().is_all_taken() {}
    }

    async fn contents(&self) -> Contents {
        self.write_behind.store.load().await.unwrap()
    }

    /// The store has what the registry has.
    async fn agrees(&self) {
        let by_key = |mut rows: Vec<Stored>| {
            rows.sort_by(|a, b| a.binding.key.cmp(&b.binding.key));
            rows
        };
        let shown = self.writer.rows();
        let shown = shown.iter().map(|one| Stored::from(&**one)).collect();
        assert!(by_key(self.contents().await.registrations) == by_key(shown));
    }

    /// From now on nothing can be written.
    async fn fail(&self) {
        let sql = "ALTER TABLE departed RENAME TO away";
        self.write_behind.store.execute(sql).await;
    }

    async fn mend(&self) {
        let sql = "ALTER TABLE away RENAME TO departed";
        self.write_behind.store.execute(sql).await;
    }
}

#[tokio::test]
async fn says_how_fresh_the_store_is_only_when_all_is_written() {
    let mut lab = Lab::new().await;
    let as_of = Some(Duration::from_secs(NOW.unsigned_abs() - 1));
    lab.writer.report(source(as_of));
    lab.show_many(MANY, "sip:");
    assert!(lab.write().await);
    let first = lab.contents().await;
    assert!((1..MANY).contains(&first.registrations.len()));
    assert_eq!(first.as_of, None, "there is more");
    assert!(lab.write().await);
    assert_eq!(lab.contents().await.as_of, as_of);
    lab.agrees().await;
}

#[tokio::test]
async fn what_cannot_be_written_is_written_later() {
    let mut lab = Lab::new().await;
    lab.show(&row("changed", "old"));
    lab.show(&row("gone", "c"));
    lab.fail().await;
    assert!(!lab.write().await);
    lab.show(&row("changed", "new"));
    lab.drop("gone");
    lab.show(&row("fresh", "c"));
    assert!(!lab.write().await);
    assert!(lab.trouble.is_failing());
    lab.mend().await;
    assert!(lab.write().await);
    assert!(!lab.trouble.is_failing());
    lab.agrees().await;
    assert_eq!(lab.contents().await.departed.len(), 1);
}

#[tokio::test]
async fn many_that_come_and_go_while_nothing_can_be_written_take_little_memory() {
    let mut lab = Lab::new().await;
    for ruid in ["stays", "changed", "gone"] {
        lab.show(&row(ruid, "old"));
    }
    lab.write_all().await;
    lab.agrees().await;
    lab.fail().await;
    lab.drop("gone");
    lab.show(&row("changed", "new"));
    for number in 0..SPARE + SPARE / 4 {
        let ruid = format!("uloc-{number}");
        lab.show(&row(&ruid, "c"));
        lab.drop(&ruid);
        if number % 1_000 == 7 {
            lab.write_behind.gather();
            let waits = lab.write_behind.gathered().pending.len();
            assert!(waits <= SPARE + 3, "{waits} wait after {number}");
        }
        if number % 30_000 == 7 {
            assert!(!lab.write().await);
        }
    }
    lab.show(&row("fresh", "c"));
    lab.mend().await;
    lab.write_all().await;
    lab.agrees().await;
}

#[tokio::test]
async fn a_store_that_is_begun_anew_gets_everything() {
    let mut lab = Lab::new().await;
    lab.show_many(MANY, "old-");
    lab.write_all().await;
    let hidden = Hidden {
        key: key("7"),
        fingerprint: 1,
        at: NOW,
    };
    lab.writer.overlay().hide([hidden], &Arc::default());
    let store = &lab.write_behind.store;
    store.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
    let mut bytes = fs::read(store.path()).unwrap();
    bytes[5 * 4096..].fill(0xa5);
    fs::write(store.path(), bytes).unwrap();
    store.execute("PRAGMA shrink_memory").await;
    lab.show_many(MANY, "new-");
    lab.write_all().await;
    lab.agrees().await;
    let hidden = lab.contents().await.hidden;
    let keys: Vec<_> = hidden.iter().map(|hidden| &hidden.key).collect();
    assert_eq!(keys, [&key("7")]);
}

/// Rows that are read for the first time are in no feed, and those that came while it was overrun are missed.
#[tokio::test]
async fn what_was_missed_is_found_by_comparing() {
    let mut lab = Lab::new().await;
    for ruid in ["stays", "gone"] {
        lab.show(&row(ruid, "old"));
    }
    lab.write_all().await;
    lab.agrees().await;
    lab.writer.report(SourceReport::default());
    lab.show_many(2 * MANY, "sip:");
    lab.drop("gone");
    lab.drop("17");
    let as_of = Some(Duration::from_secs(NOW.unsigned_abs()));
    lab.writer.report(source(as_of));
    assert!(lab.write().await);
    lab.drop("18");
    assert!(lab.write().await);
    assert_eq!(lab.contents().await.as_of, None, "there is more");
    lab.show(&row("19", "new"));
    lab.write_all().await;
    lab.agrees().await;
    let contents = lab.contents().await;
    assert_eq!(contents.as_of, as_of);
    let departed = contents.departed.iter().map(|one| one.username.lossy());
    let mut departed: Vec<_> = departed.collect();
    departed.sort();
    assert_eq!(departed, ["17", "18", "gone"]);
}

/// To write everything takes longer than a stop may.
#[tokio::test]
async fn a_stop_does_not_wait_for_what_cannot_be_completed_soon() {
    let lab = Lab::new().await;
    lab.show_many(WORTHWHILE + 2 * MANY, "sip:");
    let stop = CancellationToken::new();
    stop.cancel();
    lab.write_behind.run(stop, CancellationToken::new()).await;
    let contents = lab.contents().await;
    assert!(contents.registrations.len() <= 2 * BATCH);
    assert_eq!(contents.as_of, None, "it is not all");
}

#[tokio::test]
async fn writes_the_last_batches_when_it_is_stopped() {
    let lab = Lab::new().await;
    lab.show_many(2 * MANY, "sip:");
    let stop = CancellationToken::new();
    stop.cancel();
    lab.write_behind.run(stop, CancellationToken::new()).await;
    lab.agrees().await;
}

#[tokio::test]
async fn writes_no_more_than_a_batch_when_there_is_hurry_and_claims_no_more() {
    let lab = Lab::new().await;
    let as_of = Some(Duration::from_secs(NOW.unsigned_abs() - 1));
    lab.writer.report(source(as_of));
    lab.show_many(2 * MANY, "sip:");
    let now = CancellationToken::new();
    now.cancel();
    lab.write_behind.run(now.clone(), now).await;
    let contents = lab.contents().await;
    let written = contents.registrations.len();
    // None, where a machine is so busy that one takes too long.
    assert!(written < MANY, "{written}");
    assert_eq!(contents.as_of, None, "it is not all");
}

/// Another program has the store locked: SQLite waits for longer than a stop may take.
#[tokio::test]
async fn waits_for_a_store_that_cannot_be_written_no_longer_than_there_is_time() {
    let lab = Lab::new().await;
    let mut locker = Command::new("sqlite3")
        .arg(lab.write_behind.store.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the sqlite3 shell is installed");
    let mut input = locker.stdin.take().unwrap();
    input
        .write_all(b".timeout 10000\nbegin immediate;\nselect 'locked';\n")
        .unwrap();
    let mut said = String::new();
    let mut output = BufReader::new(locker.stdout.take().unwrap());
    output.read_line(&mut said).unwrap();
    assert_eq!(said, "locked\n");
    lab.show(&row("waits", "c"));
    let now = CancellationToken::new();
    now.cancel();
    let clock = SystemClock::new();
    lab.write_behind.run(now.clone(), now).await;
    let took = clock.monotonic();
    drop(input);
    locker.wait().unwrap();
    assert!(took < LAST * 4, "{took:?}");
    assert_eq!(lab.contents().await.registrations, []);
}
