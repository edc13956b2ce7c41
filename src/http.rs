//! The API: Kazoo's Registrations API over HTTP, on TCP and on a Unix socket.
//!
//! A request's way is one line of calls, without a router or layers between them:
//!
//! ```text
//! server       connections and their limits, and what every request passes (id, host, CORS, compression, panics)
//!   └─ api         the checks in their one order, then a file for each route: list, count, flush, operation, ui
//!       ├─ auth        who calls, what they may do, how often
//!       ├─ request     what they ask for, parsed
//!       └─ response    how it is written: envelope, list, revision
//! ```
//!
//! Nothing here knows a file, a database or Kamailio: lists come from the registry, flushes go to a [`Flush`], and what
//! phones are asked for to a [`Notify`].

mod api;
mod auth;
mod error;
mod request;
mod response;
mod server;
mod socket;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use api::openapi::document as openapi_document;
pub use api::ui::health::{Examine, Finding, Health};
pub use api::ui::overview::KamailioState;
pub use auth::host::Hosts;
pub use auth::jwt::{BadKey, Keys};
pub use auth::limits::Limits;
pub use server::{Listeners, serve};

use crate::accounts::directory::Directory;
use crate::clock::Clock;
use crate::event_log::{EventLog, Finder};
use crate::fleet::{Fleet, Status};
use crate::flush::Flush;
use crate::metrics::Metrics;
use crate::notify::Notify;
use crate::registration::item::Wire;
use crate::registry::Registry;
use crate::sessions::Sessions;
use crate::tokens::TokenSet;
use api::stream::seats::Seats;
use api::turns::Turns;
use api::ui::health::Findings;
use api::ui::summaries::Summaries;
use request::request_id::RequestIds;
use response::cache::ResponseCache;

/// What the API needs. What is behind a [`watch`] may be replaced while it runs.
pub struct Parts {
    /// The registrations.
    pub registry: Arc<Registry>,
    /// Accounts and devices.
    pub directory: watch::Receiver<Arc<Directory>>,
    /// The tokens of the tokens file.
    pub tokens: watch::Receiver<Arc<TokenSet>>,
    /// The keys of Kazoo's tokens.
    pub keys: watch::Receiver<Arc<Keys>>,
    /// Those who are logged in on the page.
    pub sessions: Arc<Sessions>,
    /// Limits for clients.
    pub limits: watch::Receiver<Arc<Limits>>,
    /// Flushes registrations.
    pub flush: Arc<dyn Flush>,
    /// Asks phones to act.
    pub notify: Arc<dyn Notify>,
    /// What happened to registrations.
    pub events: Arc<EventLog>,
    /// The phones that flap.
    pub flaps: Arc<Finder>,
    /// The fleet that the node is part of, if any.
    pub fleet: Option<Arc<Fleet>>,
    /// How publishing to it goes, where that is done.
    pub publishing: Option<watch::Receiver<Status>>,
    /// Whether Kamailio answers.
    pub kamailio: watch::Receiver<KamailioState>,
    /// Checks everything that usrlocd needs.
    pub examine: Examine,
    /// Cancelled once no more requests are taken: what has no end of its own ends.
    pub draining: CancellationToken,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Settings that do not change.
    pub settings: Settings,
}

/// Whose answers are given where a request does not say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answers {
    /// Those of this node.
    OfNode,
    /// Those of the fleet: there is no Kamailio here.
    OfFleet,
}

/// What does not change while the API runs.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    /// How items are written.
    pub wire: Wire,
    /// The lag above which `/readyz` answers 503.
    pub max_lag: Duration,
    /// So many cycles of a source that compares are borne, where these take longer than that.
    pub max_lag_cycles: u32,
    /// Origins that browsers may call from; `*` is any.
    pub cors_origins: Vec<String>,
    /// The names that a `Host` header may have.
    pub hosts: Hosts,
    /// Whether there is a page for operators.
    pub ui: bool,
    /// Whether browsers reach it by TLS.
    pub https: bool,
    /// Whether a proxy has it, and the API, below a path of its own.
    pub below_path: bool,
    /// Whose answers are given where a request does not say.
    pub answers: Answers,
    /// The name of this machine in answers.
    pub node: String,
    /// The version in answers.
    pub version: String,
    /// How many accounts `/metrics` names, at most.
    pub metrics_accounts: usize,
    /// Events that phones may be asked for, `check-sync` first.
    pub notify_events: Vec<String>,
}

/// The API, ready to answer.
pub struct App {
    registry: Arc<Registry>,
    directory: watch::Receiver<Arc<Directory>>,
    tokens: watch::Receiver<Arc<TokenSet>>,
    keys: watch::Receiver<Arc<Keys>>,
    sessions: Arc<Sessions>,
    limits: watch::Receiver<Arc<Limits>>,
    flush: Arc<dyn Flush>,
    notify: Arc<dyn Notify>,
    events: Arc<EventLog>,
    flaps: Arc<Finder>,
    fleet: Option<Arc<Fleet>>,
    publishing: Option<watch::Receiver<Status>>,
    streams: Seats,
    kamailio: watch::Receiver<KamailioState>,
    findings: Findings,
    summaries: Summaries,
    turns: Turns,
    draining: CancellationToken,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    settings: Settings,
    cache: ResponseCache,
    request_ids: RequestIds,
    /// Flushes under way, and phones that are being asked, which go on when their callers have gone.
    flushes: TaskTracker,
}

impl App {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            registry: parts.registry,
            directory: parts.directory,
            tokens: parts.tokens,
            keys: parts.keys,
            sessions: parts.sessions,
            limits: parts.limits,
            flush: parts.flush,
            notify: parts.notify,
            events: parts.events,
            flaps: parts.flaps,
            fleet: parts.fleet,
            publishing: parts.publishing,
            streams: Seats::default(),
            kamailio: parts.kamailio,
            findings: Findings::new(parts.examine),
            summaries: Summaries::default(),
            turns: Turns::default(),
            draining: parts.draining,
            metrics: parts.metrics,
            cache: ResponseCache::default(),
            request_ids: RequestIds::new(parts.clock.as_ref()),
            clock: parts.clock,
            settings: parts.settings,
            flushes: TaskTracker::new(),
        })
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
