//! Steps of the system clock: what is valid follows the clock, what is known does not depend on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use usrlocd::accounts::Naming;
use usrlocd::accounts::directory::Directory;
use usrlocd::clock::{Clock, SystemClock};
use usrlocd::consumers::store::Store;
use usrlocd::daemon::pipeline::{Options, Origin, Parts, Pipeline};
use usrlocd::event_log::EventLog;
use usrlocd::metrics::Metrics;
use usrlocd::registry::{Scope, SourceState, Writer};

use crate::oracle::{PATIENCE, agree};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::table::Table;
use crate::support::{eventually, holds, tools, unix_now};

const HOUR: i64 = 3600;

/// The system's clocks, of which the wall clock can be stepped.
#[derive(Debug)]
struct Stepped {
    system: SystemClock,
    by: AtomicI64,
}

impl Stepped {
    fn step_to(&self, seconds: i64) {
        self.by.store(seconds, Ordering::SeqCst);
    }
}

impl Clock for Stepped {
    fn unix(&self) -> Duration {
        let by = self.by.load(Ordering::SeqCst);
        let seconds = Duration::from_secs(by.unsigned_abs());
        if by < 0 {
            self.system.unix().saturating_sub(seconds)
        } else {
            self.system.unix() + seconds
        }
    }

    fn monotonic(&self) -> Duration {
        self.system.monotonic()
    }
}

/// A mirror of a database, without a daemon around it.
struct Lab {
    clock: Arc<Stepped>,
    registry: Arc<Writer>,
    table: Table,
    _mirror: Running,
    _folder: TempDir,
}

/// A mirror at work; it ends with this value.
pub(crate) struct Running {
    stop: CancellationToken,
    runtime: Runtime,
}

impl Lab {
    fn new(journal: &str) -> Self {
        let folder = TempDir::with_prefix("usrlocd-clock-").expect("a temporary directory");
        let database = folder.path().join("kamailio.sqlite");
        let table = Table::at(&database);
        table.query(&format!("pragma journal_mode = {journal}"));
        for script in ["standard-create.sql", "usrloc-create.sql"] {
            table.query(&fs::read_to_string(tools::schema(script)).expect("a schema is text"));
        }
        let clock = Arc::new(Stepped {
            system: SystemClock::new(),
            by: AtomicI64::new(0),
        });
        let injected = Arc::clone(&clock) as Arc<dyn Clock>;
        let registry = Arc::new(Writer::new(Arc::clone(&injected)));
        let mirror = Running::new(folder.path(), &database, None, &injected, &registry);
        Self {
            clock,
            registry,
            table,
            _mirror: mirror,
            _folder: folder,
        }
    }

    /// Writes a registration that ends then.
    fn register(&self, user: &str, expires: i64) {
        self.table.query(&insert(user, expires));
    }

    /// Waits until these many are listed, live, and known to be of this moment of the stepped clock.
    fn shows(&self, count: usize) {
        eventually("the registry shows them", PATIENCE, || {
            let listed = self.registry.count(Scope::System).0;
            let source = self.registry.source();
            let (now, as_of) = (self.clock.unix(), source.as_of.unwrap_or_default());
            let fresh = as_of <= now && now.saturating_sub(as_of) < Duration::from_secs(2);
            holds(
                listed == count && source.state == SourceState::Live && fresh,
                || format!("{listed} of {count}, {source:?} at {now:?}"),
            )
        });
    }
}

/// The statement that writes a registration that ends then.
pub(crate) fn insert(user: &str, expires: i64) -> String {
    let day = |unix: i64| format!("({unix} - 0.5) / 86400 + 2440587.5");
    format!(
        "insert into location (ruid, username, domain, contact, expires, last_modified) values \
         ('uloc-{user}', '{user}', 'acme.example.com', 'sip:{user}@192.0.2.1', {}, {})",
        day(expires),
        day(unix_now()),
    )
}

impl Running {
    /// A mirror with its store in `folder`, of `database`, or of the one that it discovers below a directory.
    pub(crate) fn new(
        folder: &Path,
        database: &Path,
        discover: Option<PathBuf>,
        clock: &Arc<dyn Clock>,
        registry: &Arc<Writer>,
    ) -> Self {
        let runtime = Runtime::new().expect("threads can be started");
        let stop = CancellationToken::new();
        let mirror = runtime.block_on(mirror(folder, database, discover, clock, registry));
        let stopped = stop.clone();
        runtime.spawn(async move { mirror.run(stopped).await.expect("it runs until the end") });
        Self { stop, runtime }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        // The store's directory goes after the runtime's threads.
        let runtime = std::mem::replace(&mut self.runtime, Runtime::new().expect("threads"));
        runtime.shutdown_timeout(PATIENCE);
    }
}

async fn mirror(
    folder: &Path,
    database: &Path,
    discover: Option<PathBuf>,
    clock: &Arc<dyn Clock>,
    registry: &Arc<Writer>,
) -> Pipeline {
    let clock = Arc::clone(clock);
    let store = Store::open(&folder.join("store.db"), clock.unix_seconds()).await;
    let store = store.expect("an own directory is writable");
    let options = Options {
        origin: Origin::File {
            database: database.to_owned(),
            discover,
            tables: vec!["location".to_owned()],
        },
        naming: Naming::default(),
    };
    let parts = Parts {
        metrics: Metrics::new(Arc::clone(&clock), "test", ""),
        clock,
        writer: Arc::clone(registry),
        store: Arc::new(store),
        events: Arc::new(EventLog::new(None)),
        observers: Vec::new(),
        directory: watch::Sender::new(Arc::new(Directory::default())).subscribe(),
        in_force: watch::Sender::default(),
        settled: watch::Sender::new(false),
        hurry: CancellationToken::new(),
    };
    let mirror = Pipeline::start(options, parts).await;
    mirror.expect("the store is new")
}

fn survives_steps(journal: &str) {
    let lab = Lab::new(journal);
    lab.register("half", unix_now() + HOUR / 2);
    lab.register("long", unix_now() + 10 * HOUR);
    lab.shows(2);
    let mut users = 2;
    for (step, expired) in [
        (HOUR, 1),
        (0, 0),
        (-1, 0),
        (-HOUR, 0),
        (1, 0),
        (11 * HOUR, 2),
        (0, 0),
    ] {
        lab.clock.step_to(step);
        lab.shows(users - expired);
        // What is written now shows, whatever the clock says.
        users += 1;
        lab.register(&format!("user{users}"), unix_now() + 100 * HOUR);
        lab.shows(users - expired);
    }
}

#[test]
fn steps_of_the_clock_wal() {
    survives_steps("wal");
}

#[test]
fn steps_of_the_clock_rollback() {
    survives_steps("delete");
}

#[test]
fn another_time_zone_changes_nothing() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio)
        .environment("TZ", "XXX-14")
        .start();
    let mut phone = Phone::new(&kamailio, "alice", "acme.example.com").expires(60);
    phone.register();
    eventually("it shows", PATIENCE, || {
        holds(agree(&kamailio, &daemon).len() == 1, || {
            "not yet".to_owned()
        })
    });
}
