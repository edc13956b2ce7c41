//! The record format: how a row's values stand in its payload
//! (<https://sqlite.org/fileformat2.html#record_format>).

use super::bytes::varint;
use super::reason::{OrMalformed, Reason, Result};

/// A value as it is stored. A whole number in a `REAL` column is stored, and shown, as an integer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// An integer.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// Text: whatever bytes the writer bound, mostly but not necessarily UTF-8.
    Text(&'a [u8]),
    /// A blob.
    Blob(&'a [u8]),
}

/// All values of the record `payload`.
///
/// # Errors
/// When the payload is not a record.
pub(super) fn decode(payload: &[u8]) -> Result<Vec<Value<'_>>> {
    let mut values = Vec::new();
    decode_into(payload, &mut values)?;
    Ok(values)
}

/// The same, in the place of what `values` has.
///
/// # Errors
/// When the payload is not a record.
pub(super) fn decode_into<'a>(payload: &'a [u8], values: &mut Vec<Value<'a>>) -> Result<()> {
    const WHAT: &str = "a record without header";
    let (header, mut at) = varint(payload, 0).or_malformed(WHAT)?;
    let header = usize::try_from(header).or(Err(Reason::Malformed(WHAT)))?;
    let types = payload.get(..header).or_malformed(WHAT)?;
    values.clear();
    values.reserve(header.saturating_sub(at));
    let mut body = header;
    while at < header {
        let (serial, next) = varint(types, at).or_malformed(WHAT)?;
        at = next;
        let rest = payload.get(body..).or_malformed("a record is cut short")?;
        let (value, length) = value(serial, rest).or_malformed("a record is cut short")?;
        body += length;
        values.push(value);
    }
    Ok(())
}

/// The value of serial type `serial` at the beginning of `bytes`, and its length.
fn value(serial: u64, bytes: &[u8]) -> Option<(Value<'_>, usize)> {
    let integer = |length: usize| {
        let bytes = bytes.get(..length)?;
        let sign = if *bytes.first()? >= 0x80 { -1 } else { 0 };
        let value = bytes
            .iter()
            .fold(sign, |value: i64, &byte| value << 8 | i64::from(byte));
        Some((Value::Integer(value), length))
    };
    match serial {
        0 => Some((Value::Null, 0)),
        1..=4 => integer(usize::try_from(serial).ok()?),
        5 => integer(6),
        6 => integer(8),
        7 => {
            let real = f64::from_be_bytes(super::bytes::array(bytes, 0)?);
            // SQLite has no NaN: it reads one as NULL.
            let value = if real.is_nan() {
                Value::Null
            } else {
                Value::Real(real)
            };
            Some((value, 8))
        }
        8 => Some((Value::Integer(0), 0)),
        9 => Some((Value::Integer(1), 0)),
        10 | 11 => None,
        _ => {
            let length = usize::try_from((serial - 12) / 2).ok()?;
            let bytes = bytes.get(..length)?;
            let value = if serial.is_multiple_of(2) {
                Value::Blob(bytes)
            } else {
                Value::Text(bytes)
            };
            Some((value, length))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_serial_type() {
        let record = [
            9, 0, 1, 2, 8, 9, 7, 15, 16, // header
            0xff, 0x80, 0x00, // -1, -32768
            0x3f, 0xf8, 0, 0, 0, 0, 0, 0, // 1.5
            b'x', 1, 2,
        ];
        let expected = [
            Value::Null,
            Value::Integer(-1),
            Value::Integer(-32768),
            Value::Integer(0),
            Value::Integer(1),
            Value::Real(1.5),
            Value::Text(b"x"),
            Value::Blob(&[1, 2]),
        ];
        assert_eq!(decode(&record).unwrap(), expected);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_record_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(values) = decode(&bytes) {
                prop_assert!(values.len() <= bytes.len());
            }
        }
    }
}
