//! Health: whether the program lives, whether its answers are to be trusted, and what its API is. No registration data.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::http::App;
use crate::http::api::openapi;
use crate::http::api::{allowed, json, refuse};
use crate::http::error::Error;
use crate::http::request::request_id::RequestId;
use crate::http::response::envelope::source;
use crate::registration::item::write_json_string;
use crate::registry::{Freshness, Registry, SourceState, Starting};

/// The methods of these resources.
const METHODS: &str = "GET, HEAD, OPTIONS";

/// The process answers.
pub(crate) async fn livez() -> Response {
    json("{\"status\":\"ok\"}")
}

/// The registry has what Kamailio's tables have, closely enough; if not, the body says why.
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Response {
    let (known, max_lag) = (app.registry.source(), app.settings.max_lag);
    let readiness = readiness(&app.registry, known, max_lag);
    let mut out = format!("{{\"max_lag_ms\":{},", max_lag.as_millis()).into_bytes();
    let status = match &readiness {
        Readiness::Ready => "ok",
        Readiness::Starting(starting) => {
            let Starting {
                restored,
                total,
                read,
            } = starting;
            write_reason(&why_starting(*starting), &mut out);
            out.extend_from_slice(
                format!("\"read\":{read},\"restored\":{restored},\"total\":{total},").as_bytes(),
            );
            "starting"
        }
        Readiness::Unavailable(reason) => {
            write_reason(reason, &mut out);
            "unavailable"
        }
    };
    out.extend_from_slice(b"\"source\":");
    source(known, &mut out);
    out.extend_from_slice(format!(",\"status\":\"{status}\"}}").as_bytes());
    let mut response = json(out);
    if status != "ok" {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

fn write_reason(reason: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"reason\":");
    write_json_string(reason, out);
    out.push(b',');
}

/// Whether the answers are to be trusted.
enum Readiness {
    Ready,
    /// Not yet, and nothing is wrong.
    Starting(Starting),
    /// They are not, and why, for an operator; names no file and no one.
    Unavailable(String),
}

fn readiness(registry: &Registry, known: Freshness, max_lag: Duration) -> Readiness {
    let reason = match (known.state, registry.trouble(), registry.starting()) {
        (SourceState::Unavailable, Some(trouble), _) => {
            format!("Kamailio's tables cannot be read: {trouble}. Run `usrlocd doctor`.")
        }
        (SourceState::Stale, Some(trouble), _) => format!(
            "Kamailio's tables cannot be read; the last known rows are served: {trouble}. Run `usrlocd doctor`."
        ),
        (SourceState::Stale, None, _) => {
            "Kamailio's tables cannot be read now; the last known rows are served. Run `usrlocd doctor` to see why."
                .to_owned()
        }
        (_, _, Some(starting)) => return Readiness::Starting(starting),
        (SourceState::Unavailable, None, None) => {
            "Kamailio's tables have never been read. Run `usrlocd doctor` to see why.".to_owned()
        }
        (SourceState::Live | SourceState::CatchingUp, _, None) => match known.lag {
            None => "Kamailio's tables are being compared row by row for the first time. Wait; it takes seconds."
                .to_owned(),
            Some(lag) if lag > max_lag => format!(
                "What is known of Kamailio's tables is {} ms old; [http] max_lag allows {} ms.",
                lag.as_millis(),
                max_lag.as_millis(),
            ),
            Some(_) => return Readiness::Ready,
        },
    };
    Readiness::Unavailable(reason)
}

/// What is being done, and how far it has come.
fn why_starting(starting: Starting) -> String {
    format!("usrlocd is starting: {starting}.")
}

/// What the API is.
pub(crate) async fn openapi(State(app): State<Arc<App>>) -> Response {
    openapi::respond(app.settings.wire)
}

/// Which methods there are.
pub(crate) async fn options() -> Response {
    allowed(METHODS)
}

/// Answers every other method.
pub(crate) async fn method_not_allowed(
    State(app): State<Arc<App>>,
    Extension(id): Extension<RequestId>,
) -> Response {
    let allow = METHODS;
    refuse(&app, &id, &Error::MethodNotAllowed { allow }, false)
}
