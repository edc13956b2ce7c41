//! Why a call has no result, and what helps.

use std::io;

use http::StatusCode;

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Nobody listens, or the connection was closed before any byte of a reply.
    #[error("cannot reach Kamailio")]
    Unreachable {
        /// The system's error.
        source: io::Error,
    },
    /// No complete reply in time. Kamailio may have done what was asked.
    #[error("Kamailio did not answer in time")]
    Timeout,
    /// The reply exceeds the limit.
    #[error("Kamailio's answer is too large")]
    TooLarge,
    /// The request was not sent, since Kamailio could not read it.
    #[error("the request cannot be sent to Kamailio: {0}")]
    Unsendable(&'static str),
    /// The reply is incomplete, or not for this request. Kamailio may have done what was asked.
    #[error("Kamailio's answer cannot be parsed: {0}")]
    Malformed(String),
    /// The answer is of HTTP, and no JSON-RPC.
    #[error("Kamailio's HTTP port answers {status} and not JSON-RPC; {}", help(*status))]
    Http {
        /// Its status.
        status: StatusCode,
    },
    /// Kamailio refused.
    #[error("Kamailio refused with {code}: {message}")]
    Rpc {
        /// The code, usually an HTTP status.
        code: i64,
        /// Its error message.
        message: String,
    },
}

/// A refusal that does not pass by itself: Kamailio's configuration, or ours, must change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lasting {
    /// It has no such method.
    NoMethod,
    /// usrloc has no such table.
    NoTable,
}

impl Lasting {
    /// The one that Kamailio means by this message.
    #[must_use]
    pub fn of(message: &str) -> Option<Self> {
        match message {
            "Method Not Found" => Some(Self::NoMethod),
            "Domain table not found" => Some(Self::NoTable),
            _ => None,
        }
    }

    /// What helps.
    #[must_use]
    pub fn help(self) -> &'static str {
        match self {
            Self::NoMethod => {
                "Kamailio does not have usrloc's JSON-RPC methods: [kamailio] jsonrpc must lead to the Kamailio that loads the module usrloc"
            }
            Self::NoTable => {
                "Kamailio's usrloc does not have this table: [kamailio] table must name the one that save() in kamailio.cfg does"
            }
        }
    }
}

/// What an HTTP status means where JSON-RPC is expected, and what helps.
fn help(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 | 403 | 407 => {
            "it does not let usrlocd in: see event_route[xhttp:request] in kamailio.cfg, mostly its list of addresses"
        }
        300..=399 | 404 | 405 | 410 => {
            "the path in [kamailio] jsonrpc is mostly wrong: it must be the one for which kamailio.cfg calls jsonrpc_dispatch()"
        }
        _ => "see Kamailio's log, and whether [kamailio] jsonrpc is Kamailio's address",
    }
}

impl Fault {
    /// Its kind, in a word for metrics. "Not found" is an answer like others, and counts as `refused`.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Timeout => "timeout",
            Self::TooLarge | Self::Malformed(_) | Self::Http { .. } => "malformed",
            Self::Unsendable(_) => "unsendable",
            Self::Rpc { .. } => "refused",
        }
    }

    /// The system's word on it, where there is one.
    #[must_use]
    pub fn cause(&self) -> Option<String> {
        std::error::Error::source(self).map(ToString::to_string)
    }

    /// Whether nothing listens there, or nothing that talks.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// Whether there was no reply in time.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout)
    }
}
