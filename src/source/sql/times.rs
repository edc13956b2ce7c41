//! Times of Kamailio's tables: local time of its process, without a zone.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

/// Which of two readings is meant in the hour that the change to winter time repeats.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Repeated {
    /// The later one, as Kamailio reads it.
    Later,
    /// The latest one that is not after this Unix second, else the earlier one.
    NotAfter(i64),
}

/// The Unix second of `2026-11-30 01:02:03`, also with a fraction or an offset from UTC behind it, which say nothing:
/// `PostgreSQL` adds the offset of its session to a time that Kamailio gave it as local time.
pub(super) fn unix_of(text: &[u8], zone: &TimeZone, repeated: Repeated) -> Option<i64> {
    let local = civil(text)?;
    let ambiguous = zone.to_ambiguous_timestamp(local);
    let is_repeated = matches!(ambiguous.offset(), AmbiguousOffset::Fold { .. });
    let earlier = ambiguous.earlier().ok();
    let found = match repeated {
        _ if !is_repeated => ambiguous.compatible(),
        Repeated::Later => ambiguous.later(),
        Repeated::NotAfter(now) => match ambiguous.later() {
            Ok(later) if later.as_second() > now => earlier.map_or(Ok(later), Ok),
            later => later,
        },
    };
    found.ok().map(jiff::Timestamp::as_second)
}

/// The date and time that a text begins with, to the second.
fn civil(text: &[u8]) -> Option<DateTime> {
    let good = |at: &usize| match at {
        4 | 7 => text[*at] == b'-',
        10 => matches!(text[*at], b' ' | b'T'),
        13 | 16 => text[*at] == b':',
        _ => text[*at].is_ascii_digit(),
    };
    if text.len() < 19 || !(0..19).all(|at| good(&at)) || text.ends_with(b"BC") {
        return None;
    }
    let number = |from: usize, to: usize| {
        let digits = text[from..to].iter().map(|digit| i16::from(digit - b'0'));
        digits.fold(0, |number, digit| number * 10 + digit)
    };
    let small = |from: usize| i8::try_from(number(from, from + 2)).ok();
    let (month, day) = (small(5)?, small(8)?);
    let (hour, minute, second) = (small(11)?, small(14)?, small(17)?);
    DateTime::new(number(0, 4), month, day, hour, minute, second, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin(text: &str, repeated: Repeated) -> Option<i64> {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        unix_of(text.as_bytes(), &zone, repeated)
    }

    fn later(text: &str) -> Option<i64> {
        berlin(text, Repeated::Later)
    }

    #[test]
    fn local_times_in_every_spelling() {
        for text in [
            "2026-11-30 02:02:03",
            "2026-11-30T02:02:03",
            "2026-11-30 02:02:03.999999",
            "2026-11-30 02:02:03+00",
        ] {
            assert_eq!(later(text), Some(1_796_000_523), "{text}");
        }
        assert_eq!(later("2026-07-01 02:00:00"), Some(1_782_864_000));
        assert_eq!(
            later("1970-01-01 01:00:00"),
            Some(0),
            "a permanent contact's"
        );
        for text in [
            "0000-00-00 00:00:00",
            "infinity",
            "2026-11-30",
            "2026-13-30 01:02:03",
            "0044-03-15 12:00:00 BC",
            "",
        ] {
            assert_eq!(later(text), None, "{text}");
        }
    }

    #[test]
    fn the_repeated_hour_is_read_as_kamailio_reads_it() {
        // 25 October 2026: 03:00 CEST is 02:00 CET.
        let (summer, winter) = (1_792_888_200, 1_792_891_800);
        let text = "2026-10-25 02:30:00";
        assert_eq!(later(text), Some(winter));
        assert_eq!(berlin(text, Repeated::NotAfter(winter)), Some(winter));
        assert_eq!(berlin(text, Repeated::NotAfter(winter - 1)), Some(summer));
        assert_eq!(berlin(text, Repeated::NotAfter(summer)), Some(summer));
        assert_eq!(later("2026-10-25 03:00:00"), Some(winter + 1800));
        // The hour that is left out in spring.
        assert_eq!(later("2027-03-28 02:30:00"), later("2027-03-28 03:30:00"));
    }
}
