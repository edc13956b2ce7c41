//! What a look at the files of a database found.

/// What happened to the files since the look before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "findings that do not exclude each other"
)]
pub(super) struct Findings {
    /// Changes may have gone by unread.
    pub(super) gap: bool,
    /// The files may not be the continuation of what they were.
    pub(super) replaced: bool,
    /// More of the log is to be read before it is up to date.
    pub(super) behind: bool,
    /// The log began anew.
    pub(super) restarted: bool,
    /// Frames read.
    pub(super) frames: u32,
}

impl Findings {
    /// What was followed is gone, with what it would have shown.
    pub(super) fn lose(&mut self) {
        self.gap = true;
        self.replaced = true;
    }
}
