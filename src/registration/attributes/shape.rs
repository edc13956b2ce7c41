//! What the attributes of many bindings have in common.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use serde_json::Map;

use crate::registration::Text;
use crate::registration::encoding::{Bytes, write_number, write_text};
use crate::registration::intern::Shared;

/// Names, and values without their pieces: what the attributes of many bindings have in common.
#[derive(Clone)]
pub struct Shape(Arc<Parsed>);

#[derive(Debug)]
struct Parsed {
    /// What it is made from, and told from others by.
    key: Box<[u8]>,
    /// By name.
    attributes: Box<[Attribute]>,
}

/// One attribute.
#[derive(Debug)]
pub(super) struct Attribute {
    pub(super) name: Text,
    /// Side by side, these are the value.
    pub(super) value: Box<[Segment]>,
    /// Where the value is a JSON object, its texts and flags.
    pub(super) object: Option<BTreeMap<String, Value>>,
}

/// A part of a value.
#[derive(Debug)]
pub(super) enum Segment {
    /// The same in all rows.
    Common(Box<[u8]>),
    /// The piece with this number.
    Piece(usize),
}

/// What a JSON object has under a name.
#[derive(Debug)]
pub(super) enum Value {
    /// The text that is the piece with this number.
    Text(usize),
    Flag(bool),
}

/// What begins a segment in a key, and what ends an attribute.
const COMMON: u8 = 0;
const PIECE: u8 = 1;
const END: u8 = 2;

/// Among how many pieces an equal one is looked for.
const FIRST: usize = 64;

/// Stands for a text of a JSON object, with the number of its piece after it. No other text is at the top of the object,
/// so it is not taken for one of Kazoo's.
const STAND_IN: char = '\u{10ffff}';

/// The key of the shape of these attributes, which are in the order of their names, and the pieces that fill it, as a
/// rule each once. `holes` says where a value differs from row to row.
pub(super) fn key<'a>(
    attributes: &[(&[u8], &'a [u8])],
    holes: impl Fn(&[u8]) -> Vec<Range<usize>>,
) -> (Vec<u8>, Vec<&'a [u8]>) {
    let mut key = Vec::with_capacity(512);
    let mut pieces: Vec<&[u8]> = Vec::with_capacity(16);
    for (name, value) in attributes {
        write_text(name, &mut key);
        let mut at = 0;
        for hole in holes(value) {
            let piece = &value[hole.clone()];
            let known = pieces.iter().take(FIRST).position(|known| *known == piece);
            common(&value[at..hole.start], &mut key);
            key.push(PIECE);
            write_number(known.unwrap_or(pieces.len()), &mut key);
            if known.is_none() {
                pieces.push(piece);
            }
            at = hole.end;
        }
        common(&value[at..], &mut key);
        key.push(END);
    }
    (key, pieces)
}

fn common(text: &[u8], key: &mut Vec<u8>) {
    if !text.is_empty() {
        key.push(COMMON);
        write_text(text, key);
    }
}

impl Shape {
    /// What it is [made from](crate::registration::Shapes::shape), equal across restarts.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.0.key
    }

    pub(super) fn attributes(&self) -> &[Attribute] {
        &self.0.attributes
    }
}

impl Attribute {
    /// The next one of a key; `None` at its end.
    fn next(key: &mut Bytes<'_>) -> Option<Self> {
        let name = key.text()?.into();
        let mut value = Vec::new();
        loop {
            let [kind] = key.array()?;
            value.push(match kind {
                COMMON => Segment::Common(key.text()?.into()),
                PIECE => Segment::Piece(key.length()?),
                _ => break,
            });
        }
        Some(Self {
            name,
            object: object(&value),
            value: value.into(),
        })
    }
}

/// The texts and flags of a value that is a JSON object, whatever the pieces are.
fn object(value: &[Segment]) -> Option<BTreeMap<String, Value>> {
    let mut text = Vec::new();
    for segment in value {
        match segment {
            Segment::Common(common) => text.extend_from_slice(common),
            Segment::Piece(number) if text.ends_with(b"\"") => {
                text.extend_from_slice(format!("{STAND_IN}{number}").as_bytes());
            }
            // A number, of which nothing else is known.
            Segment::Piece(_) => text.push(b'0'),
        }
    }
    let object: Map<String, serde_json::Value> = serde_json::from_slice(&text).ok()?;
    let known = object.into_iter().filter_map(|(name, value)| {
        let value = match value {
            serde_json::Value::Bool(flag) => Value::Flag(flag),
            serde_json::Value::String(text) => {
                Value::Text(text.strip_prefix(STAND_IN)?.parse().ok()?)
            }
            _ => return None,
        };
        Some((name, value))
    });
    Some(known.collect())
}

impl Shared for Shape {
    type Content = [u8];

    fn of(content: &[u8]) -> Self {
        let mut key = Bytes(content);
        Self(Arc::new(Parsed {
            key: content.into(),
            attributes: std::iter::from_fn(|| Attribute::next(&mut key)).collect(),
        }))
    }

    fn is_alone(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl Borrow<[u8]> for Shape {
    fn borrow(&self) -> &[u8] {
        &self.0.key
    }
}

impl Hash for Shape {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // As that of the key, which may stand for the shape when one is looked for.
        self.0.key.hash(state);
    }
}

impl PartialEq for Shape {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.key == other.0.key
    }
}

impl Eq for Shape {}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.attributes)
    }
}
