//! One page of a b-tree (<https://sqlite.org/fileformat2.html#b_tree_pages>).

use super::bytes::{be16, be32, varint};
use super::header;
use super::payload::Payload;
use super::reason::{OrMalformed, Reason, Result};

/// What a b-tree page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Keys and children of an index.
    IndexInterior,
    /// Rowids and children of a table.
    TableInterior,
    /// Keys of an index.
    IndexLeaf,
    /// Rows of a table.
    TableLeaf,
}

/// A b-tree page, with its header checked and its cells not yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'a> {
    /// The usable bytes of the page.
    bytes: &'a [u8],
    /// Where the b-tree header begins: after the file header on page 1.
    start: usize,
    /// What the page holds.
    pub(super) kind: Kind,
    /// How many cells it has.
    pub(super) cells: usize,
}

impl<'a> Node<'a> {
    /// Reads the header of page `number` from its `bytes`, of which `usable` count.
    ///
    /// # Errors
    /// When this is not a b-tree page.
    pub(super) fn parse(number: u32, bytes: &'a [u8], usable: usize) -> Result<Self> {
        let bytes = bytes.get(..usable).or_malformed("a page is cut short")?;
        let start = if number == 1 { header::LENGTH } else { 0 };
        let kind = match bytes.get(start) {
            Some(2) => Kind::IndexInterior,
            Some(5) => Kind::TableInterior,
            Some(10) => Kind::IndexLeaf,
            Some(13) => Kind::TableLeaf,
            _ => return Err(Reason::Malformed("a page is not of a b-tree")),
        };
        let cells = usize::from(be16(bytes, start + 3).or_malformed("a page without header")?);
        let node = Self {
            bytes,
            start,
            kind,
            cells,
        };
        if node.pointers() + 2 * cells > bytes.len() {
            return Err(Reason::Malformed("a page with more cells than it can hold"));
        }
        Ok(node)
    }

    /// The rowid and the payload of cell `index` of a table leaf.
    pub(super) fn row(&self, index: usize) -> Result<(i64, Payload<'a>)> {
        const WHAT: &str = "a row reaches out of its page";
        let at = self.cell(index)?;
        let (length, at) = varint(self.bytes, at).or_malformed(WHAT)?;
        let (rowid, at) = varint(self.bytes, at).or_malformed(WHAT)?;
        let payload = Payload::of_table(self.bytes, at, length).or_malformed(WHAT)?;
        Ok((rowid.cast_signed(), payload))
    }

    /// The left child of cell `index` of a table's interior page, and the greatest rowid that it may hold.
    pub(super) fn separator(&self, index: usize) -> Result<(u32, i64)> {
        const WHAT: &str = "a separator reaches out of its page";
        let at = self.cell(index)?;
        let child = be32(self.bytes, at).or_malformed(WHAT)?;
        let (key, _) = varint(self.bytes, at + 4).or_malformed(WHAT)?;
        Ok((child, key.cast_signed()))
    }

    /// The payload of cell `index` of an index page.
    pub(super) fn entry(&self, index: usize) -> Result<Payload<'a>> {
        const WHAT: &str = "an index entry reaches out of its page";
        let mut at = self.cell(index)?;
        if self.kind == Kind::IndexInterior {
            at += 4;
        }
        let (length, at) = varint(self.bytes, at).or_malformed(WHAT)?;
        Payload::of_index(self.bytes, at, length).or_malformed(WHAT)
    }

    /// Child `index` of an interior page; the one after the last cell is the rightmost.
    pub(super) fn child(&self, index: usize) -> Result<u32> {
        let at = if index == self.cells {
            self.start + 8
        } else {
            self.cell(index)?
        };
        be32(self.bytes, at).or_malformed("a page without child")
    }

    /// Where the content of cell `index` begins.
    fn cell(&self, index: usize) -> Result<usize> {
        if index >= self.cells {
            return Err(Reason::Malformed("a page with fewer cells than it says"));
        }
        let at = be16(self.bytes, self.pointers() + 2 * index)
            .map(usize::from)
            .or_malformed("a cell pointer outside its page")?;
        if at < self.pointers() + 2 * self.cells {
            return Err(Reason::Malformed("a cell in the header of its page"));
        }
        Ok(at)
    }

    fn pointers(&self) -> usize {
        self.start
            + match self.kind {
                Kind::IndexInterior | Kind::TableInterior => 12,
                Kind::IndexLeaf | Kind::TableLeaf => 8,
            }
    }
}
