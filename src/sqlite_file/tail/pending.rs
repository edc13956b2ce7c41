//! Keys that may have changed.

use rangemap::RangeInclusiveSet;

use crate::sqlite_file::walker::Span;

/// A set of keys. It shrinks only by what has been looked at.
#[derive(Debug, Default)]
pub(super) struct Pending {
    ranges: RangeInclusiveSet<i64>,
}

impl Pending {
    /// Adds all keys of `span`.
    pub(super) fn add(&mut self, span: Span) {
        self.ranges.insert(span.low..=span.high);
    }

    /// Removes all keys of `span`.
    pub(super) fn remove(&mut self, span: Span) {
        self.ranges.remove(span.low..=span.high);
    }

    /// The least key that is not less than `key`.
    pub(super) fn from(&self, key: i64) -> Option<i64> {
        let next = self.ranges.overlapping(key..=i64::MAX).next()?;
        Some(key.max(*next.start()))
    }

    /// Forgets all keys.
    pub(super) fn clear(&mut self) {
        self.ranges.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_a_set_of_keys(steps in proptest::collection::vec((any::<bool>(), 0..40_i64, 0..9_i64), 0..30)) {
            let (mut pending, mut model) = (Pending::default(), BTreeSet::new());
            for (add, low, length) in steps {
                let span = Span { low, high: low + length };
                if add {
                    pending.add(span);
                    model.extend(low..=low + length);
                } else {
                    pending.remove(span);
                    model.retain(|key| !span.contains(*key));
                }
                for key in 0..60 {
                    prop_assert_eq!(pending.from(key), model.range(key..).next().copied());
                }
            }
        }

        #[test]
        fn reaches_to_the_ends(low in any::<i64>()) {
            let mut pending = Pending::default();
            pending.add(Span { low, high: i64::MAX });
            pending.add(Span { low: i64::MIN, high: low });
            prop_assert_eq!(pending.from(i64::MAX), Some(i64::MAX));
            pending.remove(Span::ALL);
            prop_assert_eq!(pending.from(i64::MIN), None);
        }
    }
}
