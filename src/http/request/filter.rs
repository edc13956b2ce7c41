//! Which registrations a query selects: Kazoo's filters, a search (`q`), and ruids. Pure.

use std::collections::BTreeSet;

use crate::http::error::{Error, Problem};
use crate::http::request::params::Params;
use crate::http::request::reach::Reach;
use crate::http::request::ruids::{self, RUIDS, has_ruid};
use crate::http::request::search;
use crate::registration::Registration;
use crate::registration::item::search::Search;
use crate::registration::item::{Condition, Item, Wire};

/// The parameter of a search.
const SEARCH: &str = "q";

/// Conditions that a registration must all meet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters {
    conditions: Vec<Condition>,
    search: Search,
    ruids: Option<BTreeSet<String>>,
}

impl Filters {
    /// The filters among the parameters.
    pub(crate) fn parse(params: &Params, reach: Reach<'_>) -> Result<Self, Error> {
        let conditions = params
            .iter()
            .filter_map(|(name, value)| condition(name, value, reach));
        let mut filters = Self {
            conditions: conditions.collect::<Result<_, _>>()?,
            search: Search::default(),
            ruids: ruids::in_query(params)?,
        };
        for text in params.all(SEARCH) {
            search::parse(text, reach, &mut filters.search)
                .map_err(|problem| Error::parameter(SEARCH, problem))?;
        }
        Ok(filters)
    }

    /// Whether a parameter of this name is a filter.
    pub(crate) fn is_filter(name: &str) -> bool {
        name == SEARCH || name == RUIDS || condition(name, "", Reach::Fleet).is_some()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.conditions.is_empty() && self.search.is_empty() && self.ruids.is_none()
    }

    /// Refuses what a stream of changes cannot follow.
    pub(crate) fn check_for_stream(&self) -> Result<(), Error> {
        if self.search.moves() {
            return Err(Error::parameter(SEARCH, Problem::NotFollowed));
        }
        Ok(())
    }

    /// Whether the registration, as shown at `now` (Unix seconds), meets them all.
    pub(crate) fn match_one(&self, one: &Registration, wire: Wire, now: i64) -> bool {
        let item = Item {
            registration: one,
            wire,
            now,
            flap: None,
        };
        self.match_item(&item, &mut Vec::new())
    }

    /// Whether the item meets them all. `room` is for texts, and kept from one item to the next.
    pub(crate) fn match_item(&self, item: &Item<'_>, room: &mut Vec<u8>) -> bool {
        let is_chosen = |ruids: &BTreeSet<String>| has_ruid(ruids, item.registration);
        self.ruids.as_ref().is_none_or(is_chosen)
            && self
                .conditions
                .iter()
                .all(|condition| condition.holds(item))
            && self.search.matches(item, room)
    }
}

/// The condition that a parameter states; `None` where it is not a filter.
fn condition(name: &str, value: &str, reach: Reach<'_>) -> Option<Result<Condition, Error>> {
    let key = |key: &str| {
        let field = reach.key(key);
        field.ok_or_else(|| Error::parameter(name, Problem::UnknownKey))
    };
    let number = || {
        value
            .parse()
            .map_err(|_| Error::parameter(name, Problem::NotANumber))
    };
    if let Some(field) = name.strip_prefix("filter_not_") {
        return Some(key(field).map(|field| Condition::IsNot(field, value.to_owned())));
    }
    if let Some(field) = name.strip_prefix("filter_") {
        return Some(key(field).map(|field| Condition::Is(field, value.to_owned())));
    }
    Some(match name {
        "has_key" => key(value).map(Condition::HasKey),
        "key_missing" => key(value).map(Condition::KeyMissing),
        "has_value" => key(value).map(Condition::HasValue),
        "missing_value" => key(value).map(Condition::MissingValue),
        "modified_from" => number().map(Condition::ModifiedFrom),
        "modified_to" => number().map(Condition::ModifiedTo),
        "created_from" => number().map(Condition::CreatedFrom),
        "created_to" => number().map(Condition::CreatedTo),
        _ => return None,
    })
}
