//! When a server is asked next. Pure.
//!
//! Asking takes a share of one of the server's cores at most. How much of it a statement takes is not known; it is no
//! more than the time until the answer is there, but that also has what the network, a busy machine and this program
//! add. So a question is taken to cost what the quickest of the last ones of its kind did, by the number of rows.
//!
//! Glances and readings of ids have a part of the share each, as much as they need of it; comparisons have the rest. What
//! a comparison cost on top (rows that had changed and were read) is made up for over several pauses, so that one large
//! change delays the next comparison little.

use std::collections::VecDeque;
use std::time::Duration;

/// Between two comparisons, at least.
const COMPARE: Duration = Duration::from_millis(250);

/// Between two glances, at least.
const GLANCE: Duration = Duration::from_millis(200);

/// Between two readings of ids, at least.
const IDS: Duration = Duration::from_secs(1);

/// What part of the share is spent. The rest is for what the quickest questions did not cost.
const SPENT: f64 = 0.9;

/// What part is for glances at most; and what part where an index lets them find all that changes.
const GLANCES: (f64, f64) = (0.3, 0.45);

/// What part is for readings of ids.
const READINGS: f64 = 0.3;

/// What part is for comparisons, at least and at most.
const COMPARISONS: (f64, f64) = (0.15, 0.7);

/// The questions that the cost of one is taken from.
const RECENT: usize = 8;

/// A question costs this much, if it took as long, however few rows there were.
const LEAST: Duration = Duration::from_millis(1);

/// In so many pauses what was read beside a comparison is made up for.
const PAUSES: u32 = 8;

/// The first pause after a failure, and the longest one.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// The pace of the questions to a server.
#[derive(Debug)]
pub(super) struct Pace {
    load: f64,
    ways: Ways,
    compare: Duration,
    glance: Duration,
    ids: Duration,
    /// Between two readings of ids.
    reading: Duration,
    /// The pause before the latest try to connect.
    pause: Duration,
    costs: Costs,
    /// What was read beside comparisons, and has not been made up for.
    owed: Duration,
    /// When the last comparison ended, and what glances and readings of ids have cost since.
    beside: (Duration, Duration),
}

/// What there is to find changes by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Ways {
    /// An index finds what was modified last.
    pub(super) has_index: bool,
    /// Ids alone are read much more quickly than with versions.
    pub(super) reads_ids: bool,
}

/// What questions cost, by their kinds.
#[derive(Debug, Default)]
struct Costs {
    comparisons: Recent,
    glances: Recent,
    ids: Recent,
}

/// The seconds that each row took in the last questions of a kind.
#[derive(Debug, Default)]
struct Recent(VecDeque<f64>);

/// What a comparison took, at most.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Took {
    /// The rows that were compared.
    pub(super) rows: usize,
    /// To read their ids and versions.
    pub(super) keys: Duration,
    /// To read those that had changed.
    pub(super) changed: Duration,
}

/// What there is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    /// Compare the version of every row.
    Comparison,
    /// Read the ids of all rows.
    Ids,
    /// Look for what an index finds.
    Glance,
}

impl Pace {
    pub(super) fn new(load: f64) -> Self {
        Self {
            load,
            ways: Ways::default(),
            compare: Duration::ZERO,
            glance: Duration::ZERO,
            ids: Duration::MAX,
            reading: IDS,
            pause: Duration::ZERO,
            costs: Costs::default(),
            owed: Duration::ZERO,
            beside: (Duration::ZERO, Duration::ZERO),
        }
    }

    /// Changes are found in these ways from now on.
    pub(super) fn set_ways(&mut self, ways: Ways) {
        self.ways = ways;
    }

    /// What is to be done next, and when.
    pub(super) fn next(&self) -> (Due, Duration) {
        let plan = [
            (Due::Comparison, self.compare),
            (Due::Ids, self.ids),
            (Due::Glance, self.glance),
        ];
        plan.into_iter()
            .min_by_key(|it| it.1)
            .unwrap_or((Due::Comparison, self.compare))
    }

    /// Whether a glance is due, whatever else is being done.
    pub(super) fn is_glance_due(&self, now: Duration) -> bool {
        self.ways.has_index && self.glance <= now
    }

    /// When the next comparison is due.
    pub(super) fn next_comparison(&self) -> Duration {
        self.compare
    }

    /// A comparison ended `now`.
    pub(super) fn compared(&mut self, now: Duration, took: Took) {
        self.pause = Duration::ZERO;
        self.owed += took.changed;
        let paid = self.owed / PAUSES;
        self.owed -= paid;
        let cost = self.costs.comparisons.of(took.rows, took.keys) + paid;
        let (since, spent) = std::mem::replace(&mut self.beside, (now, Duration::ZERO));
        let elapsed = now.saturating_sub(since).as_secs_f64();
        let beside = if elapsed > 0.0 {
            spent.as_secs_f64() / elapsed
        } else {
            0.0
        };
        let (least, most) = COMPARISONS;
        let share = (SPENT * self.load - beside).clamp(least * self.load, most * self.load);
        self.compare = now + rest(cost, share).max(COMPARE);
        self.glance = now + GLANCE;
        self.ids = if self.ways.reads_ids {
            now + self.reading
        } else {
            Duration::MAX
        };
    }

    /// A glance at so many rows ended, and took the server `busy` at most.
    pub(super) fn glanced(&mut self, now: Duration, rows: usize, busy: Duration) {
        let cost = self.costs.glances.of(rows, busy);
        self.beside.1 += cost;
        let (without, with) = GLANCES;
        let part = if self.ways.has_index { with } else { without };
        self.glance = now + rest(cost, self.load * part).max(GLANCE);
    }

    /// All ids have been read: so many, which took the server `busy` at most.
    pub(super) fn read_ids(&mut self, now: Duration, rows: usize, busy: Duration) {
        let cost = self.costs.ids.of(rows, busy);
        self.beside.1 += cost;
        self.reading = rest(cost, self.load * READINGS).max(IDS);
        self.ids = now + self.reading;
    }

    /// The next comparison is to begin at this time and no later, and ids are not read before it.
    pub(super) fn compare_at(&mut self, at: Duration) {
        self.compare = at;
        self.ids = Duration::MAX;
    }

    /// Nothing could be read: the next try is a comparison, after a pause that grows.
    pub(super) fn failed(&mut self, now: Duration) {
        self.pause = (self.pause * 2).clamp(RETRY.0, RETRY.1);
        self.compare_at(now + self.pause);
        self.glance = self.compare;
    }
}

impl Recent {
    /// What a question about so many rows costs the server, which took `took` at most.
    fn of(&mut self, rows: usize, took: Duration) -> Duration {
        let rows = f64::from(u32::try_from(rows).unwrap_or(u32::MAX));
        if rows > 0.0 {
            if self.0.len() == RECENT {
                self.0.pop_front();
            }
            self.0.push_back(took.as_secs_f64() / rows);
        }
        let quickest = self.0.iter().copied().reduce(f64::min);
        let cost = quickest.map_or(took, |each| Duration::from_secs_f64(each * rows));
        cost.max(took.min(LEAST))
    }
}

/// How long to rest after work of `busy`, so that it takes this share of the time.
fn rest(busy: Duration, share: f64) -> Duration {
    busy.mul_f64((1.0 / share - 1.0).max(0.0))
}

#[cfg(test)]
mod tests;
