//! What of a list's changes is asked for, and in which form. Pure.

use http::{HeaderMap, HeaderName, header};

use crate::events::Type;
use crate::events::json::LogId;
use crate::fleet::cursor::Cursor;
use crate::http::error::{Error, Problem};
use crate::http::request::fields::fields;
use crate::http::request::format::ranges;
use crate::http::request::params::Params;
use crate::http::request::reach::Reach;
use crate::registration::item::Field;

/// The id of the last event that a client has, as browsers send it.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Parameters of lists that a stream does not have.
const OF_LISTS: [&str; 3] = ["page_size", "start_key", "sort"];

/// How events are framed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Framing {
    /// Server-sent events.
    Sse,
    /// A JSON object in each line.
    Lines,
}

/// Where a stream begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum From {
    /// With what happens from now on.
    Now,
    /// With the rows of now.
    Initial,
    /// After this event.
    Event(LogId, u64),
    /// After the event of a fleet with this id.
    OfFleet(Cursor),
    /// After an event that nobody can name.
    Unknown,
}

/// A stream that is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct StreamParams {
    pub(crate) framing: Framing,
    pub(crate) types: Vec<Type>,
    pub(crate) from: From,
    /// Whether the rows of now are sent again where events are missing.
    pub(crate) is_initial: bool,
    /// The fields of `registration` that are wanted; `None` for all.
    pub(crate) fields: Option<Vec<Field>>,
}

impl StreamParams {
    /// The stream that a request asks for; `None` where it asks for a list.
    pub(crate) fn parse(
        params: &Params,
        headers: &HeaderMap,
        reach: Reach<'_>,
    ) -> Result<Option<Self>, Error> {
        let Some(framing) = framing(params, headers)? else {
            return Ok(None);
        };
        for name in OF_LISTS {
            if params.get(name).is_some() {
                return Err(Error::parameter(name, Problem::NotOfAStream));
            }
        }
        if params.get("accept").is_some_and(|it| it.contains("csv")) {
            return Err(Error::parameter("accept", Problem::NotOfAStream));
        }
        let is_initial = flag(params, "initial")?;
        Ok(Some(Self {
            framing,
            types: types(params)?,
            from: from(params, headers, is_initial)?,
            is_initial,
            fields: fields(params, reach)?,
        }))
    }
}

fn framing(params: &Params, headers: &HeaderMap) -> Result<Option<Framing>, Error> {
    let is_watched = flag(params, "watch")?;
    let wants_events = ranges(headers, &header::ACCEPT)
        .any(|(kind, quality)| kind == "text/event-stream" && quality > 0);
    Ok(if wants_events {
        Some(Framing::Sse)
    } else {
        is_watched.then_some(Framing::Lines)
    })
}

fn types(params: &Params) -> Result<Vec<Type>, Error> {
    let mut types = Vec::new();
    for names in params.all("events") {
        for name in names.split(',').map(str::trim) {
            let unknown = || Error::parameter("events", Problem::UnknownEvent);
            types.push(Type::from_name(name).ok_or_else(unknown)?);
        }
    }
    if types.is_empty() {
        types.extend(Type::CHOOSABLE);
        types.retain(|one| *one != Type::Refreshed);
    }
    Ok(types)
}

fn from(params: &Params, headers: &HeaderMap, is_initial: bool) -> Result<From, Error> {
    let since = params.get("since").map(|since| {
        let bad = || Error::parameter("since", Problem::BadEventId);
        event(since).ok_or_else(bad)
    });
    let since = since.transpose()?;
    if let Some(last) = headers.get(LAST_EVENT_ID).filter(|id| !id.is_empty()) {
        let last = last.to_str().ok().and_then(event);
        return Ok(last.unwrap_or(From::Unknown));
    }
    Ok(match since {
        _ if is_initial => From::Initial,
        Some(since) => since,
        None => From::Now,
    })
}

/// After the event with this id.
fn event(id: &str) -> Option<From> {
    match LogId::parse(id) {
        Some((log, seq)) => Some(From::Event(log, seq)),
        None => Cursor::parse(id).map(From::OfFleet),
    }
}

fn flag(params: &Params, name: &str) -> Result<bool, Error> {
    match params.get(name) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Error::parameter(name, Problem::NotAFlag)),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn parse(
        query: &str,
        headers: &[(&'static str, &'static str)],
    ) -> Result<Option<StreamParams>, Error> {
        let headers = headers
            .iter()
            .map(|(name, value)| {
                let name = HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            })
            .collect();
        StreamParams::parse(&Params::parse(query), &headers, Reach::Node(""))
    }

    const SSE: (&str, &str) = ("accept", "text/event-stream");
    const ID: &str = "00000000000000ff-12";

    #[test]
    fn a_list_is_a_list() {
        for query in ["", "watch=false", "initial=true", "page_size=3"] {
            assert_eq!(
                parse(query, &[("accept", "application/json")]),
                Ok(None),
                "{query}"
            );
        }
    }

    #[test]
    fn the_header_wins_over_since_and_initial() {
        let stream = |query, headers: &[_]| parse(query, headers).unwrap().unwrap();
        let from = |query, headers: &[_]| stream(query, headers).from;
        let last = ("last-event-id", ID);
        assert_eq!(from("", &[SSE]), From::Now);
        assert_eq!(from("initial=true", &[SSE]), From::Initial);
        assert_eq!(
            from("watch=true&since=00000000000000ff-3", &[]),
            From::Event(LogId(255), 3)
        );
        let query = "initial=true&since=00000000000000ff-3";
        assert_eq!(from(query, &[SSE, last]), From::Event(LogId(255), 12));
        assert!(stream(query, &[SSE, last]).is_initial, "after a gap");
        assert_eq!(from("", &[SSE, ("last-event-id", "none")]), From::Unknown);
    }

    #[test]
    fn what_is_no_stream_is_refused() {
        for query in [
            "watch=yes",
            "watch=true&initial=1",
            "watch=true&page_size=10",
            "watch=true&start_key=x",
            "watch=true&sort=username",
            "watch=true&accept=csv",
            "watch=true&events=lost",
            "watch=true&events=",
            "watch=true&events=gap",
            "watch=true&since=12",
            "watch=true&since=00000000000000FF-12",
            "watch=true&since=00000000000000ff-",
            "watch=true&fields=nothing",
        ] {
            assert!(parse(query, &[]).is_err(), "{query}");
        }
    }

    #[test]
    fn refreshes_come_on_request_only() {
        let types = |query| parse(query, &[SSE]).unwrap().unwrap().types;
        assert!(!types("").contains(&Type::Refreshed));
        assert!(types("").contains(&Type::Source));
        assert_eq!(
            types("events=refreshed,moved"),
            [Type::Refreshed, Type::Moved]
        );
    }
}
