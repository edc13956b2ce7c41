//! Health: whether the program lives, whether its answers are to be trusted, and what its API is. No registration data.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::App;
use super::api::{allowed, json, refuse};
use super::envelope::source;
use super::error::Error;
use super::openapi;
use super::request_id::RequestId;
use crate::registration::item::write_json_string;
use crate::view::{Knowledge, SourceState};

/// The methods of these resources.
const METHODS: &str = "GET, HEAD, OPTIONS";

/// The process answers.
pub(super) async fn livez() -> Response {
    json("{\"status\":\"ok\"}")
}

/// The view follows Kamailio's tables closely enough; if not, the body says why.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Response {
    let (known, max_lag) = (app.view.source(), app.settings.max_lag);
    let reason = why_not(known, max_lag);
    let mut out = format!("{{\"max_lag_ms\":{},", max_lag.as_millis()).into_bytes();
    if let Some(reason) = &reason {
        out.extend_from_slice(b"\"reason\":");
        write_json_string(reason, &mut out);
        out.push(b',');
    }
    out.extend_from_slice(b"\"source\":");
    source(known, &mut out);
    let status = if reason.is_none() {
        "ok"
    } else {
        "unavailable"
    };
    out.extend_from_slice(format!(",\"status\":\"{status}\"}}").as_bytes());
    let mut response = json(out);
    if reason.is_some() {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// Why the answers are not to be trusted, for an operator; `None` where they are. Names no file and no one.
fn why_not(known: Knowledge, max_lag: Duration) -> Option<String> {
    match known.state {
        SourceState::Unavailable => Some(
            "Kamailio's tables have never been read. Run `usrlocd doctor` to see why.".to_owned(),
        ),
        SourceState::Stale => Some(
            "Kamailio's tables cannot be read now; the last known rows are served. Run `usrlocd doctor` to see why."
                .to_owned(),
        ),
        SourceState::Live | SourceState::CatchingUp => match known.lag {
            None => Some(
                "Kamailio's tables are being compared row by row for the first time. Wait; it takes seconds."
                    .to_owned(),
            ),
            Some(lag) if lag > max_lag => Some(format!(
                "What is known of Kamailio's tables is {} ms old; [http] max_lag allows {} ms.",
                lag.as_millis(),
                max_lag.as_millis(),
            )),
            Some(_) => None,
        },
    }
}

/// What the API is.
pub(super) async fn openapi(State(app): State<Arc<App>>) -> Response {
    openapi::respond(app.settings.wire)
}

/// Which methods there are.
pub(super) async fn options() -> Response {
    allowed(METHODS)
}

/// Answers every other method.
pub(super) async fn method_not_allowed(
    State(app): State<Arc<App>>,
    Extension(id): Extension<RequestId>,
) -> Response {
    let allow = METHODS;
    refuse(&app, &id, &Error::MethodNotAllowed { allow }, false)
}
