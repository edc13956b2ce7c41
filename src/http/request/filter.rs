//! Kazoo's filters: which registrations a query selects. Pure.

use crate::http::error::{Error, Problem};
use crate::http::request::params::Params;
use crate::registration::Registration;
use crate::registration::item::{Condition, Field, Item, Wire};

/// Conditions that a registration must all meet.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Filters(Vec<Condition>);

impl Filters {
    /// The filters among the parameters.
    pub(crate) fn parse(params: &Params) -> Result<Self, Error> {
        let conditions = params
            .iter()
            .filter_map(|(name, value)| condition(name, value));
        conditions.collect::<Result<_, _>>().map(Self)
    }

    /// Whether a parameter of this name is a filter.
    pub(crate) fn is_filter(name: &str) -> bool {
        condition(name, "").is_some()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the registration, as shown at `now` (Unix seconds), meets them all.
    pub(crate) fn match_one(&self, one: &Registration, wire: Wire, now: i64) -> bool {
        let item = Item {
            registration: one,
            wire,
            now,
            flap: None,
        };
        self.match_item(&item)
    }

    /// Whether the item meets them all.
    pub(crate) fn match_item(&self, item: &Item<'_>) -> bool {
        self.0.iter().all(|condition| condition.holds(item))
    }
}

/// The condition that a parameter states; `None` where it is not a filter.
fn condition(name: &str, value: &str) -> Option<Result<Condition, Error>> {
    let key = |key: &str| {
        Field::from_name(key).ok_or_else(|| Error::parameter(name, Problem::UnknownKey))
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
