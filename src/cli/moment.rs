//! Moments on the command line: how long ago, or a time.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::{Clock, SystemClock};
use crate::config::parse_duration;

/// A moment of the command line, as the API takes it.
#[derive(Clone, Debug)]
pub(super) enum Moment {
    /// So long before now.
    Ago(Duration),
    /// An RFC 3339 time or a Unix second.
    At(String),
}

/// Reads a moment.
pub(super) fn moment(text: &str) -> Result<Moment, String> {
    if let Some(ago) = ago(text) {
        return Ok(Moment::Ago(ago));
    }
    let is_second = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    if is_second || text.parse::<Timestamp>().is_ok() {
        return Ok(Moment::At(text.to_owned()));
    }
    Err(
        "write how long ago, for instance 24h or 30m, or a time such as 2026-11-30T15:00:00Z"
            .into(),
    )
}

/// A duration; days too.
fn ago(text: &str) -> Option<Duration> {
    let Some((days, rest)) = text.split_once('d') else {
        return parse_duration(text);
    };
    let days: u32 = days.parse().ok()?;
    let rest = if rest.is_empty() {
        Duration::ZERO
    } else {
        parse_duration(rest)?
    };
    Some(Duration::from_hours(24).checked_mul(days)? + rest)
}

impl Moment {
    /// As the API takes it.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Ago(ago) => {
                let now = SystemClock::new().unix();
                now.saturating_sub(*ago).as_secs().to_string()
            }
            Self::At(text) => text.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_durations_or_times() {
        for good in [
            "24h",
            "30m",
            "7d",
            "1d12h",
            "2026-11-30T15:00:00Z",
            "1764514800",
        ] {
            assert!(moment(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "d",
            "yesterday",
            "2026-11-30",
            "-1h",
            "1h1d",
            "1.5h",
            "99999999999d",
        ] {
            assert!(moment(bad).is_err(), "{bad}");
        }
        let seconds = |text| match moment(text) {
            Ok(Moment::Ago(ago)) => ago.as_secs(),
            other => panic!("{other:?}"),
        };
        assert_eq!(seconds("1d12h"), 36 * 3600);
    }
}
