//! API errors: why a request is refused or fails, in Kazoo's spelling.
//!
//! The mapping to status, message and data is exhaustive. No error holds a driver's text, a path of the system or a token, so
//! that none can reach a caller.

mod problem;

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use thiserror::Error;

pub(crate) use problem::Problem;

use crate::flush::Failure;

/// How many failures of a flush are named.
const NAMED_FAILURES: usize = 100;

/// An error that the API answers with.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum Error {
    /// `Host` names another machine.
    #[error(
        "the Host header names another machine: use an address, localhost or this machine's name, or add the name to [http] hosts"
    )]
    Misdirected,
    /// There is no `Host`, or more than one.
    #[error("a request must have exactly one Host header")]
    BadHost,
    /// A page of another site would change something.
    #[error("the request comes from a page of another site")]
    CrossSite,
    /// The head is not HTTP.
    #[error("malformed HTTP/1.1 request")]
    HeadUnreadable,
    /// The request line is longer than allowed.
    #[error("path and query are too long")]
    UriTooLong,
    /// The head is larger than allowed.
    #[error("header too large")]
    HeadTooLarge,
    /// The head did not arrive in time.
    #[error("the header did not arrive in time")]
    HeadTooSlow,
    /// The body is larger than allowed.
    #[error("request body is larger than {limit} bytes")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The body is not JSON.
    #[error("request body is not valid JSON (line {line}, column {column})")]
    BodyNotJson {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// The body could not be read to its end.
    #[error("request body is incomplete")]
    BodyIncomplete,
    /// The body did not arrive in time.
    #[error("request body did not arrive in time")]
    BodyTooSlow,
    /// A parameter is invalid.
    #[error("parameter {name}: {problem}")]
    Parameter {
        /// Its name, as the caller wrote it.
        name: String,
        /// What is wrong with it.
        problem: Problem,
    },
    /// The caller asks too often.
    #[error("too many requests")]
    TooManyRequests {
        /// When to try again.
        retry_after: Duration,
    },
    /// There are too many streams, in all or of the caller.
    #[error("too many streams are open")]
    TooManyStreams {
        /// When to try again.
        retry_after: Duration,
    },
    /// There is no valid token.
    #[error("invalid credentials")]
    InvalidCredentials,
    /// The caller lacks the right.
    #[error("forbidden")]
    Forbidden,
    /// The caller does not have exactly one account, and names none.
    #[error("the token does not have exactly one account; name the account in the path")]
    Ambiguous {
        /// Those that the caller may see; all where there is none.
        accounts: Vec<String>,
    },
    /// The account is not known.
    #[error("no such account")]
    UnknownAccount {
        /// Its id.
        id: String,
    },
    /// The SIP user is not known.
    #[error("no such user")]
    UnknownUser {
        /// The name as sent.
        username: String,
    },
    /// The device is not known.
    #[error("no such device")]
    UnknownDevice {
        /// Its id.
        id: String,
    },
    /// The fleet has no such node.
    #[error("no such node")]
    UnknownNode {
        /// Its name.
        name: String,
    },
    /// The resource has no such method.
    #[error("method not allowed")]
    MethodNotAllowed {
        /// Those that it has.
        allow: &'static str,
    },
    /// There is no resource at the path.
    #[error("not found")]
    NotFound,
    /// Kamailio's tables have never been read.
    #[error("Kamailio's tables have not been read yet")]
    DatastoreUnreachable,
    /// There is no history, or it cannot be read.
    #[error("{0}")]
    NoHistory(NoHistory),
    /// A flush did not remove everything.
    #[error("the flush is incomplete")]
    Flush(Incomplete),
    /// No phone did what it was asked for.
    #[error("no phone accepted the request")]
    Notify(Unheeded),
    /// The fleet's database cannot be read.
    #[error("the fleet's database cannot be reached; ask a node for its own registrations")]
    FleetUnreachable {
        /// The nodes when they were last known.
        nodes: Value,
    },
    /// The fleet's database may only be read.
    #[error(
        "usrlocd may only read the fleet's database, so it cannot ask nodes to act; ask the node"
    )]
    FleetReadOnly,
    /// There are too many connections.
    #[error("too many connections")]
    Overloaded,
    /// A defect in usrlocd.
    #[error("unspecified fault")]
    Fault,
}

/// Why the history cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub(crate) enum NoHistory {
    /// The configuration does not want one.
    #[error("history is off: [history] enabled is false")]
    Off,
    /// Reading it fails.
    #[error("the history cannot be read; see usrlocd's log")]
    Unreadable,
}

/// What a flush did not remove, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Incomplete {
    pub(crate) cause: Cause,
    pub(crate) flushed: u64,
    pub(crate) failed: Vec<Failure>,
}

/// Why a flush is incomplete.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cause {
    /// Kamailio cannot be reached.
    Unreachable,
    /// Kamailio does not answer in time.
    Timeout,
    /// Kamailio answers.
    Unconfirmed,
}

/// Phones that did not do what they were asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Unheeded {
    /// Whether none of them answered at all.
    pub(crate) all_silent: bool,
    /// What became of each.
    pub(crate) data: Value,
}

impl Error {
    /// An invalid parameter.
    pub(crate) fn parameter(name: &str, problem: Problem) -> Self {
        Self::Parameter {
            name: name.to_owned(),
            problem,
        }
    }

    /// The status.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::HeadUnreadable
            | Self::BadHost
            | Self::BodyTooLarge { .. }
            | Self::BodyNotJson { .. }
            | Self::BodyIncomplete
            | Self::Ambiguous { .. }
            | Self::Parameter { .. } => StatusCode::BAD_REQUEST,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::HeadTooSlow | Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooManyRequests { .. } | Self::TooManyStreams { .. } => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::InvalidCredentials => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::CrossSite => StatusCode::FORBIDDEN,
            Self::UnknownAccount { .. }
            | Self::UnknownUser { .. }
            | Self::UnknownDevice { .. }
            | Self::UnknownNode { .. }
            | Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::DatastoreUnreachable
            | Self::NoHistory(_)
            | Self::FleetUnreachable { .. }
            | Self::FleetReadOnly
            | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Flush(incomplete) => match incomplete.cause {
                Cause::Unreachable => StatusCode::SERVICE_UNAVAILABLE,
                Cause::Timeout => StatusCode::GATEWAY_TIMEOUT,
                Cause::Unconfirmed => StatusCode::BAD_GATEWAY,
            },
            Self::Notify(unheeded) if unheeded.all_silent => StatusCode::GATEWAY_TIMEOUT,
            Self::Notify(_) => StatusCode::BAD_GATEWAY,
            Self::Fault => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// `message` of the envelope.
    pub(crate) fn message(&self) -> &'static str {
        match self {
            Self::Misdirected => "misdirected_request",
            Self::HeadUnreadable
            | Self::BadHost
            | Self::BodyTooLarge { .. }
            | Self::BodyNotJson { .. }
            | Self::BodyIncomplete
            | Self::Ambiguous { .. }
            | Self::Parameter { .. } => "validation error",
            Self::UriTooLong => "uri_too_long",
            Self::HeadTooLarge => "header_too_large",
            Self::HeadTooSlow | Self::BodyTooSlow => "request_timeout",
            Self::TooManyRequests { .. } | Self::TooManyStreams { .. } => "too_many_requests",
            Self::InvalidCredentials => "invalid_credentials",
            Self::Forbidden | Self::CrossSite => "forbidden",
            Self::UnknownAccount { .. } | Self::UnknownDevice { .. } | Self::UnknownNode { .. } => {
                "bad_identifier"
            }
            // Kazoo spells it so, with a space, for users alone.
            Self::UnknownUser { .. } => "bad identifier",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed { .. } => "invalid_method",
            Self::DatastoreUnreachable => "datastore_unreachable",
            Self::NoHistory(_) => "history_unavailable",
            Self::FleetUnreachable { .. } => "fleet_unreachable",
            Self::FleetReadOnly => "fleet_read_only",
            Self::Overloaded => "service_unavailable",
            Self::Flush(incomplete) => match incomplete.cause {
                Cause::Unreachable => "kamailio_unreachable",
                Cause::Timeout => "kamailio_timeout",
                Cause::Unconfirmed => "flush_incomplete",
            },
            Self::Notify(unheeded) if unheeded.all_silent => "phone_timeout",
            Self::Notify(_) => "notify_failed",
            Self::Fault => "unspecified_fault",
        }
    }

    /// `data` of the envelope.
    pub(crate) fn data(&self) -> Value {
        match self {
            Self::BodyTooLarge { limit } => json!({"file": {"maxSize": {
                "message": format!("Payload or Files must not be more than {limit} bytes"),
                "target": limit,
            }}}),
            Self::HeadUnreadable | Self::BadHost => {
                json!({"request": {"invalid": {"message": self.to_string()}}})
            }
            Self::BodyNotJson { .. } | Self::BodyIncomplete => json!({"json": {"invalid": {
                "message": self.to_string(),
                "target": "body",
            }}}),
            Self::Parameter { name, problem } => json!({name: {problem.rule(): {
                "message": problem.to_string(),
            }}}),
            // They are the caller's own accounts.
            Self::Ambiguous { accounts } => json!({
                "account_id": {"required": {"message": self.to_string()}},
                "accounts": accounts,
            }),
            Self::UnknownAccount { id }
            | Self::UnknownDevice { id }
            | Self::UnknownNode { name: id } => {
                json!({"cause": id, "message": "bad identifier"})
            }
            Self::UnknownUser { username } => json!([username]),
            Self::Flush(incomplete) => incomplete.data(),
            Self::Notify(unheeded) => unheeded.data.clone(),
            Self::FleetUnreachable { nodes } => {
                json!({"message": self.to_string(), "nodes": nodes})
            }
            Self::DatastoreUnreachable => json!({"message": "datastore timeout"}),
            Self::NoHistory(_)
            | Self::Misdirected
            | Self::CrossSite
            | Self::UriTooLong
            | Self::HeadTooLarge
            | Self::HeadTooSlow
            | Self::BodyTooSlow
            | Self::TooManyRequests { .. }
            | Self::TooManyStreams { .. }
            | Self::InvalidCredentials
            | Self::Forbidden
            | Self::NotFound
            | Self::MethodNotAllowed { .. }
            | Self::FleetReadOnly
            | Self::Overloaded
            | Self::Fault => json!({"message": self.to_string()}),
        }
    }
}

impl Incomplete {
    fn data(&self) -> Value {
        let failed: Vec<_> = self
            .failed
            .iter()
            .take(NAMED_FAILURES)
            .map(|failure| {
                let mut told = json!({"aor": failure.aor.lossy(), "reason": failure.reason});
                if let Some(node) = &failure.node {
                    told["node"] = node.as_str().into();
                }
                told
            })
            .collect();
        json!({"flushed": self.flushed, "failed": failed, "failed_total": self.failed.len()})
    }
}
