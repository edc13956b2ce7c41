//! Pages of a list, and the keys that lead from one to the next. Pure.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use xxhash_rust::xxh3::Xxh3;

use crate::http::error::{Error, Problem};
use crate::http::request::params::Params;
use crate::registration::item::sort::SortValue;
use crate::registry::Position;

/// The size of pages where only a start key is given.
const DEFAULT_PAGE_SIZE: usize = 50;

/// The size of a history's pages where none is given.
const DEFAULT_EVENTS: usize = 100;

/// The largest page of a history.
const MAX_EVENTS: usize = 1000;

/// Bytes of the check sum before a place.
const CHECK: usize = 8;

/// What part of a list is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Paging {
    /// The place after which the page starts.
    pub(crate) after: Option<Place>,
    /// How many items it has at most.
    pub(crate) size: usize,
}

/// A place in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// What the row there is sorted by; `None` in the usual order.
    pub(crate) value: Option<SortValue>,
    /// Its place in the usual order.
    pub(crate) position: Position,
}

impl Paging {
    /// The page that the parameters ask for, of the list called `list`, which may be sorted; `None` for the whole list.
    pub(crate) fn parse(
        params: &Params,
        list: &[u8],
        is_sorted: bool,
    ) -> Result<Option<Self>, Error> {
        let after = only(params, "start_key", |key| {
            let bytes = decoded(key, list);
            bytes
                .and_then(|bytes| Place::read(&bytes, is_sorted))
                .ok_or(Problem::BadCursor)
        })?;
        let size = only(params, "page_size", size)?;
        Ok(match (&after, size) {
            (None, None) => None,
            (_, size) => Some(Self {
                after,
                size: size.unwrap_or(DEFAULT_PAGE_SIZE),
            }),
        })
    }
}

/// What page of a history is asked for: the place of the event before which it starts, and its size.
pub(crate) fn history_page(
    params: &Params,
    list: &[u8],
) -> Result<(Option<Vec<u8>>, usize), Error> {
    let before = only(params, "start_key", |key| {
        decoded(key, list).ok_or(Problem::BadCursor)
    })?;
    let size = only(params, "page_size", |text| match size(text)? {
        size if size > MAX_EVENTS => Err(Problem::TooLarge),
        size => Ok(size),
    })?;
    Ok((before, size.unwrap_or(DEFAULT_EVENTS)))
}

/// The key of the page of a history before the event at this place.
pub(crate) fn next_history_key(place: &[u8], list: &[u8]) -> String {
    encoded(place, list)
}

/// The key of the page after `place`.
pub(crate) fn next_start_key(place: &Place, list: &[u8]) -> String {
    encoded(&place.write(), list)
}

impl Place {
    /// A place in the usual order.
    pub(crate) fn of(position: Position) -> Self {
        Self {
            value: None,
            position,
        }
    }

    /// What is sorted by begins with its length; in the usual order the position stands alone.
    fn write(&self) -> Vec<u8> {
        let position = self.position.as_bytes();
        let Some(value) = self.value.as_ref().map(SortValue::as_bytes) else {
            return position.to_vec();
        };
        let length = u32::try_from(value.len()).expect("a text of a row is smaller than 4 GiB");
        [&length.to_be_bytes(), value, position].concat()
    }

    fn read(bytes: &[u8], is_sorted: bool) -> Option<Self> {
        if !is_sorted {
            return Some(Self::of(Position::from_bytes(bytes)));
        }
        let (length, rest) = bytes.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (value, position) = rest.split_at_checked(length)?;
        Some(Self {
            value: Some(SortValue::from_bytes(value)),
            position: Position::from_bytes(position),
        })
    }
}

fn encoded(place: &[u8], list: &[u8]) -> String {
    let mut bytes = check(place, list).to_vec();
    bytes.extend_from_slice(place);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decoded(key: &str, list: &[u8]) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(key).ok()?;
    let (sum, place) = bytes.split_at_checked(CHECK)?;
    (sum == check(place, list)).then(|| place.to_vec())
}

/// Tells a key of this list from a mistyped one and from a key of another list. It is not a secret: a forged key is just
/// another place in the caller's own list.
fn check(place: &[u8], list: &[u8]) -> [u8; CHECK] {
    let mut hash = Xxh3::new();
    hash.update(&(list.len() as u64).to_le_bytes());
    hash.update(list);
    hash.update(place);
    hash.digest().to_le_bytes()
}

/// The value of a parameter that may stand there more than once, but with one meaning.
fn only<T: PartialEq>(
    params: &Params,
    name: &str,
    read: impl Fn(&str) -> Result<T, Problem>,
) -> Result<Option<T>, Error> {
    let refuse = |problem| Error::parameter(name, problem);
    let mut only = None;
    for text in params.all(name) {
        let value = read(text).map_err(refuse)?;
        if only.as_ref().is_some_and(|previous| *previous != value) {
            return Err(refuse(Problem::Contradiction));
        }
        only = Some(value);
    }
    Ok(only)
}

fn size(text: &str) -> Result<usize, Problem> {
    match text.parse() {
        Ok(0) => Err(Problem::Zero),
        Ok(size) => Ok(size),
        Err(_) => Err(Problem::NotANumber),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_key_leads_back_to_its_place_in_its_list_only(
            value: Option<Vec<u8>>, bytes: Vec<u8>, list: Vec<u8>, other: Vec<u8>,
        ) {
            let here = Place {
                value: value.as_deref().map(SortValue::from_bytes),
                position: Position::from_bytes(&bytes),
            };
            let key = next_start_key(&here, &list);
            let read = |list: &[u8]| {
                let params = Params::parse(&format!("start_key={key}"));
                Paging::parse(&params, list, value.is_some()).map(|page| page.and_then(|page| page.after))
            };
            prop_assert_eq!(read(&list), Ok(Some(here)));
            if list != other {
                prop_assert!(read(&other).is_err());
            }
        }

        #[test]
        fn any_text_is_refused_or_read(text: String) {
            prop_assert_eq!(decoded(&text, b"a"), None);
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes: Vec<u8>) {
            if let Some(place) = Place::read(&bytes, true) {
                prop_assert_eq!(place.write(), bytes);
            }
        }
    }

    #[test]
    fn sizes() {
        let paging = |query: &str| {
            Paging::parse(&Params::parse(query), b"", false).map(|page| page.map(|page| page.size))
        };
        assert_eq!(paging(""), Ok(None));
        assert_eq!(paging("page_size=7"), Ok(Some(7)));
        for bad in ["0", "-1", "x", "", "99999999999999999999999"] {
            assert!(paging(&format!("page_size={bad}")).is_err(), "{bad}");
            assert!(paging(&format!("page_size=7&page_size={bad}")).is_err());
        }
        assert_eq!(paging("page_size=7&page_size=07"), Ok(Some(7)));
        assert!(paging("page_size=7&page_size=8").is_err());
    }
}
