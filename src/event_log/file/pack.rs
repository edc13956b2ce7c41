//! Texts in fewer bits than eight a character: most of what phones send is hex, digits, or letters and digits.

use integer_encoding::{VarInt, VarIntWriter};

use crate::registration::Bytes;

/// Sets of characters, those of fewer bits first. A text is written in the first that has all of its characters; the
/// last writes any bytes as they are. Part of the file's format.
const ALPHABETS: [Alphabet; 8] = [
    Alphabet::of(4, b"0123456789abcdef"),
    Alphabet::of(4, b"0123456789.:-@;_"),
    Alphabet::of(5, b"0123456789abcdef-.:@;=_ABCDEF<>/"),
    Alphabet::of(
        6,
        b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_",
    ),
    Alphabet::of(
        6,
        b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ@.",
    ),
    Alphabet::of(
        6,
        b"0123456789abcdefghijklmnopqrstuvwxyz:;=.-_@~<>/%+,!$&*()'?#[ ]\"|",
    ),
    Alphabet::ascii(),
    Alphabet::any(),
];

/// How many alphabets there are.
pub(super) const COUNT: u8 = 8;

/// Stands for a character that is not in the alphabet.
const MISSING: u8 = 0xff;

/// Characters, each of which is written as its place among them.
struct Alphabet {
    bits: u32,
    characters: [u8; 256],
    places: [u8; 256],
}

impl Alphabet {
    const fn of(bits: u32, characters: &[u8]) -> Self {
        assert!(characters.len() == 1 << bits, "no place is wasted");
        let mut alphabet = Self {
            bits,
            characters: [0; 256],
            places: [MISSING; 256],
        };
        let mut place = 0;
        while place < characters.len() {
            alphabet.put(place, characters[place]);
            place += 1;
        }
        alphabet
    }

    const fn ascii() -> Self {
        Self::first(7)
    }

    const fn any() -> Self {
        Self::first(8)
    }

    const fn first(bits: u32) -> Self {
        let mut alphabet = Self {
            bits,
            characters: [0; 256],
            places: [MISSING; 256],
        };
        let mut place = 0;
        while place < 1 << bits {
            alphabet.put(place, place as u8);
            place += 1;
        }
        alphabet
    }

    const fn put(&mut self, place: usize, character: u8) {
        self.characters[place] = character;
        self.places[character as usize] = place as u8;
    }
}

const MEMORY: &str = "writing to memory does not fail";

/// The alphabet that a text is written in.
pub(super) fn alphabet_of(text: &[u8]) -> u8 {
    let has_all = |alphabet: &Alphabet| {
        let is_there = |byte: &u8| alphabet.places[usize::from(*byte)] != MISSING;
        text.iter().all(is_there)
    };
    let fitting = (0..COUNT - 1).find(|number| has_all(&ALPHABETS[usize::from(*number)]));
    fitting.unwrap_or(COUNT - 1)
}

/// How many bytes a text of this length takes in this alphabet, its length aside.
pub(super) fn size(length: usize, alphabet: u8) -> usize {
    (length * ALPHABETS[usize::from(alphabet)].bits as usize).div_ceil(8)
}

/// Appends the length of a text and the text in this alphabet.
pub(super) fn write(text: &[u8], alphabet: u8, out: &mut Vec<u8>) {
    write_number(text.len(), out);
    let Alphabet { bits, places, .. } = &ALPHABETS[usize::from(alphabet)];
    let (mut pending, mut count) = (0_u32, 0);
    for byte in text {
        pending = pending << bits | u32::from(places[usize::from(*byte)]);
        count += bits;
        if count >= 8 {
            count -= 8;
            out.push((pending >> count & 0xff) as u8);
        }
    }
    if count > 0 {
        out.push((pending << (8 - count) & 0xff) as u8);
    }
}

/// Reads what [`write`] wrote, onto the end of `text`; `None` where it did not.
pub(super) fn read(from: &mut Bytes<'_>, alphabet: u8, text: &mut Vec<u8>) -> Option<()> {
    let length: usize = number(from)?;
    let Alphabet {
        bits, characters, ..
    } = ALPHABETS.get(usize::from(alphabet))?;
    let packed = from.take(length.checked_mul(*bits as usize)?.div_ceil(8))?;
    let (mut pending, mut count) = (0_u32, 0);
    let mut packed = packed.iter();
    text.reserve(length);
    for _ in 0..length {
        if count < *bits {
            pending = pending << 8 | u32::from(*packed.next()?);
            count += 8;
        }
        count -= bits;
        text.push(characters[(pending >> count & ((1 << bits) - 1)) as usize]);
    }
    Some(())
}

/// The number that is next.
pub(super) fn number<N: VarInt>(from: &mut Bytes<'_>) -> Option<N> {
    let (number, length) = N::decode_var(from.0)?;
    from.take(length)?;
    Some(number)
}

/// Appends a number.
pub(super) fn write_number<N: VarInt>(number: N, out: &mut Vec<u8>) {
    out.write_varint(number).expect(MEMORY);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write(text, alphabet_of(text), &mut out);
        out
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("6f1c8a55e1c6461e9b3c8a55e1c6461e", 17),
            ("f81d4fae-7dec-11d0-a765-00a0c91e6bf6", 24),
            ("2vV9xAbcQm0Zz1Pq8RtK4w", 18),
            ("sip:1001@192.0.2.17:5060;transport=udp", 30),
            ("R\u{e9}ception", 11),
            ("", 1),
        ] {
            assert_eq!(packed(text.as_bytes()).len(), bytes, "{text}");
        }
    }

    proptest! {
        #[test]
        fn texts_come_back(text in prop_oneof![
            "[0-9a-f]{0,40}", "[0-9a-f.:@-]{0,40}", "[0-9A-Za-z@-]{0,40}", "[ -~]{0,40}", ".{0,20}",
        ]) {
            let (bytes, mut back) = (packed(text.as_bytes()), Vec::new());
            let mut rest = Bytes(&bytes);
            read(&mut rest, alphabet_of(text.as_bytes()), &mut back).expect("it was packed");
            prop_assert_eq!(back, text.as_bytes());
            prop_assert!(rest.0.is_empty());
        }

        #[test]
        fn any_bytes_are_a_text_or_none(bytes in prop::collection::vec(any::<u8>(), 0..20), alphabet in 0_u8..9) {
            let _ = read(&mut Bytes(&bytes), alphabet, &mut Vec::new());
        }
    }
}
