//! What the store is given and gives back.

use std::time::Duration;

use crate::registration::{Hidden, Key, Stored, Tombstone};

/// A line of the audit that is there: a flush's, or a NOTIFY's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AuditId(pub(super) i64);

impl AuditId {
    /// Its number; later lines have greater ones.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0.unsigned_abs()
    }
}

/// One line of the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// When, Unix seconds.
    pub at: i64,
    /// The name of the token, never the token.
    pub token: String,
    /// The caller's address, or user on the Unix socket.
    pub client: String,
    /// The request's id.
    pub request_id: String,
    /// The account whose registrations were flushed, or whose phones were asked.
    pub account: Option<String>,
    /// The user, where it was one user.
    pub username: Option<String>,
    /// The filters, as a query string.
    pub filters: String,
    /// What phones were asked; `None`: registrations were flushed.
    pub event: Option<String>,
    /// How many bindings went, or phones answered 2xx.
    pub done: u64,
    /// How many did not.
    pub failed: u64,
    /// When it ended, Unix seconds; `None` while it is under way, and if usrlocd ended first.
    pub ended: Option<i64>,
}

/// What changed since the last batch. What is removed goes before what is upserted comes.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Registrations that are there, whether new or not; each once.
    pub upserts: Vec<Stored>,
    /// Registrations whose rows are gone.
    pub removed: Vec<Key>,
    /// Users to remember; the latest time of each counts.
    pub departed: Vec<Tombstone>,
    /// Rows that are hidden no longer, as they were hidden.
    pub unhidden: Vec<Hidden>,
    /// Users who departed before this Unix second are forgotten.
    pub forget_departed_before: i64,
    /// With this batch the store equals Kamailio's tables as they were at this moment, since the Unix epoch.
    pub as_of: Option<Duration>,
    /// With this batch every registration belongs to its account by the rules with this hash. Counts with `as_of`
    /// only.
    pub owners: Option<u64>,
}

/// Everything that is kept, but for the audit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    /// The registrations, in no particular order.
    pub registrations: Vec<Stored>,
    /// Users who departed, the earliest first.
    pub departed: Vec<Tombstone>,
    /// Hidden rows, the earliest first.
    pub hidden: Vec<Hidden>,
    /// Rows that a flush was about to remove when the program ended, the earliest first.
    pub intents: Vec<Hidden>,
    /// The last moment, since the Unix epoch, at which this was known to equal Kamailio's tables.
    pub as_of: Option<Duration>,
}
