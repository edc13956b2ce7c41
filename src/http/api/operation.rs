//! What an operator asks for, without a token: whether the process lives, whether its answers can be trusted, its metrics,
//! and what its API is. No registration data.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::response::Response;
use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{metrics, openapi};
use crate::fleet::Status;
use crate::http::error::Error;
use crate::http::request::format::Layout;
use crate::http::request::params::Params;
use crate::http::request::request_id::RequestId;
use crate::http::response::answer::{allowed, json as answer, refuse};
use crate::http::response::envelope::source;
use crate::http::response::fleet as response;
use crate::http::{Answers, App};
use crate::registration::item::json::write_string;
use crate::registry::{Freshness, Registry, SourceState, Starting};

/// The methods of these resources.
const METHODS: &str = "GET, HEAD, OPTIONS";

/// A resource for operators.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operation {
    /// Whether the process answers.
    Livez,
    /// Whether its answers can be trusted.
    Readyz,
    /// Its metrics.
    Metrics,
    /// The description of the API.
    Openapi,
}

impl Operation {
    /// That of this path, if it is one.
    pub(crate) fn at(path: &str) -> Option<Self> {
        Some(match path.strip_suffix('/').unwrap_or(path) {
            "/livez" => Self::Livez,
            "/readyz" => Self::Readyz,
            "/metrics" => Self::Metrics,
            "/openapi.json" => Self::Openapi,
            _ => return None,
        })
    }

    /// Answers a request for it.
    pub(crate) fn answer(self, app: &App, id: &RequestId, request: &Parts) -> Response {
        match request.method {
            Method::GET | Method::HEAD => match self {
                Self::Livez => livez(),
                Self::Readyz => {
                    let query = request.uri.query().unwrap_or_default();
                    readyz(app, Params::parse(query).get("verbose").is_some())
                }
                Self::Metrics => metrics::respond(app, &request.headers),
                Self::Openapi => openapi::respond(app.settings.wire, app.settings.answers),
            },
            Method::OPTIONS => allowed(METHODS),
            _ => {
                let error = Error::MethodNotAllowed { allow: METHODS };
                refuse(app, id, &error, Layout::Compact)
            }
        }
    }
}

/// Says that the process answers.
fn livez() -> Response {
    answer("{\"status\":\"ok\"}")
}

/// Says whether the registry matches Kamailio's tables closely enough, and if not, why.
fn readyz(app: &App, is_verbose: bool) -> Response {
    if app.settings.answers == Answers::OfFleet {
        return readyz_of_fleet(app);
    }
    let (known, max_lag) = (app.registry.source(), max_lag(app));
    let readiness = readiness(&app.registry, known, max_lag);
    let mut out = b"{".to_vec();
    if let Some(publishing) = app.publishing.as_ref().filter(|_| is_verbose) {
        let publishing = publishing_to_fleet(&publishing.borrow());
        out.extend_from_slice(format!("\"fleet\":{publishing},").as_bytes());
    }
    out.extend_from_slice(format!("\"max_lag_ms\":{},", max_lag.as_millis()).as_bytes());
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
    let mut response = answer(out);
    if status != "ok" {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// Says whether the fleet's database can be read, and if not, why.
fn readyz_of_fleet(app: &App) -> Response {
    let fleet = app.fleet.as_ref();
    let nodes = fleet.and_then(|fleet| fleet.last_nodes());
    let trouble = fleet.and_then(|fleet| fleet.trouble());
    let source = nodes.as_deref().map(response::source);
    let reason = match (&trouble, &source) {
        (Some(trouble), _) => Some(trouble.to_string()),
        (None, None) => Some("The fleet's database has not been read yet.".to_owned()),
        (None, Some(_)) => None,
    };
    let status = match reason {
        None => "ok",
        Some(_) => "unavailable",
    };
    let mut body = json!({"status": status});
    if let Some(reason) = reason {
        body["reason"] = reason.into();
    }
    body["source"] = source.unwrap_or_else(|| json!({"state": "unavailable"}));
    let mut response = answer(body.to_string());
    if status != "ok" {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// How publishing to the fleet goes. It is no part of whether this node is ready.
fn publishing_to_fleet(status: &Status) -> Value {
    let mut value = json!({"state": status.as_str()});
    if let Some(reason) = status.reason() {
        value["reason"] = reason.into();
    }
    match status {
        Status::Starting | Status::Comparing => {}
        Status::Publishing {
            clock_offset_ms, ..
        } => {
            value["clock_offset_ms"] = (*clock_offset_ms).into();
        }
        Status::Failing { error, since } => {
            value["kind"] = error.kind().into();
            value["since"] = since.as_secs().into();
        }
    }
    value
}

fn write_reason(reason: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"reason\":");
    write_string(reason, out);
    out.push(b',');
}

/// The lag above which it is not ready.
fn max_lag(app: &App) -> Duration {
    let cycle = Duration::from_millis(app.registry.cycle().load(Ordering::Relaxed));
    let borne = cycle.saturating_mul(app.settings.max_lag_cycles);
    app.settings.max_lag.max(borne)
}

/// Whether the answers can be trusted.
enum Readiness {
    Ready,
    /// Not yet, and nothing is wrong.
    Starting(Starting),
    /// They cannot; the reason, for an operator, names no file and nobody.
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

/// What the start is doing, and how far it has come.
fn why_starting(starting: Starting) -> String {
    format!("usrlocd is starting: {starting}.")
}
