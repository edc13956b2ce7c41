//! What the tail counts.

use std::ops::AddAssign;

/// Counts since the tail was made; all but `rows` only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Pages read from the database or its log.
    pub pages_read: u64,
    /// Bytes read from any of the files.
    pub bytes_read: u64,
    /// Frames of the write-ahead log followed.
    pub frames_followed: u64,
    /// Times the write-ahead log began anew and was followed across.
    pub wal_restarts: u64,
    /// Times that changes went by unread, so that every row had to be compared.
    pub gaps: u64,
    /// Windows that ended well.
    pub windows: u64,
    /// Windows lost to a writer, whose reading was thrown away.
    pub windows_lost: u64,
    /// Complete passes over every row of every table.
    pub sweeps: u64,
    /// Changes that a pass found though something should have hinted at them.
    pub audit_misses: u64,
    /// Changes that a pass found and nothing could hint at: of a row that stayed where it was in the hint index.
    pub blind_spots: u64,
    /// Times that the database was not the same as before: file, schema or journal mode.
    pub epochs: u64,
    /// Rows passed over because their content is no record.
    pub malformed_rows: u64,
    /// Rows reported as new or changed.
    pub upserts: u64,
    /// Rows reported as gone.
    pub deletes: u64,
    /// Rows known to be there now.
    pub rows: u64,
}

impl AddAssign for Counters {
    fn add_assign(&mut self, more: Self) {
        for (count, more) in [
            (&mut self.pages_read, more.pages_read),
            (&mut self.bytes_read, more.bytes_read),
            (&mut self.frames_followed, more.frames_followed),
            (&mut self.wal_restarts, more.wal_restarts),
            (&mut self.gaps, more.gaps),
            (&mut self.windows, more.windows),
            (&mut self.windows_lost, more.windows_lost),
            (&mut self.sweeps, more.sweeps),
            (&mut self.audit_misses, more.audit_misses),
            (&mut self.blind_spots, more.blind_spots),
            (&mut self.epochs, more.epochs),
            (&mut self.malformed_rows, more.malformed_rows),
            (&mut self.upserts, more.upserts),
            (&mut self.deletes, more.deletes),
            (&mut self.rows, more.rows),
        ] {
            *count += more;
        }
    }
}
