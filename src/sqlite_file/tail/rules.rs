//! The rules by which changes are found. All are in force; tests switch one off to show that it is needed, and that the
//! audit finds what goes unseen without it.

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sqlite_file) enum Rule {
    /// A changed leaf of the log points at the keys it owned.
    Leaves,
    /// A changed interior page of the log points at the keys that changed hands.
    Interiors,
    /// A changed overflow page of the log points at the row that it belongs to.
    Overflows,
    /// A changed page of a hint index points at the rows of its entries.
    Index,
    /// A page that has left a hint index points at the rows of the entries it had.
    VanishedPages,
    /// A row that has changed may have changed again without moving in the hint index.
    Recheck,
    /// Every leaf is visited now and then without a hint.
    Audit,
}

/// The rules in force.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::sqlite_file) struct Rules {
    #[cfg(test)]
    without: Option<Rule>,
}

impl Rules {
    /// All rules but this one.
    #[cfg(test)]
    pub(in crate::sqlite_file) fn without(rule: Rule) -> Self {
        Self {
            without: Some(rule),
        }
    }

    /// Whether `rule` is in force.
    #[cfg(test)]
    pub(super) fn has(self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    /// Whether `rule` is in force: outside tests, always.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests switch rules off")]
    pub(super) const fn has(self, _rule: Rule) -> bool {
        true
    }
}
