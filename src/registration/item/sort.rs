//! The order of items by one of their keys.

use std::cmp::Ordering;

use super::fold::fold;
use super::{Field, Item, Value};

/// A key to sort by, and in which direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sort {
    field: Field,
    is_descending: bool,
}

/// A value to sort by, as bytes that compare like the values of its key; empty where there is none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SortValue(Vec<u8>);

/// Before a number, which comes before every text.
const NUMBER: u8 = 1;

/// Before a text.
const TEXT: u8 = 2;

impl Sort {
    /// The key.
    #[must_use]
    pub fn field(&self) -> Field {
        self.field
    }

    /// What `KEY` or `-KEY` says.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, is_descending) = match text.strip_prefix('-') {
            Some(name) => (name, true),
            None => (text, false),
        };
        Some(Self {
            field: Field::from_name(name)?,
            is_descending,
        })
    }

    /// Puts what the item is sorted by into `value`.
    pub fn read(&self, item: &Item<'_>, value: &mut SortValue) {
        let field = match self.field {
            // It counts down; the order is the same, and stays the same from page to page.
            Field::Expires => Field::ExpiresAt,
            // They say `undefined` where they are not known.
            Field::NetworkIp => Field::SourceIp,
            Field::NetworkPort => Field::SourcePort,
            field => field,
        };
        let bytes = &mut value.0;
        bytes.clear();
        match item.value(field) {
            None => {}
            Some(Value::Text(text)) => {
                bytes.push(TEXT);
                fold(text.as_bytes(), bytes);
            }
            Some(Value::Port(number)) => write_integer(number.into(), bytes),
            Some(Value::Integer(number)) => write_integer(number, bytes),
            Some(Value::Flag(flag)) => write_integer(flag.into(), bytes),
            Some(Value::Flap(flap)) => write_integer(flap.score.into(), bytes),
            Some(Value::Successor(successor)) => {
                bytes.push(TEXT);
                fold(successor.node.as_bytes(), bytes);
            }
            Some(Value::Number(number)) => {
                // As `f64::total_cmp` compares them.
                let bits = number.to_bits().cast_signed();
                let order = bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed();
                write_integer(order, bytes);
            }
        }
    }

    /// The order of two items by what they are sorted by. Those without a value are last, in both directions.
    #[must_use]
    pub fn compare(&self, one: &SortValue, other: &SortValue) -> Ordering {
        match (one.0.is_empty(), other.0.is_empty()) {
            (false, false) if self.is_descending => other.0.cmp(&one.0),
            (false, false) => one.0.cmp(&other.0),
            (one, other) => one.cmp(&other),
        }
    }
}

impl SortValue {
    /// The bytes, to be given out.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A value as it was given out; any bytes will do.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

/// Appends bytes that compare like the numbers.
fn write_integer(number: i64, out: &mut Vec<u8>) {
    let shifted = number.cast_unsigned() ^ (1 << 63);
    out.push(NUMBER);
    out.extend_from_slice(&shifted.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_by_number() {
        let numbers = [i64::MIN, -256, -1, 0, 1, 255, 256, i64::MAX];
        let bytes = numbers.map(|number| {
            let mut bytes = Vec::new();
            write_integer(number, &mut bytes);
            bytes
        });
        assert!(bytes.is_sorted());
    }

    #[test]
    fn a_direction_stands_before_the_key() {
        assert!(Sort::parse("-expires").is_some_and(|sort| sort.is_descending));
        assert!(Sort::parse("expires").is_some_and(|sort| !sort.is_descending));
        for text in ["", "-", "--expires", "+expires", "Expires", "expires,q"] {
            assert_eq!(Sort::parse(text), None, "{text}");
        }
    }
}
