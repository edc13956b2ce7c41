//! Health: whether the program lives, whether its answers are to be trusted, and what its API is. No registration data.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::App;
use super::api::json;
use super::envelope::source;
use super::openapi;
use crate::view::SourceState;

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
