//! Which users a name means: somebody asks for one, in any case or as a list shows it.

use std::borrow::Cow;

/// What stands in a list for bytes that are not UTF-8.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// A user's name as somebody asks for it.
#[derive(Clone, Copy, Debug)]
pub(in crate::registry) struct Asked<'a> {
    bytes: &'a [u8],
    /// The name as text, where it has a U+FFFD: all whose names look so are meant.
    looks: Option<&'a str>,
}

impl<'a> Asked<'a> {
    pub(in crate::registry) fn new(bytes: &'a [u8]) -> Self {
        let text = std::str::from_utf8(bytes).ok();
        Self {
            bytes,
            looks: text.filter(|text| text.contains(REPLACEMENT)),
        }
    }

    /// Whether a user of this name is meant, the case of letters aside.
    pub(in crate::registry) fn means(&self, own: &[u8]) -> bool {
        let looks_so = |looks: &str| String::from_utf8_lossy(own).eq_ignore_ascii_case(looks);
        own.eq_ignore_ascii_case(self.bytes) || self.looks.is_some_and(looks_so)
    }

    /// Whether a user's name is spelled exactly so.
    fn is_exactly(&self, own: &[u8]) -> bool {
        let looks_so = |looks: &str| String::from_utf8_lossy(own) == looks;
        own == self.bytes || self.looks.is_some_and(looks_so)
    }

    /// Of names that are meant the case of letters aside, those that are: where one is spelled exactly as asked, no
    /// other.
    pub(in crate::registry) fn exact_first<T>(
        &self,
        mut all: Vec<T>,
        name: impl Fn(&T) -> Cow<'_, [u8]>,
    ) -> Vec<T> {
        if all.iter().any(|one| self.is_exactly(&name(one))) {
            all.retain(|one| self.is_exactly(&name(one)));
        }
        all
    }

    /// What all names that are meant begin with, in lower case; the whole of it where it is known.
    pub(in crate::registry) fn beginning(&self) -> Beginning {
        let known = match self.looks.and_then(|looks| looks.find(REPLACEMENT)) {
            Some(end) => &self.bytes[..end],
            None => self.bytes,
        };
        Beginning {
            lower: known.to_ascii_lowercase(),
            is_whole: self.looks.is_none(),
        }
    }
}

/// What names begin with, in lower case.
#[derive(Debug)]
pub(in crate::registry) struct Beginning {
    pub(in crate::registry) lower: Vec<u8>,
    /// Whether it is the whole name.
    pub(in crate::registry) is_whole: bool,
}

impl Beginning {
    /// Whether a name in any case begins so.
    pub(in crate::registry) fn is_of(&self, name: &[u8]) -> bool {
        let length = self.lower.len();
        let is_long_enough = if self.is_whole {
            name.len() == length
        } else {
            name.len() >= length
        };
        is_long_enough && name[..length].eq_ignore_ascii_case(&self.lower)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant<'a>(asked: &[u8], names: &[&'a [u8]]) -> Vec<&'a [u8]> {
        let asked = Asked::new(asked);
        let beginning = asked.beginning();
        let names = names.iter().copied();
        let names: Vec<&[u8]> = names.filter(|name| asked.means(name)).collect();
        assert!(names.iter().all(|name| beginning.is_of(name)));
        asked.exact_first(names, |name| Cow::Borrowed(*name))
    }

    #[test]
    fn case_counts_only_where_a_name_is_spelled_so() {
        let names: [&[u8]; 3] = [b"Alice", b"alice", b"alicia"];
        assert_eq!(meant(b"alice", &names), [b"alice"]);
        assert_eq!(meant(b"Alice", &names), [b"Alice"]);
        assert_eq!(meant(b"ALICE", &names), [b"Alice", b"alice"]);
        assert!(meant(b"alic", &names).is_empty());
    }

    #[test]
    fn all_that_look_so_are_meant() {
        let names: [&[u8]; 5] = [
            b"bin6\xff",
            b"bin6\xfe",
            "bin6\u{fffd}".as_bytes(),
            b"BIN6\xff",
            b"bin6\xffx",
        ];
        let shown = "bin6\u{fffd}".as_bytes();
        assert_eq!(meant(shown, &names), names[..3]);
        assert_eq!(meant(b"bin6\xff", &names), [b"bin6\xff"]);
        assert_eq!(meant("Bin6\u{fffd}".as_bytes(), &names).len(), 4);
    }
}
