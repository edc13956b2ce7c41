//! Which slot a row belongs to.

use foldhash::HashMap;

use super::slot::SlotId;

/// How many rows share a piece of memory: ids follow each other nearly everywhere.
const RUN: usize = 16;

/// The slot of each row, by the row's id.
#[derive(Debug, Default)]
pub(super) struct RowMap {
    runs: HashMap<i64, Box<[Option<SlotId>; RUN]>>,
    rows: usize,
}

impl RowMap {
    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Notes the slot of a row; returns its former one.
    pub(super) fn insert(&mut self, id: i64, slot: SlotId) -> Option<SlotId> {
        let (run, at) = place(id);
        let former = self.runs.entry(run).or_default()[at].replace(slot);
        self.rows += usize::from(former.is_none());
        former
    }

    /// Forgets a row; returns its slot.
    pub(super) fn remove(&mut self, id: i64) -> Option<SlotId> {
        let (run, at) = place(id);
        let rows = self.runs.get_mut(&run)?;
        let former = rows[at].take()?;
        self.rows -= 1;
        if rows.iter().all(Option::is_none) {
            self.runs.remove(&run);
        }
        Some(former)
    }

    /// The memory that it takes, in bytes, as near as that can be told.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        const HEAP: usize = 16;
        let run = RUN * size_of::<Option<SlotId>>() + HEAP;
        let entry = size_of::<(i64, usize)>() + 1;
        self.runs.len() * run + (self.runs.capacity() * 8 / 7).next_power_of_two() * entry
    }
}

/// The run that a row stands in, and its place there.
fn place(id: i64) -> (i64, usize) {
    let length = i64::try_from(RUN).expect("it is small");
    let at = usize::try_from(id.rem_euclid(length)).expect("a remainder is not negative");
    (id.div_euclid(length), at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((-40..40_i64, prop::option::of(0..9_usize)), 0..200)) {
            let (mut map, mut model) = (RowMap::default(), HashMap::default());
            for (id, slot) in steps {
                if let Some(slot) = slot.map(SlotId::new) {
                    prop_assert_eq!(map.insert(id, slot), model.insert(id, slot));
                } else {
                    prop_assert_eq!(map.remove(id), model.remove(&id));
                }
                prop_assert_eq!(map.rows, model.len());
                prop_assert_eq!(map.is_empty(), model.is_empty());
            }
            for id in -40..40 {
                prop_assert_eq!(map.remove(id), model.remove(&id));
            }
            prop_assert!(map.runs.is_empty());
        }

        #[test]
        fn any_id_has_a_place(id: i64) {
            let mut map = RowMap::default();
            map.insert(id, SlotId::new(7));
            prop_assert_eq!(map.remove(id), Some(SlotId::new(7)));
        }
    }
}
