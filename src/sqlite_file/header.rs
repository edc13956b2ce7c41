//! The first hundred bytes of a database file (<https://sqlite.org/fileformat2.html#the_database_header>).

use super::bytes::{array, be16, be32};
use super::reason::{Reason, Result};

/// The length of the header.
pub(super) const LENGTH: usize = 100;

const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const UTF8: u32 = 1;

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes of a page, 512 to 65536.
    pub(super) page_size: usize,
    /// Bytes of a page that SQLite uses; the rest is reserved for extensions.
    pub(super) usable: usize,
    /// Whether commits go through a write-ahead log.
    pub(super) wal: bool,
    /// Moves with each commit of rollback-journal mode.
    pub(super) change_counter: u32,
    /// Moves with each change of the schema.
    pub(super) schema_cookie: u32,
    /// Whether commits give free pages back to the file system.
    pub(super) auto_vacuum: bool,
    /// The version of the SQLite that wrote the header last: 3040001 is 3.40.1.
    pub(super) writer: u32,
}

impl Header {
    /// Reads the header.
    ///
    /// # Errors
    /// When this is no database, or one that is empty, newer or not UTF-8.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.is_empty() {
            return Err(Reason::Empty);
        }
        let header: [u8; LENGTH] = array(bytes, 0).ok_or(Reason::NotADatabase)?;
        if !header.starts_with(MAGIC) {
            return Err(Reason::NotADatabase);
        }
        let long = |at| be32(&header, at).unwrap_or_default();
        let page_size = match be16(&header, 16) {
            Some(1) => 65536,
            Some(size @ 512..=32768) if size.is_power_of_two() => usize::from(size),
            _ => return Err(Reason::NotADatabase),
        };
        let usable = page_size - usize::from(header[20]);
        if usable < 480 {
            return Err(Reason::NotADatabase);
        }
        if !(1..=2).contains(&header[19]) {
            return Err(Reason::NewerFormat);
        }
        // Zero as long as there is no table.
        if long(56) > UTF8 {
            return Err(Reason::Utf16);
        }
        Ok(Self {
            page_size,
            usable,
            wal: header[19] == 2,
            change_counter: long(24),
            schema_cookie: long(40),
            auto_vacuum: long(52) != 0,
            writer: long(96),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..120), valid in any::<bool>()) {
            let mut bytes = bytes;
            if valid && bytes.len() >= 16 {
                bytes[..16].copy_from_slice(MAGIC);
            }
            if let Ok(header) = Header::parse(&bytes) {
                prop_assert!((480..=header.page_size).contains(&header.usable));
            }
        }
    }
}
