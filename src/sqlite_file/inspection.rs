//! One look at a database: how it is kept, and its indexes.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use super::header::Header;
use super::payload::Pages;
use super::reason::{Reason, Result};
use super::schema::Schema;
use super::source::Source;

/// Frames of the log that one look reads at most before it gives up on a writer that is faster.
const FRAMES: u32 = 1 << 22;

/// What a database is, as one committed state of it shows.
#[derive(Debug)]
pub struct Inspection {
    /// Bytes of a page.
    pub page_size: usize,
    /// Whether commits go through a write-ahead log.
    pub wal: bool,
    /// The version of the SQLite that wrote the file's header last: 3040001 is 3.40.1.
    pub writer: u32,
    /// The same as committed: the log may have a later header.
    pub committed_writer: u32,
    schema: Schema,
}

impl Inspection {
    /// Looks at the database at `path`, as passively as the tail. `now` is monotonic.
    ///
    /// # Errors
    /// When there is none, or none that can be read now; [`Reason::Locked`] and [`Reason::Busy`] pass by themselves.
    pub fn of(path: &Path, now: Duration) -> Result<Self> {
        let mut source = Source::open(path)?;
        let (state, found) = source.refresh(now, FRAMES, &mut HashSet::new())?;
        if found.behind {
            return Err(Reason::Busy);
        }
        source.begin(&state);
        let schema = Schema::read(&mut source);
        let mut first = Vec::new();
        let committed = source.read(1, &mut first);
        if !source.end(&state)? {
            return Err(Reason::Busy);
        }
        committed?;
        let header = source.header();
        Ok(Self {
            page_size: header.page_size,
            wal: header.wal,
            writer: header.writer,
            committed_writer: Header::parse(&first)?.writer,
            schema: schema?,
        })
    }

    /// Whether `table` has an index of all rows that begins with `column`.
    #[must_use]
    pub fn has_index(&self, table: &str, column: &str) -> bool {
        self.schema.index(table, column).is_some()
    }
}
