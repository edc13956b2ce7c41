//! Bindings by key, each with its row and its attribute rows as they come and go.
//!
//! Kamailio writes a binding in several transactions: the row, then each attribute; on a refresh all attributes
//! are deleted and inserted again. Two patiences keep these moments out of sight: a new row waits a little for its
//! first attribute, and a binding keeps an attribute for a while whose row has gone.

use std::collections::{BTreeSet, HashMap};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::attribute_rows::AttributeRows;
use super::slot::{Slot, SlotId};
use crate::registration::intern::Interner;
use crate::registration::{Binding, Changeset, Key, Ruid, Shapes, Text};

/// How long a new row waits for its first attribute, where other rows have attributes.
const FIRST_ATTRIBUTE: Duration = Duration::from_millis(500);

/// How long an attribute is kept after its row has gone: two runs of a timer of 5 s.
const LOST_ATTRIBUTE: Duration = Duration::from_secs(10);

/// How far the tables have been read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Reading {
    /// Rows are being read: what is missing may still come.
    #[default]
    Underway,
    /// Every row has been read: a binding without one is gone.
    Complete,
    /// The tables cannot be read now: what is missing does not come for some time.
    Interrupted,
}

/// All bindings.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    all: Vec<Slot>,
    free: Vec<SlotId>,
    /// Slots by the hash of their keys, which stand in the slots.
    by_key: HashTable<SlotId>,
    /// Attribute names, each kept once.
    names: Interner<Text>,
    shapes: Shapes,
    attributes: usize,
    /// How many of them are in slots without a row.
    orphans: usize,
    touched: Vec<SlotId>,
    /// The place after that of the last slot that was asked for.
    next: usize,
    /// When slots that wait are to be looked at again.
    deadlines: BTreeSet<(Duration, SlotId)>,
    /// Until when an unusual moment of theirs is waited out.
    waits: HashMap<SlotId, Duration>,
    /// Slots whose row has not been told, and the last look at which it was not there.
    withheld: HashMap<SlotId, Duration>,
    /// Further rows with the ruid of a slot, where the schema lets two have one; the one told last at the end.
    doubles: HashMap<SlotId, Vec<(i64, Box<Binding>)>>,
    /// How many bindings were taken to exist before their rows were read.
    former: usize,
    reading: Reading,
    /// The time of the last look.
    looked: Duration,
}

impl Assembler {
    pub(super) fn new(former: impl IntoIterator<Item = Arc<Binding>>) -> Self {
        let mut assembler = Self::default();
        let former = former.into_iter();
        let count = former.size_hint().1.unwrap_or_default();
        assembler.all.reserve_exact(count);
        assembler.touched.reserve_exact(count);
        assembler.by_key = HashTable::with_capacity(count);
        for binding in former {
            let (table, ruid) = (&binding.key.table, binding.key.ruid.0.as_bytes());
            if let Some(id) = assembler.find(table, ruid) {
                assembler.slot(id).told = Some(binding);
            } else {
                let hash = hash_of(table, ruid);
                assembler.put(Slot::of_told(binding), hash);
            }
        }
        assembler.former = assembler.by_key.len();
        assembler
    }

    /// Takes what has been told to be of an earlier run: its rows are to be read again.
    pub(super) fn read_again(&mut self) {
        self.former = 0;
        for at in 0..self.all.len() {
            let slot = &mut self.all[at];
            slot.has_row = false;
            slot.incoming = None;
            slot.attributes = AttributeRows::default();
            self.former += usize::from(slot.told.is_some());
            self.touch(SlotId::new(at));
        }
        self.attributes = 0;
        self.orphans = 0;
        self.doubles.clear();
        self.reading = Reading::Underway;
    }

    /// Whether most of the bindings that were taken to exist have no row.
    pub(super) fn miss_most(&self) -> bool {
        let missing = |slot: &&Slot| !slot.has_row && slot.told.is_some();
        self.all.iter().filter(missing).count() * 2 > self.former
    }

    /// The slot of this key, which may be an empty one.
    pub(super) fn with_key(&mut self, table: &Arc<str>, ruid: &[u8]) -> SlotId {
        let id = self
            .guess(table, ruid)
            .or_else(|| self.find(table, ruid))
            .unwrap_or_else(|| self.add(table, ruid));
        self.next = id.place() + 1;
        id
    }

    /// The last slot that was asked for or the one after it, if it is of this key: attributes of a binding follow each
    /// other, and at a start nearly all bindings do, for they were kept in about their order.
    fn guess(&self, table: &Arc<str>, ruid: &[u8]) -> Option<SlotId> {
        let mut near = self.next.saturating_sub(1)..=self.next;
        near.find(|place| self.is_of(*place, table, ruid))
            .map(SlotId::new)
    }

    fn find(&self, table: &Arc<str>, ruid: &[u8]) -> Option<SlotId> {
        let has_key = |id: &SlotId| self.is_of(id.place(), table, ruid);
        self.by_key.find(hash_of(table, ruid), has_key).copied()
    }

    /// Whether the slot at `place` is of this key.
    fn is_of(&self, place: usize, table: &Arc<str>, ruid: &[u8]) -> bool {
        let key = self.all.get(place).and_then(Slot::key);
        key.is_some_and(|key| key.ruid.0.as_bytes() == ruid && key.table == *table)
    }

    /// Makes an empty slot for a key that has none.
    fn add(&mut self, table: &Arc<str>, ruid: &[u8]) -> SlotId {
        let key = Key {
            table: Arc::clone(table),
            ruid: Ruid(ruid.into()),
        };
        self.put(Slot::of_key(key), hash_of(table, ruid))
    }

    /// Puts in a slot whose key has this `hash`.
    fn put(&mut self, slot: Slot, hash: u64) -> SlotId {
        let id = if let Some(id) = self.free.pop() {
            *self.slot(id) = slot;
            id
        } else {
            if self.all.len() == self.all.capacity() {
                // Not doubled, because they are very many.
                self.all.reserve_exact(self.all.len() / 8 + 64);
            }
            self.all.push(slot);
            SlotId::new(self.all.len() - 1)
        };
        let all = &self.all;
        let rehash = |id: &SlotId| {
            let key = all[id.place()].key();
            key.map_or(0, |key| hash_of(&key.table, key.ruid.0.as_bytes()))
        };
        self.by_key.insert_unique(hash, id, rehash);
        self.touch(id);
        id
    }

    /// What has been told of this slot.
    pub(super) fn told(&self, id: SlotId) -> Option<&Binding> {
        self.all[id.place()].told.as_deref()
    }

    /// Notes what the row of a slot is; `None` where that has been told.
    pub(super) fn set_row(&mut self, id: SlotId, rowid: i64, binding: Option<Binding>) {
        let former = self.slot(id).row();
        if former != Some(rowid) {
            self.keep_beside(id, rowid);
        }
        let slot = self.touch(id);
        slot.set_row(Some(rowid));
        slot.incoming = binding.map(Box::new);
        if former.is_none() {
            self.orphans -= self.all[id.place()].attributes.len();
        }
    }

    /// Makes room for the row `rowid`: the one that holds the binding now may go before the new one, or stay.
    fn keep_beside(&mut self, id: SlotId, rowid: i64) {
        let slot = &mut self.all[id.place()];
        let Some(row) = slot.row() else {
            return;
        };
        let told = || slot.told.as_ref().map(|told| Box::new((**told).clone()));
        if let Some(content) = slot.incoming.take().or_else(told) {
            let doubles = self.doubles.entry(id).or_default();
            doubles.retain(|(other, _)| *other != rowid);
            doubles.push((row, content));
        }
    }

    pub(super) fn remove_row(&mut self, id: SlotId, rowid: i64) {
        if let Some(doubles) = self.doubles.get_mut(&id) {
            doubles.retain(|(other, _)| *other != rowid);
        }
        // The binding may have moved to another row before its old one went.
        if self.slot(id).row() == Some(rowid) {
            let other = self.doubles.get_mut(&id).and_then(Vec::pop);
            let slot = self.slot(id);
            let (row, incoming) = other.unzip();
            slot.set_row(row);
            slot.incoming = incoming;
            if row.is_none() {
                self.orphans += self.all[id.place()].attributes.len();
            }
        }
        if self.doubles.get(&id).is_some_and(Vec::is_empty) {
            self.doubles.remove(&id);
        }
        self.touch(id);
    }

    pub(super) fn set_attribute(&mut self, id: SlotId, rowid: i64, name: &[u8], value: &[u8]) {
        let name = self.names.get(name);
        let slot = self.touch(id);
        let told = slot.told.as_ref().map(|told| &told.attributes);
        let is_new = slot.attributes.set(rowid, (name, value), told);
        let orphaned = !slot.has_row;
        self.attributes += usize::from(is_new);
        self.orphans += usize::from(is_new && orphaned);
    }

    pub(super) fn remove_attribute(&mut self, id: SlotId, rowid: i64) {
        let slot = self.touch(id);
        let told = slot.told.as_ref().map(|told| &told.attributes);
        let was_there = slot.attributes.remove(rowid, told);
        let orphaned = !slot.has_row;
        self.attributes -= usize::from(was_there);
        self.orphans -= usize::from(was_there && orphaned);
    }

    pub(super) fn changes(&mut self, now: Duration, reading: Reading) -> Changeset {
        if reading == Reading::Complete && self.reading != reading {
            self.touch_rowless();
        }
        self.reading = reading;
        while let Some((_, id)) = self.deadlines.first().filter(|(at, _)| *at <= now).copied() {
            self.deadlines.pop_first();
            self.touch(id);
        }
        let mut changes = Changeset::default();
        for id in mem::take(&mut self.touched) {
            self.settle(id, now, &mut changes);
        }
        self.looked = now;
        changes
    }

    /// From now on a binding without a row is gone.
    fn touch_rowless(&mut self) {
        for at in 0..self.all.len() {
            if !self.all[at].has_row {
                self.touch(SlotId::new(at));
            }
        }
    }

    /// The last look at which no row was there that has not been told; `None` while all are told.
    pub(super) fn withheld_since(&self) -> Option<Duration> {
        self.withheld.values().min().copied()
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    pub(super) fn orphans(&self) -> usize {
        self.orphans
    }

    fn slot(&mut self, id: SlotId) -> &mut Slot {
        &mut self.all[id.place()]
    }

    fn touch(&mut self, id: SlotId) -> &mut Slot {
        let slot = &mut self.all[id.place()];
        if !mem::replace(&mut slot.touched, true) {
            self.touched.push(id);
        }
        slot
    }

    fn settle(&mut self, id: SlotId, now: Duration, changes: &mut Changeset) {
        let attributes_in_use = self.attributes > 0;
        let slot = &mut self.all[id.place()];
        slot.touched = false;
        let waited = self.waits.remove(&id);
        if let Some(at) = waited {
            self.deadlines.remove(&(at, id));
        }
        if !slot.has_row {
            self.withheld.remove(&id);
            if self.reading == Reading::Complete
                && let Some(told) = slot.told.take()
            {
                slot.attributes.keep_content(Some(&told.attributes));
                slot.key = Some(Box::new(alone(&told.key)));
                changes.remove(told.key.clone());
            }
            if slot.told.is_none() && slot.attributes.is_empty() {
                self.forget(id);
            }
            return;
        }
        if slot.is_told() {
            slot.share();
            self.withheld.remove(&id);
            return;
        }
        let patience = if slot.told.is_some() {
            LOST_ATTRIBUTE
        } else {
            FIRST_ATTRIBUTE
        };
        // While every row is being read, what is missing may just not have been read yet: patience starts when
        // that is over. Where reading is interrupted, what was told stays as it is, and a new row waits no longer
        // than usual: it is not known when reading resumes.
        let restarts = match self.reading {
            Reading::Underway => true,
            Reading::Complete => false,
            Reading::Interrupted => slot.told.is_some(),
        };
        let until = waited.filter(|_| !restarts).unwrap_or(now + patience);
        let patient = now < until;
        let (telling, waits) = slot.attempt(patient, attributes_in_use, &mut self.shapes);
        if let Some(binding) = telling.map(Arc::new) {
            if let Some(told) = &slot.told
                && told.attributes != binding.attributes
            {
                slot.attributes.keep_content(Some(&told.attributes));
            }
            slot.told = Some(Arc::clone(&binding));
            slot.key = None;
            changes.upsert(binding);
        }
        slot.share();
        if slot.told.is_some() {
            self.withheld.remove(&id);
        } else {
            self.withheld.entry(id).or_insert(self.looked);
        }
        if waits {
            self.waits.insert(id, until);
            self.deadlines.insert((until, id));
        }
    }

    /// Makes room for another key in a slot that has nothing.
    fn forget(&mut self, id: SlotId) {
        let slot = mem::take(self.slot(id));
        if let Some(key) = slot.key()
            && let hash = hash_of(&key.table, key.ruid.0.as_bytes())
            && let Ok(entry) = self.by_key.find_entry(hash, |other| *other == id)
        {
            entry.remove();
            self.free.push(id);
        }
    }
}

/// A hash of the ruid, because there are few tables.
fn hash_of(table: &str, ruid: &[u8]) -> u64 {
    xxh3_64_with_seed(ruid, table.len() as u64)
}

/// The key without the other texts of its row, with which it shares memory.
fn alone(key: &Key) -> Key {
    Key {
        table: Arc::clone(&key.table),
        ruid: Ruid(key.ruid.0.as_bytes().into()),
    }
}

#[cfg(test)]
impl Assembler {
    /// The memory that is taken beside the bindings themselves, in bytes.
    pub(super) fn bytes(&self) -> usize {
        // What an allocation costs beside its bytes.
        const HEAP: usize = 16;
        let attributes = self.all.iter().map(|slot| slot.attributes.bytes() + HEAP);
        let keys = self.all.iter().filter(|slot| slot.key.is_some()).count();
        self.all.capacity() * size_of::<Slot>()
            + self.by_key.allocation_size()
            + attributes.sum::<usize>()
            + keys * (size_of::<Key>() + HEAP)
            + self.touched.capacity() * size_of::<SlotId>()
    }
}
