//! Conditions on an item, as Kazoo's filters state them.

use super::{Field, Item, Value};
use crate::clock::gregorian;

/// One condition that an item meets or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Condition {
    /// The field has this value.
    Is(Field, String),
    /// The field has another value, or none.
    IsNot(Field, String),
    /// The field is there.
    HasKey(Field),
    /// The field is not there.
    KeyMissing(Field),
    /// The field is there and not empty.
    HasValue(Field),
    /// The field is not there, or empty.
    MissingValue(Field),
    /// The last REGISTER came at this Gregorian second or later.
    ModifiedFrom(i64),
    /// The last REGISTER came at this Gregorian second or earlier.
    ModifiedTo(i64),
    /// The first REGISTER came at this Gregorian second or later.
    CreatedFrom(i64),
    /// The first REGISTER came at this Gregorian second or earlier.
    CreatedTo(i64),
}

impl Condition {
    /// Whether the item meets it.
    #[must_use]
    pub fn holds(&self, item: &Item<'_>) -> bool {
        let modified = || gregorian(item.registration.binding.last_modified);
        let created = || gregorian(item.registration.first_registration);
        let value = |field: &Field| item.value(*field);
        let filled = |field| value(field).is_some_and(|value| !value.to_text().is_empty());
        match self {
            Self::Is(field, wanted) => item.has(*field, wanted),
            Self::IsNot(field, wanted) => !item.has(*field, wanted),
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

impl Item<'_> {
    /// Whether the field has this value.
    #[must_use]
    pub fn has(&self, field: Field, wanted: &str) -> bool {
        self.value(field).is_some_and(|own| equal(&own, wanted))
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
        Value::Text(_) | Value::Port(_) | Value::Flag(_) | Value::Flap(_) | Value::Successor(_) => {
            own.to_text() == wanted
        }
    }
}
