//! Turns the parser's values and byte offsets into ours, with lines and columns.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeFloat, DeInteger, DeTable, DeValue};

use super::{Item, Name, Place, Problem, Value};

/// A text and where its lines start.
pub(super) struct Lines<'a> {
    source: Arc<str>,
    text: &'a str,
    starts: Vec<usize>,
    /// Lines with a syntax error.
    broken: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str, source: &str) -> Self {
        let starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(index, _)| index + 1))
            .collect();
        Self {
            source: source.into(),
            text,
            starts,
            broken: Vec::new(),
        }
    }

    /// How many lines there are.
    pub(super) fn count(&self) -> usize {
        self.starts.len()
    }

    /// Notes that the line with the byte at `offset` has a syntax error.
    pub(super) fn note_broken(&mut self, offset: usize) {
        self.broken.push(self.line(offset));
    }

    /// The line, from 1, of the byte at `offset`.
    fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }

    /// Where `span` starts.
    pub(super) fn place(&self, span: Range<usize>) -> Place {
        let offset = self.text.floor_char_boundary(span.start);
        let line = self.line(offset);
        let start = self.starts.get(line - 1).copied().unwrap_or_default();
        let column = self.text[start..offset].chars().count() + 1;
        Place {
            source: self.source.clone(),
            position: Some((line, column)),
        }
    }

    /// The table with the places of all that is in it.
    pub(super) fn table(&self, table: &DeTable<'_>, problems: &mut Vec<Problem>) -> Value {
        let entries = table.iter().map(|(key, value)| {
            let name = Name {
                text: key.get_ref().to_string(),
                place: self.place(key.span()),
            };
            (name, self.item(value, problems))
        });
        Value::Table(entries.collect())
    }

    fn item(&self, value: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Item {
        let place = self.place(value.span());
        let end = self.line(value.span().end.saturating_sub(1));
        let scalar = match value.get_ref() {
            DeValue::Array(items) => {
                let items = items.iter().map(|item| self.item(item, problems));
                Ok(Value::Array(items.collect()))
            }
            DeValue::Table(table) => Ok(self.table(table, problems)),
            _ if self.broken.contains(&end) => Ok(Value::Unreadable),
            DeValue::String(text) => Ok(Value::String(text.to_string())),
            DeValue::Integer(digits) => integer(digits),
            DeValue::Float(digits) => float(digits),
            DeValue::Boolean(truth) => Ok(Value::Boolean(*truth)),
            DeValue::Datetime(moment) => Ok(Value::Datetime(moment.to_string())),
        };
        let value = scalar.unwrap_or_else(|message| {
            problems.push(Problem::new(place.clone(), message));
            Value::Unreadable
        });
        let last_line = match &value {
            Value::Table(entries) => entries
                .iter()
                .map(|(_, item)| item.last_line)
                .fold(end, usize::max),
            _ => end,
        };
        Item {
            value,
            place,
            last_line,
            verbatim: None,
        }
    }
}

fn integer(digits: &DeInteger<'_>) -> Result<Value, &'static str> {
    let number = i64::from_str_radix(digits.as_str(), digits.radix());
    number
        .map(Value::Integer)
        .map_err(|_| "the number is too large; use a smaller one")
}

fn float(digits: &DeFloat<'_>) -> Result<Value, &'static str> {
    let number = digits.as_str().parse();
    number
        .map(Value::Float)
        .map_err(|_| "the number cannot be read; write for instance 0.5")
}
