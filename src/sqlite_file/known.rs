//! What has been reported: a hash of each row.
//!
//! There are as many as rows, so they are packed side by side in chunks instead of each in a node of a tree.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use super::walker::Span;

/// The most rows of a chunk: what is moved when one comes or goes in its middle.
const CHUNK: usize = if cfg!(test) { 8 } else { 128 };

/// Of neighbours with at most so many, one takes the other's.
const FEW: usize = CHUNK / 4;

/// The rows of a table that have been reported, by rowid.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// By a rowid that is not greater than their rows' and greater than those of the chunk before.
    chunks: BTreeMap<i64, Chunk>,
    rows: usize,
}

/// Some rows that follow each other. None of them is further from the first than 32 bits can hold.
#[derive(Debug, Default)]
struct Chunk {
    /// How far each rowid is from the chunk's.
    places: Vec<u32>,
    hashes: Vec<Hash>,
}

/// A hash of a row's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hash(u64);

impl Hash {
    /// The hash of no row: with it a row is reported anew.
    const STALE: Self = Self(0);

    /// The hash of `payload`.
    pub(super) fn of(payload: &[u8]) -> Self {
        Self(xxh3_64(payload).max(1))
    }
}

impl Known {
    /// Whether the row has been reported.
    pub(super) fn contains(&self, rowid: i64) -> bool {
        let found = self.chunks.range(..=rowid).next_back();
        found.is_some_and(|(first, chunk)| {
            place(*first, rowid).is_some_and(|place| chunk.find(place).is_ok())
        })
    }

    /// Notes that the row has been reported with this content.
    pub(super) fn insert(&mut self, rowid: i64, hash: Hash) {
        let found = self.chunks.range_mut(..=rowid).next_back();
        let found = found.and_then(|(first, chunk)| Some((*first, place(*first, rowid)?, chunk)));
        let Some((first, place, chunk)) = found else {
            self.begin(rowid, hash);
            return;
        };
        match chunk.find(place) {
            Ok(at) => chunk.hashes[at] = hash,
            // Rowids rise as rows come, so that a chunk that is full there stays full.
            Err(CHUNK) => self.begin(rowid, hash),
            Err(_) if chunk.places.len() == CHUNK => {
                let (second, upper) = chunk.split(first);
                self.chunks.insert(second, upper);
                self.insert(rowid, hash);
            }
            Err(at) => {
                chunk.insert(at, place, hash);
                self.rows += 1;
            }
        }
    }

    /// Notes that the row has been reported as gone.
    pub(super) fn remove(&mut self, rowid: i64) {
        let Some((&first, chunk)) = self.chunks.range_mut(..=rowid).next_back() else {
            return;
        };
        let Some(Ok(at)) = place(first, rowid).map(|place| chunk.find(place)) else {
            return;
        };
        chunk.places.remove(at);
        chunk.hashes.remove(at);
        self.rows -= 1;
        self.join(first);
    }

    /// The rows within `span` with the hashes reported for them, in order.
    pub(super) fn within(&self, span: Span) -> impl Iterator<Item = (i64, Hash)> {
        let before = self.chunks.range(..=span.low).next_back();
        let first = before.map_or(span.low, |(first, _)| *first);
        let chunks = (first <= span.high).then(|| self.chunks.range(first..=span.high));
        chunks
            .into_iter()
            .flatten()
            .flat_map(|(first, chunk)| chunk.rowids(*first).zip(chunk.hashes.iter().copied()))
            .skip_while(move |(rowid, _)| *rowid < span.low)
            .take_while(move |(rowid, _)| *rowid <= span.high)
    }

    /// Has every row reported anew when it is met.
    pub(super) fn make_stale(&mut self) {
        for chunk in self.chunks.values_mut() {
            chunk.hashes.fill(Hash::STALE);
        }
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// A new chunk of one row.
    fn begin(&mut self, rowid: i64, hash: Hash) {
        self.rows += 1;
        let chunk = self.chunks.entry(rowid).or_default();
        chunk.insert(0, 0, hash);
    }

    /// Drops a chunk that is empty, and puts one that has few rows to the one before it, if that has few as well.
    fn join(&mut self, first: i64) {
        let mut backwards = self.chunks.range_mut(..=first).rev();
        let Some((_, chunk)) = backwards.next() else {
            return;
        };
        if chunk.places.is_empty() {
            self.chunks.remove(&first);
            return;
        }
        let Some((to, before)) = backwards.next() else {
            return;
        };
        if chunk.places.len() > FEW || before.places.len() > FEW {
            return;
        }
        let places: Option<Vec<u32>> = chunk.rowids(first).map(|rowid| place(*to, rowid)).collect();
        if let Some(places) = places {
            before.places.extend(places);
            before.hashes.append(&mut chunk.hashes);
            self.chunks.remove(&first);
        }
    }
}

impl Chunk {
    fn find(&self, place: u32) -> Result<usize, usize> {
        self.places.binary_search(&place)
    }

    fn insert(&mut self, at: usize, place: u32, hash: Hash) {
        self.places.insert(at, place);
        self.hashes.insert(at, hash);
    }

    /// Takes away the upper half: its first rowid, and its rows.
    fn split(&mut self, first: i64) -> (i64, Self) {
        let half = self.places.len() / 2;
        let places = self.places.split_off(half);
        let hashes = self.hashes.split_off(half);
        let begin = places[0];
        let places = places.into_iter().map(|place| place - begin).collect();
        (first + i64::from(begin), Self { places, hashes })
    }

    fn rowids(&self, first: i64) -> impl Iterator<Item = i64> {
        self.places
            .iter()
            .map(move |place| first + i64::from(*place))
    }
}

/// How far a rowid is from its chunk's; `None` where it is too far, or before it.
fn place(first: i64, rowid: i64) -> Option<u32> {
    u32::try_from(rowid.checked_sub(first)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(i64, u64),
        Remove(i64),
        Stale,
    }

    /// Rowids near each other, also about the ends of what there is and of what a chunk can hold.
    fn rowid() -> impl Strategy<Value = i64> {
        let around = vec![i64::MIN, -3, 1 << 32, i64::MAX - 60];
        (prop::sample::select(around), 0..60_i64).prop_map(|(from, more)| from + more)
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            20 => (rowid(), 1..3_u64).prop_map(|(rowid, hash)| Step::Insert(rowid, hash)),
            12 => rowid().prop_map(Step::Remove),
            1 => Just(Step::Stale),
        ]
    }

    proptest! {
        #[test]
        fn is_a_map(
            steps in prop::collection::vec(step(), 0..300),
            spans in prop::collection::vec((rowid(), rowid()), 1..8),
        ) {
            let (mut known, mut model) = (Known::default(), BTreeMap::new());
            for step in steps {
                match step {
                    Step::Insert(rowid, hash) => {
                        known.insert(rowid, Hash(hash));
                        model.insert(rowid, Hash(hash));
                    }
                    Step::Remove(rowid) => {
                        known.remove(rowid);
                        model.remove(&rowid);
                    }
                    Step::Stale => {
                        known.make_stale();
                        for hash in model.values_mut() {
                            *hash = Hash::STALE;
                        }
                    }
                }
            }
            prop_assert_eq!(known.len(), model.len());
            for rowid in model.keys().copied().chain(-3..60) {
                prop_assert_eq!(known.contains(rowid), model.contains_key(&rowid));
            }
            let whole = (i64::MIN, i64::MAX);
            for (low, high) in spans.into_iter().chain([whole]) {
                let found: Vec<_> = known.within(Span { low, high }).collect();
                let expected = model.iter().filter(|(rowid, _)| (low..=high).contains(*rowid));
                let expected: Vec<_> = expected.map(|(rowid, hash)| (*rowid, *hash)).collect();
                prop_assert_eq!(found, expected);
            }
            for chunk in known.chunks.values() {
                prop_assert!(!chunk.places.is_empty() && chunk.places.len() <= CHUNK);
            }
        }
    }

    #[test]
    fn rows_that_come_in_order_stand_close() {
        let mut known = Known::default();
        let count = 10 * CHUNK;
        for rowid in (0..).take(count) {
            known.insert(rowid, Hash(1));
        }
        assert_eq!(known.chunks.len(), 10);
        // As rows that are written anew move to the end.
        for rowid in (0..).take(count) {
            known.remove(rowid);
            known.insert(rowid + 10_000, Hash(1));
        }
        assert_eq!(known.chunks.len(), 10);
    }
}
