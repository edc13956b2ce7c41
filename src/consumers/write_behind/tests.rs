//! Write-behind against a real store.

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
use crate::registry::{Change, Source, SourceState};

const NOW: i64 = 1_795_000_000;

/// More than one batch.
const MANY: usize = 5000;

struct Lab {
    write_behind: WriteBehind,
    trouble: RateLimited,
    _folder: TempDir,
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
        let registry = Arc::new(Registry::new(Arc::clone(&clock)));
        let metrics = Metrics::new(Arc::clone(&clock), "test", "");
        Self {
            write_behind: WriteBehind::new(Arc::new(store.unwrap()), registry, clock, metrics),
            trouble: RateLimited::default(),
            _folder: folder,
        }
    }

    /// Shows a row and has it kept, as the pipeline does.
    fn show(&self, row: &Arc<Registration>) {
        self.write_behind
            .registry
            .apply([Change::Upsert(Arc::clone(row))]);
        self.write_behind.put([row_of(row)], Vec::new(), Vec::new());
    }

    fn drop(&self, ruid: &str) {
        let effects = self
            .write_behind
            .registry
            .apply([Change::Remove(key(ruid))]);
        let rows = [(key(ruid), None)];
        self.write_behind
            .put(rows, effects.departed, effects.unhidden);
    }

    async fn write(&mut self) -> bool {
        self.write_behind.write(&mut self.trouble).await
    }

    async fn write_all(&mut self) {
        while self.write().await && !self.write_behind.pending().is_all_taken() {}
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
        let shown = self.write_behind.registry.rows();
        let shown = shown.iter().filter_map(|one| row_of(one).1).collect();
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
    let state = SourceState::Live;
    lab.write_behind
        .registry
        .set_source(Source { state, as_of });
    for number in 0..MANY {
        lab.show(&row(&number.to_string(), &format!("sip:{number}")));
    }
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
async fn a_million_that_come_and_go_while_nothing_can_be_written_take_little_memory() {
    let mut lab = Lab::new().await;
    for ruid in ["stays", "changed", "gone"] {
        lab.show(&row(ruid, "old"));
    }
    lab.write_all().await;
    lab.agrees().await;
    lab.fail().await;
    lab.drop("gone");
    lab.show(&row("changed", "new"));
    for number in 0..1_000_000 {
        let key = Key {
            table: "location".into(),
            ruid: format!("uloc-{number}").as_str().into(),
        };
        lab.write_behind.put([(key, None)], Vec::new(), Vec::new());
        let waits = lab.write_behind.pending().len();
        assert!(waits <= SPARE + 3, "{waits} wait after {number}");
        if number % 100_000 == 7 {
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
    for number in 0..MANY {
        lab.show(&row(&number.to_string(), &format!("old-{number}")));
    }
    lab.write_all().await;
    let hidden = Hidden {
        key: key("7"),
        fingerprint: 1,
        at: NOW,
    };
    lab.write_behind.registry.hide([hidden]);
    let store = &lab.write_behind.store;
    store.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
    let mut bytes = fs::read(store.path()).unwrap();
    bytes[5 * 4096..].fill(0xa5);
    fs::write(store.path(), bytes).unwrap();
    store.execute("PRAGMA shrink_memory").await;
    for number in 0..MANY {
        lab.show(&row(&number.to_string(), &format!("new-{number}")));
    }
    lab.write_all().await;
    lab.agrees().await;
    let hidden = lab.contents().await.hidden;
    let keys: Vec<_> = hidden.iter().map(|hidden| &hidden.key).collect();
    assert_eq!(keys, [&key("7")]);
}

#[tokio::test]
async fn writes_the_last_batches_when_it_is_stopped() {
    let lab = Lab::new().await;
    for number in 0..2 * MANY {
        lab.show(&row(&number.to_string(), &format!("sip:{number}")));
    }
    let stop = CancellationToken::new();
    stop.cancel();
    lab.write_behind.run(stop, CancellationToken::new()).await;
    lab.agrees().await;
}

#[tokio::test]
async fn writes_no_more_than_a_batch_when_there_is_hurry_and_claims_no_more() {
    let lab = Lab::new().await;
    let as_of = Some(Duration::from_secs(NOW.unsigned_abs() - 1));
    let state = SourceState::Live;
    lab.write_behind
        .registry
        .set_source(Source { state, as_of });
    for number in 0..2 * MANY {
        lab.show(&row(&number.to_string(), &format!("sip:{number}")));
    }
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
