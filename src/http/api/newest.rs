//! Leaves the contacts that were modified last out of a flush. Pure.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::registration::Registration;

/// Takes the `keep` newest out of what is to be flushed. Of contacts modified in the same second, the one that expires
/// later is the newer one, then the one first registered later, then the one with the greater ruid.
pub(crate) fn leave_newest(
    mut picked: Vec<Arc<Registration>>,
    keep: usize,
) -> Vec<Arc<Registration>> {
    if keep == 0 {
        return picked;
    }
    picked.sort_by_cached_key(|one| {
        let binding = &one.binding;
        Reverse((
            binding.last_modified,
            binding.expiry.end().unwrap_or(i64::MAX),
            one.first_registration,
            binding.key.clone(),
        ))
    });
    picked.split_off(keep.min(picked.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registration::testing::{binding, registration};
    use crate::registration::{Binding, Details, Expiry};

    fn one(ruid: &str, last_modified: i64, expiry: Expiry, first: i64) -> Arc<Registration> {
        let row = Binding {
            expiry,
            last_modified,
            ..binding(ruid, "bob", "sip:bob@192.0.2.1", 0)
        };
        let details = Details {
            first_registration: first,
            ..(*registration(row, Some("acme"))).clone()
        };
        Arc::new(Registration::new(details))
    }

    #[test]
    fn the_newest_stay() {
        let all = || {
            vec![
                one("a", 5, Expiry::At(90), 1),
                one("b", 7, Expiry::At(80), 1),
                one("c", 5, Expiry::Permanent, 1),
                one("d", 5, Expiry::At(90), 2),
                one("e", 5, Expiry::At(90), 2),
            ]
        };
        let left = |keep| {
            let left = leave_newest(all(), keep);
            let ruids = left
                .iter()
                .map(|one| one.binding.key.ruid.0.lossy().into_owned());
            ruids.collect::<String>()
        };
        assert_eq!(left(0), "abcde");
        assert_eq!(left(1), "ceda");
        assert_eq!(left(3), "da");
        assert_eq!(left(5), "");
        assert_eq!(left(usize::MAX), "");
    }
}
