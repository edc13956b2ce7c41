//! Kamailio's tables: how well they are followed, what reading them took, and the registrations made of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::reader::FleetFigures;
use super::{Book, EventFigures, Labels, set};

type Seconds = Family<Labels, Gauge<f64, AtomicU64>>;

/// Bounds of the time that a step of the tail takes, in seconds.
const STEP: &[f64] = &[
    0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0,
];

/// The kinds of trouble with the tables.
const KINDS: [&str; 16] = [
    "missing",
    "empty",
    "no_table",
    "no_column",
    "not_understood",
    "hot_journal",
    "locked",
    "busy",
    "io",
    "malformed",
    "unreachable",
    "timeout",
    "tls",
    "login",
    "permission",
    "refused",
];

/// What is true at the moment of a scrape.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Every state of the source by its name, and whether it is in it.
    pub states: Vec<(&'static str, bool)>,
    /// The last moment at which the registrations were known to equal the tables, since the Unix epoch.
    pub as_of: Option<Duration>,
    /// How long ago that was.
    pub lag: Option<Duration>,
    /// Listed registrations by transport.
    pub listed: Vec<(&'static str, usize)>,
    /// Rows that a flush hides.
    pub hidden: usize,
    /// Rows that Kamailio does not have, while it has another one of the same contact.
    pub superseded: usize,
    /// All rows.
    pub rows: usize,
    /// The fleet, where this process answers for it.
    pub fleet: Option<FleetFigures>,
    /// The accounts with the most registrations, where they are asked for.
    pub accounts: Option<Accounts>,
    /// The history, and the phones that flap.
    pub events: EventFigures,
}

/// Registrations by account.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    /// The largest ones.
    pub largest: Vec<(String, usize)>,
    /// How many accounts are left out.
    pub left_out: usize,
}

macro_rules! tail_counts {
    ($($count:ident = $name:literal, $help:literal;)*) => {
        /// What the tail has counted since the start; all but `rows` only grow.
        #[derive(Clone, Copy, Debug, Default)]
        pub struct TailCounts {
            $(#[doc = $help] pub $count: u64,)*
            /// Rows of the tables, with those of the attributes.
            pub rows: u64,
        }

        /// The tail's own counters.
        #[derive(Debug)]
        struct Tail {
            $($count: Counter,)*
            rows: Gauge,
        }

        impl Tail {
            fn new(book: &mut Book<'_>) -> Self {
                Self {
                    $($count: book.counter($name, $help),)*
                    rows: book.gauge("tail_rows", "Rows of the tables, with those of the attributes"),
                }
            }

            fn set(&self, now: &TailCounts) {
                $(self.$count.inner().store(now.$count, Ordering::Relaxed);)*
                let rows = usize::try_from(now.rows);
                set(&self.rows, rows.unwrap_or(usize::MAX));
            }
        }
    };
}

tail_counts! {
    pages = "tail_pages_read", "Pages read from Kamailio's database and its log";
    bytes = "tail_read_bytes", "Bytes read from Kamailio's files";
    frames = "tail_wal_frames", "Frames of the write-ahead log followed";
    wal_restarts = "tail_wal_restarts", "Times that the log began anew and was followed across";
    gaps = "tail_gaps", "Times that changes went by unread, so that every row was compared";
    windows = "tail_windows", "Windows, in which one committed state is read, that ended well";
    windows_lost = "tail_windows_lost", "Windows lost to a writer and read again";
    sweeps = "tail_sweeps", "Complete passes over every row";
    audit_misses = "tail_audit_misses", "Changes that only a pass over every row found: defects";
    blind_spots = "tail_blind_spots",
        "Changes that a pass over every row found because no index shows them: normal without WAL mode";
    epochs = "tail_epochs", "Times that file, schema or journal mode was another than before";
    malformed = "tail_malformed_rows", "Rows skipped because their content is not a valid record";
    upserts = "tail_upserts", "Rows reported as new or changed";
    deletes = "tail_deletes", "Rows reported as gone";
}

/// What is counted of the source.
#[derive(Debug)]
pub struct Source {
    registrations: Family<Labels, Gauge>,
    accounts: Family<Vec<(&'static str, String)>, Gauge>,
    truncated: Family<Labels, Gauge>,
    ghosts: Gauge,
    state: Family<Labels, Gauge>,
    lag: Seconds,
    as_of: Seconds,
    errors: Family<Labels, Counter>,
    bad: Gauge,
    orphans: Gauge,
    tail: Tail,
    step: Histogram,
}

impl Source {
    pub(super) fn new(book: &mut Book<'_>) -> Self {
        let registrations = book.gauges(
            "registrations",
            "Registrations by state (active: listed; hidden: flushed, the row is still there; superseded: Kamailio has \
             another binding of the contact and not this one; unlisted: expired or a double) and, where listed, by \
             transport",
        );
        let errors = book.counters(
            "source_errors",
            "Times that the tables became unreadable, by kind",
        );
        // There from the start: of a series that begins with 1 Prometheus sees no increase.
        for kind in KINDS {
            drop(errors.get_or_create(&vec![("kind", kind)]));
        }
        Self {
            registrations,
            accounts: book.enter(
                "account_registrations",
                "Listed registrations of the largest accounts; only with [metrics] accounts",
                Family::default(),
            ),
            truncated: book.gauges(
                "account_series_truncated",
                "Accounts that usrlocd_account_registrations leaves out",
            ),
            ghosts: book.gauge(
                "ghost_rows",
                "Rows of the tables that are not registrations: flushed, superseded, expired, or duplicates",
            ),
            state: book.gauges("source_state", "1 for the state that the source is in"),
            lag: book.enter(
                "source_lag_seconds",
                "How long ago the registrations were last known to equal the tables",
                Seconds::default(),
            ),
            as_of: book.enter(
                "source_last_success_timestamp_seconds",
                "When they were last known to equal the tables, Unix seconds",
                Seconds::default(),
            ),
            errors,
            bad: book.gauge(
                "source_bad_rows",
                "Rows of usrloc that cannot be read and are not listed",
            ),
            orphans: book.gauge(
                "source_orphan_attributes",
                "Rows of attributes that belong to no registration",
            ),
            tail: Tail::new(book),
            step: book.histogram(
                "tail_step_duration_seconds",
                "How long the steps took in which the tables are read",
                STEP,
            ),
        }
    }

    /// A step of the tail is done.
    pub fn stepped(&self, counts: &TailCounts, took: Duration) {
        self.tail.set(counts);
        self.step.observe(took.as_secs_f64());
    }

    /// The tables became unreadable. `kind` is one of a fixed few words.
    pub fn failed(&self, kind: &'static str) {
        self.errors.get_or_create(&vec![("kind", kind)]).inc();
    }

    /// So many rows cannot be read now, and so many attributes belong to no registration.
    pub fn understood(&self, bad: usize, orphans: usize) {
        set(&self.bad, bad);
        set(&self.orphans, orphans);
    }

    pub(super) fn set(&self, figures: &Figures) {
        for (state, is_in) in &figures.states {
            let state = vec![("state", *state)];
            self.state.get_or_create(&state).set((*is_in).into());
        }
        if let (Some(as_of), Some(lag)) = (figures.as_of, figures.lag) {
            self.lag
                .get_or_create(&Labels::new())
                .set(lag.as_secs_f64());
            let as_of = as_of.as_secs_f64();
            self.as_of.get_or_create(&Labels::new()).set(as_of);
        }
        let mut listed = 0;
        for (transport, count) in &figures.listed {
            listed += count;
            let labels = vec![("state", "active"), ("transport", *transport)];
            set(&self.registrations.get_or_create(&labels), *count);
        }
        let explained = figures.hidden + figures.superseded;
        let unlisted = figures.rows.saturating_sub(listed + explained);
        for (state, count) in [
            ("hidden", figures.hidden),
            ("superseded", figures.superseded),
            ("unlisted", unlisted),
        ] {
            let labels = vec![("state", state), ("transport", "")];
            set(&self.registrations.get_or_create(&labels), count);
        }
        set(&self.ghosts, explained + unlisted);
        if let Some(accounts) = &figures.accounts {
            self.accounts.clear();
            for (id, count) in &accounts.largest {
                let labels = vec![("account", id.clone())];
                set(&self.accounts.get_or_create(&labels), *count);
            }
            let truncated = self.truncated.get_or_create(&Labels::new());
            set(&truncated, accounts.left_out);
        }
    }
}
