//! When rows end.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

use crate::registration::Registration;

/// Every row that is not permanent, by the second of its end; those that have ended too, as long as they are there.
#[derive(Debug, Default)]
pub(in crate::registry) struct Ends(BTreeMap<i64, BTreeSet<ByAddress>>);

/// A row, told from others by where it is in memory.
#[derive(Debug)]
struct ByAddress(Arc<Registration>);

impl Ends {
    pub(in crate::registry) fn of<'a>(rows: impl Iterator<Item = &'a Arc<Registration>>) -> Self {
        let end = |row: &'a Arc<Registration>| Some((row.binding.expiry.end()?, row));
        let mut ends: Vec<_> = rows.filter_map(end).collect();
        ends.sort_unstable_by_key(|(at, row)| (*at, Arc::as_ptr(row)));
        let seconds = ends.chunk_by(|(a, _), (b, _)| a == b);
        Self(
            seconds
                .map(|rows| {
                    let row = |(_, row): &(i64, &Arc<Registration>)| ByAddress(Arc::clone(row));
                    (rows[0].0, rows.iter().map(row).collect())
                })
                .collect(),
        )
    }

    pub(in crate::registry) fn insert(&mut self, row: &Arc<Registration>) {
        if let Some(at) = row.binding.expiry.end() {
            let rows = self.0.entry(at).or_default();
            rows.insert(ByAddress(Arc::clone(row)));
        }
    }

    pub(in crate::registry) fn remove(&mut self, row: &Arc<Registration>) {
        if let Some(at) = row.binding.expiry.end()
            && let Some(rows) = self.0.get_mut(&at)
        {
            rows.remove(&ByAddress(Arc::clone(row)));
            if rows.is_empty() {
                self.0.remove(&at);
            }
        }
    }

    /// The rows that are valid in one of these two seconds and have ended in the other.
    pub(in crate::registry) fn between(
        &self,
        a: i64,
        b: i64,
    ) -> impl Iterator<Item = &Arc<Registration>> {
        let seconds = self.0.range((Excluded(a.min(b)), Included(a.max(b))));
        seconds.flat_map(|(_, rows)| rows.iter().map(|ByAddress(row)| row))
    }

    /// The first second after `now` at which a row ends.
    pub(in crate::registry) fn next(&self, now: i64) -> Option<i64> {
        let mut seconds = self.0.range((Excluded(now), Unbounded));
        seconds.next().map(|(at, _)| *at)
    }
}

impl Ord for ByAddress {
    fn cmp(&self, other: &Self) -> Ordering {
        Arc::as_ptr(&self.0).cmp(&Arc::as_ptr(&other.0))
    }
}

impl PartialOrd for ByAddress {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByAddress {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for ByAddress {}
