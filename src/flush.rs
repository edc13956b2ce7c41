//! Flush: registrations out of Kamailio's memory, for certain.

use std::sync::Arc;

use crate::registration::{Registration, Text};

/// What is to be flushed, and who asks.
#[derive(Clone, Debug)]
pub struct Request {
    /// The registrations picked, all of one account.
    pub registrations: Vec<Arc<Registration>>,
    /// Further addresses of record (username, domain) that Kamailio is asked to remove although no row of theirs
    /// is listed: those of a known user, whose row may lag behind Kamailio's memory.
    pub further: Vec<(Text, Option<Text>)>,
    /// For the audit.
    pub actor: Actor,
}

/// Who asks for a flush, for the audit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Actor {
    /// Name of the token, or what else the caller was recognized by; never the token.
    pub token: String,
    /// The caller's address.
    pub client: String,
    /// The request's id.
    pub request_id: String,
    /// The account asked for.
    pub account_id: Option<String>,
    /// The user asked for.
    pub username: Option<String>,
    /// The filters asked for, as in the query.
    pub filters: String,
}

/// What became of a flush.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// How many bindings are confirmed to be gone.
    pub flushed: u64,
    /// What could not be confirmed, by address of record.
    pub failed: Vec<Failure>,
}

/// Why an address of record is not confirmed to be flushed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The address of record.
    pub aor: Text,
    /// What happened, for the caller to read.
    pub reason: String,
    /// Its kind.
    pub kind: FailureKind,
}

/// The kinds of failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailureKind {
    /// Kamailio cannot be reached.
    Unreachable,
    /// Kamailio did not answer in time.
    Timeout,
    /// Kamailio answered, and the binding is not confirmed to be gone.
    Unconfirmed,
}
