//! What this node publishes to the fleet.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::Book;

/// Bounds of the time that a transaction takes, in seconds.
const COMMIT: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

/// What is counted of publishing. All is 0 where there is no fleet.
#[derive(Debug)]
pub struct Fleet {
    publishing: Gauge,
    fenced: Gauge,
    waiting: Gauge,
    rows: Counter,
    events: Counter,
    events_waiting: Gauge,
    errors: Counter,
    commit: Histogram,
    clock_offset: Gauge<f64, AtomicU64>,
    intents: [Counter; 3],
}

/// What becomes of a flush or NOTIFY that a node is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IntentState {
    /// This process asked a node for it.
    Asked,
    /// This node has taken it up.
    Claimed,
    /// This process asked, and nobody began it in time.
    Expired,
}

impl Fleet {
    pub(super) fn new(book: &mut Book<'_>) -> Self {
        let intents = book.counters(
            "fleet_intents",
            "Flushes and NOTIFYs among nodes of the fleet by state: asked by this process, claimed by this node, or expired: asked by this process, and not begun within 10 s",
        );
        Self {
            intents: ["asked", "claimed", "expired"]
                .map(|state| intents.get_or_create_owned(&vec![("state", state)])),
            publishing: book.enter(
                "fleet_publishing",
                "1 while the fleet's database has what this node lists",
                Gauge::default(),
            ),
            fenced: book.enter(
                "fleet_fenced",
                "1 if another process has taken this node's identity; it publishes nothing until a restart",
                Gauge::default(),
            ),
            waiting: book.enter(
                "fleet_rows_waiting",
                "Registrations whose change is not yet in the fleet's database",
                Gauge::default(),
            ),
            rows: book.enter(
                "fleet_rows_written",
                "Rows written to the fleet's database or deleted there",
                Counter::default(),
            ),
            events: book.enter(
                "fleet_events_written",
                "Events of this node written to the fleet's database",
                Counter::default(),
            ),
            events_waiting: book.enter(
                "fleet_events_waiting",
                "Events of this node that are not yet in the fleet's database",
                Gauge::default(),
            ),
            errors: book.enter(
                "fleet_errors",
                "Failures of the fleet's database, or of the way to it",
                Counter::default(),
            ),
            commit: book.enter(
                "fleet_commit_duration_seconds",
                "Duration of transactions in the fleet's database",
                Histogram::new(COMMIT.iter().copied()),
            ),
            clock_offset: book.enter(
                "fleet_clock_offset_seconds",
                "This node's clock minus that of the fleet's database",
                Gauge::default(),
            ),
        }
    }

    /// Whether the database has what this node lists.
    pub fn publishing(&self, is_publishing: bool) {
        self.publishing.set(is_publishing.into());
    }

    /// Another process has taken this node's identity.
    pub fn fenced(&self) {
        self.fenced.set(1);
    }

    /// So many rows are still to be written.
    pub fn waiting(&self, rows: usize) {
        self.waiting.set(i64::try_from(rows).unwrap_or(i64::MAX));
    }

    /// A transaction has written so many rows, in this time.
    pub fn committed(&self, rows: usize, took: Duration) {
        self.rows.inc_by(rows as u64);
        self.commit.observe(took.as_secs_f64());
    }

    /// A transaction has written so many events.
    pub fn events_written(&self, events: usize) {
        self.events.inc_by(events as u64);
    }

    /// So many events are still to be written.
    pub fn events_waiting(&self, events: u64) {
        self.events_waiting
            .set(i64::try_from(events).unwrap_or(i64::MAX));
    }

    /// The database or the way to it failed.
    pub fn failed(&self) {
        self.errors.inc();
    }

    /// So many flushes or NOTIFYs came into this state.
    pub fn intents(&self, state: IntentState, number: usize) {
        self.intents[state as usize].inc_by(number as u64);
    }

    /// This node's clock minus that of the database.
    pub fn clock_offset(&self, milliseconds: i64) {
        #[expect(clippy::cast_precision_loss, reason = "clocks are not that far apart")]
        self.clock_offset.set(milliseconds as f64 / 1000.0);
    }
}
