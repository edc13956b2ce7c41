//! Finding the leaf of a table's b-tree that owns a key.

use super::page::{Kind, Node};
use super::payload::Pages;
use super::reason::{Reason, Result};

/// SQLite's own limit of the depth of a b-tree.
const DEPTH: usize = 20;

/// The keys that a page owns: all from `low` to `high`, both included, are there or nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// The least key.
    pub(super) low: i64,
    /// The greatest key.
    pub(super) high: i64,
}

/// A page on the way from the root to a leaf.
#[derive(Debug)]
pub(super) struct Level {
    /// Its number.
    pub(super) number: u32,
    /// The keys it owns.
    pub(super) span: Span,
    /// Its bytes.
    pub(super) page: Vec<u8>,
}

/// A way from the root of a table to one of its leaves, good for one window. The next leaf is found from the
/// lowest page they have in common.
#[derive(Debug, Default)]
pub(super) struct Walker {
    levels: Vec<Level>,
    /// How many of the levels the last search found in place.
    kept: usize,
    spare: Vec<Vec<u8>>,
}

impl Span {
    /// All keys.
    pub(super) const ALL: Self = Self {
        low: i64::MIN,
        high: i64::MAX,
    };

    /// One key alone.
    pub(super) const fn of(key: i64) -> Self {
        Self {
            low: key,
            high: key,
        }
    }

    /// Whether `key` is in it.
    pub(super) fn contains(self, key: i64) -> bool {
        self.low <= key && key <= self.high
    }
}

impl Walker {
    /// Forgets the pages, whose window has ended.
    pub(super) fn clear(&mut self) {
        self.spare.extend(self.levels.drain(..).map(|it| it.page));
    }

    /// Goes to the leaf that owns `key` in the table with its root on page `root`.
    ///
    /// # Errors
    /// When a page cannot be read or is not of a table.
    pub(super) fn seek(&mut self, pages: &mut dyn Pages, root: u32, key: i64) -> Result<()> {
        if self.levels.first().is_some_and(|top| top.number != root) {
            self.clear();
        }
        while self.levels.last().is_some_and(|it| !it.span.contains(key)) {
            self.spare.extend(self.levels.pop().map(|it| it.page));
        }
        self.kept = self.levels.len();
        let (mut number, mut span) = (root, Span::ALL);
        if let Some(lowest) = self.levels.last() {
            match child(lowest, pages.usable(), key)? {
                Some(next) => (number, span) = next,
                None => return Ok(()),
            }
        }
        while self.levels.len() < DEPTH {
            let mut page = self.spare.pop().unwrap_or_default();
            pages.read(number, &mut page)?;
            let level = Level { number, span, page };
            let next = child(&level, pages.usable(), key);
            self.levels.push(level);
            match next? {
                Some(next) => (number, span) = next,
                None => return Ok(()),
            }
        }
        Err(Reason::Malformed("a b-tree is too deep"))
    }

    /// The leaf found.
    pub(super) fn leaf(&self) -> Option<&Level> {
        self.levels.last()
    }

    /// Whether the last search has passed page `number`, and that owns just these keys.
    pub(super) fn has_passed(&self, number: u32, span: Span) -> bool {
        let mut levels = self.levels.iter();
        levels.any(|it| it.number == number && it.span == span)
    }

    /// The pages above it that the last search has read.
    pub(super) fn newly_above(&self) -> &[Level] {
        self.levels
            .split_last()
            .and_then(|(_, above)| above.get(self.kept..))
            .unwrap_or_default()
    }
}

/// The child of `level` that owns `key`, and what it owns; `None` for a leaf.
fn child(level: &Level, usable: usize, key: i64) -> Result<Option<(u32, Span)>> {
    let node = Node::parse(level.number, &level.page, usable)?;
    match node.kind {
        Kind::TableLeaf => return Ok(None),
        Kind::TableInterior => {}
        Kind::IndexInterior | Kind::IndexLeaf => {
            return Err(Reason::Malformed("an index in place of a table"));
        }
    }
    let (mut from, mut to) = (0, node.cells);
    while from < to {
        let middle = usize::midpoint(from, to);
        if node.separator(middle)?.1 < key {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    let (number, span) = child_at(&node, level.span, from)?;
    if !span.contains(key) {
        return Err(Reason::Malformed("separators out of order"));
    }
    Ok(Some((number, span)))
}

/// Child `index` of a table's interior `node` that owns `span`, and what it owns itself.
pub(super) fn child_at(node: &Node<'_>, span: Span, index: usize) -> Result<(u32, Span)> {
    const WHAT: Reason = Reason::Malformed("separators out of order");
    let low = match index.checked_sub(1) {
        None => span.low,
        Some(before) => node.separator(before)?.1.checked_add(1).ok_or(WHAT)?,
    };
    let (number, high) = if index == node.cells {
        (node.child(index)?, span.high)
    } else {
        node.separator(index)?
    };
    if low > high || low < span.low || high > span.high {
        return Err(WHAT);
    }
    Ok((number, Span { low, high }))
}
