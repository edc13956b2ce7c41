//! Durations as people write them: numbers with units, the longest unit first.

use std::time::Duration;

use crate::document::{Item, Value, quoted};

/// The longest duration: beyond it someone has mistaken the unit.
const LONGEST: Duration = Duration::from_hours(24);

/// Units of durations, the longest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// A duration above zero: numbers with units, for instance `500ms`, `2s` or `1m30s`.
pub(super) fn duration(item: &Item) -> Result<Duration, String> {
    let (text, duration) = any_duration(item)?;
    if duration > LONGEST {
        return Err(format!(
            "{} is longer than a day; use at most \"24h\"",
            quoted(text)
        ));
    }
    Ok(duration)
}

/// A duration as [`duration`] reads it, of any length, and its text.
pub(super) fn any_duration(item: &Item) -> Result<(&str, Duration), String> {
    if let (Value::Integer(number), Err(_)) = (&item.value, item.text()) {
        return Err(format!(
            "the unit is missing; write for instance \"{number}s\""
        ));
    }
    let text = item.text()?;
    match parse_duration(text) {
        None => Err(format!(
            "{} is not a duration; write for instance \"2s\", \"500ms\" or \"1m\"",
            quoted(text)
        )),
        Some(Duration::ZERO) => Err("the duration must be more than zero".to_owned()),
        Some(duration) => Ok((text, duration)),
    }
}

/// Numbers with units, the longest unit first; `None` where it is something else.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total: u64 = 0;
    let mut smaller_than = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let length = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == &rest[..length])?;
        if *unit >= smaller_than {
            return None;
        }
        smaller_than = *unit;
        total = total.checked_add(number.checked_mul(*unit)?)?;
        rest = &rest[length..];
    }
    (!text.is_empty()).then(|| Duration::from_millis(total))
}

/// A duration as [`duration`] reads it.
pub(crate) fn show_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let parts = UNITS.map(|(name, unit)| {
        let number = rest / unit;
        rest %= unit;
        if number == 0 {
            String::new()
        } else {
            format!("{number}{name}")
        }
    });
    parts.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_are_needed_and_fall() {
        let seconds = |text| parse_duration(text).map(|duration| duration.as_secs_f64());
        assert_eq!(seconds("2s"), Some(2.0));
        assert_eq!(seconds("500ms"), Some(0.5));
        assert_eq!(seconds("1m"), Some(60.0));
        assert_eq!(seconds("1h1m1s1ms"), Some(3661.001));
        assert_eq!(seconds("7d"), Some(604_800.0));
        for wrong in [
            "",
            "2",
            "s",
            "2 s",
            "-2s",
            "2.5s",
            "2S",
            "1s1m",
            "1s1s",
            "s2",
            "2sec",
            "٢s",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_again(milliseconds in 1_u64..86_400_000) {
            let duration = Duration::from_millis(milliseconds);
            prop_assert_eq!(parse_duration(&show_duration(duration)), Some(duration));
        }

        #[test]
        fn any_text_is_survived(text in ".*") {
            parse_duration(&text);
        }
    }
}
