//! What usrlocd counts about itself, for `/metrics`.
//!
//! Recording is cheap: its caller holds the counter, and no text is made. State, as opposed to events (registrations,
//! the source, the process), is set at each scrape. No label ever has a user name, contact or address; account ids
//! only where the configuration asks for them.

mod events;
mod fleet;
mod flush;
mod http;
mod kamailio;
mod notify;
mod process;
mod reader;
mod source;
mod store;
mod text;
mod webhook;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

pub use self::notify::{Notified, Notifies};
pub use events::{EventFigures, Events};
pub use fleet::{Fleet, IntentState};
pub use flush::{Flushes, Scope};
pub use http::{Bucket, Http, Open, Refusal, Template};
pub use kamailio::Kamailio;
pub use reader::{FleetFigures, NodeFigures};
pub use source::{Accounts, Figures, Source, TailCounts};
pub use store::Store;
pub use webhook::Webhooks;

use crate::clock::Clock;
use process::Process;
use reader::Reader;

/// Names and values of labels, both known at compile time.
type Labels = Vec<(&'static str, &'static str)>;

/// The formats of `/metrics`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Prometheus' text format 0.0.4.
    Prometheus,
    /// `OpenMetrics` 1.0.
    OpenMetrics,
}

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    clock: Arc<dyn Clock>,
    registry: Registry,
    /// One scrape at a time: each sets the gauges first.
    scrape: Mutex<()>,
    process: Process,
    /// Kamailio's tables and the registrations made of them.
    pub source: Source,
    /// The store.
    pub store: Store,
    /// Calls to Kamailio.
    pub kamailio: Kamailio,
    /// What became of registrations.
    pub events: Arc<Events>,
    /// Flushes.
    pub flushes: Flushes,
    /// What is published to the fleet.
    pub fleet: Fleet,
    reader: Reader,
    /// Phones that were asked to act.
    pub notified: Notifies,
    /// The API.
    pub http: Http,
    /// Webhooks.
    pub webhooks: Webhooks,
}

impl Metrics {
    /// Nothing is counted yet. `version` and `revision` are those of the build.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, version: &'static str, revision: &'static str) -> Arc<Self> {
        let mut registry = Registry::with_prefix("usrlocd");
        let mut book = Book(&mut registry);
        let build = book.gauges("build_info", "Always 1; the labels say what runs");
        build
            .get_or_create(&vec![
                ("version", version),
                ("revision", revision),
                ("rustc", env!("USRLOCD_RUSTC")),
            ])
            .set(1);
        Arc::new(Self {
            source: Source::new(&mut book),
            store: Store::new(&mut book),
            kamailio: Kamailio::new(&mut book),
            events: Arc::new(Events::new(&mut book)),
            flushes: Flushes::new(&mut book),
            fleet: Fleet::new(&mut book),
            reader: Reader::new(&mut book),
            notified: Notifies::new(&mut book),
            http: Http::new(&mut book),
            webhooks: Webhooks::new(&mut book),
            process: Process::new(&mut book, clock.unix()),
            clock,
            registry,
            scrape: Mutex::new(()),
        })
    }

    /// The present moment, to measure how long something takes.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// How long ago `then` was, which [`now`](Self::now) gave.
    #[must_use]
    pub fn since(&self, then: Duration) -> Duration {
        self.clock.monotonic().saturating_sub(then)
    }

    /// All of it, with the figures of this moment.
    #[must_use]
    pub fn text(&self, format: Format, figures: &Figures) -> String {
        let _one_at_a_time = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        self.source.set(figures);
        self.events.set(&figures.events);
        if let Some(fleet) = &figures.fleet {
            self.reader.set(fleet);
        }
        self.process.look();
        self.webhooks.look(self.clock.unix());
        let mut out = String::with_capacity(16 << 10);
        // Writing to a string does not fail.
        let _ = encode(&mut out, &self.registry);
        match format {
            Format::OpenMetrics => out,
            Format::Prometheus => text::prometheus(&out),
        }
    }
}

/// Registers metrics as they are made.
struct Book<'a>(&'a mut Registry);

impl Book<'_> {
    fn enter<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }

    fn counter(&mut self, name: &str, help: &str) -> Counter {
        self.enter(name, help, Counter::default())
    }

    fn counters(&mut self, name: &str, help: &str) -> Family<Labels, Counter> {
        self.enter(name, help, Family::default())
    }

    fn gauge(&mut self, name: &str, help: &str) -> Gauge {
        self.enter(name, help, Gauge::default())
    }

    fn gauges(&mut self, name: &str, help: &str) -> Family<Labels, Gauge> {
        self.enter(name, help, Family::default())
    }

    /// A histogram without labels.
    fn histogram(&mut self, name: &str, help: &str, bounds: &[f64]) -> Histogram {
        self.enter(name, help, Histogram::new(bounds.iter().copied()))
    }

    fn histograms(
        &mut self,
        name: &str,
        help: &str,
        make: fn() -> Histogram,
    ) -> Family<Labels, Histogram, fn() -> Histogram> {
        self.enter(name, help, Family::new_with_constructor(make))
    }
}

fn set(gauge: &Gauge, value: usize) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

#[cfg(test)]
mod tests;
