//! Kazoo's filters: which registrations a query selects. Pure.

use crate::clock::gregorian;
use crate::http::error::{Error, Problem};
use crate::http::request::params::Params;
use crate::registration::Registration;
use crate::registration::item::{Field, Item, Value, Wire};

/// Conditions that a registration must all meet.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Filters(Vec<Condition>);

/// One condition.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Condition {
    Is(Field, String),
    IsNot(Field, String),
    HasKey(Field),
    KeyMissing(Field),
    HasValue(Field),
    MissingValue(Field),
    ModifiedFrom(i64),
    ModifiedTo(i64),
    CreatedFrom(i64),
    CreatedTo(i64),
}

impl Filters {
    /// The filters among the parameters.
    pub(crate) fn parse(params: &Params) -> Result<Self, Error> {
        let conditions = params
            .iter()
            .filter_map(|(name, value)| Condition::parse(name, value));
        conditions.collect::<Result<_, _>>().map(Self)
    }

    /// Whether a parameter of this name is a filter.
    pub(crate) fn is_filter(name: &str) -> bool {
        Condition::parse(name, "").is_some()
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

impl Condition {
    /// The condition that a parameter states; `None` if it is not a filter.
    fn parse(name: &str, value: &str) -> Option<Result<Self, Error>> {
        let key = |key: &str| {
            Field::from_name(key).ok_or_else(|| Error::parameter(name, Problem::UnknownKey))
        };
        let number = || {
            value
                .parse()
                .map_err(|_| Error::parameter(name, Problem::NotANumber))
        };
        if let Some(field) = name.strip_prefix("filter_not_") {
            return Some(key(field).map(|field| Self::IsNot(field, value.to_owned())));
        }
        if let Some(field) = name.strip_prefix("filter_") {
            return Some(key(field).map(|field| Self::Is(field, value.to_owned())));
        }
        Some(match name {
            "has_key" => key(value).map(Self::HasKey),
            "key_missing" => key(value).map(Self::KeyMissing),
            "has_value" => key(value).map(Self::HasValue),
            "missing_value" => key(value).map(Self::MissingValue),
            "modified_from" => number().map(Self::ModifiedFrom),
            "modified_to" => number().map(Self::ModifiedTo),
            "created_from" => number().map(Self::CreatedFrom),
            "created_to" => number().map(Self::CreatedTo),
            _ => return None,
        })
    }

    fn holds(&self, item: &Item<'_>) -> bool {
        let modified = || gregorian(item.registration.binding.last_modified);
        let created = || gregorian(item.registration.first_registration);
        let value = |field: &Field| item.value(*field);
        let filled = |field| value(field).is_some_and(|value| !value.to_text().is_empty());
        match self {
            Self::Is(field, wanted) => value(field).is_some_and(|own| equal(&own, wanted)),
            Self::IsNot(field, wanted) => value(field).is_none_or(|own| !equal(&own, wanted)),
            Self::HasKey(field) => value(field).is_some(),
            Self::KeyMissing(field) => value(field).is_none(),
            Self::HasValue(field) => filled(field),
            Self::MissingValue(field) => !filled(field),
            Self::ModifiedFrom(from) => modified() >= *from,
            Self::ModifiedTo(to) => modified() <= *to,
            Self::CreatedFrom(from) => created() >= *from,
            Self::CreatedTo(to) => created() <= *to,
        }
    }
}

/// Whether a value is the wanted one: numbers by their worth (`1.0` is `1`), all else by its text.
fn equal(own: &Value<'_>, wanted: &str) -> bool {
    match own {
        Value::Integer(own) => {
            let whole = match wanted.split_once('.') {
                Some((whole, zeros)) if zeros.bytes().all(|digit| digit == b'0') => whole,
                Some(_) | None => wanted,
            };
            whole.parse() == Ok(*own)
        }
        Value::Number(own) => wanted.parse() == Ok(*own),
        Value::Text(_) | Value::Port(_) | Value::Flag(_) | Value::Flap(_) => {
            own.to_text() == wanted
        }
    }
}
