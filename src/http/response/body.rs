//! Writes lists: in one piece where they are small, else piece by piece as the caller takes them.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use crate::http::request::call::Format;
use crate::registration::Registration;
use crate::registration::item::{Field, Wire};
use crate::spreadsheet::write_record;

/// The size of a piece.
const PIECE: usize = 64 << 10;

/// What an item takes, roughly.
const ITEM: usize = 1536;

/// Lists of up to so many items are written in one piece.
const SMALL: usize = 40;

/// How items are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Style {
    pub(crate) format: Format,
    pub(crate) pretty: bool,
    pub(crate) wire: Wire,
    /// The moment of the list, Unix seconds.
    pub(crate) now: i64,
}

/// The items of a list.
#[derive(Debug)]
pub(crate) enum Rows {
    /// Written already, as a JSON array.
    Written(Bytes),
    /// To be written.
    Each(Vec<Arc<Registration>>),
}

/// A JSON list between the two halves of its envelope.
pub(crate) fn json(mut head: Vec<u8>, rows: Rows, tail: Vec<u8>, style: Style) -> Body {
    match rows {
        Rows::Written(text) if text.len() > PIECE => {
            let pieces = [head.into(), text, tail.into()];
            Body::new(Pieces(pieces.into_iter().collect()))
        }
        Rows::Written(text) => {
            head.reserve(text.len() + tail.len());
            head.extend_from_slice(&text);
            head.extend_from_slice(&tail);
            head.into()
        }
        Rows::Each(rows) => List::new(head, rows, tail, style).into_body(),
    }
}

/// A CSV list.
pub(crate) fn csv(rows: Rows, style: Style) -> Body {
    let rows = match rows {
        Rows::Each(rows) => rows,
        // Only JSON is ever written beforehand.
        Rows::Written(_) => Vec::new(),
    };
    let mut head = Vec::with_capacity(1024);
    write_record(Field::ALL.iter().map(|field| field.name()), &mut head);
    List::new(head, rows, Vec::new(), style).into_body()
}

/// The JSON array of these registrations.
pub(crate) fn write_array(rows: &[Arc<Registration>], style: Style) -> Bytes {
    let mut out = Vec::with_capacity(rows.len() * ITEM + 2);
    out.push(b'[');
    for one in rows {
        one.write_json(style.wire, style.now, &mut out);
        out.push(b',');
    }
    match out.last_mut() {
        Some(last) if *last == b',' => *last = b']',
        _ => out.push(b']'),
    }
    out.shrink_to_fit();
    out.into()
}

/// The same JSON with a line for each value.
pub(crate) fn indented(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() * 2);
    Indent::default().write(json, &mut out);
    out
}

/// A list that is written as its caller takes it.
#[derive(Debug)]
struct List {
    head: Vec<u8>,
    rows: vec::IntoIter<Arc<Registration>>,
    tail: Option<Vec<u8>>,
    style: Style,
    started: bool,
    indent: Indent,
}

impl List {
    fn new(head: Vec<u8>, rows: Vec<Arc<Registration>>, tail: Vec<u8>, style: Style) -> Self {
        Self {
            head,
            rows: rows.into_iter(),
            tail: Some(tail),
            style,
            started: false,
            indent: Indent::default(),
        }
    }

    fn into_body(mut self) -> Body {
        if self.rows.len() > SMALL {
            return Body::new(self);
        }
        let mut out = Vec::with_capacity(self.rows.len() * ITEM + 1024);
        while let Some(piece) = self.next() {
            out.extend_from_slice(&piece);
        }
        out.into()
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        self.tail.as_ref()?;
        let mut piece = std::mem::take(&mut self.head);
        piece.reserve(PIECE.min(self.rows.len() * ITEM) + 2 * ITEM);
        while piece.len() < PIECE {
            let Some(one) = self.rows.next() else {
                self.finish(&mut piece);
                break;
            };
            self.write_one(&one, &mut piece);
        }
        if !self.style.pretty || self.style.format == Format::Csv {
            return Some(piece);
        }
        let mut indented = Vec::with_capacity(piece.len() * 2);
        self.indent.write(&piece, &mut indented);
        Some(indented)
    }

    fn write_one(&mut self, one: &Registration, out: &mut Vec<u8>) {
        let Style {
            format, wire, now, ..
        } = self.style;
        match format {
            Format::Json => {
                out.push(if self.started { b',' } else { b'[' });
                self.started = true;
                one.write_json(wire, now, out);
            }
            Format::Csv => {
                let value = |field: &Field| {
                    let value = one.value(*field, wire, now);
                    value.map(|value| value.to_text().into_owned())
                };
                let values: Vec<_> = Field::ALL.iter().map(value).collect();
                write_record(values.iter().map(|text| text.as_deref().unwrap_or("")), out);
            }
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        if self.style.format == Format::Json {
            out.extend_from_slice(if self.started { b"]" } else { b"[]" });
        }
        out.extend_from_slice(&self.tail.take().unwrap_or_default());
    }
}

impl hyper::body::Body for List {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.next();
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.tail.is_none()
    }
}

/// Pieces that are there already.
#[derive(Debug)]
struct Pieces(std::collections::VecDeque<Bytes>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
    }
}

/// Indents JSON that comes in pieces.
#[derive(Debug, Default)]
struct Indent {
    depth: usize,
    in_text: bool,
    escaped: bool,
    /// A bracket was opened, and it is not yet known whether anything is in it.
    opened: bool,
}

impl Indent {
    fn write(&mut self, json: &[u8], out: &mut Vec<u8>) {
        for byte in json {
            self.byte(*byte, out);
        }
    }

    fn byte(&mut self, byte: u8, out: &mut Vec<u8>) {
        if self.in_text {
            out.push(byte);
            self.in_text = self.escaped || byte != b'"';
            self.escaped = !self.escaped && byte == b'\\';
            return;
        }
        let closes = matches!(byte, b'}' | b']');
        if closes {
            self.depth = self.depth.saturating_sub(1);
        }
        if closes != self.opened {
            self.line(out);
        }
        self.opened = false;
        out.push(byte);
        match byte {
            b'{' | b'[' => {
                self.depth += 1;
                self.opened = true;
            }
            b',' => self.line(out),
            b':' => out.push(b' '),
            b'"' => self.in_text = true,
            _ => {}
        }
    }

    fn line(&self, out: &mut Vec<u8>) {
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', 2 * self.depth));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indents_as_people_write_it() {
        let json = br#"{"a":[],"b":{"c":"x,{\"}\\","d":[1,2]},"e":{}}"#;
        let expected = "{\n  \"a\": [],\n  \"b\": {\n    \"c\": \"x,{\\\"}\\\\\",\n    \"d\": [\n      1,\n      2\n    ]\n  },\n  \"e\": {}\n}";
        assert_eq!(String::from_utf8(indented(json)).unwrap(), expected);
    }
}
