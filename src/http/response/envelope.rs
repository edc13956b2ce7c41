//! The envelope around the data of every answer.

use std::time::Duration;

use serde_json::Value;

use super::fleet;
use crate::fleet::nodes::Nodes;
use crate::http::error::Error;
use crate::http::request::secret::Secret;
use crate::registration::item::json::write_string;
use crate::registry::{Freshness, SourceState};

/// What the envelopes of successes and errors have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope<'a> {
    /// The request's id.
    pub(crate) request_id: &'a str,
    /// The name of this machine.
    pub(crate) node: &'a str,
    /// Our version.
    pub(crate) version: &'a str,
    /// The time, since the Unix epoch.
    pub(crate) now: Duration,
    /// How fresh the answer is.
    pub(crate) source: Source<'a>,
}

/// Whose answer it is, and how well that is known to match Kamailio's tables.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    /// This node's.
    Node(Freshness),
    /// The fleet's.
    Fleet(&'a Nodes),
}

/// What a success has beside its data.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Success<'a> {
    /// The token, as given by the caller.
    pub(crate) auth_token: Option<Secret<'a>>,
    /// How many items the page has.
    pub(crate) page_size: Option<usize>,
    /// Changes with the content.
    pub(crate) revision: &'a str,
    /// Where the page starts, as given by the caller.
    pub(crate) start_key: Option<&'a str>,
    /// Where the next page starts.
    pub(crate) next_start_key: Option<&'a str>,
    /// When the oldest event that is kept happened.
    pub(crate) oldest: Option<&'a str>,
}

impl Envelope<'_> {
    /// Writes what comes before the data of a success.
    pub(crate) fn open(success: &Success<'_>, out: &mut Vec<u8>) {
        out.push(b'{');
        if let Some(token) = success.auth_token {
            text(out, "auth_token", token.reveal());
        }
        out.extend_from_slice(b"\"data\":");
    }

    /// Writes what comes after the data of a success.
    pub(crate) fn close(&self, success: &Success<'_>, out: &mut Vec<u8>) {
        out.push(b',');
        if let Some(key) = success.next_start_key {
            text(out, "next_start_key", key);
        }
        if let Some(oldest) = success.oldest {
            text(out, "oldest", oldest);
        }
        if let Some(size) = success.page_size {
            out.extend_from_slice(b"\"page_size\":");
            out.extend_from_slice(itoa::Buffer::new().format(size).as_bytes());
            out.push(b',');
        }
        text(out, "revision", success.revision);
        if let Some(key) = success.start_key {
            text(out, "start_key", key);
        }
        self.common("success", out);
        out.push(b'}');
    }

    /// The whole envelope of an error.
    pub(crate) fn error(&self, error: &Error) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(b"{\"data\":");
        value(&mut out, &error.data());
        out.push(b',');
        text(&mut out, "error", error.status().as_str());
        text(&mut out, "message", error.message());
        self.common("error", &mut out);
        out.push(b'}');
        out
    }

    /// The keys that success and error share, without a last comma.
    fn common(&self, status: &str, out: &mut Vec<u8>) {
        text(out, "node", self.node);
        text(out, "request_id", self.request_id);
        out.extend_from_slice(b"\"source\":");
        self.source(out);
        out.push(b',');
        text(out, "status", status);
        text(out, "timestamp", &timestamp(self.now));
        text(out, "version", self.version);
        out.pop();
    }

    fn source(&self, out: &mut Vec<u8>) {
        match self.source {
            Source::Node(freshness) => source(freshness, out),
            Source::Fleet(nodes) => value(out, &fleet::source(nodes)),
        }
    }
}

/// Writes `{"state", "as_of", "lag_ms"}`: how well the registry is known to match Kamailio's tables.
pub(crate) fn source(source: Freshness, out: &mut Vec<u8>) {
    out.push(b'{');
    if let (Some(as_of), Some(lag)) = (source.as_of, source.lag) {
        let mut digits = itoa::Buffer::new();
        out.extend_from_slice(b"\"as_of\":");
        out.extend_from_slice(digits.format(as_of.as_secs()).as_bytes());
        // Three digits, the first of which would be lost if it were 0.
        let millis = digits.format(1000 + as_of.subsec_millis());
        out.push(b'.');
        out.extend_from_slice(&millis.as_bytes()[1..]);
        out.extend_from_slice(b",\"lag_ms\":");
        out.extend_from_slice(digits.format(lag.as_millis()).as_bytes());
        out.push(b',');
    }
    text(out, "state", SourceState::as_str(source.state));
    out.pop();
    out.push(b'}');
}

/// ISO 8601 in UTC, in whole seconds, as Kazoo writes it.
fn timestamp(now: Duration) -> String {
    i64::try_from(now.as_secs())
        .ok()
        .and_then(|second| jiff::Timestamp::from_second(second).ok())
        .unwrap_or_default()
        .to_string()
}

/// `"name":"text",`
fn text(out: &mut Vec<u8>, name: &str, text: &str) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    write_string(text, out);
    out.push(b',');
}

fn value(out: &mut Vec<u8>, value: &Value) {
    serde_json::to_writer(out, value).expect("writing to memory does not fail");
}
