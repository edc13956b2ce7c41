//! Where the values of an attribute differ from row to row. Pure.

use std::ops::Range;

use memchr::{memchr, memrchr};

/// A number with more digits than this may be one that JSON does not have.
const DIGITS: usize = 15;

/// Values with more pieces than this are not taken apart.
const MOST: usize = 64;

/// The pieces of a value that differ: the texts and numbers of a JSON object, the halves of `AUTHORIZING@ACCOUNT`, else
/// the whole.
pub(super) fn of(value: &[u8]) -> Vec<Range<usize>> {
    if value.starts_with(b"{")
        && let Some(holes) = in_object(value)
    {
        return holes;
    }
    match memrchr(b'@', value) {
        Some(at) => vec![0..at, at + 1..value.len()],
        None => whole(value),
    }
}

/// The value as one piece.
pub(super) fn whole(value: &[u8]) -> Vec<Range<usize>> {
    let whole = 0..value.len();
    vec![whole]
}

/// The texts and whole numbers that follow a colon. Nothing is told of texts with escapes: without them, quotes alone tell
/// what is within a text.
fn in_object(value: &[u8]) -> Option<Vec<Range<usize>>> {
    let is_plain = |byte: &u8| *byte >= b' ' && *byte != b'\\';
    if !value.iter().all(is_plain) || std::str::from_utf8(value).is_err() {
        return None;
    }
    let (mut holes, mut at, mut is_value) = (Vec::with_capacity(12), 0, false);
    while let Some(byte) = value.get(at) {
        match byte {
            b' ' => at += 1,
            b'"' => {
                let text = at + 1..at + 1 + memchr(b'"', &value[at + 1..])?;
                at = text.end + 1;
                if is_value {
                    holes.push(text);
                }
                is_value = false;
            }
            b'0'..=b'9' if is_value => {
                let length = value[at..]
                    .iter()
                    .take_while(|it| it.is_ascii_digit())
                    .count();
                let number = at..at + length;
                at = number.end;
                if is_whole_number(&value[number.clone()], value.get(at)) {
                    holes.push(number);
                }
                is_value = false;
            }
            other => {
                is_value = *other == b':';
                at += 1;
            }
        }
    }
    (holes.len() <= MOST).then_some(holes)
}

/// Whether any other number could stand there.
fn is_whole_number(digits: &[u8], next: Option<&u8>) -> bool {
    let ends = matches!(next, Some(b',' | b'}' | b']' | b' '));
    ends && digits.len() <= DIGITS && (digits.len() == 1 || digits[0] != b'0')
}
