//! Webhooks: what was sent, how long it took, and how far each is behind.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::Book;

/// The hook's name, and what else tells a series.
type Labels = Vec<(&'static str, String)>;

/// How a request can end.
const OUTCOMES: [&str; 6] = [
    "delivered",
    "gone",
    "not_public",
    "refused",
    "timeout",
    "unreachable",
];

/// Bounds of the time that a request takes, in seconds.
const REQUEST: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// What is counted of webhooks.
#[derive(Debug)]
pub struct Webhooks {
    requests: Family<Labels, Counter>,
    duration: Family<Labels, Histogram, fn() -> Histogram>,
    lag: Family<Labels, Gauge<f64, AtomicU64>>,
    off: Family<Labels, Gauge>,
    /// When the oldest event that waits was seen, in milliseconds since the Unix epoch, by hook.
    waiting: Mutex<BTreeMap<String, Option<u64>>>,
}

impl Webhooks {
    pub(super) fn new(book: &mut Book<'_>) -> Self {
        Self {
            requests: book.enter(
                "webhook_requests",
                "Webhook requests by hook and outcome",
                Family::default(),
            ),
            duration: book.enter(
                "webhook_request_duration_seconds",
                "Duration of webhook requests",
                Family::new_with_constructor(|| Histogram::new(REQUEST.iter().copied())),
            ),
            lag: book.enter(
                "webhook_lag_seconds",
                "Age of the oldest undelivered event; 0 if there is none",
                Family::default(),
            ),
            off: book.enter(
                "webhook_off",
                "1 if the receiver answered 410 and gets nothing until the configuration changes",
                Family::default(),
            ),
            waiting: Mutex::default(),
        }
    }

    /// A hook is there, switched off or not.
    pub fn started(&self, hook: &str, is_off: bool) {
        // There from the start: of a series that begins with 1 Prometheus sees no increase.
        for outcome in OUTCOMES {
            drop(self.requests.get_or_create(&with(hook, outcome)));
        }
        drop(self.duration.get_or_create(&of(hook)));
        self.off.get_or_create(&of(hook)).set(is_off.into());
        self.waits(hook, None);
    }

    /// A hook is there no more.
    pub fn ended(&self, hook: &str) {
        for outcome in OUTCOMES {
            self.requests.remove(&with(hook, outcome));
        }
        self.duration.remove(&of(hook));
        self.off.remove(&of(hook));
        self.waiting().remove(hook);
        self.lag.remove(&of(hook));
    }

    /// A request ended so, after this time. `outcome` is one of a fixed few words.
    pub fn requested(&self, hook: &str, outcome: &'static str, took: Duration) {
        self.requests.get_or_create(&with(hook, outcome)).inc();
        self.duration
            .get_or_create(&of(hook))
            .observe(took.as_secs_f64());
    }

    /// When the oldest event that waits was seen, in milliseconds since the Unix epoch; `None` where none waits.
    pub fn waits(&self, hook: &str, since: Option<u64>) {
        self.waiting().insert(hook.to_owned(), since);
    }

    /// Sets how far each hook is behind at `now`, since the Unix epoch.
    pub(super) fn look(&self, now: Duration) {
        for (hook, since) in &*self.waiting() {
            let since = since.map_or(now, Duration::from_millis);
            let lag = now.saturating_sub(since).as_secs_f64();
            self.lag.get_or_create(&of(hook)).set(lag);
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Option<u64>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of(hook: &str) -> Labels {
    vec![("hook", hook.to_owned())]
}

fn with(hook: &str, outcome: &str) -> Labels {
    vec![("hook", hook.to_owned()), ("outcome", outcome.to_owned())]
}
