//! What has been told: a hash of each row.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use super::walker::Span;

/// The rows of a table that have been told, by rowid.
#[derive(Debug, Default)]
pub(super) struct Known {
    hashes: BTreeMap<i64, Hash>,
}

/// A hash of a row's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hash(u64);

impl Hash {
    /// The hash of no row: it makes a row that has been told be told anew.
    const STALE: Self = Self(0);

    /// The hash of `payload`.
    pub(super) fn of(payload: &[u8]) -> Self {
        Self(xxh3_64(payload).max(1))
    }
}

impl Known {
    /// Whether the row has been told with this content.
    pub(super) fn has(&self, rowid: i64, hash: Hash) -> bool {
        self.hashes.get(&rowid) == Some(&hash)
    }

    /// Notes that the row has been told with this content.
    pub(super) fn insert(&mut self, rowid: i64, hash: Hash) {
        self.hashes.insert(rowid, hash);
    }

    /// Notes that the row has been told to be gone.
    pub(super) fn remove(&mut self, rowid: i64) {
        self.hashes.remove(&rowid);
    }

    /// The rows within `span`, in order.
    pub(super) fn within(&self, span: Span) -> impl Iterator<Item = i64> {
        self.hashes
            .range(span.low..=span.high)
            .map(|(&rowid, _)| rowid)
    }

    /// Makes all rows be told anew when they are met.
    pub(super) fn make_stale(&mut self) {
        for hash in self.hashes.values_mut() {
            *hash = Hash::STALE;
        }
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }
}
