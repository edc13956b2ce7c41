//! A flusher beside the fake, with a clock that stands still, a registry filled by hand and a store of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::Notify;

use super::fake::Fake;
use crate::clock::ManualClock;
use crate::config::AlsoCall;
use crate::consumers::store::{Contents, Store};
use crate::flush::{Actor, Authorization, Flusher, Options, Outcome, Parts, Request};
use crate::kamailio::{self, Kamailio};
use crate::metrics::Metrics;
use crate::registration::Change;
use crate::registration::testing::{binding, registration};
use crate::registration::{Binding, Hidden, Key, Registration, Text};
use crate::registry::{Overlay, Scope, Snapshot, SourceReport, SourceState, Writer};

pub(super) const NOW: i64 = 1_700_000_000;

/// How long the client waits for the fake.
const TIMEOUT: Duration = Duration::from_secs(1);

pub(super) struct Site {
    pub(super) clock: Arc<ManualClock>,
    pub(super) registry: Arc<Writer>,
    pub(super) overlay: Overlay,
    pub(super) store: Arc<Store>,
    pub(super) fake: Fake,
    pub(super) doubts: Arc<Notify>,
    pub(super) flusher: Flusher,
    pub(super) right: Arc<Right>,
    folder: TempDir,
}

/// What a test lets the caller do; at first all.
#[derive(Debug)]
pub(super) struct Right {
    /// Flush at all.
    pub(super) holds: AtomicBool,
    /// Have what the tables do not show.
    pub(super) covers: AtomicBool,
}

impl Default for Right {
    fn default() -> Self {
        Self {
            holds: AtomicBool::new(true),
            covers: AtomicBool::new(true),
        }
    }
}

impl Authorization for Right {
    fn holds(&self) -> bool {
        self.holds.load(Ordering::SeqCst)
    }

    fn covers(&self, _: Option<&Text>) -> bool {
        self.covers.load(Ordering::SeqCst)
    }
}

impl Site {
    pub(super) async fn new() -> Self {
        Self::with(Vec::new()).await
    }

    pub(super) async fn with(also: Vec<AlsoCall>) -> Self {
        let fake = Fake::start().await;
        let endpoint = fake.endpoint.clone();
        let site = Self::at(fake, &endpoint, also, TempDir::new().unwrap()).await;
        site.reads(SourceState::Live);
        site
    }

    /// One whose Kamailio nobody can reach.
    pub(super) async fn alone() -> Self {
        let fake = Fake::start().await;
        Self::at(
            fake,
            "http://127.0.0.1:1/RPC",
            Vec::new(),
            TempDir::new().unwrap(),
        )
        .await
    }

    async fn at(fake: Fake, endpoint: &str, also: Vec<AlsoCall>, folder: TempDir) -> Self {
        let clock = Arc::new(ManualClock::at(NOW.cast_unsigned()));
        let registry = Arc::new(Writer::new(Arc::clone(&clock) as _));
        let overlay = registry.overlay();
        let store = Store::open(&folder.path().join("usrlocd.db"), NOW)
            .await
            .unwrap();
        let kept = store.load().await.unwrap();
        let rows = kept.registrations.into_iter().map(|one| {
            let account = one.account.as_deref();
            Arc::new(registration((*one.binding).clone(), account))
        });
        let kept = Snapshot {
            rows: rows.collect(),
            tombstones: kept.departed,
            hidden: kept.hidden,
            intents: kept.intents,
            ..Snapshot::default()
        };
        registry.restore(kept, SourceReport::default());
        let store = Arc::new(store);
        let doubts = Arc::clone(overlay.doubts());
        let client = Kamailio::new(kamailio::Options {
            endpoint: endpoint.parse().unwrap(),
            timeout: TIMEOUT,
            connections: 3,
        });
        let parts = Parts {
            clock: Arc::clone(&clock) as _,
            registry: overlay.clone(),
            store: Arc::clone(&store),
            server_id: None,
            kamailio: Arc::new(client),
            doubts: Arc::clone(&doubts),
            metrics: Metrics::new(Arc::clone(&clock) as _, "1", ""),
        };
        let options = Options {
            tables: vec!["location".to_owned()],
            concurrency: 2,
            also,
            default_realm: Some("acme.example.com".to_owned()),
            shared: false,
        };
        Self {
            clock,
            registry,
            overlay,
            store,
            fake,
            doubts,
            flusher: Flusher::new(parts, options),
            right: Arc::default(),
            folder,
        }
    }

    /// What the next start finds should the program be killed now; the registry has `rows`, as from the tables.
    pub(super) async fn restarted(self, rows: &[(&str, Binding)]) -> Self {
        let crashed = self.copy_of_store();
        self.started_from(crashed, rows).await
    }

    /// The same with this store.
    pub(super) async fn started_from(self, crashed: TempDir, rows: &[(&str, Binding)]) -> Self {
        let site = self.starting_from(crashed).await;
        for (account, row) in rows {
            site.put(account, row.clone());
        }
        site.reads(SourceState::Live);
        site
    }

    /// The same while the tables have not been read.
    pub(super) async fn starting_from(self, crashed: TempDir) -> Self {
        let endpoint = self.fake.endpoint.clone();
        Self::at(self.fake, &endpoint, Vec::new(), crashed).await
    }

    /// The state of the source; once live, every row of the tables is in the registry.
    pub(super) fn reads(&self, state: SourceState) {
        self.registry.report(SourceReport {
            state,
            as_of: Some(Duration::from_secs(NOW.cast_unsigned())),
        });
    }

    /// The store's files as they are.
    pub(super) fn copy_of_store(&self) -> TempDir {
        copy(self.folder.path())
    }

    pub(super) fn store_folder(&self) -> PathBuf {
        self.folder.path().to_path_buf()
    }

    /// A row that the tables have.
    pub(super) fn put(&self, account: &str, row: Binding) {
        self.registry
            .apply([Change::Upsert(Arc::new(registration(row, Some(account))))]);
    }

    /// A phone of the account that the tables and Kamailio have.
    pub(super) fn phone(&self, account: &str, user: &str, ruid: &str) -> Binding {
        let row = row(user, ruid);
        self.fake
            .memory()
            .register(&aor(user), ruid, &contact(ruid), 1);
        self.put(account, row.clone());
        row
    }

    /// Flushes the account `acme`.
    pub(super) async fn flush(&self) -> Outcome {
        self.flush_of("acme", self.listed(Scope::Account("acme")), &[], false)
            .await
    }

    /// Flushes a user of the account.
    pub(super) async fn flush_user(&self, account: &str, user: &str) -> Outcome {
        let scope = Scope::Account(account);
        let picked = self
            .registry
            .list_user(scope, user.as_bytes())
            .registrations;
        let further = self.registry.known_aors(scope, user.as_bytes());
        self.flush_of(account, picked, &further, false).await
    }

    /// Flushes the rows with these ruids of `acme`, as if filters had chosen them.
    pub(super) async fn flush_exactly(&self, ruids: &[&str]) -> Outcome {
        let rows = ruids
            .iter()
            .map(|ruid| self.registry.get(&key(ruid)).unwrap());
        self.flush_of("acme", rows.collect(), &[], true).await
    }

    pub(super) async fn flush_of(
        &self,
        account: &str,
        registrations: Vec<Arc<Registration>>,
        further: &[(Text, Option<Text>)],
        exactly: bool,
    ) -> Outcome {
        let request = Request {
            registrations,
            further: further.to_vec(),
            exactly,
            actor: actor(account),
            authorization: Arc::clone(&self.right) as _,
        };
        self.flusher.flush(request).await.unwrap()
    }

    pub(super) fn listed(&self, scope: Scope<'_>) -> Vec<Arc<Registration>> {
        self.registry.list(scope).registrations
    }

    /// The ruids that are listed, of all accounts.
    pub(super) fn ruids(&self) -> Vec<String> {
        let listed = self.listed(Scope::System);
        let ruid = |one: &Arc<Registration>| one.binding.key.ruid.0.lossy().into_owned();
        let mut ruids: Vec<String> = listed.iter().map(ruid).collect();
        ruids.sort();
        ruids
    }

    /// The ruids that the store has as hidden.
    pub(super) async fn hidden(&self) -> Vec<String> {
        hidden_in(&self.copy_of_store()).await
    }
}

/// A copy of a store that is open.
pub(super) fn copy(folder: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for name in ["usrlocd.db", "usrlocd.db-wal"] {
        fs::copy(folder.join(name), copy.path().join(name)).unwrap();
    }
    copy
}

/// The ruids that a store has as hidden.
pub(super) async fn hidden_in(folder: &TempDir) -> Vec<String> {
    ruids(&contents_of(folder).await.hidden)
}

/// The ruids that a store has as about to be removed.
pub(super) async fn intents_in(folder: &TempDir) -> Vec<String> {
    ruids(&contents_of(folder).await.intents)
}

async fn contents_of(folder: &TempDir) -> Contents {
    let path = folder.path().join("usrlocd.db");
    let store = Store::open(&path, NOW).await.unwrap();
    store.load().await.unwrap()
}

fn ruids(hidden: &[Hidden]) -> Vec<String> {
    let ruid = |one: &Hidden| one.key.ruid.0.lossy().into_owned();
    let mut ruids: Vec<String> = hidden.iter().map(ruid).collect();
    ruids.sort();
    ruids
}

pub(super) fn actor(account: &str) -> Actor {
    Actor {
        token: "ops".to_owned(),
        client: "127.0.0.1".to_owned(),
        request_id: "r1".to_owned(),
        account_id: Some(account.to_owned()),
        username: None,
        filters: String::new(),
    }
}

/// A row that was last modified long before Kamailio started.
pub(super) fn row(user: &str, ruid: &str) -> Binding {
    Binding {
        last_modified: NOW - 10_000,
        ..binding(ruid, user, &contact(ruid), NOW + 600)
    }
}

pub(super) fn contact(ruid: &str) -> String {
    format!("sip:{ruid}@192.0.2.1")
}

pub(super) fn aor(user: &str) -> String {
    format!("{user}@acme.example.com")
}

pub(super) fn key(ruid: &str) -> Key {
    Key {
        table: "location".into(),
        ruid: ruid.into(),
    }
}

/// The reasons of failures, as `aor: reason`.
pub(super) fn reasons(outcome: &Outcome) -> Vec<String> {
    let reason = |one: &crate::flush::Failure| format!("{}: {}", one.aor.lossy(), one.reason);
    outcome.failed.iter().map(reason).collect()
}
