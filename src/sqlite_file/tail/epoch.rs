//! What stays the same while changes can be followed, and what casts doubt on it.

use crate::sqlite_file::header::Header;
use crate::sqlite_file::payload::Pages;
use crate::sqlite_file::reason::{Reason, Result};
use crate::sqlite_file::source::Source;

/// The page that has the database header.
pub(super) const FIRST: u32 = 1;

/// What does not change while changes can be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch {
    file: (u64, u64),
    page_size: usize,
    wal: bool,
    schema_cookie: u32,
}

/// What has to be read before the roots of tables count again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Suspicion {
    /// Nothing.
    None,
    /// The header: the first page has changed.
    Header,
    /// The whole schema, whatever the header says.
    #[default]
    Schema,
}

impl Epoch {
    /// The epoch of the present window.
    ///
    /// # Errors
    /// When the header cannot be read, or the file has to be opened anew.
    pub(super) fn read(source: &mut Source) -> Result<Self> {
        let mut page = Vec::new();
        source.read(FIRST, &mut page)?;
        let header = Header::parse(&page)?;
        let opened = source.header();
        // Another journal or other pages: the file is to be opened anew.
        if (header.page_size, header.wal) != (opened.page_size, opened.wal) {
            return Err(Reason::Busy);
        }
        Ok(Self {
            file: source.identity(),
            page_size: header.page_size,
            wal: header.wal,
            schema_cookie: header.schema_cookie,
        })
    }

    /// Whether commits go through a write-ahead log.
    pub(super) fn has_log(self) -> bool {
        self.wal
    }

    /// Whether it is of the same file as `other`.
    pub(super) fn is_of_file(self, other: Self) -> bool {
        self.file == other.file
    }

    /// Whether a database with `header` may be of it.
    pub(super) fn has(self, header: Header) -> bool {
        (self.page_size, self.wal, self.schema_cookie)
            == (header.page_size, header.wal, header.schema_cookie)
    }
}
