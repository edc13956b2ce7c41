//! An API to ask: a clock that stands still, a registry filled by hand, and nobody who really flushes.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::backing::{Kept, findings};
use crate::accounts::directory::Directory;
use crate::clock::{Clock, ManualClock};
use crate::config;
use crate::event_log::{EventLog, Finder, History};
use crate::flush::{
    self, AuditLine, AuditQuery, Auditing, Failure, FailureKind, Flush, Flushing, Outcome,
};
use crate::http::auth::peer::Peer;
use crate::http::server::middleware::around;
use crate::http::{Answers, App, Hosts, KamailioState, Keys, Limits, Parts, Settings, api};
use crate::metrics::Metrics;
use crate::notify::{Notify, Notifying, Outcome as Notified, Request as NotifyRequest};
use crate::registration::Change;
use crate::registration::item::Wire;
use crate::registration::testing::binding;
use crate::registration::{Address, Binding, Common, Details, Number, Registration, SourceAddress};
use crate::registry::{Snapshot, SourceReport, SourceState, Writer};
use crate::sessions::Sessions;
use crate::sip::{SourceFrom, Transport};
use crate::tokens::{self, TokenSet};

/// 2023-11-14T22:18:20Z.
pub(super) const NOW: u64 = 1_700_000_300;

/// Sees and does everything.
pub(super) const OPS: &str = "ops-token";
/// Sees the account `acme` and may do all there.
pub(super) const ACME: &str = "acme-token";

const TOKENS: &[(&str, &str, &str, &str)] = &[
    (OPS, "ops", r#"["*"]"#, r#"["read", "flush"]"#),
    (ACME, "acme", r#"["acme"]"#, r#"["read", "flush"]"#),
    ("read-token", "reader", r#"["acme"]"#, r#"["read"]"#),
    ("flush-token", "flusher", r#"["acme"]"#, r#"["flush"]"#),
    ("two-token", "two", r#"["acme", "other"]"#, r#"["read"]"#),
    ("top-token", "top", r#"["top"]"#, r#"["read"]"#),
];

const DIRECTORY: &str = r#"{
    "accounts": [{"id": "top"}, {"id": "acme", "name": "Acme", "realm": "acme.example.com", "parent": "top"},
                 {"id": "empty", "realm": "empty.example.com"}],
    "devices": [{"id": "d9", "account_id": "acme", "username": "Offline"}]}"#;

/// Who there is: tokens and accounts.
pub(super) struct World {
    /// The key by which Kazoo's tokens are good.
    pub(super) keys: Keys,
    /// The directory, as its file has it.
    pub(super) directory: String,
    /// The tokens, as their file has them.
    pub(super) tokens: String,
    /// What happened before.
    pub(super) history: Option<Arc<History>>,
    /// The sessions that an earlier run has kept.
    pub(super) kept: Arc<Kept>,
}

/// What the fake that flushes does, and what it was asked.
#[derive(Default)]
pub(super) struct Fake {
    pub(super) asked: Mutex<Vec<flush::Request>>,
    /// The audit, the latest last.
    pub(super) audit: Mutex<Vec<AuditLine>>,
    /// The failures of the next flush.
    pub(super) failures: Mutex<Vec<Failure>>,
    pub(super) notified: Mutex<Vec<NotifyRequest>>,
    /// What phones answer, in turn.
    pub(super) outcomes: Mutex<Vec<Notified>>,
    pub(super) panics: std::sync::atomic::AtomicBool,
    /// What happens during the next flush.
    pub(super) meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Notify for Fake {
    fn notify(&self, request: NotifyRequest) -> Notifying<'_> {
        assert!(
            !self.panics.load(std::sync::atomic::Ordering::Relaxed),
            "asked to panic"
        );
        let outcomes = self.outcomes.lock().unwrap().clone();
        let number = request.registrations.len();
        self.notified.lock().unwrap().push(request);
        Box::pin(async move { outcomes.into_iter().cycle().take(number).collect() })
    }
}

impl Flush for Fake {
    fn flush(&self, request: flush::Request) -> Flushing<'_> {
        assert!(!self.panics.load(Ordering::Relaxed), "asked to panic");
        let failed = self.failures.lock().unwrap().clone();
        let flushed = if failed.is_empty() {
            request.registrations.len() as u64
        } else {
            0
        };
        self.asked.lock().unwrap().push(request);
        if let Some(happens) = self.meanwhile.lock().unwrap().take() {
            happens();
        }
        Box::pin(async move { Ok(Outcome { flushed, failed }) })
    }

    fn audit(&self, query: AuditQuery) -> Auditing<'_> {
        let lines = self.audit.lock().unwrap().clone();
        let is_wanted = |line: &AuditLine| {
            let account = line.record.account.as_ref();
            let is_own = |own: &Vec<String>| account.is_some_and(|id| own.contains(id));
            query.accounts.as_ref().is_none_or(is_own)
                && query.before.is_none_or(|before| line.number < before)
        };
        let lines = lines.into_iter().rev().filter(is_wanted);
        let lines = lines.take(query.limit).collect();
        Box::pin(async move { Ok(lines) })
    }
}

/// A failure of this kind.
pub(super) fn failure(aor: &str, kind: FailureKind) -> Failure {
    Failure {
        aor: aor.into(),
        reason: "because".to_owned(),
        kind,
        node: None,
    }
}

/// An API, and what it stands on.
pub(super) struct Site {
    pub(super) clock: Arc<ManualClock>,
    pub(super) registry: Writer,
    pub(super) fake: Arc<Fake>,
    pub(super) app: Arc<App>,
    pub(super) flaps: Arc<Finder>,
    pub(super) directory: watch::Sender<Arc<Directory>>,
    pub(super) tokens: watch::Sender<Arc<TokenSet>>,
    pub(super) keys: watch::Sender<Arc<Keys>>,
    pub(super) kamailio: watch::Sender<KamailioState>,
    /// What the sessions' store has.
    pub(super) kept: Arc<Kept>,
    /// How often all was examined.
    pub(super) examined: Arc<AtomicUsize>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// A request to be made.
pub(super) struct Ask<'a> {
    site: &'a Site,
    method: Method,
    uri: String,
    headers: Vec<(&'static str, String)>,
    body: Body,
    peer: Peer,
}

/// The settings of an ordinary API.
pub(super) fn settings() -> Settings {
    Settings {
        wire: Wire::Document,
        max_lag: Duration::from_secs(10),
        max_lag_cycles: 3,
        cors_origins: Vec::new(),
        hosts: Hosts::new("node-1", &[], None),
        ui: true,
        https: false,
        below_path: false,
        answers: Answers::OfNode,
        node: "node-1".to_owned(),
        version: "1.2.3".to_owned(),
        metrics_accounts: 0,
        notify_events: vec!["check-sync".to_owned()],
    }
}

impl Default for World {
    fn default() -> Self {
        Self {
            keys: Keys::default(),
            directory: DIRECTORY.to_owned(),
            tokens: tokens_file(),
            history: None,
            kept: Arc::default(),
        }
    }
}

impl World {
    /// Adds a token; accounts and rights as the tokens' file has them.
    pub(super) fn add_token(&mut self, token: &str, name: &str, accounts: &str, rights: &str) {
        self.tokens
            .push_str(&stanza(&(token, name, accounts, rights)));
    }
}

impl Site {
    /// An ordinary API with a live and empty registry.
    pub(super) fn new() -> Self {
        Self::with(settings(), &config::Limits::default())
    }

    pub(super) fn with(settings: Settings, limits: &config::Limits) -> Self {
        Self::with_keys(settings, limits, Keys::default())
    }

    pub(super) fn with_keys(settings: Settings, limits: &config::Limits, keys: Keys) -> Self {
        let world = World {
            keys,
            ..World::default()
        };
        Self::of(settings, limits, world)
    }

    /// An API of this world.
    pub(super) fn of(settings: Settings, limits: &config::Limits, world: World) -> Self {
        let site = Self::starting(settings, limits, world);
        site.restore([]);
        site
    }

    /// Now, in Unix seconds.
    pub(super) fn now(&self) -> i64 {
        self.clock.unix_seconds()
    }

    /// An API whose registry is still to be restored.
    pub(super) fn starting(settings: Settings, limits: &config::Limits, world: World) -> Self {
        let limits = &config::Limits {
            body_bytes: 1024,
            ..limits.clone()
        };
        let clock = Arc::new(ManualClock::at(NOW));
        let shared: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let registry = Writer::new(Arc::clone(&shared));
        let fake = Arc::new(Fake::default());
        let metrics = Metrics::new(Arc::clone(&shared), "1.2.3", "");
        let directory = watch::Sender::new(Arc::new(Directory::parse(&world.directory).unwrap()));
        let tokens = watch::Sender::new(Arc::new(tokens::parse(&world.tokens, "tokens").unwrap()));
        let flaps = Finder::new(
            Arc::clone(registry.registry()),
            Arc::clone(&shared),
            Arc::clone(&metrics.events),
            (config::Flap::default(), config::Burst::default()),
        );
        let keys = watch::Sender::new(Arc::new(world.keys));
        let kamailio = watch::Sender::new(KamailioState::Unknown);
        let kept = world.kept;
        let keep = Arc::clone(&kept);
        let sessions = Sessions::new("node", kept.records(), keep, Arc::clone(&shared));
        let examined = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&examined);
        let app = App::new(Parts {
            sessions: Arc::new(sessions),
            kamailio: kamailio.subscribe(),
            examine: Arc::new(move || {
                counted.fetch_add(1, Ordering::Relaxed);
                findings()
            }),
            registry: Arc::clone(registry.registry()),
            directory: directory.subscribe(),
            tokens: tokens.subscribe(),
            keys: keys.subscribe(),
            limits: watch::Sender::new(Arc::new(Limits::new(limits, &shared))).subscribe(),
            flush: Arc::clone(&fake) as _,
            notify: Arc::clone(&fake) as _,
            events: Arc::new(EventLog::new(world.history)),
            flaps: Arc::clone(&flaps),
            publishing: None,
            fleet: None,
            draining: CancellationToken::new(),
            clock: shared,
            metrics,
            settings,
        });
        Self {
            clock,
            registry,
            fake,
            app,
            flaps,
            directory,
            tokens,
            keys,
            kamailio,
            kept,
            examined,
        }
    }

    pub(super) fn restore(&self, phones: impl IntoIterator<Item = Registration>) {
        let source = SourceReport {
            state: SourceState::Live,
            as_of: Some(Duration::from_millis(NOW * 1000 - 25)),
        };
        let kept = Snapshot {
            rows: phones.into_iter().map(Arc::new).collect(),
            ..Snapshot::default()
        };
        self.registry.restore(kept, source);
    }

    /// The site with three phones of `acme` and one of `other`.
    pub(super) fn furnished() -> Self {
        let site = Self::new();
        site.furnish();
        site
    }

    pub(super) fn furnish(&self) {
        self.add([
            phone("acme", "bob", 1),
            phone("acme", "alice", 2),
            phone("acme", "bob", 3),
            phone("other", "carol", 4),
        ]);
    }

    pub(super) fn add(&self, phones: impl IntoIterator<Item = Registration>) {
        let changes = phones.into_iter().map(|one| Change::Upsert(Arc::new(one)));
        self.registry.apply(changes);
    }

    pub(super) fn get(&self, uri: &str) -> Ask<'_> {
        self.ask(Method::GET, uri)
    }

    pub(super) fn delete(&self, uri: &str) -> Ask<'_> {
        self.ask(Method::DELETE, uri)
    }

    /// A request with the token that may do all.
    pub(super) fn ask(&self, method: Method, uri: &str) -> Ask<'_> {
        Ask {
            site: self,
            method,
            uri: uri.to_owned(),
            headers: vec![
                ("host", "localhost".to_owned()),
                ("x-auth-token", OPS.to_owned()),
                ("x-request-id", "request-1".to_owned()),
            ],
            body: Body::empty(),
            peer: Peer::Host(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        }
    }
}

impl Ask<'_> {
    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(own, _)| *own != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    /// With one more header of a name that may be there already.
    pub(super) fn further(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(own, _)| *own != name);
        self
    }

    /// With another token.
    pub(super) fn with_token(self, token: &str) -> Self {
        self.header("x-auth-token", token)
    }

    pub(super) fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    pub(super) fn coming_from(mut self, peer: Peer) -> Self {
        self.peer = peer;
        self
    }

    pub(super) async fn response(self) -> axum::response::Response {
        let mut request = Request::builder().method(self.method).uri(self.uri);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let request = request.body(self.body).unwrap();
        let app = &self.site.app;
        let next = |context, request| api::answer(app, context, request);
        around(app, self.peer, request, next).await
    }

    pub(super) async fn answer(self) -> Answer {
        let (parts, body) = self.response().await.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        }
    }
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn data(&self) -> Value {
        self.json()["data"].clone()
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The usernames of a list.
    pub(super) fn usernames(&self) -> Vec<String> {
        let data = self.data();
        let items = data.as_array().unwrap();
        let username = |item: &Value| item["username"].as_str().unwrap().to_owned();
        items.iter().map(username).collect()
    }

    /// Status, headers and body, for people.
    pub(super) fn show(&self) -> String {
        use std::fmt::Write;
        let mut shown = format!("{}\n", self.status);
        let mut headers: Vec<_> = self.headers.iter().collect();
        headers.sort_by_key(|(name, _)| name.as_str());
        for (name, value) in headers {
            writeln!(shown, "{name}: {}", value.to_str().unwrap()).unwrap();
        }
        match serde_json::from_slice::<Value>(&self.body) {
            Ok(json) => {
                let pretty = serde_json::to_string_pretty(&json).unwrap();
                write!(shown, "\n{pretty}").unwrap();
            }
            Err(_) => write!(shown, "\n{}", String::from_utf8_lossy(&self.body)).unwrap(),
        }
        shown
    }
}

/// A phone of an account, its `number` telling it from others.
pub(super) fn phone(account: &str, username: &str, number: u16) -> Registration {
    Registration::new(details(account, username, number))
}

/// What [`phone`] is made of.
pub(super) fn details(account: &str, username: &str, number: u16) -> Details {
    let realm = format!("{account}.example.com");
    let now = i64::try_from(NOW).unwrap();
    let address = format!("192.0.2.{}", number % 250);
    let contact = format!("sip:{username}@{address}:{}", 5060 + number);
    let plain = binding(
        &format!("uloc-{number}"),
        &username.to_ascii_lowercase(),
        &contact,
        now + 300,
    );
    let binding = Binding {
        domain: Some(realm.as_str().into()),
        received: Some(format!("sip:{address}:{}", 5060 + number).as_str().into()),
        call_id: Some(format!("call-{number}@phone").as_str().into()),
        cseq: Number::new(7),
        cflags: Number::new(64),
        user_agent: Some("Yealink SIP-T38G 38.0.0.115".into()),
        methods: Number::new(8159),
        ..plain
    };
    let common = Common {
        realm: Some(realm.as_str().into()),
        account_name: Some(account.to_uppercase().as_str().into()),
        account_realm: Some(realm.as_str().into()),
        authorizing_type: Some("device".into()),
        suppress_unregister_notify: true,
        register_overwrite_notify: false,
        proxy_address: Some(("203.0.113.5".into(), Some(5060))),
        proxy_protocol: Some(Transport::Udp),
        proxy_path: None,
        node: None,
    };
    let at = Address {
        host: address.as_str().into(),
        port: Some(5060 + number),
    };
    Details {
        binding: Arc::new(binding),
        first_registration: now - 900,
        refreshes: 0,
        account_id: Some(account.into()),
        username: username.into(),
        authorizing_id: Some(format!("device-{username}").as_str().into()),
        owner_id: Some(format!("owner-{username}").as_str().into()),
        presence_id: None,
        contact_address: Some(at.clone()),
        source: Some(SourceAddress {
            address: at,
            from: SourceFrom::Received,
        }),
        common: Arc::new(common),
    }
}

/// A token's stanza in the tokens' file.
fn stanza((token, name, accounts, rights): &(&str, &str, &str, &str)) -> String {
    let sha256 = tokens::sha256_hex(token);
    format!(
        "[[token]]\nname = \"{name}\"\nsha256 = \"{sha256}\"\naccounts = {accounts}\nrights = {rights}\n"
    )
}

fn tokens_file() -> String {
    let expired = format!(
        "[[token]]\nname = \"old\"\nsha256 = \"{}\"\naccounts = [\"*\"]\nrights = [\"read\"]\nexpires = 2023-11-14T22:18:20Z\n",
        tokens::sha256_hex("old-token")
    );
    TOKENS.iter().map(stanza).collect::<String>() + &expired
}
