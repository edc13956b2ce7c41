//! Why an address of record is not flushed, and what its caller reads about it.

use super::turn::quiet::Locked;
use super::{Failure, FailureKind};
use crate::consumers::store;
use crate::kamailio::{Fault, Lasting};
use crate::registration::Text;

const WITHDRAWN: &str =
    "not removed: the caller's permission to flush the account was withdrawn meanwhile";
const NOT_ASKED: &str = "not attempted, because Kamailio had stopped answering";
const LOCKED: &str = "another program has held a lock on Kamailio's database for 10 s, so Kamailio could not have \
     deleted the row; nothing was removed. Try again once the lock is released";
const RESTARTED: &str = "not removed: Kamailio was restarted during the flush; try again";
const MISREAD: &str = "not removed: Kamailio reads this address of record as another one (usrloc's use_domain or \
     the registrar's case_sensitive has changed since the row was written)";
const TOO_LONG_FOR_A_DATAGRAM: &str = "Kamailio's reply about this user exceeds the 128 KiB that a datagram can carry, \
     so Kamailio drops it; set [kamailio] jsonrpc to its HTTP address (http://...), or flush the whole user";
const TOO_LONG_FOR_HTTP: &str = "Kamailio's reply about this user is too long for its private memory or for usrlocd \
     (8 MiB); start Kamailio with more private memory (-M), or flush the whole user";

/// Why an address of record is not flushed.
#[derive(Debug)]
pub(super) enum NotFlushed {
    /// Nothing that was picked is listed and the account's any more.
    NothingLeft,
    /// Kamailio was not asked: it has stopped answering.
    GivenUp(FailureKind),
    /// Kamailio was not asked: the caller may not flush the account any more.
    Withdrawn,
    /// Kamailio was not asked: it could not have written its database.
    Locked,
    /// Kamailio was not asked: it is not the one that had the contacts.
    Restarted,
    /// Kamailio takes the address of record for another one.
    Misread,
    /// Kamailio's reply is longer than its way to us allows.
    TooLong {
        /// Whether the way is a datagram socket.
        datagram: bool,
    },
    /// Kamailio could not be asked, or refused.
    Fault(Fault),
    /// What was about to be removed could not be written to the store first.
    Store(store::Error),
}

impl NotFlushed {
    /// What the caller reads about it; `None` where nothing is missing.
    pub(super) fn failure(&self, aor: &Text) -> Option<Failure> {
        let (kind, reason) = match self {
            Self::NothingLeft | Self::Store(_) => return None,
            Self::Fault(fault) => return Some(of_fault(aor, fault)),
            Self::GivenUp(kind) => (*kind, NOT_ASKED),
            Self::Withdrawn => (FailureKind::Withdrawn, WITHDRAWN),
            Self::Locked => (FailureKind::Unconfirmed, LOCKED),
            Self::Restarted => (FailureKind::Unconfirmed, RESTARTED),
            Self::Misread => (FailureKind::Unconfirmed, MISREAD),
            Self::TooLong { datagram: true } => (FailureKind::Unconfirmed, TOO_LONG_FOR_A_DATAGRAM),
            Self::TooLong { datagram: false } => (FailureKind::Unconfirmed, TOO_LONG_FOR_HTTP),
        };
        Some(failure(aor, kind, reason))
    }
}

/// What a fault of Kamailio's means for an address of record. The caller reads our words only.
pub(super) fn of_fault(aor: &Text, fault: &Fault) -> Failure {
    let (kind, reason) = match fault {
        Fault::Unreachable { .. } => (FailureKind::Unreachable, "Kamailio cannot be reached"),
        Fault::Timeout => (FailureKind::Timeout, "Kamailio did not answer in time"),
        Fault::TooLarge => (FailureKind::Unconfirmed, "Kamailio's answer is too large"),
        Fault::Unsendable(why) => {
            let reason = format!("the request cannot be sent to Kamailio: {why}");
            return unconfirmed(aor, &reason);
        }
        Fault::Malformed(_) => (
            FailureKind::Unconfirmed,
            "Kamailio's answer cannot be parsed",
        ),
        Fault::Http { .. } => return unconfirmed(aor, &fault.to_string()),
        Fault::Rpc { message, .. } if let Some(lasting) = Lasting::of(message) => {
            return unconfirmed(aor, lasting.help());
        }
        Fault::Rpc { .. } => (
            FailureKind::Unconfirmed,
            "Kamailio refused; usrlocd's log has its error message at level notice. Try again",
        ),
    };
    failure(aor, kind, reason)
}

/// The failure of an address of record that is not confirmed to be flushed.
pub(super) fn unconfirmed(aor: &Text, reason: &str) -> Failure {
    failure(aor, FailureKind::Unconfirmed, reason)
}

fn failure(aor: &Text, kind: FailureKind, reason: &str) -> Failure {
    Failure {
        aor: aor.clone(),
        reason: reason.to_owned(),
        kind,
        node: None,
    }
}

impl From<Fault> for NotFlushed {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Locked> for NotFlushed {
    fn from(_: Locked) -> Self {
        Self::Locked
    }
}
