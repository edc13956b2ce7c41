//! Flushes, by what was asked for and what became of it.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::{Book, Labels, set};

/// Bounds of the time that a flush takes, in seconds.
const FLUSH: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// What a flush was for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// A whole account.
    Account,
    /// One user.
    User,
    /// What filters picked.
    Filtered,
}

/// What is counted of flushes.
#[derive(Debug)]
pub struct Flushes {
    counts: Family<Labels, Counter>,
    bindings: Counter,
    duration: Histogram,
    leftover: Gauge,
    leftover_until: Gauge,
}

impl Flushes {
    pub(super) fn new(book: &mut Book<'_>) -> Self {
        let flushes = book.counters(
            "flushes",
            "Flushes by scope and result: ok, incomplete (Kamailio did not confirm all) or failed",
        );
        // There from the start: of a series that begins with 1 Prometheus sees no increase.
        for scope in ["account", "user", "filtered"] {
            for result in ["ok", "incomplete", "failed"] {
                drop(flushes.get_or_create(&vec![("scope", scope), ("result", result)]));
            }
        }
        Self {
            counts: flushes,
            bindings: book.counter("flushed_bindings", "Bindings confirmed to be removed"),
            duration: book.histogram("flush_duration_seconds", "Duration of flushes", FLUSH),
            leftover: book.gauge(
                "flush_leftover_rows",
                "Rows of flushed registrations that remain in Kamailio's table: its next start would load them again",
            ),
            leftover_until: book.gauge(
                "flush_leftover_until_timestamp_seconds",
                "When the last of these rows expires, in seconds since 1970; 0 if there is none, or one never expires",
            ),
        }
    }

    /// So many rows of flushed registrations stay in Kamailio's table, until this Unix second at most.
    pub fn leftover(&self, rows: usize, until: Option<i64>) {
        set(&self.leftover, rows);
        self.leftover_until.set(until.unwrap_or_default());
    }

    /// A flush ended after this time, with so many bindings gone. `failed` says how many addresses of record were
    /// not confirmed, and is `None` where the flush as a whole failed.
    pub fn ended(&self, scope: Scope, flushed: u64, failed: Option<usize>, took: Duration) {
        let scope = match scope {
            Scope::Account => "account",
            Scope::User => "user",
            Scope::Filtered => "filtered",
        };
        let result = match failed {
            Some(0) => "ok",
            Some(_) => "incomplete",
            None => "failed",
        };
        self.counts
            .get_or_create(&vec![("scope", scope), ("result", result)])
            .inc();
        self.bindings.inc_by(flushed);
        self.duration.observe(took.as_secs_f64());
    }
}
