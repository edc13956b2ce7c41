//! Bindings by key, each with its row and its attribute rows as they come and go.
//!
//! Kamailio writes a binding in several transactions: the row, then each attribute; on a refresh all attributes
//! are deleted and inserted again. Two patiences keep these moments out of sight: a new row waits a little for its
//! first attribute, and a binding keeps an attribute for a while whose row has gone.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use crate::registration::{Attributes, Binding, Changeset, Key, Text};

/// How long a new row waits for its first attribute, where other rows have attributes.
const FIRST_ATTRIBUTE: Duration = Duration::from_millis(500);

/// How long an attribute is kept after its row has gone: two runs of a timer of 5 s.
const LOST_ATTRIBUTE: Duration = Duration::from_secs(10);

/// A slot's place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct SlotId(u32);

/// All bindings.
#[derive(Debug, Default)]
pub(super) struct Slots {
    all: Vec<Slot>,
    free: Vec<SlotId>,
    by_key: HashMap<Key, SlotId>,
    /// Attribute names, each kept once.
    names: HashSet<Text>,
    attributes: usize,
    touched: Vec<SlotId>,
    /// When slots that wait are to be looked at again.
    deadlines: BTreeSet<(Duration, SlotId)>,
    completed: bool,
}

#[derive(Debug, Default)]
struct Slot {
    key: Option<Key>,
    /// The row that holds the binding now.
    row: Option<i64>,
    /// Its content, where that has not been told yet.
    incoming: Option<Box<Binding>>,
    /// What has been told.
    told: Option<Arc<Binding>>,
    /// Attribute rows, by rowid.
    attributes: Vec<(i64, Text, Text)>,
    /// Until when an unusual moment is waited out.
    waits: Option<Duration>,
    touched: bool,
}

impl Slots {
    pub(super) fn new(former: impl IntoIterator<Item = Arc<Binding>>) -> Self {
        let mut slots = Self::default();
        for binding in former {
            let id = slots.with_key(binding.key.clone());
            slots.slot(id).told = Some(binding);
        }
        slots
    }

    /// The slot of this key, which may be an empty one.
    pub(super) fn with_key(&mut self, key: Key) -> SlotId {
        if let Some(id) = self.by_key.get(&key) {
            return *id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.all.push(Slot::default());
            SlotId(u32::try_from(self.all.len() - 1).expect("a table has fewer than 2^32 rows"))
        });
        self.slot(id).key = Some(key.clone());
        self.by_key.insert(key, id);
        self.touch(id);
        id
    }

    pub(super) fn set_row(&mut self, id: SlotId, rowid: i64, binding: Binding) {
        let slot = self.touch(id);
        slot.row = Some(rowid);
        slot.incoming = Some(Box::new(binding));
    }

    pub(super) fn remove_row(&mut self, id: SlotId, rowid: i64) {
        let slot = self.touch(id);
        // The binding may have moved to another row before its old one went.
        if slot.row == Some(rowid) {
            slot.row = None;
            slot.incoming = None;
        }
    }

    pub(super) fn set_attribute(&mut self, id: SlotId, rowid: i64, name: Text, value: Text) {
        let name = self.names.get(&name).cloned().unwrap_or_else(|| {
            self.names.insert(name.clone());
            name
        });
        let slot = self.touch(id);
        match slot
            .attributes
            .binary_search_by_key(&rowid, |(rowid, ..)| *rowid)
        {
            Ok(at) => slot.attributes[at] = (rowid, name, value),
            Err(at) => {
                // There are one or two of them in each of very many slots: no room to spare.
                slot.attributes.reserve_exact(1);
                slot.attributes.insert(at, (rowid, name, value));
                self.attributes += 1;
            }
        }
    }

    pub(super) fn remove_attribute(&mut self, id: SlotId, rowid: i64) {
        let slot = self.touch(id);
        if let Ok(at) = slot
            .attributes
            .binary_search_by_key(&rowid, |(rowid, ..)| *rowid)
        {
            slot.attributes.remove(at);
            self.attributes -= 1;
        }
    }

    pub(super) fn changes(&mut self, now: Duration, complete: bool) -> Changeset {
        if complete && !mem::replace(&mut self.completed, true) {
            // From now on a binding without a row is gone.
            let all = (0..self.all.len()).filter_map(|at| u32::try_from(at).ok().map(SlotId));
            for id in all.collect::<Vec<_>>() {
                self.touch(id);
            }
        }
        while let Some((_, id)) = self.deadlines.first().filter(|(at, _)| *at <= now).copied() {
            self.deadlines.pop_first();
            self.touch(id);
        }
        let mut changes = Changeset::default();
        for id in mem::take(&mut self.touched) {
            self.settle(id, now, &mut changes);
        }
        changes
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    pub(super) fn orphans(&self) -> usize {
        let orphaned = |slot: &&Slot| slot.row.is_none();
        self.all
            .iter()
            .filter(orphaned)
            .map(|slot| slot.attributes.len())
            .sum()
    }

    fn slot(&mut self, id: SlotId) -> &mut Slot {
        &mut self.all[id.0 as usize]
    }

    fn touch(&mut self, id: SlotId) -> &mut Slot {
        let slot = &mut self.all[id.0 as usize];
        if !mem::replace(&mut slot.touched, true) {
            self.touched.push(id);
        }
        slot
    }

    fn settle(&mut self, id: SlotId, now: Duration, changes: &mut Changeset) {
        let (completed, attributes_in_use) = (self.completed, self.attributes > 0);
        let slot = &mut self.all[id.0 as usize];
        slot.touched = false;
        let waited = slot.waits.take();
        if let Some(at) = waited {
            self.deadlines.remove(&(at, id));
        }
        let Some(key) = slot.key.clone() else { return };
        if slot.row.is_none() {
            if completed && slot.told.take().is_some() {
                changes.remove(key.clone());
            }
            if slot.told.is_none() && slot.attributes.is_empty() {
                *slot = Slot::default();
                self.by_key.remove(&key);
                self.free.push(id);
            }
            return;
        }
        let patience = if slot.told.is_some() {
            LOST_ATTRIBUTE
        } else {
            FIRST_ATTRIBUTE
        };
        // While the tables are being read for the first time, what is missing may just not have been read yet:
        // patience starts when that is over.
        let until = waited.filter(|_| completed).unwrap_or(now + patience);
        let patient = now < until;
        let (telling, waits) = slot.attempt(patient, attributes_in_use);
        if let Some(binding) = telling.map(Arc::new) {
            // The key of the former content would keep all of that in memory.
            slot.key = Some(binding.key.clone());
            self.by_key.remove(&key);
            self.by_key.insert(binding.key.clone(), id);
            slot.told = Some(Arc::clone(&binding));
            changes.upsert(binding);
        }
        slot.share();
        if waits {
            slot.waits = Some(until);
            self.deadlines.insert((until, id));
        }
    }
}

impl Slot {
    /// What there is to tell, and whether the slot waits for something.
    fn attempt(&mut self, patient: bool, attributes_in_use: bool) -> (Option<Binding>, bool) {
        let current = || {
            self.attributes
                .iter()
                .map(|(_, name, value)| (name.clone(), value.clone()))
        };
        let Some(told) = &self.told else {
            if patient && attributes_in_use && self.attributes.is_empty() {
                return (None, true);
            }
            let attributes = current().collect();
            return (self.renewed(attributes), false);
        };
        let present = |name: &Text| {
            self.attributes
                .iter()
                .any(|(_, present, _)| present == name)
        };
        let lost = told.attributes.iter().filter(|(name, _)| !present(name));
        let kept: Vec<_> = lost
            .filter(|_| patient)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let waits = !kept.is_empty();
        let attributes = kept.into_iter().chain(current()).collect();
        (self.renewed(attributes), waits)
    }

    /// Keeps equal values once: what an earlier run stored and what the rows say are different copies.
    fn share(&mut self) {
        let Some(told) = &self.told else { return };
        for (_, name, value) in &mut self.attributes {
            if let Some(own) = told
                .attributes
                .get(name.as_bytes())
                .filter(|own| *own == value)
            {
                *value = own.clone();
            }
        }
    }

    /// The binding with these attributes, if that is not what has been told.
    fn renewed(&mut self, attributes: Attributes) -> Option<Binding> {
        let base = match (self.incoming.take(), &self.told) {
            (Some(incoming), _) => *incoming,
            (None, Some(told)) if told.attributes == attributes => return None,
            (None, Some(told)) => (**told).clone(),
            (None, None) => return None,
        };
        let binding = Binding { attributes, ..base };
        (self.told.as_deref() != Some(&binding)).then_some(binding)
    }
}
