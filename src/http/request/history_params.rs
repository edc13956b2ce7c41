//! What of the history is asked for. Pure.

use crate::events::group::By;
use crate::events::{Reason, Type};
use crate::http::error::{Error, Problem};
use crate::http::request::paging::history_page;
use crate::http::request::params::Params;

/// The part of a history that is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct HistoryParams {
    /// From this moment on, in milliseconds since the Unix epoch.
    pub(crate) from: Option<u64>,
    /// Up to this moment, which is included.
    pub(crate) to: Option<u64>,
    /// These types only; `None` for all.
    pub(crate) types: Option<Vec<Type>>,
    /// Only registrations that ended for these reasons; `None` for all events.
    pub(crate) reasons: Option<Vec<Reason>>,
    /// Numbers of events by what they have in common, instead of the events.
    pub(crate) group: Option<By>,
    /// Events before the one at this place.
    pub(crate) before: Option<Vec<u8>>,
    /// Those of the nodes with these names; `None` for all.
    pub(crate) nodes: Option<Vec<String>>,
    /// How many of them.
    pub(crate) size: usize,
}

impl HistoryParams {
    /// The part of the history called `list` that the parameters ask for.
    pub(crate) fn parse(params: &Params, list: &[u8]) -> Result<Self, Error> {
        let types = names(params, "events", Type::from_name, Problem::UnknownEvent)?;
        let reasons = names(params, "reason", Reason::from_name, Problem::UnknownReason)?;
        let group = params.get("group").map(|name| {
            By::from_name(name).ok_or_else(|| Error::parameter("group", Problem::UnknownGroup))
        });
        let (before, size) = history_page(params, list)?;
        Ok(Self {
            from: time(params, "from")?.map(|time| time.first),
            to: time(params, "to")?.map(|time| time.last),
            types,
            reasons,
            group: group.transpose()?,
            before,
            nodes: names(
                params,
                "node",
                |name| Some(name.to_owned()),
                Problem::UnknownKey,
            )?,
            size,
        })
    }
}

/// A moment, in milliseconds since the Unix epoch: the first and the last millisecond that it may mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Time {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// The moment that a parameter names: a Unix second, with a fraction or without, or an RFC 3339 time.
pub(crate) fn time(params: &Params, name: &str) -> Result<Option<Time>, Error> {
    let parse = |text| parse_time(text).ok_or_else(|| Error::parameter(name, Problem::NotATime));
    params.get(name).map(parse).transpose()
}

fn parse_time(text: &str) -> Option<Time> {
    let whole = |second: u64| {
        let first = second.checked_mul(1000)?;
        let last = first.checked_add(999)?;
        Some(Time { first, last })
    };
    if let Ok(second) = text.parse::<u64>() {
        return whole(second);
    }
    let moment = match text.split_once('.') {
        Some((second, fraction)) if second.bytes().all(|digit| digit.is_ascii_digit()) => {
            return with_fraction(second, fraction);
        }
        _ => text.parse::<jiff::Timestamp>().ok()?,
    };
    let milliseconds = u64::try_from(moment.as_millisecond()).ok()?;
    if milliseconds.is_multiple_of(1000) && !text.contains('.') {
        return whole(milliseconds / 1000);
    }
    Some(Time {
        first: milliseconds,
        last: milliseconds,
    })
}

/// `1764514800.25`
fn with_fraction(second: &str, fraction: &str) -> Option<Time> {
    let is_plain = !fraction.is_empty() && fraction.bytes().all(|digit| digit.is_ascii_digit());
    let thousandths = format!("{fraction:0<3}");
    let thousandths = thousandths.get(..3).filter(|_| is_plain)?;
    let second: u64 = second.parse().ok()?;
    let at = second
        .checked_mul(1000)?
        .checked_add(thousandths.parse().ok()?)?;
    Some(Time {
        first: at,
        last: at,
    })
}

/// The values that a parameter names, separated by commas; `None` where it is not there.
fn names<T>(
    params: &Params,
    name: &str,
    of: impl Fn(&str) -> Option<T>,
    problem: Problem,
) -> Result<Option<Vec<T>>, Error> {
    let mut found = None;
    for text in params.all(name) {
        for one in text.split(',').map(str::trim) {
            let one = of(one).ok_or_else(|| Error::parameter(name, problem))?;
            found.get_or_insert_with(Vec::new).push(one);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<HistoryParams, Error> {
        HistoryParams::parse(&Params::parse(query), b"list")
    }

    #[test]
    fn moments_are_inclusive() {
        let three = 1_764_514_800_000;
        for (text, first, last) in [
            ("1764514800", three, three + 999),
            ("2025-11-30T15:00:00Z", three, three + 999),
            ("2025-11-30T16:00:00%2B01:00", three, three + 999),
            ("2025-11-30T15:00:00.250Z", three + 250, three + 250),
            ("1764514800.25", three + 250, three + 250),
            ("0", 0, 999),
        ] {
            let found = parse(&format!("from={text}&to={text}")).unwrap();
            assert_eq!((found.from, found.to), (Some(first), Some(last)), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_asked_for_is_refused() {
        for query in [
            "from=yesterday",
            "to=",
            "to=-1",
            "from=2025-11-30",
            "from=2025-11-30T15:00:00",
            "from=1764514800.",
            "from=1.x",
            "from=99999999999999999999",
            "events=lost",
            "events=gap",
            "events=",
            "reason=gone",
            "group=account",
            "page_size=0",
            "page_size=1001",
            "page_size=x",
            "start_key=x",
        ] {
            assert!(parse(query).is_err(), "{query}");
        }
    }

    #[test]
    fn types_and_reasons_are_chosen() {
        let some = parse("events=terminated,moved&reason=expired&reason=removed").unwrap();
        assert_eq!(some.types, Some(vec![Type::Terminated, Type::Moved]));
        assert_eq!(some.reasons, Some(vec![Reason::Expired, Reason::Removed]));
        let all = parse("").unwrap();
        assert_eq!((all.types, all.reasons), (None, None));
        assert_eq!((all.size, all.before), (100, None));
    }
}
