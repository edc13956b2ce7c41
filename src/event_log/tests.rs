//! The log as a whole: what is appended at random, readers that come and go, restarts and a disk that fails.

mod set_back;
mod superseded;

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock::{Clock, ManualClock, SystemClock};
use crate::events::{GapCause, What};
use crate::registration::testing::{binding, registration};
use crate::registration::{Change, Key, Ruid};
use crate::registry::{Snapshot, SourceReport, SourceState, Writer};

const NOW: u64 = 1_795_000_000;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// An event of this number.
fn event(seq: u64) -> Arc<Event> {
    let what = What::Source(SourceState::Live);
    Arc::new(Event {
        seq,
        at: NOW * 1000,
        commit: seq,
        what,
    })
}

fn events(numbers: std::ops::RangeInclusive<u64>) -> Vec<Arc<Event>> {
    numbers.map(event).collect()
}

fn numbers(read: &[Arc<Logged>]) -> Vec<u64> {
    read.iter().map(|one| one.event().seq).collect()
}

async fn history(folder: &TempDir, clock: &Arc<ManualClock>, bytes: u64) -> Arc<History> {
    open(folder.path(), clock, bytes).await
}

async fn open(folder: &std::path::Path, clock: &Arc<ManualClock>, bytes: u64) -> Arc<History> {
    let options = Options {
        path: folder.join("history.db"),
        keep: Duration::from_hours(24),
        size: bytes,
    };
    let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
    Arc::new(History::open(options, clock).await.unwrap())
}

/// The writer is ahead of what is shown: a reader of the file must not get ahead as well.
#[tokio::test]
async fn what_is_written_and_not_shown_yet_is_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let history = history(&folder, &Arc::new(ManualClock::at(NOW)), 1 << 30).await;
    history.append(&events(1..=5)).await.unwrap();
    let log = EventLog::new(Some(Arc::clone(&history)));
    let mut cursor = log.after(log.id(), 2).unwrap();
    history.append(&events(6..=8)).await.unwrap();
    let mut seen = numbers(&log.read(&mut cursor, 100).await.unwrap());
    assert_eq!(seen, [3, 4, 5]);
    assert!(log.read(&mut cursor, 100).await.unwrap().is_empty());
    log.show(events(6..=8));
    seen.extend(numbers(&log.read(&mut cursor, 100).await.unwrap()));
    assert_eq!(seen, [3, 4, 5, 6, 7, 8]);
}

/// One phone's events are forgotten, and a reader that is before them must not wait in vain, nor in circles.
#[tokio::test]
async fn a_reader_passes_over_what_was_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::new(&folder, 1 << 30).await;
    site.put("alice", 1);
    site.catch_up().await;
    let before = site.log.end();
    site.put("bob", 1);
    site.catch_up().await;
    assert_eq!(site.log.forget("acme", "bob").await.unwrap(), 1);
    let mut cursor = before;
    let is_gap = |what: &What| matches!(what, What::Gap(gap) if gap.cause == GapCause::Forgotten);
    let read = async {
        loop {
            match site.log.read(&mut cursor, 1).await {
                Ok(read) if read.is_empty() => site.log.news(&cursor).await,
                Ok(read) if is_gap(&read[0].event().what) => break,
                Ok(_) => {}
                Err(missed) => {
                    assert_eq!(missed, Missed::TooOld);
                    break;
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap();
    site.stop().await;
}

/// Deleted under the running program: the log is another one at once, and what comes is kept under that id.
#[tokio::test]
async fn a_deleted_file_is_begun_anew_without_a_pause() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::new(&folder, 1 << 30).await;
    site.put("alice", 1);
    site.catch_up().await;
    let former = site.log.id();
    std::fs::remove_file(folder.path().join("history.db")).unwrap();
    let timer = SystemClock::new();
    let began = timer.monotonic();
    site.put("bob", 1);
    site.catch_up().await;
    let took = timer.monotonic().saturating_sub(began);
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(site.log.is_kept());
    assert_ne!(site.log.id(), former);
    let id = site.log.id();
    assert_eq!(site.log.history().unwrap().log(), id);
    let newest = site.log.newest();
    assert_eq!(site.log.after(former, newest), Err(Missed::OtherLog));
    site.restart(false).await;
    assert!(site.log.after(id, newest).is_ok(), "it is on the disk");
    site.stop().await;
}

/// A disk that takes nothing: events are shown all the same, under another id, and kept again later.
#[tokio::test]
async fn events_are_shown_while_the_disk_fails() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::new(&folder, 1 << 30).await;
    site.put("alice", 1);
    site.catch_up().await;
    let (former, mut reader) = (site.log.id(), site.log.end());
    let options = sqlx::sqlite::SqliteConnectOptions::new();
    let options = options.filename(folder.path().join("history.db"));
    let mut other = sqlx::ConnectOptions::connect(&options).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    site.put("bob", 1);
    site.catch_up().await;
    assert!(!site.log.is_kept());
    assert_ne!(site.log.id(), former);
    let shown = (site.log.id(), site.log.newest());
    assert_eq!(site.log.read(&mut reader, 10).await.unwrap().len(), 2);
    assert_eq!(site.log.after(shown.0, shown.1), Err(Missed::OtherLog));
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    let kept = async {
        while !site.log.is_kept() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, kept).await.unwrap();
    assert!(![former, shown.0].contains(&site.log.id()));
    site.put("bob", 2);
    site.catch_up().await;
    assert_eq!(site.log.read(&mut reader, 10).await.unwrap().len(), 2);
    assert_eq!(reader.log(), site.log.id());
    site.stop().await;
}

/// What is done to the log, one thing after the other.
#[derive(Clone, Debug)]
enum Step {
    /// So many phones register, anew or from elsewhere, in one commit.
    Put(u8),
    /// A phone goes.
    Remove(u8),
    /// A reader reads so many.
    Read(usize, usize),
    /// A reader goes, and comes back where it was.
    Resume(usize),
    /// The program ends, orderly or not, and starts again.
    Restart { killed: bool },
    /// Time passes, or the clock is set back.
    Clock(i64),
    /// All that happened is shown.
    CatchUp,
    /// The file is deleted.
    Delete,
    /// A phone's events are forgotten.
    Forget(u8),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..40_u8).prop_map(Step::Put),
        3 => (0..40_u8).prop_map(Step::Remove),
        8 => (0..READERS, 1..60_usize).prop_map(|(who, limit)| Step::Read(who, limit)),
        2 => (0..READERS).prop_map(Step::Resume),
        1 => any::<bool>().prop_map(|killed| Step::Restart { killed }),
        1 => (-4000..90_000_i64).prop_map(Step::Clock),
        3 => Just(Step::CatchUp),
        1 => Just(Step::Delete),
        1 => (0..40_u8).prop_map(Step::Forget),
    ]
}

const READERS: usize = 3;

/// A running keeper over a registry, which outlives it.
struct Site {
    folder: std::path::PathBuf,
    clock: Arc<ManualClock>,
    writer: Writer,
    log: Arc<EventLog>,
    stop: CancellationToken,
    running: JoinSet<()>,
    bytes: u64,
    marks: u64,
}

impl Site {
    async fn new(folder: &TempDir, bytes: u64) -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        let writer = Writer::new(Arc::clone(&clock) as _);
        let source = SourceReport {
            state: SourceState::Live,
            as_of: Some(clock.unix()),
        };
        let feed = writer.restore(Snapshot::default(), source);
        let log = Arc::new(EventLog::new(Some(history(folder, &clock, bytes).await)));
        let mut site = Self {
            folder: folder.path().to_owned(),
            clock,
            writer,
            log,
            stop: CancellationToken::new(),
            running: JoinSet::new(),
            bytes,
            marks: 0,
        };
        site.run(feed);
        site
    }

    fn run(&mut self, feed: crate::registry::Subscription) {
        self.run_from(feed, self.clock.unix());
    }

    fn run_from(&mut self, feed: crate::registry::Subscription, as_of: Duration) {
        let keeper = Keeper::new(Parts {
            log: Arc::clone(&self.log),
            feed,
            as_of: Some(as_of),
            clock: Arc::clone(&self.clock) as _,
            observers: Vec::new(),
        });
        self.stop = CancellationToken::new();
        self.running.spawn(keeper.run(self.stop.clone()));
    }

    /// Ends the keeper; what it has not shown is lost where it is `killed`.
    async fn end(&mut self, killed: bool) {
        if killed {
            // SQLite's own thread cannot be killed here, and would go on beside the next one's: so between two writes.
            let history = Arc::clone(self.log.history().unwrap());
            let _at_rest = history.at_rest().await;
            self.running.shutdown().await;
        } else {
            self.stop.cancel();
            self.running.join_next().await.unwrap().unwrap();
        }
    }

    async fn stop(&mut self) {
        self.end(false).await;
        self.log.history().unwrap().close().await;
    }

    async fn restart(&mut self, killed: bool) {
        self.end(killed).await;
        self.log.history().unwrap().close().await;
        // The lock is free when nobody has the history any more.
        self.log = Arc::new(EventLog::new(None));
        let history = open(&self.folder, &self.clock, self.bytes).await;
        self.log = Arc::new(EventLog::new(Some(history)));
        let feed = self.writer.registry().subscribe();
        self.run(feed);
    }

    fn put(&self, user: &str, port: u64) {
        self.put_all(&[user], port);
    }

    fn put_all(&self, users: &[&str], port: u64) {
        let end = self.clock.unix_seconds() + 3600;
        let row = |user: &&str| {
            let row = binding(user, user, &format!("sip:{user}@192.0.2.1:{port}"), end);
            Change::Upsert(Arc::new(registration(row, Some("acme"))))
        };
        self.writer.apply(users.iter().map(row));
    }

    fn remove(&self, user: &str) {
        let key = Key {
            table: "location".into(),
            ruid: Ruid::from(user),
        };
        self.writer.apply([Change::Remove(key)]);
    }

    /// Waits until all that happened is shown, and one thing more: the feed of a new keeper may have nothing yet.
    async fn catch_up(&mut self) {
        self.marks += 1;
        self.put("mark", self.marks);
        let mut followed = self.log.followed();
        let last = self.writer.registry().last_entry();
        let shown = followed.wait_for(|followed| *followed >= last);
        let shown = tokio::time::timeout(PATIENCE, shown).await;
        shown.unwrap().unwrap();
    }
}

/// A reader that notices holes and doubles.
#[derive(Debug)]
struct Reader {
    cursor: Cursor,
    /// A hole that was not told of yet: only forgotten events may leave one.
    hole: Option<u64>,
}

impl Reader {
    /// Reads once; what it sees must follow what it saw, and be what others saw under the same id.
    async fn read(&mut self, log: &EventLog, limit: usize, told: &mut Told) {
        let before = self.cursor;
        let Ok(read) = log.read(&mut self.cursor, limit).await else {
            self.gap(log);
            return;
        };
        assert!(read.len() <= limit);
        let mut last = before.seq();
        for one in &read {
            let event = one.event();
            assert!(event.seq > last, "{} after {last}", event.seq);
            if event.seq != last + 1 {
                self.hole.get_or_insert(last + 1);
            }
            last = event.seq;
            if matches!(&event.what, What::Gap(gap) if gap.cause == GapCause::Forgotten) {
                self.hole = None;
            }
            told.note(event);
        }
        assert_eq!(self.cursor.seq(), last);
    }

    /// It was told that it missed something, and goes on with what comes.
    fn gap(&mut self, log: &EventLog) {
        self.cursor = log.end();
        self.hole = None;
    }
}

/// What was told of each number, by the events' own words.
#[derive(Default)]
struct Told(HashMap<u64, String>);

impl Told {
    fn note(&mut self, event: &Event) {
        let words = match &event.what {
            What::Registration(one) => format!("{:?} {:?}", one.kind, one.registration.username),
            What::Gap(gap) => format!("{:?}", gap.cause),
            other => format!("{other:?}"),
        };
        let words = format!("{} {words}", event.at);
        let first = self.0.entry(event.seq).or_insert_with(|| words.clone());
        assert_eq!(*first, words, "number {} was used twice", event.seq);
    }
}

async fn walk(steps: Vec<Step>, bytes: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::new(&folder, bytes).await;
    let begin = || Reader {
        cursor: site.log.end(),
        hole: None,
    };
    let mut readers: Vec<Reader> = (0..READERS).map(|_| begin()).collect();
    let mut told = Told::default();
    let user = |number: u8| format!("user{number}");
    for (at, step) in steps.into_iter().enumerate() {
        match step {
            Step::Put(count) => {
                let users: Vec<String> = (0..count).map(user).collect();
                let users: Vec<&str> = users.iter().map(String::as_str).collect();
                site.put_all(&users, at as u64);
            }
            Step::Remove(one) => site.remove(&user(one)),
            Step::Read(who, limit) => readers[who].read(&site.log, limit, &mut told).await,
            Step::Resume(who) => resume(&mut readers[who], &site.log),
            Step::Restart { killed } => {
                let (former, was_kept) = (site.log.id(), site.log.is_kept());
                site.restart(killed).await;
                if site.log.id() != former {
                    // Another log has numbers of its own.
                    told = Told::default();
                }
                for reader in &mut readers {
                    let is_of_this = was_kept && reader.cursor.log() == site.log.id();
                    resume(reader, &site.log);
                    // What was shown is not lost, and its number is not used again.
                    assert!(!is_of_this || reader.cursor.seq() <= site.log.newest());
                }
            }
            Step::Clock(seconds) => {
                let now = site.clock.unix_seconds() + seconds;
                site.clock.step_to(u64::try_from(now).unwrap());
            }
            Step::CatchUp => site.catch_up().await,
            Step::Delete => {
                let _restored_meanwhile = std::fs::remove_file(folder.path().join("history.db"));
            }
            Step::Forget(one) => {
                // Where the file was just deleted there is nothing to be forgotten.
                let _count = site.log.forget("acme", &user(one)).await;
            }
        }
    }
    site.catch_up().await;
    for reader in &mut readers {
        // What was forgotten is said a moment later.
        let all = async {
            loop {
                reader.read(&site.log, 64, &mut told).await;
                if reader.cursor.seq() == site.log.newest() && reader.hole.is_none() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let read = tokio::time::timeout(PATIENCE, all).await;
        let newest = site.log.newest();
        assert!(read.is_ok(), "{reader:?} of {newest}");
    }
    site.stop().await;
}

/// Killed between the deletion and the gap that tells of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_forgotten_is_said_after_a_kill() {
    let killed = Step::Restart { killed: true };
    let steps = vec![Step::Put(27), Step::CatchUp, Step::Forget(26), killed];
    walk(steps, 1 << 30).await;
}

/// As a client does that knows the id of the last event.
fn resume(reader: &mut Reader, log: &EventLog) {
    match log.after(reader.cursor.log(), reader.cursor.seq()) {
        Ok(cursor) => reader.cursor = cursor,
        Err(_) => reader.gap(log),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 30, ..ProptestConfig::default() })]
    #[test]
    fn no_reader_misses_or_gets_twice(
        steps in prop::collection::vec(any_step(), 1..60),
        bytes in prop_oneof![Just(1_u64 << 30), Just(150_000)],
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(walk(steps, bytes));
    }
}
