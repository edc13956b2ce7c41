//! A binding as bytes: what is kept of it, and what its fingerprint covers.
//!
//! A list of entries. Each begins with its column's number and the kind of the value that follows, so adding a column
//! does not change what older rows say. Texts are preceded by their length; numbers take as few bytes as they need.

use integer_encoding::{VarInt, VarIntWriter};
use xxhash_rust::xxh3::xxh3_64;

use super::cell::Cell;
use super::cells::Cells;
use super::columns::{Binding, Column};

/// The kinds of values, in the two low bits of an entry's first byte; the column's number stands above them.
const TEXT: u8 = 0;
const INTEGER: u8 = 1;
const REAL: u8 = 2;

/// The entry of an attribute: its name and value follow. No column has the number 0.
const ATTRIBUTE: u8 = 0;

/// The entry of all attributes: the number of their shape and their pieces follow.
const SHAPED: u8 = 3;

const MEMORY: &str = "writing to memory does not fail";

/// What the bytes of a binding say.
#[derive(Debug, Default)]
pub struct Decoded<'a> {
    /// The row.
    pub cells: Cells<'a>,
    /// Names and values of its attributes.
    pub attributes: Vec<(&'a [u8], &'a [u8])>,
    /// Or the number of their shape, and their pieces.
    pub shaped: Option<(u32, &'a [u8])>,
}

/// Bytes that are read from their front.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a>(pub &'a [u8]);

impl Binding {
    /// Appends the row and its attributes; all but the name of the table.
    ///
    /// # Panics
    /// Never: writing to memory does not fail.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_row(out);
        for (name, value) in self.attributes.iter() {
            out.push(ATTRIBUTE);
            write_text(name.as_bytes(), out);
            write_text(&value, out);
        }
    }

    /// The same, with the attributes as the pieces that fill the shape that is known by this number.
    ///
    /// # Panics
    /// Never: writing to memory does not fail.
    pub fn encode_shaped(&self, shape: u32, pieces: &[u8], out: &mut Vec<u8>) {
        self.encode_row(out);
        out.push(SHAPED);
        out.write_varint(shape).expect(MEMORY);
        write_text(pieces, out);
    }

    /// A fingerprint of the row of `location`, equal across restarts: it changes with every column that a
    /// REGISTER can change. Attributes do not count, because Kamailio rewrites them apart from the row.
    #[must_use]
    pub fn row_fingerprint(&self) -> u64 {
        let mut row = Vec::with_capacity(512);
        self.encode_row(&mut row);
        xxh3_64(&row)
    }

    fn encode_row(&self, out: &mut Vec<u8>) {
        for column in Column::ALL {
            let first = (*column as u8) << 2;
            match self.cell(*column) {
                Cell::Absent => {}
                Cell::Text(text) => {
                    out.push(first | TEXT);
                    write_text(&text, out);
                }
                Cell::Integer(number) => {
                    out.push(first | INTEGER);
                    out.write_varint(number).expect(MEMORY);
                }
                Cell::Real(number) => {
                    out.push(first | REAL);
                    out.extend_from_slice(&number.to_le_bytes());
                }
            }
        }
    }
}

impl<'a> Decoded<'a> {
    /// What these bytes say; `None` where no binding was encoded so. Columns that are not known are passed over.
    #[must_use]
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = Bytes(bytes);
        let mut decoded = Self::default();
        while !rest.0.is_empty() {
            let [first] = rest.array()?;
            if first == ATTRIBUTE {
                decoded.attributes.push((rest.text()?, rest.text()?));
                continue;
            }
            if first == SHAPED {
                decoded.shaped = Some((rest.number()?, rest.text()?));
                continue;
            }
            let cell = match first & 3 {
                TEXT => Cell::Text(rest.text()?.into()),
                INTEGER => Cell::Integer(rest.number()?),
                REAL => Cell::Real(f64::from_le_bytes(rest.array()?)),
                _ => return None,
            };
            if let Some(column) = Column::with_number(first >> 2) {
                decoded.cells.set(column, cell);
            }
        }
        Some(decoded)
    }
}

impl<'a> Bytes<'a> {
    /// The next `length` bytes.
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// The next text, which has its length before it.
    pub fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    /// The next number, as [`write_number`] wrote it.
    pub(super) fn length(&mut self) -> Option<usize> {
        let length: u64 = self.number()?;
        usize::try_from(length).ok()
    }

    fn number<N: VarInt>(&mut self) -> Option<N> {
        let (number, length) = N::decode_var(self.0)?;
        self.take(length)?;
        Some(number)
    }
}

/// Appends a text with its length before it.
///
/// # Panics
/// Never: writing to memory does not fail.
pub fn write_text(text: &[u8], out: &mut Vec<u8>) {
    write_number(text.len(), out);
    out.extend_from_slice(text);
}

/// Appends a number, in as few bytes as it needs.
pub(super) fn write_number(number: usize, out: &mut Vec<u8>) {
    out.write_varint(number as u64).expect(MEMORY);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::registration::testing::{any_binding, binding, packed};
    use crate::registration::{Expiry, Number, Texts};

    fn encoded(binding: &Binding) -> Vec<u8> {
        let mut bytes = Vec::new();
        binding.encode(&mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn a_binding_is_what_it_was_encoded_from(binding in any_binding()) {
            prop_assert_eq!(packed(&binding), binding);
        }

        #[test]
        fn any_bytes_are_a_row_or_none(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Decoded::of(&bytes);
        }

        /// Every column is in the fingerprint and in the comparison, and the encoding brings it back.
        #[test]
        fn a_column_that_differs_makes_another_row(one in any_binding(), other in any_binding()) {
            for column in Column::ALL {
                let mut bytes = Vec::new();
                one.encode(&mut bytes);
                let mut cells = Decoded::of(&bytes).expect("it was encoded").cells;
                cells.set(*column, other.cell(*column));
                let mixed = cells.binding(&one.key.table, one.attributes.clone(), &mut Texts::default());
                prop_assert_eq!(mixed.cell(*column), other.cell(*column));
                let is_same = one.cell(*column) == other.cell(*column);
                prop_assert_eq!(mixed.row_fingerprint() == one.row_fingerprint(), is_same, "{:?}", column);
                prop_assert_eq!(cells.are_of(&one), is_same, "{:?}", column);
                prop_assert_eq!(mixed == one, is_same, "{:?}", column);
            }
        }
    }

    #[test]
    fn a_column_of_another_version_shifts_nothing() {
        let one = binding("uloc-1", "bob", "sip:bob@192.0.2.1", 100);
        let text = [63 << 2 | TEXT, 3, b'n', b'e', b'w'];
        let bytes = [&text[..], &encoded(&one), &[63 << 2 | INTEGER, 2]].concat();
        let cells = Decoded::of(&bytes).expect("it was encoded").cells;
        assert!(cells.are_of(&one));
    }

    #[test]
    fn attributes_are_not_in_the_fingerprint() {
        let one = binding("uloc-1", "bob", "sip:bob@192.0.2.1", 100);
        let attributes = [("token".into(), "d@a".into())].into_iter().collect();
        let other = Binding {
            attributes,
            ..one.clone()
        };
        assert_eq!(other.row_fingerprint(), one.row_fingerprint());
    }

    /// What an older version kept must be read by the next one: a change here needs a migration.
    #[test]
    fn the_bytes_stay_as_they_are() {
        let binding = Binding {
            expiry: Expiry::At(-1),
            cseq: Number::new(300),
            q: Some(0.5),
            attributes: [("token".into(), "d@a".into())].into_iter().collect(),
            ..binding("u-1", "bob", "b", 100)
        };
        insta::assert_snapshot!(
            encoded(&binding).escape_ascii(),
            @r"\x04\x03u-1\x08\x03bob\x0c\x10acme.example.com\x10\x01b\x1d\x01!\xe7\x07&\x00\x00\x00\x00\x00\x00\xe0?(\x0ecall@192.0.2.1-\xd8\x041\x005\x008\tPhone 1.0<\x11udp:10.0.0.5:5060M\x00\x00\x05token\x03d@a"
        );
    }
}
