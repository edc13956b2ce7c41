//! Which registration has which slot of this node, and what of it differs from the database. Pure.
//!
//! A slot has the latest of its registration, not a list of changes, so what waits is never more than there are rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::HashMap;

use super::block::{Refresh, SLOTS};
use super::record;
use crate::registration::{Details, Key, Registration};

/// Not in a segment.
pub(super) const BASED: u8 = u8::MAX;

/// A registration that has a slot, as the database has it.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// The transaction that wrote its row; 0: none yet.
    pub(super) sequence: u64,
    /// What its row shows.
    visible: u64,
    /// What its row says of what refreshes move.
    pub(super) written: Refresh,
    /// What readers take it for: the row, or the block where that is later.
    pub(super) published: Refresh,
    /// What it is.
    pub(super) now: Refresh,
    /// Which segment of the block has it.
    pub(super) segment: u8,
}

/// The slots of a node.
#[derive(Debug, Default)]
pub(super) struct Slots {
    by_key: HashMap<Key, u32>,
    known: Vec<Option<Slot>>,
    /// Below the end of `known`; those of deleted rows may be in use again once they are deleted there.
    free: BTreeSet<u32>,
    /// Rows to be written, or (`None`) deleted.
    dirty: BTreeMap<u32, Option<Arc<Registration>>>,
    /// The ids of Kamailios whose rows are published; all where there are none.
    servers: Vec<i64>,
}

/// What one transaction writes.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Slots and what is in them.
    pub(super) rows: Vec<(u32, Arc<Registration>)>,
    /// Slots without a row.
    pub(super) gone: Vec<u32>,
}

impl Slots {
    /// None yet. Only rows of these `servers` count, if there are any.
    pub(super) fn new(servers: Vec<i64>) -> Self {
        Self {
            servers,
            ..Self::default()
        }
    }

    /// How many registrations have one.
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// How many blocks they make.
    pub(super) fn blocks(&self) -> u32 {
        let slots = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        slots.div_ceil(SLOTS)
    }

    /// How many rows are to be written or deleted.
    pub(super) fn waiting(&self) -> usize {
        self.dirty.len()
    }

    /// Takes over a row of the database, written by the transaction `sequence`. Returns whether it can be; one that is
    /// there twice, or cannot be read, is to be deleted.
    pub(super) fn learn(&mut self, slot: u32, sequence: u64, row: Option<&Details>) {
        self.grow_over(slot);
        self.free.remove(&slot);
        let Some(row) = row.filter(|row| !self.by_key.contains_key(&row.binding.key)) else {
            self.dirty.insert(slot, None);
            return;
        };
        let written = Refresh::of(&row.binding);
        self.by_key.insert(row.binding.key.clone(), slot);
        self.known[slot as usize] = Some(Slot {
            sequence,
            visible: record::visible(row),
            written,
            published: written,
            now: written,
            segment: BASED,
        });
    }

    /// The database has not what it was taken to have: of these slots the row was written by another transaction, or
    /// there is none (0).
    pub(super) fn doubt(&mut self, block: u32, found: &BTreeMap<u32, u64>) {
        let first = block * SLOTS;
        for slot in first..first.saturating_add(SLOTS) {
            let found = found.get(&slot).copied().unwrap_or(0);
            match self.known.get_mut(slot as usize).and_then(Option::as_mut) {
                Some(known) if known.sequence != found => known.sequence = 0,
                None if found > 0 => {
                    self.grow_over(slot);
                    self.free.remove(&slot);
                    self.dirty.insert(slot, None);
                }
                Some(_) | None => {}
            }
        }
    }

    fn grow_over(&mut self, slot: u32) {
        while self.known.len() <= slot as usize {
            self.free
                .insert(u32::try_from(self.known.len()).unwrap_or(u32::MAX));
            self.known.push(None);
        }
    }

    /// For each block that has rows: their number, and sums that tell by which transactions they were written.
    pub(super) fn sums(&self) -> BTreeMap<u32, (i64, i128, i128)> {
        let mut sums = BTreeMap::new();
        for (slot, known) in (0_u32..).zip(&self.known) {
            if let Some(known) = known.as_ref().filter(|known| known.sequence > 0) {
                let sum: &mut (i64, i128, i128) = sums.entry(slot / SLOTS).or_default();
                sum.0 += 1;
                sum.1 += i128::from(known.sequence);
                sum.2 += i128::from(known.sequence) * i128::from(slot % SLOTS + 1);
            }
        }
        sums
    }

    /// Takes over what is listed now: all of it.
    pub(super) fn list(&mut self, listed: &[Arc<Registration>]) {
        let mut gone: BTreeSet<u32> = self.by_key.values().copied().collect();
        for row in listed {
            if self.is_ours(row) {
                let slot = self.put(row);
                gone.remove(&slot);
            }
        }
        self.by_key.retain(|_, slot| !gone.contains(slot));
        for slot in gone {
            self.clear(slot);
        }
    }

    /// Takes over how one row is listed now.
    pub(super) fn follow(&mut self, key: &Key, listed: Option<&Arc<Registration>>) {
        match listed.filter(|row| self.is_ours(row)) {
            Some(row) => {
                self.put(row);
            }
            None => {
                if let Some(slot) = self.by_key.remove(key) {
                    self.clear(slot);
                }
            }
        }
    }

    fn is_ours(&self, row: &Registration) -> bool {
        let id = row.binding.server_id.map_or(0, |id| id.get());
        self.servers.is_empty() || self.servers.contains(&id)
    }

    fn put(&mut self, row: &Arc<Registration>) -> u32 {
        let now = Refresh::of(&row.binding);
        let visible = record::visible(row);
        let known = self.by_key.get(&row.binding.key).copied();
        let slot = known.unwrap_or_else(|| self.occupy(&row.binding.key));
        let former = self.known[slot as usize].as_mut();
        let is_written = former.is_some_and(|former| {
            former.now = now;
            former.sequence > 0 && former.visible == visible
        });
        if is_written {
            // What waits is what the database has; or it is deleted there, and has no sequence then.
            self.dirty.remove(&slot);
        } else {
            self.dirty.insert(slot, Some(Arc::clone(row)));
        }
        slot
    }

    /// A slot for a registration that has none.
    fn occupy(&mut self, key: &Key) -> u32 {
        let slot = self.free.pop_first().unwrap_or_else(|| {
            self.known.push(None);
            u32::try_from(self.known.len() - 1).expect("there are fewer registrations")
        });
        self.by_key.insert(key.clone(), slot);
        slot
    }

    fn clear(&mut self, slot: u32) {
        self.known[slot as usize] = None;
        self.dirty.insert(slot, None);
    }

    /// Takes what makes one transaction, at most `limit` rows, as written by the transaction `sequence`.
    pub(super) fn take(&mut self, sequence: u64, limit: usize) -> Taken {
        let mut taken = Taken::default();
        while taken.rows.len() + taken.gone.len() < limit
            && let Some((slot, row)) = self.dirty.pop_first()
        {
            let Some(row) = row else {
                self.free.insert(slot);
                taken.gone.push(slot);
                continue;
            };
            let now = Refresh::of(&row.binding);
            self.known[slot as usize] = Some(Slot {
                sequence,
                visible: record::visible(&row),
                written: now,
                published: now,
                now,
                segment: BASED,
            });
            taken.rows.push((slot, row));
        }
        taken
    }

    /// What is in the slots of a block whose rows are in the database, by their places.
    pub(super) fn of_block(&mut self, block: u32) -> impl Iterator<Item = (u16, &mut Slot)> {
        let first = (block as usize * SLOTS as usize).min(self.known.len());
        let end = (first + SLOTS as usize).min(self.known.len());
        let places = (0_u16..).zip(&mut self.known[first..end]);
        places.filter_map(|(place, slot)| {
            let slot = slot.as_mut().filter(|slot| slot.sequence > 0)?;
            Some((place, slot))
        })
    }
}

#[cfg(test)]
mod tests;
