//! The content of a cell: what stands on its page and the overflow pages that hold the rest.

use super::bytes::be32;
use super::reason::{OrMalformed, Reason, Result};

/// Bytes of a row or an entry, at most: a length that is none must not take all memory. SQLite allows more.
const MOST: usize = 16 << 20;

/// The content of a cell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Payload<'a> {
    /// All its bytes, the overflow included.
    length: u64,
    /// What stands on the page.
    local: &'a [u8],
    /// The first overflow page; 0 where there is none.
    overflow: u32,
}

/// Something that has the pages of one committed state, or of a torn one: see [`super::source::Source`].
pub(super) trait Pages {
    /// Bytes of a page that SQLite uses.
    fn usable(&self) -> usize;

    /// How many pages the database has.
    fn count(&self) -> u32;

    /// Reads page `number` into `page`, whole.
    ///
    /// # Errors
    /// When there is no such page or it cannot be read.
    fn read(&mut self, number: u32, page: &mut Vec<u8>) -> Result<()>;
}

impl<'a> Payload<'a> {
    /// The payload of `length` bytes at `at` of a table leaf.
    pub(super) fn of_table(page: &'a [u8], at: usize, length: u64) -> Option<Self> {
        Self::split(page, at, length, page.len() - 35)
    }

    /// The payload of `length` bytes at `at` of an index page.
    pub(super) fn of_index(page: &'a [u8], at: usize, length: u64) -> Option<Self> {
        Self::split(page, at, length, (page.len() - 12) * 64 / 255 - 23)
    }

    /// Divides the payload between its page and the overflow, of which at most `most` bytes stand on the page.
    fn split(page: &'a [u8], at: usize, length: u64, most: usize) -> Option<Self> {
        let usable = page.len();
        if length <= most as u64 {
            let local = page.get(at..at.checked_add(usize::try_from(length).ok()?)?)?;
            return Some(Self {
                length,
                local,
                overflow: 0,
            });
        }
        let least = (usable - 12) * 32 / 255 - 23;
        let beyond = length - least as u64;
        let fitting = least + usize::try_from(beyond % (usable as u64 - 4)).ok()?;
        let end = at.checked_add(if fitting <= most { fitting } else { least })?;
        Some(Self {
            length,
            local: page.get(at..end)?,
            overflow: be32(page, end)?,
        })
    }

    /// The bytes, if all stand on the page.
    pub(super) fn whole(&self) -> Option<&'a [u8]> {
        (self.overflow == 0 && self.local.len() as u64 == self.length).then_some(self.local)
    }

    /// Appends all bytes to `into` and the numbers of the overflow pages to `numbers`; `page` is room for them.
    ///
    /// # Errors
    /// When an overflow page is missing, there are more than the database has pages, or it is a vast row.
    pub(super) fn append(
        &self,
        pages: &mut dyn Pages,
        page: &mut Vec<u8>,
        into: &mut Vec<u8>,
        numbers: &mut Vec<u32>,
    ) -> Result<()> {
        into.extend_from_slice(self.local);
        let room = pages.usable() - 4;
        let mut left = usize::try_from(self.length).or(Err(Reason::Malformed("a vast row")))?
            - self.local.len();
        if left > MOST {
            return Err(Reason::Malformed("a row is greater than 16 MiB"));
        }
        if left.div_ceil(room) > pages.count() as usize {
            return Err(Reason::Malformed("a row is greater than the database"));
        }
        let mut next = self.overflow;
        while left > 0 {
            pages.read(next, page)?;
            numbers.push(next);
            next = be32(page, 0).or_malformed("an overflow page is cut short")?;
            let part = left.min(room);
            into.extend_from_slice(
                page.get(4..4 + part)
                    .or_malformed("an overflow page is cut short")?,
            );
            left -= part;
        }
        Ok(())
    }
}
