//! Texts in few bytes: what stands in a *window* already is copied from there, and of the rest each character takes as
//! few bits as it needs. Most of what phones send is hex, digits, or letters and digits.

use integer_encoding::{VarInt, VarIntWriter};
use memchr::memmem;

use crate::registration::Bytes;

/// Sets of characters, those of fewer bits first. What is not copied is written in the first that has all of its
/// characters; the last takes any bytes as they are. Part of the file's format.
const ALPHABETS: [Alphabet; 7] = [
    Alphabet::of(4, b"0123456789abcdef"),
    Alphabet::of(4, b"0123456789.:-@;~"),
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
    Alphabet::any(),
];

/// The number of the last.
const ANY: u8 = 6;

/// The number that stands for none of them: a UUID, whose digits follow.
const UUID: u8 = 7;
const UUID_LENGTH: usize = 36;

/// The first byte of a piece: whether it is copied, or its alphabet; and its length.
const COPIED: u8 = 0x80;
const LONG_COPY: usize = 0x7f;
const LONG: usize = 0x0f;

/// Fewer bytes are not worth to be copied.
const SHORTEST_COPY: usize = 4;

/// Stands for a character that is not in the alphabet, unless that has all.
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
        let mut place: u8 = 0;
        while (place as usize) < characters.len() {
            alphabet.put(place, characters[place as usize]);
            place += 1;
        }
        alphabet
    }

    const fn any() -> Self {
        let mut alphabet = Self {
            bits: 8,
            characters: [0; 256],
            places: [MISSING; 256],
        };
        let mut place = u8::MAX;
        while place > 0 {
            alphabet.put(place, place);
            place -= 1;
        }
        alphabet.put(0, 0);
        alphabet
    }

    /// The first that has all of these characters.
    fn for_text(text: &[u8]) -> u8 {
        let has_all = |alphabet: &Self| {
            let is_there = |byte: &u8| alphabet.places[usize::from(*byte)] != MISSING;
            text.iter().all(is_there)
        };
        let numbered = (0..).zip(&ALPHABETS[..ALPHABETS.len() - 1]);
        let mut fitting = numbered.filter(|(_, alphabet)| has_all(alphabet));
        fitting.next().map_or(ANY, |(number, _)| number)
    }

    fn write(&self, text: &[u8], out: &mut Vec<u8>) {
        let (mut pending, mut count) = (0_u32, 0);
        for byte in text {
            pending = (pending << self.bits) | u32::from(self.places[usize::from(*byte)]);
            count += self.bits;
            if count >= 8 {
                count -= 8;
                out.push(((pending >> count) & 0xff) as u8);
            }
        }
        if count > 0 {
            out.push(((pending << (8 - count)) & 0xff) as u8);
        }
    }

    fn read(&self, from: &mut Bytes<'_>, length: usize, text: &mut Vec<u8>) -> Option<()> {
        let bits = length.checked_mul(self.bits as usize)?;
        let mut packed = from.take(bits.div_ceil(8))?.iter();
        let (mut pending, mut count) = (0_u32, 0);
        for _ in 0..length {
            if count < self.bits {
                pending = (pending << 8) | u32::from(*packed.next()?);
                count += 8;
            }
            count -= self.bits;
            let place = (pending >> count) & ((1 << self.bits) - 1);
            text.push(self.characters[place as usize]);
        }
        Some(())
    }

    const fn put(&mut self, place: u8, character: u8) {
        self.characters[place as usize] = character;
        self.places[character as usize] = place;
    }
}

const MEMORY: &str = "writing to memory does not fail";

/// Appends the pieces of a text, whose length the reader has to know.
pub(super) fn write(text: &[u8], window: &[u8], out: &mut Vec<u8>) {
    let (mut at, mut begin, mut shift) = (0, 0, 0);
    while at < text.len() {
        let (place, length) = longest(&text[at..], window, at.saturating_add_signed(shift));
        if length < SHORTEST_COPY {
            at += 1;
            continue;
        }
        write_characters(&text[begin..at], out);
        out.push(COPIED | small((length - SHORTEST_COPY).min(LONG_COPY)));
        if length - SHORTEST_COPY >= LONG_COPY {
            write_number(length - SHORTEST_COPY - LONG_COPY, out);
        }
        write_number(place, out);
        shift = place.cast_signed() - at.cast_signed();
        at += length;
        begin = at;
    }
    write_characters(&text[begin..], out);
}

/// Where in the window most of the beginning of `text` stands, and how much of it: at the place where it is expected, or
/// at the first where its first bytes are.
fn longest(text: &[u8], window: &[u8], expected: usize) -> (usize, usize) {
    let length = |place: usize| {
        let there = window.get(place..).unwrap_or_default();
        text.iter().zip(there).take_while(|(a, b)| a == b).count()
    };
    let first = text
        .get(..SHORTEST_COPY)
        .and_then(|it| memmem::find(window, it));
    let Some(first) = first else {
        return (0, 0);
    };
    let (here, there) = (length(expected), length(first));
    if here >= there {
        (expected, here)
    } else {
        (first, there)
    }
}

fn write_characters(mut text: &[u8], out: &mut Vec<u8>) {
    while !text.is_empty() {
        if let Some(digits) = uuid(text) {
            out.push(UUID << 4);
            ALPHABETS[0].write(&digits, out);
            text = &text[UUID_LENGTH..];
            continue;
        }
        let alphabet = Alphabet::for_text(text);
        out.push((alphabet << 4) | small((text.len() - 1).min(LONG)));
        if text.len() > LONG {
            write_number(text.len() - 1 - LONG, out);
        }
        ALPHABETS[usize::from(alphabet)].write(text, out);
        return;
    }
}

fn small(number: usize) -> u8 {
    u8::try_from(number).expect("it was cut")
}

/// The digits of the lower-case UUID that a text begins with.
fn uuid(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.get(..UUID_LENGTH)?;
    let is_dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    let is_right = |(at, byte): (usize, &u8)| match byte {
        b'-' => is_dash(at),
        b'0'..=b'9' | b'a'..=b'f' => !is_dash(at),
        _ => false,
    };
    let is_uuid = text.iter().enumerate().all(is_right);
    is_uuid.then(|| text.iter().copied().filter(|byte| *byte != b'-').collect())
}

/// Reads a text of this length that [`write()`] wrote; `None` where it did not.
pub(super) fn read(from: &mut Bytes<'_>, length: usize, window: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(length.min(1 << 10));
    while text.len() < length {
        let [first] = from.array()?;
        if first & COPIED != 0 {
            let mut length = usize::from(first & !COPIED);
            if length == LONG_COPY {
                length = length.checked_add(number(from)?)?;
            }
            let place: usize = number(from)?;
            let end = place.checked_add(length)?.checked_add(SHORTEST_COPY)?;
            text.extend_from_slice(window.get(place..end)?);
        } else if first >> 4 == UUID {
            let mut digits = Vec::new();
            ALPHABETS[0].read(from, 32, &mut digits)?;
            for (at, digit) in digits.into_iter().enumerate() {
                if matches!(at, 8 | 12 | 16 | 20) {
                    text.push(b'-');
                }
                text.push(digit);
            }
        } else {
            let mut length = usize::from(first & 0x0f);
            if length == LONG {
                length = length.checked_add(number(from)?)?;
            }
            let alphabet = &ALPHABETS[usize::from(first >> 4)];
            alphabet.read(from, length.checked_add(1)?, &mut text)?;
        }
    }
    (text.len() == length).then_some(text)
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

    fn packed(text: &[u8], window: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write(text, window, &mut out);
        out
    }

    #[test]
    fn sizes() {
        let window = "sip:1001@192.0.2.17:5060;transport=udp";
        for (text, bytes) in [
            ("6f1c8a55e1c6461e9b3c8a55e1c6461e", 18),
            ("f81d4fae-7dec-11d0-a765-00a0c91e6bf6", 17),
            ("<f81d4fae-7dec-11d0-a765-00a0c91e6bf6", 26),
            ("2vV9xAbcQm0Zz1Pq8RtK4w", 19),
            ("sip:1001@192.0.2.17:5060;transport=udp", 2),
            ("sip:1001@192.0.2.17:40123;transport=udp", 8),
            ("R\u{e9}ception", 11),
            ("", 0),
        ] {
            assert_eq!(
                packed(text.as_bytes(), window.as_bytes()).len(),
                bytes,
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn texts_come_back(text in prop_oneof![
            "[0-9a-f]{0,40}", "[0-9a-f.:@-]{0,40}", "[0-9A-Za-z@-]{0,40}", "[ -~]{0,40}", ".{0,20}", "[ab]{0,300}",
            "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}>?",
        ], window in "[ab]{0,200}|[0-9a-f]{0,40}") {
            let bytes = packed(text.as_bytes(), window.as_bytes());
            let mut rest = Bytes(&bytes);
            let back = read(&mut rest, text.len(), window.as_bytes());
            prop_assert_eq!(back.as_deref(), Some(text.as_bytes()));
            prop_assert!(rest.0.is_empty());
        }

        #[test]
        fn any_bytes_are_a_text_or_none(bytes in prop::collection::vec(any::<u8>(), 0..20), length in 0_usize..90) {
            let _ = read(&mut Bytes(&bytes), length, b"window");
        }
    }
}
