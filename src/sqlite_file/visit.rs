//! Reading leaves: what they hold, and how that differs from what is known.
//!
//! The reading happens inside a window and only gathers; nothing becomes a fact before the window has held.

use std::ops::Range;

use super::known::{Hash, Known};
use super::page::{Kind, Node};
use super::payload::Pages;
use super::reason::{OrMalformed, Reason, Result};
use super::walker::{Span, Walker};

/// Bytes of the rows of a leaf, at most.
const MOST: usize = 64 << 20;

/// Leaves of one table, read in one window.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The leaves.
    pub(super) leaves: Vec<Leaf>,
    /// The pages on the way to them, and the keys they own.
    pub(super) above: Vec<(u32, Span)>,
    rows: Vec<i64>,
    payloads: Vec<u8>,
    changed: Vec<(i64, Hash, Range<usize>)>,
    /// The overflow pages of rows.
    pub(super) overflows: Vec<(u32, i64)>,
    overflow: Vec<u8>,
    numbers: Vec<u32>,
}

/// A leaf that was read.
#[derive(Debug)]
pub(super) struct Leaf {
    /// Its page.
    pub(super) number: u32,
    /// The keys it owns.
    pub(super) span: Span,
    /// Its rows in the batch.
    rows: Range<usize>,
    /// Those that differ from what is known.
    changed: Range<usize>,
}

/// A difference between a leaf and what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Difference<'a> {
    /// A row is there, with this payload.
    Present(i64, Hash, &'a [u8]),
    /// A known row is gone.
    Gone(i64),
}

impl Batch {
    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.leaves.clear();
        self.above.clear();
        self.overflows.clear();
        self.rows.clear();
        self.payloads.clear();
        self.changed.clear();
    }

    /// Bytes of payload gathered.
    pub(super) fn size(&self) -> usize {
        self.payloads.len()
    }

    /// Reads the leaf that owns `key` in the table at `root`; what it owns.
    ///
    /// # Errors
    /// When a page cannot be read or decoded.
    pub(super) fn read(
        &mut self,
        pages: &mut dyn Pages,
        walker: &mut Walker,
        root: u32,
        key: i64,
        known: &Known,
    ) -> Result<Span> {
        walker.seek(pages, root, key)?;
        let level = walker.leaf().or_malformed("a b-tree without leaf")?;
        let node = Node::parse(level.number, &level.page, pages.usable())?;
        if node.kind != Kind::TableLeaf {
            return Err(Reason::Malformed("an index in place of a table"));
        }
        let passed = walker.newly_above().iter();
        self.above.extend(passed.map(|it| (it.number, it.span)));
        let (first, first_changed) = (self.rows.len(), self.changed.len());
        let most = (pages.usable() * pages.count() as usize).min(MOST) + self.payloads.len();
        let mut least = level.span.low;
        // In order as the rows are, so that none has to be looked up.
        let mut reported = known.within(level.span).peekable();
        for index in 0..node.cells {
            let (rowid, payload) = node.row(index)?;
            if rowid < least || rowid > level.span.high {
                return Err(Reason::Malformed("rows out of order"));
            }
            least = rowid.saturating_add(1);
            while reported.next_if(|(it, _)| *it < rowid).is_some() {}
            let before = reported
                .next_if(|(it, _)| *it == rowid)
                .map(|(_, hash)| hash);
            let start = self.payloads.len();
            let hash = if let Some(whole) = payload.whole() {
                let hash = Hash::of(whole);
                if before != Some(hash) {
                    self.payloads.extend_from_slice(whole);
                }
                hash
            } else {
                let spare = &mut self.overflow;
                payload.append(pages, spare, &mut self.payloads, &mut self.numbers)?;
                let numbers = self.numbers.drain(..);
                self.overflows.extend(numbers.map(|number| (number, rowid)));
                if self.payloads.len() > most {
                    return Err(Reason::Malformed("the rows of a leaf are vast"));
                }
                Hash::of(&self.payloads[start..])
            };
            if before == Some(hash) {
                self.payloads.truncate(start);
            } else {
                self.changed.push((rowid, hash, start..self.payloads.len()));
            }
            self.rows.push(rowid);
        }
        self.leaves.push(Leaf {
            number: level.number,
            span: level.span,
            rows: first..self.rows.len(),
            changed: first_changed..self.changed.len(),
        });
        Ok(level.span)
    }

    /// The differences between `leaf` and what is known, the rows that are gone first.
    pub(super) fn differences(&self, leaf: &Leaf, known: &Known) -> Vec<Difference<'_>> {
        let mut present = self.rows[leaf.rows.clone()].iter().copied().peekable();
        let mut found = Vec::new();
        for (rowid, _) in known.within(leaf.span) {
            while present.next_if(|&it| it < rowid).is_some() {}
            if present.next_if_eq(&rowid).is_none() {
                found.push(Difference::Gone(rowid));
            }
        }
        found.extend(
            self.changed[leaf.changed.clone()]
                .iter()
                .map(|(rowid, hash, payload)| {
                    Difference::Present(*rowid, *hash, &self.payloads[payload.clone()])
                }),
        );
        found
    }
}
