//! From a row to a binding: what each column of usrloc means, whatever storage class it has.
//!
//! The sources are Kamailio's `usrloc/ucontact.c` and `db_sqlite/dbase.c`; see also the comments there on dates.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use thiserror::Error;

use super::columns::{AttributeColumns, LocationColumns};
use crate::clock::unix_of_julian_day;
use crate::registration::intern::Interner;
use crate::registration::{Attributes, Binding, Expiry, Key, Packer, Ruid, Text};
use crate::sqlite_file::{Row, Value};

/// Real numbers below this are Julian days (the year 22,000 is day 10,000,000), above it Unix seconds.
const LARGEST_JULIAN_DAY: f64 = 1e7;

/// What usrloc stores where the phone sent no User-Agent, or too long a one.
const NO_USER_AGENT: &[u8] = b"n/a";

/// Why a row is not a binding.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum Error {
    #[error("it has no ruid")]
    NoRuid,
    #[error("its expires is no time")]
    NoExpiry,
}

/// A row of `location_attrs`.
pub(super) struct Attribute {
    pub(super) ruid: Ruid,
    pub(super) name: Text,
    pub(super) value: Text,
}

/// Where the texts of rows are put.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// Domains, sockets and phone models, which many rows have in common.
    common: Interner<Text>,
    /// All others of a row, side by side.
    own: Packer,
}

/// The binding in a row of `location`, without attributes.
pub(super) fn binding(
    table: &Arc<str>,
    columns: &LocationColumns,
    row: &Row<'_>,
    texts: &mut Texts,
) -> Result<Binding, Error> {
    let ruid = text(columns.ruid.of(row)).ok_or(Error::NoRuid)?;
    let expiry = match time(columns.expires.of(row)).ok_or(Error::NoExpiry)? {
        0 => Expiry::Permanent,
        end => Expiry::At(end),
    };
    let filled = |value| text(value).filter(|text| !text.is_empty());
    let Texts { common, own } = texts;
    let ruid = own.add(&ruid);
    let mut add = |text: Cow<'_, [u8]>| own.add(&text);
    let username = add(text(columns.username.of(row)).unwrap_or_default());
    let contact = add(text(columns.contact.of(row)).unwrap_or_default());
    let received = filled(columns.received.of(row)).map(&mut add);
    let path = filled(columns.path.of(row)).map(&mut add);
    let call_id = filled(columns.callid.of(row)).map(&mut add);
    let instance = filled(columns.instance.of(row)).map(&mut add);
    let pack = own.pack();
    let of = |piece| pack.text(piece);
    let mut common = |text: Cow<'_, [u8]>| common.get(&text);
    Ok(Binding {
        key: Key {
            table: Arc::clone(table),
            ruid: Ruid(of(ruid)),
        },
        username: of(username),
        domain: text(columns.domain.of(row)).map(&mut common),
        contact: of(contact),
        received: received.map(of),
        path: path.map(of),
        expiry,
        last_modified: time(columns.last_modified.of(row)).unwrap_or_default(),
        q: real(columns.q.of(row)).filter(|q| *q >= 0.0),
        call_id: call_id.map(of),
        cseq: integer(columns.cseq.of(row)),
        flags: integer(columns.flags.of(row)),
        cflags: integer(columns.cflags.of(row)),
        user_agent: filled(columns.user_agent.of(row))
            .filter(|agent| **agent != *NO_USER_AGENT)
            .map(&mut common),
        socket: filled(columns.socket.of(row)).map(&mut common),
        methods: integer(columns.methods.of(row)),
        instance: instance.map(of),
        reg_id: integer(columns.reg_id.of(row)).filter(|id| *id != 0),
        server_id: integer(columns.server_id.of(row)),
        attributes: Attributes::default(),
    })
}

/// The attribute in a row of `location_attrs`.
pub(super) fn attribute(columns: &AttributeColumns, row: &Row<'_>) -> Attribute {
    let text = |value| Text::from(&*text(value).unwrap_or_default());
    Attribute {
        ruid: Ruid(text(columns.ruid.of(row))),
        name: text(columns.aname.of(row)),
        value: text(columns.avalue.of(row)),
    }
}

fn text(value: Value<'_>) -> Option<Cow<'_, [u8]>> {
    match value {
        Value::Null => None,
        Value::Text(bytes) | Value::Blob(bytes) => Some(bytes.into()),
        Value::Integer(number) => Some(number.to_string().into_bytes().into()),
        Value::Real(number) => Some(number.to_string().into_bytes().into()),
    }
}

fn integer(value: Value<'_>) -> Option<i64> {
    match value {
        Value::Null => None,
        Value::Integer(number) => Some(number),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "saturates; no real row has such a number"
        )]
        Value::Real(number) => Some(number as i64),
        Value::Text(bytes) | Value::Blob(bytes) => {
            std::str::from_utf8(bytes).ok()?.trim().parse().ok()
        }
    }
}

fn real(value: Value<'_>) -> Option<f64> {
    let number = match value {
        Value::Null => return None,
        #[expect(
            clippy::cast_precision_loss,
            reason = "q is 0 or 1 where it is stored as an integer"
        )]
        Value::Integer(number) => number as f64,
        Value::Real(number) => number,
        Value::Text(bytes) | Value::Blob(bytes) => {
            std::str::from_utf8(bytes).ok()?.trim().parse().ok()?
        }
    };
    number.is_finite().then_some(number)
}

/// Unix seconds of a time column: Julian day, Unix seconds (`expires_type=1`), or `YYYY-MM-DD HH:MM:SS` in UTC.
#[must_use]
pub fn time(value: Value<'_>) -> Option<i64> {
    match value {
        Value::Null => None,
        Value::Integer(unix) => Some(unix),
        Value::Real(day) if day.abs() < LARGEST_JULIAN_DAY => Some(unix_of_julian_day(day)),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "saturates, which is what an absurd date deserves"
        )]
        Value::Real(unix) => unix.is_finite().then_some(unix as i64),
        Value::Text(bytes) | Value::Blob(bytes) => {
            let text = std::str::from_utf8(bytes).ok()?.trim();
            let utc = || {
                TimeZone::UTC
                    .to_timestamp(text.parse::<DateTime>().ok()?)
                    .ok()
            };
            text.parse().ok().or_else(|| Some(utc()?.as_second()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_in_every_storage_class() {
        assert_eq!(
            time(Value::Real(2_460_263.432_864_583_6)),
            Some(1_700_000_600)
        );
        assert_eq!(time(Value::Real(2_440_587.499_994_212)), Some(0));
        assert_eq!(time(Value::Integer(1_700_000_600)), Some(1_700_000_600));
        assert_eq!(time(Value::Real(1_700_000_600.0)), Some(1_700_000_600));
        assert_eq!(
            time(Value::Text(b"2023-11-14 22:23:20")),
            Some(1_700_000_600)
        );
        assert_eq!(time(Value::Text(b"1700000600")), Some(1_700_000_600));
        for none in [
            Value::Null,
            Value::Text(b"soon"),
            Value::Text(b"\xff"),
            Value::Real(f64::INFINITY),
        ] {
            assert_eq!(time(none), None, "{none:?}");
        }
    }

    #[test]
    fn numbers_in_every_storage_class() {
        assert_eq!(integer(Value::Text(b"17")), Some(17));
        assert_eq!(integer(Value::Real(17.0)), Some(17));
        assert_eq!(real(Value::Integer(-1)), Some(-1.0));
        assert_eq!(real(Value::Text(b"0.5")), Some(0.5));
        assert_eq!(real(Value::Text(b"NaN")), None);
        assert_eq!(text(Value::Integer(1001)).as_deref(), Some(&b"1001"[..]));
    }

    proptest! {
        #[test]
        fn no_text_makes_a_number_or_a_time_panic(bytes in prop::collection::vec(any::<u8>(), 0..30)) {
            let _ = (time(Value::Text(&bytes)), integer(Value::Text(&bytes)), real(Value::Text(&bytes)));
        }

        #[test]
        fn no_real_makes_a_time_panic(bits in any::<u64>()) {
            let _ = (time(Value::Real(f64::from_bits(bits))), integer(Value::Real(f64::from_bits(bits))));
        }
    }
}
