//! What became of asking a phone, in words for the caller.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Unsendable, WAITING};
use crate::kamailio::{Fault, Heard};
use crate::metrics::Notified;

const NO_TM: &str = "Kamailio cannot send requests by JSON-RPC: add loadmodule \"tm.so\" to kamailio.cfg and restart it";
const WITHDRAWN: &str = "not sent: the caller's permission for the account was withdrawn meanwhile";

/// What Kamailio says where it finds no way: a host without an address, a `tel:` URI.
const NO_WAY: &str = "I'm terribly sorry";

/// What became of asking one phone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// It answered.
    Answered {
        /// Its status code.
        code: u16,
        /// Its reason phrase.
        reason: String,
    },
    /// It did not answer.
    Silent {
        /// Within this time; `None`: until Kamailio's own timer ran out.
        within: Option<Duration>,
    },
    /// It was not asked, or it is not known whether it was: why.
    Failed(String),
}

impl Outcome {
    /// The phone's status code.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Answered { code, .. } => Some(*code),
            Self::Silent { .. } | Self::Failed(_) => None,
        }
    }

    /// The phone's reason phrase, or why there is none.
    #[must_use]
    pub fn reason(&self) -> Cow<'_, str> {
        match self {
            Self::Answered { reason, .. } | Self::Failed(reason) => reason.into(),
            Self::Silent {
                within: Some(within),
            } => format!("no reply within {} s", within.as_secs_f64()).into(),
            Self::Silent { within: None } => "no reply".into(),
        }
    }

    /// Whether the phone accepted.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.counted() == Notified::Accepted
    }

    /// Whether nothing came back from a phone that was asked.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        matches!(self, Self::Silent { .. })
    }

    /// As what it counts.
    #[must_use]
    pub fn counted(&self) -> Notified {
        match self {
            Self::Answered { code, .. } if (200..300).contains(code) => Notified::Accepted,
            Self::Answered { .. } => Notified::Refused,
            Self::Silent { .. } => Notified::Silent,
            Self::Failed(_) => Notified::Failed,
        }
    }

    pub(super) fn not_named(id: i64) -> Self {
        Self::Failed(format!(
            "the phone is registered at the Kamailio with server_id {id}, which [kamailio] jsonrpc does not name"
        ))
    }

    pub(super) fn busy() -> Self {
        Self::Failed(format!(
            "not sent: {WAITING} phones are being waited for, or over a datagram socket another call; try again in half a minute"
        ))
    }

    pub(super) fn withdrawn() -> Self {
        Self::Failed(WITHDRAWN.to_owned())
    }

    pub(super) fn aborted() -> Self {
        Self::Failed("usrlocd failed; see its log".to_owned())
    }

    /// What a fault of Kamailio's means. The caller reads our words only.
    pub(super) fn of_fault(fault: &Fault) -> Self {
        let reason = match fault {
            Fault::Rpc { message, .. } if message == "Method Not Found" => NO_TM.to_owned(),
            Fault::Rpc { message, .. } if message.starts_with(NO_WAY) => {
                "Kamailio finds no way to the contact: it is not a SIP URI, or its host has no address"
                    .to_owned()
            }
            Fault::Rpc { message, .. } if message.starts_with("No local socket") => {
                "Kamailio does not listen on the socket by which the phone registered".to_owned()
            }
            Fault::Rpc { message, .. } => format!("Kamailio refused the request: {message}"),
            Fault::Malformed(_) => {
                "Kamailio's answer cannot be parsed; the phone may have been notified".to_owned()
            }
            Fault::Timeout => {
                "Kamailio did not answer in time; the phone may have been notified".to_owned()
            }
            Fault::Unreachable { .. }
            | Fault::TooLarge
            | Fault::Unsendable(_)
            | Fault::Http { .. } => fault.to_string(),
        };
        Self::Failed(reason)
    }
}

impl From<Heard> for Outcome {
    fn from(heard: Heard) -> Self {
        match heard {
            Heard::Phone { code, reason } => Self::Answered { code, reason },
            Heard::Nothing => Self::Silent { within: None },
            Heard::Kamailio { code, reason } => {
                Self::Failed(format!("Kamailio could not send it: {code} {reason}"))
            }
        }
    }
}

impl From<Unsendable> for Outcome {
    fn from(why: Unsendable) -> Self {
        Self::Failed(why.to_string())
    }
}
