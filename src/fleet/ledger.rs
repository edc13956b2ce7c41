//! What the blocks of this node have in the database, and what is to be written to them. Pure.

use std::time::Duration;

use super::block::{BatchWriter, Block, Refresh, SEGMENTS};
use super::slots::{BASED, Slots};

/// How long a base is kept at least: to write one costs as much as many segments.
const KEEP_BASE: Duration = Duration::from_hours(1);

/// An entry of a segment takes about so many bytes; more than that on average, and a new base makes them small again.
const USUAL_ENTRY: usize = 4;

/// The blocks of a node.
#[derive(Debug, Default)]
pub(super) struct Ledger(Vec<Pages>);

/// What a block has in the database.
#[derive(Debug, Default)]
struct Pages {
    /// `None` where it is not known what is there.
    base: Option<Vec<u8>>,
    based_at: Duration,
}

/// What is to be written to a block.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// This base, and no segment.
    Base(Vec<u8>),
    /// This segment.
    Segment(usize, Vec<u8>),
}

impl Ledger {
    /// Nothing is known of what the database has.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// What is to be written to a block by the transaction `sequence`, at the Unix second `time` and `now` of the
    /// monotonic clock. It counts as written.
    pub(super) fn write(
        &mut self,
        block: u32,
        slots: &mut Slots,
        (sequence, time): (u64, i64),
        now: Duration,
    ) -> Option<Write> {
        let index = block as usize;
        if self.0.len() <= index {
            self.0.resize_with(index + 1, Pages::default);
        }
        let pages = &mut self.0[index];
        let Some(base) = &pages.base else {
            return Some(pages.begin(block, slots, (sequence, time), now));
        };
        let mut live = [0_usize; SEGMENTS];
        let mut moved = 0;
        for (_, slot) in slots.of_block(block) {
            if slot.now != slot.published {
                moved += 1;
            } else if let Some(count) = live.get_mut(usize::from(slot.segment)) {
                *count += 1;
            }
        }
        if moved == 0 {
            return None;
        }
        let (segment, _) = live.iter().enumerate().min_by_key(|(_, count)| **count)?;
        let base = Block::decode(base, []).unwrap_or_default();
        let mut writer = BatchWriter::new(sequence, time);
        let mut entries = 0;
        for (place, slot) in slots.of_block(block) {
            if slot.now != slot.published || usize::from(slot.segment) == segment {
                let former = base.based(place, slot.sequence, slot.written);
                writer.push(place, former, slot.now);
                slot.published = slot.now;
                slot.segment = u8::try_from(segment).unwrap_or(BASED);
                entries += 1;
            }
        }
        let bytes = writer.finish();
        let is_long = bytes.len() > entries * USUAL_ENTRY + 64;
        if is_long && now.saturating_sub(pages.based_at) >= KEEP_BASE {
            return Some(pages.begin(block, slots, (sequence, time), now));
        }
        Some(Write::Segment(segment, bytes))
    }
}

impl Pages {
    /// A base that has everything.
    fn begin(
        &mut self,
        block: u32,
        slots: &mut Slots,
        (sequence, time): (u64, i64),
        now: Duration,
    ) -> Write {
        let mut writer = BatchWriter::new(sequence, time);
        for (place, slot) in slots.of_block(block) {
            let is_moved = |former: Refresh| former != slot.now;
            if is_moved(slot.written) {
                writer.push(place, slot.written, slot.now);
            }
            slot.published = slot.now;
            slot.segment = BASED;
        }
        let bytes = writer.finish();
        self.base = Some(bytes.clone());
        self.based_at = now;
        Write::Base(bytes)
    }
}

#[cfg(test)]
mod tests;
