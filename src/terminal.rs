//! Text for a terminal: what phones and callers send can neither control it nor impersonate other text. Pure.

use std::borrow::Cow;
use std::fmt::Write;

/// Characters that are not seen as themselves: each in one of these ranges is shown as an escape. Control characters are
/// among them without being listed.
const UNSEEN: [(char, char); 15] = [
    // The soft hyphen, and a joiner that joins nothing.
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    // The direction of Arabic, and fillers of Hangul and Khmer.
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180e}'),
    // Without a width; from left to right and back.
    ('\u{200b}', '\u{200f}'),
    // Ends of lines and paragraphs; embeddings and overrides of the direction.
    ('\u{2028}', '\u{202e}'),
    // A joiner without width, invisible operators, isolates.
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    // Invisible marks of notes and of shorthand.
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
];

/// Tags, which repeat ASCII without being seen, and selectors of variants.
const TAGS: std::ops::RangeInclusive<char> = '\u{e0000}'..='\u{e0fff}';

/// The text with an escape, as `\u{202e}`, for each character that a person does not see as itself.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(
        text,
        |_| false,
        |c, out| {
            // Writing to a string does not fail.
            let _ = write!(out, "{}", c.escape_unicode());
        },
    )
}

/// As [`printable`], but for the ends of lines.
#[must_use]
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(
        text,
        |c| c == '\n',
        |c, out| {
            // Writing to a string does not fail.
            let _ = write!(out, "{}", c.escape_unicode());
        },
    )
}

/// JSON with JSON escapes for these characters, so that its meaning is the same.
#[must_use]
pub fn printable_json(json: &str) -> Cow<'_, str> {
    escaped(
        json,
        |c| matches!(c, '\n' | '\r' | '\t'),
        |c, out| {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        },
    )
}

fn escaped(
    text: &str,
    stays: impl Fn(char) -> bool,
    escape: impl Fn(char, &mut String),
) -> Cow<'_, str> {
    let unseen = |c: char| is_unseen(c) && !stays(c);
    if !text.contains(unseen) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if unseen(c) {
            escape(c, &mut out);
        } else {
            out.push(c);
        }
    }
    out.into()
}

fn is_unseen(c: char) -> bool {
    c.is_control()
        || (!c.is_ascii()
            && (TAGS.contains(&c)
                || UNSEEN
                    .iter()
                    .any(|(first, last)| (*first..=*last).contains(&c))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_escaped() {
        for (text, expected) in [
            ("Snom\u{1b}[2J", "Snom\\u{1b}[2J"),
            (
                "a\u{9b}31mb\u{7f}\0\n\t",
                "a\\u{9b}31mb\\u{7f}\\u{0}\\u{a}\\u{9}",
            ),
            (
                "\u{202e}moc.elpmaxe\u{2066}x\u{2069}",
                "\\u{202e}moc.elpmaxe\\u{2066}x\\u{2069}",
            ),
            (
                "a\u{200b}b\u{200d}c\u{2060}\u{feff}",
                "a\\u{200b}b\\u{200d}c\\u{2060}\\u{feff}",
            ),
            (
                "\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}",
                "\\u{61c}\\u{200e}\\u{200f}\\u{2028}\\u{2029}",
            ),
            ("\u{e0041}\u{ad}\u{180e}", "\\u{e0041}\\u{ad}\\u{180e}"),
            (
                "日本 ä é \u{fffd} 😀 \\u{1b}",
                "日本 ä é \u{fffd} 😀 \\u{1b}",
            ),
        ] {
            assert_eq!(printable(text), expected);
        }
        assert_eq!(printable_lines("a\nb\r\u{202e}"), "a\nb\\u{d}\\u{202e}");
    }

    #[test]
    fn json_is_the_same_json() {
        let value =
            serde_json::json!({"a": "x\u{202e}\u{9b}\u{e0041}\u{1b}\n", "\u{200b}": ["ä", "\"\\"]});
        for json in [value.to_string(), format!("{value:#}")] {
            let shown = printable_json(&json);
            assert!(!shown.contains(|c| is_unseen(c) && c != '\n'), "{shown}");
            let read: serde_json::Value = serde_json::from_str(&shown).unwrap();
            assert_eq!(read, value);
        }
    }
}
