//! Our own store: batches, rows, time, and what waits.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::{Book, set};

/// Bounds of the time that a batch takes, in seconds.
const BATCH: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// What is counted of the store.
#[derive(Debug)]
pub struct Store {
    rows: Counter,
    failures: Counter,
    duration: Histogram,
    pending: Gauge,
}

impl Store {
    pub(super) fn new(book: &mut Book<'_>) -> Self {
        Self {
            rows: book.counter("store_rows", "Rows written to the store"),
            failures: book.counter(
                "store_write_failures",
                "Batches that could not be written and are retried",
            ),
            duration: book.histogram(
                "store_batch_duration_seconds",
                "Time to write a batch",
                BATCH,
            ),
            pending: book.gauge("store_pending_rows", "Rows that wait to be written"),
        }
    }

    /// A batch with so many rows was written, in this time.
    pub fn wrote(&self, rows: usize, took: Duration) {
        self.rows.inc_by(rows as u64);
        self.duration.observe(took.as_secs_f64());
    }

    /// A batch could not be written.
    pub fn failed(&self) {
        self.failures.inc();
    }

    /// So many rows wait now.
    pub fn waiting(&self, rows: usize) {
        set(&self.pending, rows);
    }
}
