//! `keep_newest=N`: a flush of a user leaves the contacts that were modified last. Pure.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::http::api::subject::Subject;
use crate::http::error::{Error, Problem};
use crate::http::request::params::Params;
use crate::registration::Registration;

/// The parameter.
pub(crate) const KEEP_NEWEST: &str = "keep_newest";

/// How many contacts the query has kept; 0 where it says nothing.
pub(crate) fn keep_newest(params: &Params, subject: Subject<'_>) -> Result<usize, Error> {
    let refuse = |problem| Error::parameter(KEEP_NEWEST, problem);
    let mut keep = None;
    for value in params.all(KEEP_NEWEST) {
        if subject.username.is_none() {
            return Err(refuse(Problem::NotOfAnAccount));
        }
        if value.is_empty() || !value.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(refuse(Problem::NotANumber));
        }
        // Nobody has as many contacts as do not fit.
        let number = value.parse().unwrap_or(usize::MAX);
        if keep.replace(number).is_some_and(|former| former != number) {
            return Err(refuse(Problem::Contradiction));
        }
    }
    Ok(keep.unwrap_or(0))
}

/// Takes the `keep` newest out of what is to be flushed. Of contacts modified in the same second the one that ends
/// later is the newer one, then the one that registered later at first; then the ruid decides.
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
    use crate::registry::Scope;

    fn of_user(query: &str) -> Result<usize, Error> {
        let subject = Subject {
            scope: Scope::Account("acme"),
            accounts: None,
            username: Some(b"bob"),
        };
        keep_newest(&Params::parse(query), subject)
    }

    #[test]
    fn whole_numbers_are_taken_and_nothing_else() {
        for (query, keep) in [
            ("", 0),
            ("keep_newest=0", 0),
            ("keep_newest=2&keep_newest=2", 2),
            ("keep_newest=007", 7),
            ("keep_newest=99999999999999999999999", usize::MAX),
        ] {
            assert_eq!(of_user(query), Ok(keep), "{query}");
        }
        for query in [
            "keep_newest",
            "keep_newest=-1",
            "keep_newest=%2B1",
            "keep_newest=1.0",
            "keep_newest=one",
            "keep_newest=1&keep_newest=2",
        ] {
            assert!(of_user(query).is_err(), "{query}");
        }
    }

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
