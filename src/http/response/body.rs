//! Writes lists: small ones in one piece, others piece by piece as the caller reads them.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::indent::Indent;
use crate::http::request::format::{Format, Layout};
use crate::http::response::view::View;
use crate::registration::Registration;
use crate::registration::item::Field;
use crate::registration::item::json::{write_chosen, write_item};
use crate::spreadsheet::write_record;

/// The size of a piece.
const PIECE: usize = 64 << 10;

/// Written lists of up to so many bytes are copied into one piece with their envelope.
const COPIED: usize = 4 << 10;

/// The rough size of an item.
const ITEM: usize = 1536;

/// Lists of up to so many items are written in one piece.
const SMALL: usize = 40;

/// How items are written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Style {
    pub(crate) format: Format,
    pub(crate) layout: Layout,
    /// The fields that are wanted, in their order; `None` for all.
    pub(crate) fields: Option<Arc<[Field]>>,
    pub(crate) view: View,
}

impl Style {
    /// Writes a registration as JSON.
    fn write(&self, one: &Registration, out: &mut Vec<u8>) {
        let item = self.view.item(one);
        match &self.fields {
            None => write_item(&item, out),
            Some(fields) => write_chosen(&item, fields, out),
        }
    }

    /// The fields that are shown.
    fn fields(&self) -> &[Field] {
        let usual = if self.view.of_fleet {
            Field::OF_FLEET
        } else {
            Field::USUAL
        };
        self.fields.as_deref().unwrap_or(usual)
    }
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
        Rows::Written(text) if text.len() > COPIED => {
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
        // Only JSON is written beforehand.
        Rows::Written(_) => Vec::new(),
    };
    let mut head = Vec::with_capacity(1024);
    write_record(style.fields().iter().map(|field| field.name()), &mut head);
    List::new(head, rows, Vec::new(), style).into_body()
}

/// A list of one JSON object a line.
pub(crate) fn lines(rows: Rows, style: Style) -> Body {
    let rows = match rows {
        Rows::Each(rows) => rows,
        // Only JSON in the envelope is written beforehand.
        Rows::Written(_) => Vec::new(),
    };
    List::new(Vec::new(), rows, Vec::new(), style).into_body()
}

/// The JSON array of these registrations.
pub(crate) fn write_array(rows: &[Arc<Registration>], style: &Style) -> Bytes {
    let mut out = Vec::with_capacity(rows.len() * ITEM + 2);
    out.push(b'[');
    for one in rows {
        style.write(one, &mut out);
        out.push(b',');
    }
    match out.last_mut() {
        Some(last) if *last == b',' => *last = b']',
        _ => out.push(b']'),
    }
    out.shrink_to_fit();
    out.into()
}

/// A list that is written as its caller reads it.
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
        if self.style.layout == Layout::Compact || self.style.format != Format::Json {
            return Some(piece);
        }
        let mut indented = Vec::with_capacity(piece.len() * 2);
        self.indent.write(&piece, &mut indented);
        Some(indented)
    }

    fn write_one(&mut self, one: &Registration, out: &mut Vec<u8>) {
        match self.style.format {
            Format::Json => {
                out.push(if self.started { b',' } else { b'[' });
                self.started = true;
                self.style.write(one, out);
            }
            Format::Lines => {
                self.style.write(one, out);
                out.push(b'\n');
            }
            Format::Csv => {
                let item = self.style.view.item(one);
                let value = |field: &Field| {
                    let value = item.value(*field);
                    value.map(|value| value.to_text().into_owned())
                };
                let values: Vec<_> = self.style.fields().iter().map(value).collect();
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
