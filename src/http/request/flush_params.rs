//! The parameters of a flush: which there are, `dry_run` and `keep_newest`. Pure.

use super::filter::Filters;
use super::params::Params;
use super::reach::SCOPE;
use crate::http::error::{Error, Problem};

const DRY_RUN: &str = "dry_run";
const KEEP_NEWEST: &str = "keep_newest";

/// Whether the flush is certain to do nothing, so that it costs nothing.
pub(crate) fn is_dry(params: &Params) -> bool {
    matches!(dry_run(params), Ok(true))
}

/// Whether a parameter of this name narrows what is flushed.
pub(crate) fn narrows(name: &str) -> bool {
    name == KEEP_NEWEST || Filters::is_filter(name)
}

/// Refuses every parameter that a flush does not have: it may be a misspelt filter.
pub(crate) fn refuse_unknown(params: &Params) -> Result<(), Error> {
    let is_known = |name: &str, value: &str| match name {
        "auth_token" | "pretty_print" | "accept" | DRY_RUN | SCOPE => true,
        "verb" => value.eq_ignore_ascii_case("delete"),
        other => narrows(other),
    };
    match params.iter().find(|(name, value)| !is_known(name, value)) {
        Some((name, _)) => Err(Error::parameter(name, Problem::UnknownParameter)),
        None => Ok(()),
    }
}

/// Whether the flush is only to be counted.
pub(crate) fn dry_run(params: &Params) -> Result<bool, Error> {
    let refuse = |problem| Error::parameter(DRY_RUN, problem);
    let mut answer = None;
    for value in params.all(DRY_RUN) {
        let flag = match value {
            "true" => true,
            "false" => false,
            _ => return Err(refuse(Problem::NotAFlag)),
        };
        if answer
            .replace(flag)
            .is_some_and(|previous| previous != flag)
        {
            return Err(refuse(Problem::Contradiction));
        }
    }
    Ok(answer.unwrap_or(false))
}

/// How many contacts of `username` the query keeps; 0 where it says nothing. It is refused where no user is flushed.
pub(crate) fn keep_newest(params: &Params, username: Option<&[u8]>) -> Result<usize, Error> {
    let refuse = |problem| Error::parameter(KEEP_NEWEST, problem);
    let mut keep = None;
    for value in params.all(KEEP_NEWEST) {
        if username.is_none() {
            return Err(refuse(Problem::NotOfAnAccount));
        }
        if value.is_empty() || !value.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(refuse(Problem::NotANumber));
        }
        // A number that does not fit is more than any user has.
        let number = value.parse().unwrap_or(usize::MAX);
        if keep
            .replace(number)
            .is_some_and(|previous| previous != number)
        {
            return Err(refuse(Problem::Contradiction));
        }
    }
    Ok(keep.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keep_newest_is_a_whole_number() {
        let of_user = |query| keep_newest(&Params::parse(query), Some(b"bob"));
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
}
