//! Calls to Kamailio, by method and outcome.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::{Book, Labels};

/// Methods that have a name here; the others, which the configuration names, are `other`.
const METHODS: [&str; 5] = [
    "ul.lookup",
    "ul.rm",
    "ul.rm_contact",
    "core.uptime",
    "core.version",
];

/// Bounds of the time that a call takes, in seconds.
const CALL: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 2.0, 5.0,
];

/// What is counted of calls.
#[derive(Debug)]
pub struct Kamailio {
    calls: Family<Labels, Counter>,
    duration: Family<Labels, Histogram, fn() -> Histogram>,
    up: Family<Labels, Gauge>,
}

impl Kamailio {
    pub(super) fn new(book: &mut Book<'_>) -> Self {
        let calls = book.counters(
            "kamailio_rpc_calls",
            "JSON-RPC calls to Kamailio by method and outcome",
        );
        // There from the start: of a series that begins with 1 Prometheus sees no increase.
        for method in METHODS {
            for outcome in ["ok", "refused", "unreachable", "timeout"] {
                drop(calls.get_or_create(&vec![("method", method), ("outcome", outcome)]));
            }
        }
        Self {
            calls,
            duration: book.histograms(
                "kamailio_rpc_duration_seconds",
                "Duration of calls to Kamailio by method and outcome",
                || Histogram::new(CALL.iter().copied()),
            ),
            up: book.gauges(
                "kamailio_up",
                "1 if Kamailio answered JSON-RPC when it was last asked, every 30 s; 0 if not",
            ),
        }
    }

    /// A call ended so, after this time. `outcome` is one of a fixed few words.
    pub fn called(&self, method: &str, outcome: &'static str, took: Duration) {
        let known = METHODS.into_iter().find(|known| *known == method);
        let method = known.unwrap_or("other");
        self.calls
            .get_or_create(&vec![("method", method), ("outcome", outcome)])
            .inc();
        self.duration
            .get_or_create(&vec![("method", method), ("outcome", outcome)])
            .observe(took.as_secs_f64());
    }

    /// Whether Kamailio answered when it was asked for nothing but that.
    pub fn is_up(&self, answers: bool) {
        self.up.get_or_create(&Labels::new()).set(answers.into());
    }
}
