//! A start with a store: whatever happened to the tables, or to the store, since it was written, what shows in the
//! end is what the tables have.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use usrlocd::accounts::Naming;
use usrlocd::accounts::directory::Directory;
use usrlocd::clock::{Clock, SystemClock};
use usrlocd::consumers::store::Store;
use usrlocd::daemon::pipeline::{Options, Origin, Parts, Pipeline};
use usrlocd::event_log::EventLog;
use usrlocd::metrics::Metrics;
use usrlocd::registry::{SourceState, Writer};

use crate::oracle::PATIENCE;
use crate::support::table::Table;
use crate::support::{eventually, holds, tools};

const TABLES: [&str; 2] = ["location", "branch"];

/// When the last registration ends.
const END: i64 = 4_000_000_000;

/// Two usrloc tables in one file, and a store that outlives the mirrors.
struct Lab {
    folder: TempDir,
    database: PathBuf,
    table: Table,
    runtime: Runtime,
}

/// A mirror at work.
struct Run {
    registry: Arc<Writer>,
    stop: CancellationToken,
    ended: JoinHandle<()>,
}

impl Lab {
    fn new(journal: &str) -> Self {
        let folder = TempDir::with_prefix("usrlocd-warm-").expect("a temporary directory");
        let database = folder.path().join("kamailio.sqlite");
        let lab = Self {
            table: Table::at(&database),
            runtime: Runtime::new().expect("threads can be started"),
            database,
            folder,
        };
        lab.table.query(&format!("pragma journal_mode = {journal}"));
        let read = |script| fs::read_to_string(tools::schema(script)).expect("a schema is text");
        lab.table.query(&read("standard-create.sql"));
        let usrloc = read("usrloc-create.sql");
        lab.table.query(&usrloc);
        lab.table.query(&usrloc.replace("location", "branch"));
        lab
    }

    /// Registers phones of these numbers in a table.
    fn register(&self, table: &str, numbers: std::ops::Range<u32>) {
        let (first, last) = (numbers.start, numbers.end);
        self.table.query(&format!(
            "begin; create temp table n as with recursive n(i) as (select {first} union all select i + 1 from n \
             where i + 1 < {last}) select i from n;
             insert into {table} (id, ruid, username, domain, contact, expires, last_modified, cseq) select i + 1, \
             'uloc-' || i, 'user' || i, 'acme.example.com', 'sip:user' || i || '@192.0.2.1', {END} - i, 1700000000, 1 \
             from n;
             insert into {table}_attrs (ruid, username, domain, aname, avalue, last_modified) select 'uloc-' || i, \
             'user' || i, 'acme.example.com', 'token', 'd' || i || '@a' || (i % 5), 1700000000 from n; commit"
        ));
    }

    /// Each row as one text.
    fn truth(&self) -> BTreeSet<String> {
        let rows = TABLES.map(|table| {
            self.table.query(&format!(
                "select '{table}', ruid, username, contact, expires, cseq, (select group_concat(pair) from (select \
                 aname || '=' || avalue as pair from {table}_attrs a where a.ruid = l.ruid order by aname)) from \
                 {table} l"
            ))
        });
        rows.iter()
            .flat_map(|rows| rows.lines().map(str::to_owned))
            .collect()
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }

    fn start(&self) -> Run {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let registry = Arc::new(Writer::new(Arc::clone(&clock)));
        let stop = CancellationToken::new();
        let mirror = mirror(
            self.database.clone(),
            self.store(),
            clock,
            Arc::clone(&registry),
        );
        let stopped = stop.clone();
        let ended = self.runtime.spawn(async move {
            let mirror = mirror.await;
            mirror.run(stopped).await.expect("it runs until the end");
        });
        Run {
            registry,
            stop,
            ended,
        }
    }

    /// Starts, waits until what shows is what the tables have, and stops.
    #[track_caller]
    fn shows_the_tables(&self, why: &str) -> BTreeMap<String, i64> {
        let run = self.start();
        let truth = self.truth();
        eventually(why, PATIENCE, || {
            let told = told(&run.registry);
            let live = run.registry.source().state == SourceState::Live;
            holds(live && told == truth, || {
                let differ: Vec<_> = told.symmetric_difference(&truth).take(4).collect();
                format!("{} and {}, {differ:?}, {live}", told.len(), truth.len())
            })
        });
        let all = run.registry.rows();
        self.stop(run);
        let first = all.iter().map(|one| {
            let ruid = one.binding.key.ruid.0.lossy().into_owned();
            (
                format!("{}|{ruid}", one.binding.key.table),
                one.first_registration,
            )
        });
        first.collect()
    }

    fn stop(&self, run: Run) {
        run.stop.cancel();
        self.runtime.block_on(run.ended).expect("it does not panic");
    }
}

fn told(registry: &Writer) -> BTreeSet<String> {
    let rows = registry.rows();
    let row = |one: &Arc<usrlocd::registration::Registration>| {
        let binding = &one.binding;
        let attributes = binding.attributes.iter();
        let attributes: Vec<_> = attributes
            .map(|(name, value)| format!("{}={}", name.lossy(), String::from_utf8_lossy(&value)))
            .collect();
        format!(
            "{}|{}|{}|{}|{}|{}|{}",
            binding.key.table,
            binding.key.ruid.0.lossy(),
            binding.username.lossy(),
            binding.contact.lossy(),
            binding.expiry.end().unwrap_or_default(),
            binding.cseq.unwrap_or_default(),
            attributes.join(",")
        )
    };
    rows.iter().map(row).collect()
}

async fn mirror(
    database: PathBuf,
    store: PathBuf,
    clock: Arc<dyn Clock>,
    registry: Arc<Writer>,
) -> Pipeline {
    let store = Store::open(&store, clock.unix_seconds()).await;
    let options = Options {
        origin: Origin::File {
            database,
            discover: None,
            tables: TABLES.map(str::to_owned).to_vec(),
        },
        naming: Naming::default(),
    };
    let parts = Parts {
        metrics: Metrics::new(Arc::clone(&clock), "test", ""),
        clock,
        writer: registry,
        store: Arc::new(store.expect("an own directory is writable")),
        events: Arc::new(EventLog::new(None)),
        observers: Vec::new(),
        directory: watch::Sender::new(Arc::new(Directory::default())).subscribe(),
        in_force: watch::Sender::default(),
        settled: watch::Sender::new(false),
        hurry: CancellationToken::new(),
    };
    Pipeline::start(options, parts)
        .await
        .expect("the store can be read")
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).expect("an own directory is writable");
}

fn survives_what_happened_meanwhile(journal: &str) {
    let lab = Lab::new(journal);
    lab.register("location", 0..300);
    lab.register("branch", 0..200);
    let first = lab.shows_the_tables("a cold start");
    assert_eq!(first.len(), 500);
    let again = lab.shows_the_tables("nothing happened");
    assert_eq!(again, first);
    let (older, early_store) = (lab.folder.path().join("older"), lab.folder.path().join("s"));
    copy(&lab.database, &older);
    copy(&lab.store(), &early_store);

    lab.register("location", 300..350);
    lab.table.query(
        "update location set cseq = 2, last_modified = 1700000100, expires = expires + 1 where id % 3 = 0;
         update location_attrs set avalue = avalue || 'x' where id % 7 = 0; delete from location where id % 5 = 0;
         delete from location_attrs where ruid not in (select ruid from location); delete from branch where id = 7;
         update branch set contact = contact || ';ob' where id < 20; update branch set received = 'sip:192.0.2.2' \
         where id = 30",
    );
    let changed = lab.shows_the_tables("rows came, changed and went");
    assert_eq!(changed["location|uloc-2"], 1_700_000_000, "it is a refresh");

    lab.table.query(
        "update location set id = id + 5000 where id in (1, 2); update location set id = 2 where id = 5001;
         update location set id = 1 where id = 5002; update branch set ruid = 'moved-' || ruid where id = 12;
         update branch_attrs set ruid = 'moved-' || ruid where ruid = 'uloc-11'; delete from branch where id = 13;
         update branch set id = 13 where id = 14; update location_attrs set id = id + 9000 where id < 50;
         update location_attrs set ruid = (case ruid when 'uloc-6' then 'uloc-7' else 'uloc-6' end) where ruid in \
         ('uloc-6', 'uloc-7')",
    );
    lab.shows_the_tables("rowids were used again");

    copy(&lab.store(), &lab.folder.path().join("late"));
    copy(&early_store, &lab.store());
    lab.shows_the_tables("the store is an older one");
    copy(&older, &lab.database);
    lab.shows_the_tables("the tables are older ones");

    lab.table.query(
        "alter table location add column colour text default 'red'; create table other as select * from branch; drop \
         table branch; create table branch (cseq integer, contact text, ruid text, username text, domain text, id \
         integer primary key, expires integer, last_modified integer); insert into branch select cseq, contact, ruid, \
         username, domain, id, expires, last_modified from other",
    );
    lab.shows_the_tables("the schema is another");

    let other = Lab::new(journal);
    other.register("location", 100..220);
    other.register("branch", 0..3);
    fs::remove_file(&lab.database).expect("it is ours");
    copy(&other.database, &lab.database);
    lab.shows_the_tables("the file is another");
}

#[test]
fn survives_what_happened_meanwhile_wal() {
    survives_what_happened_meanwhile("wal");
}

#[test]
fn survives_what_happened_meanwhile_rollback() {
    survives_what_happened_meanwhile("delete");
}

#[test]
fn a_start_that_is_stopped_at_once_loses_nothing() {
    let lab = Lab::new("wal");
    lab.register("location", 0..300);
    let first = lab.shows_the_tables("a cold start");
    for pause in [0, 1, 3, 10, 30] {
        let run = lab.start();
        // However far it has come by then.
        let later = async { tokio::time::sleep(Duration::from_millis(pause)).await };
        lab.runtime.block_on(later);
        lab.stop(run);
    }
    assert_eq!(lab.shows_the_tables("a start after that"), first);
}
