//! Health: whether the program lives, whether its answers are to be trusted, and its metrics. No registration data.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};

use super::App;
use super::api::json;
use super::envelope::source;
use super::openapi;
use crate::view::SourceState;

/// Prometheus' text format.
const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// The process answers.
pub(super) async fn livez() -> Response {
    json("{\"status\":\"ok\"}")
}

/// The view follows Kamailio's tables closely enough.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Response {
    let now = app.clock.unix();
    let known = app.view.source();
    let follows = match known.state {
        SourceState::Live | SourceState::CatchingUp => true,
        SourceState::Stale | SourceState::Unavailable => false,
    };
    let is_ready = follows
        && known
            .lag(now)
            .is_some_and(|lag| lag <= app.settings.max_lag);
    let status = if is_ready { "ok" } else { "unavailable" };
    let mut out = format!("{{\"status\":\"{status}\",\"source\":").into_bytes();
    source(known, now, &mut out);
    out.push(b'}');
    let mut response = json(out);
    if !is_ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// What the API is.
pub(super) async fn openapi(State(app): State<Arc<App>>) -> Response {
    openapi::respond(app.settings.wire)
}

/// Counters and gauges.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let mut response = Response::new((app.metrics)().into());
    response.headers_mut().insert(header::CONTENT_TYPE, METRICS);
    response
}
