//! The history against real files.

mod content;
mod keeping;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use sqlx::Connection;
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;

use super::*;
use crate::clock::ManualClock;
use crate::events::{Audience, Burst, Gap, GapCause, Group, Happening, Kind, Reason, Stats, What};
use crate::registration::testing::{any_binding, binding, registration};
use crate::registration::{Attributes, Binding, Registration};
use crate::registry::SourceState;

/// When tests begin, Unix seconds.
const NOW: u64 = 1_795_000_000;

/// As much as nobody reaches.
const ENOUGH: u64 = 1 << 30;

fn options(path: &Path) -> Options {
    Options {
        path: path.to_path_buf(),
        keep: Duration::from_hours(24 * 7),
        size: ENOUGH,
    }
}

/// A history in a folder of its own, and its clock.
struct Bench {
    folder: TempDir,
    clock: Arc<ManualClock>,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            clock: Arc::new(ManualClock::at(NOW)),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("history.db")
    }

    fn open(&self) -> History {
        self.open_with(|_| {})
    }

    fn open_with(&self, change: impl FnOnce(&mut Options)) -> History {
        let mut options = options(&self.path());
        change(&mut options);
        let clock: Arc<dyn Clock> = self.clock.clone();
        self.wait(History::open(options, clock)).unwrap()
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}

/// What happens to a registration at `at` seconds after the beginning.
fn event(seq: u64, at: u64, kind: Kind, one: &Arc<Registration>) -> Event {
    let at = (NOW + at) * 1000;
    let stats = matches!(kind, Kind::Terminated(_)).then(|| Stats::of(one, at));
    let happening = Happening {
        kind,
        audience: Audience::All,
        registration: Arc::clone(one),
        former: None,
        happened_at: Some(one.binding.last_modified),
        replaces: None,
        flush: None,
        stats,
    };
    Event {
        seq,
        at,
        commit: seq,
        what: What::Registration(Box::new(happening)),
    }
}

/// A registration of `user` in `account` under this ruid.
fn row(account: &str, user: &str, ruid: &str) -> Arc<Registration> {
    let contact = format!("sip:{user}@192.0.2.17:5060;transport=udp");
    let end = NOW.cast_signed() + 3600;
    Arc::new(registration(
        binding(ruid, user, &contact, end),
        Some(account),
    ))
}

fn arcs(events: &[Event]) -> Vec<Arc<Event>> {
    events.iter().cloned().map(Arc::new).collect()
}

fn seqs(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.seq).collect()
}

fn all_of(of: Of) -> Query {
    Query {
        of,
        from: None,
        to: None,
        types: None,
        reasons: None,
        before: None,
        limit: usize::MAX,
    }
}

fn user(account: &str, username: &str) -> Of {
    Of::User {
        account: account.to_owned(),
        username: username.to_owned(),
    }
}
