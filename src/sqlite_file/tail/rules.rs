//! The rules by which changes are found.

/// Which rules are in force: all. Tests switch one off to show that the audit finds what it misses.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(in crate::sqlite_file) struct Rules {
    /// A changed leaf of the log points at the keys it owned.
    pub(in crate::sqlite_file) leaves: bool,
    /// A changed interior page of the log points at the keys that changed hands.
    pub(in crate::sqlite_file) interiors: bool,
    /// A changed page of a hint index points at the rows of its entries.
    pub(in crate::sqlite_file) indexes: bool,
    /// A page that has left a hint index points at the rows of the entries it had.
    pub(in crate::sqlite_file) vanished: bool,
    /// A changed overflow page of the log points at the row that it is of.
    pub(in crate::sqlite_file) overflows: bool,
    /// A row that has changed may have changed again without moving in the hint index.
    pub(in crate::sqlite_file) recheck: bool,
    /// Every leaf is visited now and then without a hint.
    pub(in crate::sqlite_file) audit: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            leaves: true,
            interiors: true,
            indexes: true,
            vanished: true,
            overflows: true,
            recheck: true,
            audit: true,
        }
    }
}
