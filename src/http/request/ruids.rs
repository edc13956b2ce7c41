//! `ruids=a,b`: registrations that are named one by one. What else chooses must hold as well. Pure.

use std::collections::BTreeSet;

use crate::http::error::{Error, Problem};
use crate::http::request::params::Params;
use crate::registration::Details;

/// The parameter, and the key in a body.
pub(crate) const RUIDS: &str = "ruids";

/// How many may be chosen at a time.
pub(crate) const MOST: usize = 2000;

/// The ruids that the query chooses; `None` where it has none.
pub(crate) fn in_query(params: &Params) -> Result<Option<BTreeSet<String>>, Error> {
    let mut chosen = None;
    for text in params.all(RUIDS) {
        let texts: Vec<_> = text.split(',').collect();
        if texts.contains(&"") {
            return Err(Error::parameter(RUIDS, Problem::Empty));
        }
        let these = bounded(&texts)?;
        if chosen
            .replace(these.clone())
            .is_some_and(|other| other != these)
        {
            return Err(Error::parameter(RUIDS, Problem::Contradiction));
        }
    }
    Ok(chosen)
}

/// As many as may be chosen.
pub(crate) fn bounded(ruids: &[&str]) -> Result<BTreeSet<String>, Error> {
    let refuse = |problem| Err(Error::parameter(RUIDS, problem));
    match ruids.len() {
        0 => refuse(Problem::Empty),
        1..=MOST => Ok(ruids.iter().map(|ruid| (*ruid).to_owned()).collect()),
        _ => refuse(Problem::TooMany),
    }
}

/// Whether a registration is one of the chosen, by the ruid that its item shows.
pub(crate) fn has_ruid(chosen: &BTreeSet<String>, one: &Details) -> bool {
    chosen.contains(&*one.binding.key.ruid.0.lossy())
}
