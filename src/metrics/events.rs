//! What became of registrations, and the phones that flap.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::{Book, Labels};

/// Bounds of the time that a registration lasts, in seconds: from a lost connection to months.
const LIFETIME: &[f64] = &[
    1.0,
    10.0,
    60.0,
    300.0,
    900.0,
    3600.0,
    14_400.0,
    86_400.0,
    604_800.0,
    2_592_000.0,
];

/// What is counted of events.
#[derive(Debug)]
pub struct Events {
    terminated: Family<Labels, Counter>,
    lifetime: Histogram,
    bursts: Family<Labels, Counter>,
    flapping: Gauge,
    unstable: Gauge,
    kept: Gauge,
    bytes: Gauge,
    oldest: Gauge,
    streams: Gauge,
}

/// What is kept of events, and how many phones flap.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EventFigures {
    /// Phones that flap.
    pub flapping: usize,
    /// Phones that were lost often within 24 hours.
    pub unstable: usize,
    /// Events in the history.
    pub kept: u64,
    /// Its bytes on disk.
    pub bytes: u64,
    /// When the oldest of them happened, Unix seconds; 0 where there is none.
    pub oldest: u64,
    /// Streams of changes that are open.
    pub streams: usize,
}

impl Events {
    pub(super) fn new(book: &mut Book<'_>) -> Self {
        let new = Self {
            terminated: book.counters(
                "registration_terminated",
                "Registrations that ended, by reason",
            ),
            lifetime: book.histogram(
                "registration_lifetime_seconds",
                "How long registrations lasted that ended",
                LIFETIME,
            ),
            bursts: book.counters(
                "bursts",
                "Bursts of losses, by what the phones had in common",
            ),
            flapping: book.gauge("flapping", "Phones that are flapping"),
            unstable: book.gauge("unstable", "Phones that were lost often within 24 hours"),
            kept: book.gauge("history_events", "Events in the history"),
            bytes: book.gauge("history_bytes", "Size of the history on disk"),
            oldest: book.gauge(
                "history_oldest_timestamp_seconds",
                "Time of the oldest event in the history; 0 if it is empty",
            ),
            streams: book.gauge("event_streams", "Open event streams"),
        };
        for reason in ["expired", "flushed", "replaced", "removed"] {
            let _ = new.terminated.get_or_create(&vec![("reason", reason)]);
        }
        for group in ["proxy", "source", "account", "all"] {
            let _ = new.bursts.get_or_create(&vec![("group", group)]);
        }
        new
    }

    /// A registration ended that lasted so many seconds, as far as known.
    pub fn terminated(&self, reason: &'static str, lasted: Option<u64>) {
        let _ = self
            .terminated
            .get_or_create(&vec![("reason", reason)])
            .inc();
        if let Some(lasted) = lasted {
            self.lifetime
                .observe(std::time::Duration::from_secs(lasted).as_secs_f64());
        }
    }

    /// There was a burst.
    pub fn burst(&self, group: &'static str) {
        let _ = self.bursts.get_or_create(&vec![("group", group)]).inc();
    }

    /// How things stand now.
    pub(super) fn set(&self, figures: &EventFigures) {
        let set = |gauge: &Gauge, value: u64| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        set(&self.flapping, figures.flapping as u64);
        set(&self.unstable, figures.unstable as u64);
        set(&self.kept, figures.kept);
        set(&self.bytes, figures.bytes);
        set(&self.oldest, figures.oldest);
        set(&self.streams, figures.streams as u64);
    }
}
