//! Attributes of a binding, in little memory: Kazoo's are longer than all columns together, and nearly the same from row
//! to row.
//!
//! What many rows have in common is their [`Shape`]: the names, and of each value all but the pieces in which it differs.
//! It is kept once. A row has its pieces alone, side by side, each once.

mod holes;
mod shape;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use super::Text;
use super::encoding::{Bytes, write_text};
use super::intern::Interner;
use super::text::{Pack, Packer};
pub use shape::Shape;
use shape::{Attribute, Segment, Value};

/// Shapes that are kept at a time. Where rows have more of them, what they have in common is not worth looking for.
const MOST_SHAPES: usize = 8192;

/// Attributes of a binding by name, for instance `token` and `custom_channel_vars`.
#[derive(Clone, Debug, Default)]
pub struct Attributes(Option<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    shape: Shape,
    /// The pieces, each with its length before it.
    pieces: Pack,
}

/// Finds pieces by their numbers, as a rule one after the other.
#[derive(Debug)]
struct Pieces<'a> {
    all: &'a [u8],
    /// From the piece with the number `next` on.
    rest: Bytes<'a>,
    next: usize,
}

/// Makes attributes. What they have in common it makes once.
#[derive(Debug, Default)]
pub struct Shapes {
    known: Interner<Shape>,
    /// Those that were one too many.
    refused: usize,
    pieces: Packer,
}

/// An attribute whose value is a JSON object. Only its texts and flags can be read.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    parts: &'a Parts,
    attribute: &'a Attribute,
}

impl Attributes {
    /// Those of this shape that have these [pieces](Self::split); where pieces are missing, they are empty.
    #[must_use]
    pub fn of_shape(shape: Shape, pieces: &[u8]) -> Self {
        let pieces = Pack::from(pieces);
        Self(Some(Parts { shape, pieces }))
    }

    /// Their shape, and the pieces that fill it; `None` where there is no attribute.
    #[must_use]
    pub fn split(&self) -> Option<(&Shape, &[u8])> {
        let parts = self.0.as_ref()?;
        Some((&parts.shape, parts.pieces.as_bytes()))
    }

    /// The value of the attribute `name`.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<Cow<'_, [u8]>> {
        let (parts, attribute) = self.find(name)?;
        Some(parts.value(attribute))
    }

    /// Whether there is an attribute `name` with this value.
    #[must_use]
    pub fn has(&self, name: &[u8], value: &[u8]) -> bool {
        self.find(name).is_some_and(|(parts, attribute)| {
            let mut pieces = parts.pieces();
            let mut segments = attribute.value.iter();
            let rest = segments.try_fold(value, |rest, segment| {
                rest.strip_prefix(pieces.segment(segment))
            });
            rest.is_some_and(<[u8]>::is_empty)
        })
    }

    /// The attribute `name`, where it is a JSON object of a shape that many have.
    #[must_use]
    pub fn object(&self, name: &[u8]) -> Option<Object<'_>> {
        let (parts, attribute) = self.find(name)?;
        let is_object = attribute.object.is_some();
        is_object.then_some(Object { parts, attribute })
    }

    /// The text of these bytes, which takes no memory of its own where they are a part of what differs from row to row.
    #[must_use]
    pub fn part(&self, bytes: &[u8]) -> Text {
        match &self.0 {
            Some(parts) => parts.pieces.whole().part(bytes),
            None => bytes.into(),
        }
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Text, Cow<'_, [u8]>)> {
        let all = self.0.iter();
        all.flat_map(|parts| {
            let attributes = parts.shape.attributes().iter();
            attributes.map(|attribute| (&attribute.name, parts.value(attribute)))
        })
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &Text> {
        let all = self.0.iter();
        all.flat_map(|parts| parts.shape.attributes().iter().map(|one| &one.name))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0
            .as_ref()
            .map_or(0, |parts| parts.shape.attributes().len())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn find(&self, name: &[u8]) -> Option<(&Parts, &Attribute)> {
        let parts = self.0.as_ref()?;
        let all = parts.shape.attributes();
        let at = all.binary_search_by(|one| one.name.as_bytes().cmp(name));
        Some((parts, &all[at.ok()?]))
    }
}

impl Shapes {
    /// Attributes with these names and values; of equal names the last counts.
    pub fn attributes<'a>(
        &mut self,
        pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Attributes {
        let mut all: Vec<_> = pairs.into_iter().collect();
        all.sort_by_key(|(name, _)| *name);
        // The last of equal names comes last.
        all.dedup_by(|next, one| {
            let are_equal = next.0 == one.0;
            if are_equal {
                *one = *next;
            }
            are_equal
        });
        if all.is_empty() {
            return Attributes::default();
        }
        let (shape, pieces) = self.split(&all);
        for piece in pieces {
            write_text(piece, self.pieces.bytes());
        }
        let pieces = self.pieces.pack();
        Attributes(Some(Parts { shape, pieces }))
    }

    /// The shape with this [key](Shape::key).
    pub fn shape(&mut self, key: &[u8]) -> Shape {
        self.known.get(key)
    }

    /// The shape of these attributes, and the pieces that fill it.
    fn split<'a>(&mut self, all: &[(&[u8], &'a [u8])]) -> (Shape, Vec<&'a [u8]>) {
        let (key, pieces) = shape::key(all, holes::of);
        if self.known.len() < MOST_SHAPES || self.known.has(&key) {
            return (self.known.get(&key), pieces);
        }
        self.refused += 1;
        if self.refused.is_multiple_of(MOST_SHAPES) {
            self.known.forget_unused();
        }
        let (key, pieces) = shape::key(all, holes::whole);
        (self.known.get(&key), pieces)
    }
}

impl Parts {
    fn pieces(&self) -> Pieces<'_> {
        Pieces {
            all: self.pieces.as_bytes(),
            rest: Bytes(self.pieces.as_bytes()),
            next: 0,
        }
    }

    /// The piece with this number.
    fn piece(&self, number: usize) -> &[u8] {
        self.pieces().piece(number)
    }

    fn value<'a>(&'a self, attribute: &'a Attribute) -> Cow<'a, [u8]> {
        let mut pieces = self.pieces();
        match &*attribute.value {
            [only] => pieces.segment(only).into(),
            several => {
                let several = several.iter().map(|segment| pieces.segment(segment));
                several.collect::<Vec<_>>().concat().into()
            }
        }
    }
}

impl<'a> Pieces<'a> {
    /// The piece with this number.
    fn piece(&mut self, number: usize) -> &'a [u8] {
        if number < self.next {
            (self.rest, self.next) = (Bytes(self.all), 0);
        }
        while self.next < number && self.rest.text().is_some() {
            self.next += 1;
        }
        self.next += 1;
        self.rest.text().unwrap_or_default()
    }

    fn segment(&mut self, segment: &'a Segment) -> &'a [u8] {
        match segment {
            Segment::Common(text) => text,
            Segment::Piece(number) => self.piece(*number),
        }
    }
}

impl<'a> Object<'a> {
    /// The value of `name`, where that is a text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&'a str> {
        match self.value(name)? {
            Value::Text(number) => std::str::from_utf8(self.parts.piece(*number)).ok(),
            Value::Flag(_) => None,
        }
    }

    /// The value of `name`, where that is a boolean.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.value(name)? {
            Value::Flag(flag) => Some(*flag),
            Value::Text(_) => None,
        }
    }

    fn value(&self, name: &str) -> Option<&'a Value> {
        self.attribute.object.as_ref()?.get(name)
    }
}

impl PartialEq for Attributes {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) if one.shape == other.shape => {
                one.pieces.as_bytes() == other.pieces.as_bytes()
            }
            // The same attributes may have been split in two ways.
            (_, _) => self.iter().eq(other.iter()),
        }
    }
}

impl Eq for Attributes {}

impl FromIterator<(Text, Text)> for Attributes {
    /// With equal names the last one wins. [`Shapes`] makes many of them in less memory.
    fn from_iter<I: IntoIterator<Item = (Text, Text)>>(pairs: I) -> Self {
        let pairs: Vec<_> = pairs.into_iter().collect();
        let bytes = pairs
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        Shapes::default().attributes(bytes)
    }
}
