//! The API: Kazoo's Registrations API over HTTP, on TCP and on a Unix socket.
//!
//! Every request passes the [`front`]; then it is read ([`call`]), its path named ([`route`]), its caller known ([`access`]), and then it is a list,
//! a count or a flush ([`registrations`]). All checks stand in one place and in one order ([`api`]). Nothing here
//! knows a file, a database or Kamailio: lists come from the registry, flushes go to whoever [`Flush`]es.

mod api;
mod auth;
mod error;
mod request;
mod response;
mod server;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware;
use axum::routing::get;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

pub use api::openapi::document as openapi_document;
pub use auth::host::Hosts;
pub use auth::jwt::{BadKey, Keys};
pub use server::limits::Limits;
pub use server::{Listeners, serve};

use crate::accounts::directory::Directory;
use crate::clock::Clock;
use crate::flush::{Outcome, Request};
use crate::metrics::Metrics;
use crate::registration::item::Wire;
use crate::registry::Registry;
use crate::tokens::TokenSet;
use api::health;
use request::request_id::RequestIds;
use response::cache::Rendered;
use server::middleware as front;
use server::request_metrics as measured;

/// Somebody who flushes registrations.
pub trait Flush: Send + Sync + 'static {
    /// Flushes what is asked for. `Err` where not even the failures are known.
    fn flush(&self, request: Request) -> Flushing<'_>;
}

/// A flush under way.
pub type Flushing<'a> = Pin<Box<dyn Future<Output = Result<Outcome, FlushError>> + Send + 'a>>;

/// Why a flush has no outcome; logged, and never shown to a caller.
pub type FlushError = Box<dyn std::error::Error + Send + Sync>;

/// What the API is made of. The parts behind a [`watch`] may be replaced while it runs.
pub struct Parts {
    /// The registrations.
    pub registry: Arc<Registry>,
    /// Accounts and devices.
    pub directory: watch::Receiver<Arc<Directory>>,
    /// Our own tokens.
    pub tokens: watch::Receiver<Arc<TokenSet>>,
    /// The keys of Kazoo's tokens.
    pub keys: watch::Receiver<Arc<Keys>>,
    /// How much a client may take.
    pub limits: watch::Receiver<Arc<Limits>>,
    /// Who flushes.
    pub flush: Arc<dyn Flush>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The rest.
    pub settings: Settings,
}

/// What does not change while the API runs.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    /// How items are written.
    pub wire: Wire,
    /// The lag above which `/readyz` says no.
    pub max_lag: Duration,
    /// Origins that browsers may call from; `*` is any.
    pub cors_origins: Vec<String>,
    /// The names by which requests may call us.
    pub hosts: Hosts,
    /// The name of this machine in answers.
    pub node: String,
    /// Our version in answers.
    pub version: String,
    /// Accounts that `/metrics` names, at most.
    pub metrics_accounts: usize,
}

/// The API, ready to answer.
pub struct App {
    registry: Arc<Registry>,
    directory: watch::Receiver<Arc<Directory>>,
    tokens: watch::Receiver<Arc<TokenSet>>,
    keys: watch::Receiver<Arc<Keys>>,
    limits: watch::Receiver<Arc<Limits>>,
    flush: Arc<dyn Flush>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    settings: Settings,
    rendered: Rendered,
    request_ids: RequestIds,
    /// Flushes, which go on when their callers have gone.
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
            limits: parts.limits,
            flush: parts.flush,
            metrics: parts.metrics,
            rendered: Rendered::default(),
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

/// Every path that is answered.
pub fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for (path, handler) in [
        ("/livez", get(health::livez)),
        ("/readyz", get(health::readyz)),
        ("/metrics", get(measured::metrics)),
        ("/openapi.json", get(health::openapi)),
    ] {
        let handler = handler.options(health::options);
        router = router.route(path, handler.clone());
        router = router.route(&format!("{path}/"), handler);
    }
    let router = router
        .method_not_allowed_fallback(health::method_not_allowed)
        .fallback(api::handle);
    fronted(router, app)
}

/// These paths, with all that stands before every answer.
fn fronted(router: Router<Arc<App>>, app: Arc<App>) -> Router {
    let front = middleware::from_fn_with_state(Arc::clone(&app), front::stand);
    router.layer(compression()).layer(front).with_state(app)
}

/// gzip for those who accept it, from the size on from which Kazoo uses it. Never for streams: what is compressed waits
/// until there is enough of it.
fn compression() -> CompressionLayer<impl Predicate> {
    let streams = NotForContentType::SSE.and(NotForContentType::const_new("application/x-ndjson"));
    CompressionLayer::new()
        .gzip(true)
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(300).and(streams))
}
