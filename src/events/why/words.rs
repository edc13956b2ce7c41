//! Times and spans as people read them.

/// A moment, in milliseconds since the Unix epoch: `2026-11-30 15:00:07 UTC`.
pub(super) fn moment(milliseconds: u64) -> String {
    second(i64::try_from(milliseconds / 1000).unwrap_or(i64::MAX))
}

/// A Unix second.
pub(super) fn second(unix: i64) -> String {
    let timestamp = jiff::Timestamp::from_second(unix).unwrap_or_default();
    timestamp.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A span, with its two largest units: `2 h 5 min`, `40 s`.
pub(super) fn lasting(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let units = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let first = units.iter().position(|(count, _)| *count > 0);
    let Some(first) = first else {
        return if milliseconds == 0 {
            "0 s".to_owned()
        } else {
            format!("0.{:03} s", milliseconds % 1000)
        };
    };
    let largest = units[first..]
        .iter()
        .take(2)
        .filter(|(count, _)| *count > 0);
    let told: Vec<String> = largest
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    told.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units() {
        for (milliseconds, expected) in [
            (0, "0 s"),
            (250, "0.250 s"),
            (40_000, "40 s"),
            (60_000, "1 min"),
            (7_505_000, "2 h 5 min"),
            (86_400_000 + 61_000, "1 d"),
        ] {
            assert_eq!(lasting(milliseconds), expected);
        }
        assert_eq!(moment(1_764_514_807_123), "2025-11-30 15:00:07 UTC");
    }
}
