//! Compact texts: those of one row share one allocation.

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use memchr::memmem;
use serde::{Deserialize, Deserializer};
use triomphe::ThinArc;

/// Text as Kamailio stores it: bytes that are mostly, but need not be, UTF-8 (SIP headers are copied unchecked).
/// Cheap to clone.
#[derive(Clone)]
pub struct Text {
    pack: Pack,
    piece: Piece,
}

/// Texts side by side in memory. They go when the last of them does.
#[derive(Clone)]
pub(super) struct Pack(ThinArc<(), u8>);

/// Where a text stands in its pack.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Piece {
    start: u32,
    length: u32,
}

/// Puts texts side by side: a piece of memory for each would cost more than most of them are long.
#[derive(Clone, Default, Debug)]
pub(super) struct Packer {
    bytes: Vec<u8>,
}

impl Text {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        let (start, length) = (self.piece.start as usize, self.piece.length as usize);
        &self.pack.0.slice[start..start + length]
    }

    /// The text with U+FFFD in place of what is not UTF-8.
    #[must_use]
    pub fn lossy(&self) -> Cow<'_, str> {
        // Much faster where it is UTF-8.
        match std::str::from_utf8(self.as_bytes()) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(self.as_bytes()),
        }
    }

    /// The text of these bytes, which takes no memory of its own where they stand somewhere in this text.
    #[must_use]
    pub fn part(&self, bytes: &[u8]) -> Self {
        let whole = self.as_bytes();
        // As a rule it was cut out of this very text.
        let offset = bytes.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
        let is_within = whole
            .get(offset..)
            .is_some_and(|rest| rest.len() >= bytes.len());
        let place = if is_within {
            Some(offset)
        } else {
            memmem::find(whole, bytes)
        };
        let place = place.filter(|_| !bytes.is_empty());
        let place = place.and_then(|place| u32::try_from(place).ok());
        match (place, u32::try_from(bytes.len())) {
            (Some(place), Ok(length)) => self.pack.text(Piece {
                start: self.piece.start + place,
                length,
            }),
            _ => bytes.into(),
        }
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.piece.length == 0
    }

    /// Whether this is the only text that uses its memory.
    pub(crate) fn is_alone(&self) -> bool {
        ThinArc::strong_count(&self.pack.0) == 1
    }
}

impl Packer {
    /// Adds a text.
    ///
    /// # Panics
    /// When the pack would reach 4 GiB, which no row of SQLite does.
    pub(super) fn add(&mut self, text: &[u8]) -> Piece {
        const WHY: &str = "a row is smaller than 4 GiB";
        let start = u32::try_from(self.bytes.len()).expect(WHY);
        self.bytes.extend_from_slice(text);
        let end = u32::try_from(self.bytes.len()).expect(WHY);
        Piece {
            start,
            length: end - start,
        }
    }

    /// What was added, to add more to it.
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// All that was added; the packer is empty after that.
    pub(super) fn pack(&mut self) -> Pack {
        let pack = Pack::from(&*self.bytes);
        self.bytes.clear();
        pack
    }
}

impl Pack {
    /// All of it.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0.slice
    }

    /// All of it as one text.
    ///
    /// # Panics
    /// Never: a [`Packer`] makes none of 4 GiB.
    pub(super) fn whole(&self) -> Text {
        let length = u32::try_from(self.0.slice.len()).expect("a packer checks it");
        self.text(Piece { start: 0, length })
    }

    /// The text at `piece`, which the packer of this pack gave.
    ///
    /// # Panics
    /// When it is the piece of a greater pack.
    pub(super) fn text(&self, piece: Piece) -> Text {
        let end = piece.start as usize + piece.length as usize;
        assert!(end <= self.0.slice.len(), "the piece is of another pack");
        Text {
            pack: self.clone(),
            piece,
        }
    }
}

impl From<&[u8]> for Pack {
    fn from(bytes: &[u8]) -> Self {
        Self(ThinArc::from_header_and_slice((), bytes))
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::from([].as_slice())
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        let mut packer = Packer::default();
        let piece = packer.add(bytes);
        packer.pack().text(piece)
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(bytes.as_slice())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| text.as_str().into())
    }
}

impl Borrow<[u8]> for Text {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // As that of the bytes, which may stand for the text when one is looked for.
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

impl fmt::Debug for Pack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.slice.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_a_pack_are_themselves() {
        let mut packer = Packer::default();
        let pieces = ["alice", "", "a\u{e9}"].map(|text| packer.add(text.as_bytes()));
        let pack = packer.pack();
        let texts = pieces.map(|piece| pack.text(piece));
        assert_eq!(
            texts,
            [Text::from("alice"), Text::default(), Text::from("a\u{e9}")]
        );
        assert!(!texts[0].is_alone());
        let second = packer.add(b"next");
        assert_eq!(packer.pack().text(second), Text::from("next"));
    }

    #[test]
    fn a_part_of_a_text_shares_its_memory() {
        let mut packer = Packer::default();
        let (_, own) = (packer.add(b"user"), packer.add(b"sip:user@host"));
        let text = packer.pack().text(own);
        assert!(text.is_alone());
        let part = text.part(b"host");
        assert_eq!(part, Text::from("host"));
        assert!(!text.is_alone(), "it is the same memory");
        drop(part);
        for stranger in ["hosts", "", "sip:user@host2"] {
            let other = text.part(stranger.as_bytes());
            assert_eq!(other, Text::from(stranger));
            assert!(text.is_alone(), "{stranger}");
        }
    }

    #[test]
    fn what_is_no_utf_8_is_replaced() {
        assert_eq!(Text::from(&b"a\xffb"[..]).lossy(), "a\u{fffd}b");
    }
}
