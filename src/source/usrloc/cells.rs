//! Reads a value, whatever its storage class.
//!
//! See the comments on dates in Kamailio's `db_sqlite/dbase.c`.

use std::borrow::Cow;

use jiff::SignedDuration;
use jiff::civil::{DateTime, date};
use jiff::fmt::temporal::Pieces;

use super::rows::Value;
use crate::clock::unix_of_julian_day;
use crate::registration::Number;

/// Real numbers below this are Julian days (the year 22,000 is day 10,000,000), above it Unix seconds.
const LARGEST_JULIAN_DAY: f64 = 1e7;

/// The bytes of a text column; a number as it is written.
pub(super) fn text(value: Value<'_>) -> Option<Cow<'_, [u8]>> {
    match value {
        Value::Null => None,
        Value::Text(bytes) | Value::Blob(bytes) => Some(bytes.into()),
        Value::Integer(number) => Some(number.to_string().into_bytes().into()),
        Value::Real(number) => Some(number.to_string().into_bytes().into()),
    }
}

/// A whole number of any storage class; `None` if a binding cannot hold it.
pub(super) fn integer(value: Value<'_>) -> Option<i64> {
    let number = match value {
        Value::Null => return None,
        Value::Integer(number) => number,
        #[expect(
            clippy::cast_possible_truncation,
            reason = "saturates; no real row has such a number"
        )]
        Value::Real(number) => number as i64,
        Value::Text(bytes) | Value::Blob(bytes) => {
            let text = std::str::from_utf8(bytes).ok()?.trim();
            let whole = text.parse().ok();
            return match whole {
                Some(number) => Number::new(number).map(|number| number.get()),
                None => integer(Value::Real(
                    text.parse().ok().filter(|number| is_whole(*number))?,
                )),
            };
        }
    };
    Number::new(number).map(|number| number.get())
}

/// Whether a number such as `17.0` is a whole one.
fn is_whole(number: f64) -> bool {
    number.is_finite() && number.fract() == 0.0
}

/// A number with a fraction, of any storage class.
pub(super) fn real(value: Value<'_>) -> Option<f64> {
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

/// Unix seconds of a time column: Julian day, Unix seconds (`expires_type=1`), or a text (see [`text_time`]).
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
            text.parse().ok().or_else(|| text_time(text))
        }
    }
}

/// Unix seconds of `2026-11-30 01:02:03`, which is in UTC, or with `T`, a fraction, `Z`, ` UTC` or an offset from UTC;
/// or of a number as other storage classes have it.
fn text_time(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse() {
        return time(Value::Real(number));
    }
    // `… 01:02:03 +02:00` and `… 01:02:03 UTC`: the zone stands apart.
    let zone = text.rfind(' ').map(|at| (&text[..at], &text[at + 1..]));
    let joined = match zone {
        Some((moment, zone)) if zone.starts_with(['+', '-']) => format!("{moment}{zone}"),
        Some((moment, "UTC" | "GMT" | "Z" | "utc" | "gmt" | "z")) => format!("{moment}Z"),
        _ => text.to_owned(),
    };
    let pieces = Pieces::parse(&joined).ok()?;
    let offset = match pieces.to_numeric_offset() {
        Some(offset) => offset.seconds(),
        // What has a zone that is not understood is not in UTC.
        None => pieces.time_zone_annotation().is_none().then_some(0)?,
    };
    // Not a `Timestamp`, which ends before `9999-12-31 23:59:59`: to some that is "never".
    let moment = pieces.date().to_datetime(pieces.time().unwrap_or_default());
    let since = moment.duration_since(DateTime::from(date(1970, 1, 1)));
    let seconds = since - SignedDuration::from_secs(offset.into());
    Some(seconds.as_secs())
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
            Value::Text(b""),
            Value::Text(b"\xff"),
            Value::Text(b"inf"),
            Value::Real(f64::INFINITY),
        ] {
            assert_eq!(time(none), None, "{none:?}");
        }
    }

    #[test]
    fn times_as_texts() {
        for text in [
            "2026-11-30 01:02:03",
            "2026-11-30T01:02:03",
            "2026-11-30T01:02:03Z",
            "2026-11-30 01:02:03Z",
            "2026-11-30t01:02:03z",
            "2026-11-30 01:02:03 UTC",
            " 2026-11-30 01:02:03.999 ",
            "2026-11-30T01:02:03.123456Z",
            "2026-11-30T03:02:03+02:00",
            "2026-11-30T03:02:03+0200",
            "2026-11-30 03:02:03+02",
            "2026-11-30 03:02:03 +02:00",
            "2026-11-29T20:02:03.5-05:00",
            "2026-11-29 20:02:03 -0500",
            "20261130T010203Z",
            "1796000523",
            "1796000523.0",
            "2461374.543084491",
        ] {
            assert_eq!(
                time(Value::Text(text.as_bytes())),
                Some(1_796_000_523),
                "{text}"
            );
        }
        for text in [
            "2026-11-30T01:02:03+99:00",
            "2026-11-30T01:02:03 CET",
            "2026-11-30T01:02:03[Europe/Berlin]",
            "2026-13-30T01:02:03Z",
            "30.11.2026 01:02:03",
            "01:02:03",
        ] {
            assert_eq!(time(Value::Text(text.as_bytes())), None, "{text}");
        }
        assert_eq!(time(Value::Text(b"1970-01-01T00:00:00Z")), Some(0));
        for (text, unix) in [
            ("9999-12-31 23:59:59", 253_402_300_799),
            ("9999-12-31T23:59:59.999Z", 253_402_300_799),
            ("9999-12-31 23:59:59-12:00", 253_402_343_999),
            ("9999-12-31", 253_402_214_400),
            ("1969-12-31 23:59:58", -2),
        ] {
            assert_eq!(time(Value::Text(text.as_bytes())), Some(unix), "{text}");
        }
    }

    #[test]
    fn numbers_in_every_storage_class() {
        assert_eq!(integer(Value::Text(b"17")), Some(17));
        assert_eq!(integer(Value::Real(17.0)), Some(17));
        assert_eq!(integer(Value::Text(b"17.0")), Some(17));
        for none in ["", "17.5", "inf", "many", "0x11"] {
            assert_eq!(integer(Value::Text(none.as_bytes())), None, "{none}");
        }
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
