//! What the tail counts.

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
    /// Times that the database was another than before: file, schema or journal mode.
    pub epochs: u64,
    /// Rows passed over because their content is no record.
    pub malformed_rows: u64,
    /// Rows told to be there.
    pub upserts: u64,
    /// Rows told to be gone.
    pub deletes: u64,
    /// Rows known to be there now.
    pub rows: u64,
}
