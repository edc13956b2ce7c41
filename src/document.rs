//! Texts that people write for us, in TOML: parsed so that every value knows its place, and every problem is
//! collected instead of the first one only.
//!
//! Knows nothing of the keys; [`config`](crate::config) and [`tokens`](crate::tokens) do. No I/O.

mod positions;
mod quoted;
mod reader;

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use toml::de::DeTable;

use positions::Lines;
pub use quoted::{quoted, shown, without_secrets};
pub use reader::{Findings, Reader, nearest};

/// Where a value was written: a file with line and column (both from 1, in characters), or the name of an
/// environment variable or flag.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    source: Arc<str>,
    position: Option<(usize, usize)>,
}

/// One mistake: where, and a sentence that says what is wrong and how to correct it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Where it stands.
    pub place: Place,
    /// What is wrong, and how to correct it.
    pub message: String,
    /// Whether the text is good or bad nobody knows: we may not read it.
    pub denied: bool,
}

/// Every mistake that was found, in the order of the text; shown one a line as `FILE:LINE:COLUMN: message`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problems(Vec<Problem>);

/// A key as it was written.
#[derive(Clone, Debug)]
pub struct Name {
    /// The key.
    pub text: String,
    /// Where it stands.
    pub place: Place,
}

/// A value as it was written.
#[derive(Clone, Debug)]
pub struct Item {
    /// The value.
    pub value: Value,
    /// Where it stands.
    pub place: Place,
    /// The line on which it ends, from 1.
    last_line: usize,
    /// The bare text, where quotes may be left out (environment and flags).
    verbatim: Option<String>,
}

/// The kinds of TOML values.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "TOML values")]
pub enum Value {
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Datetime(String),
    Array(Vec<Item>),
    Table(Vec<(Name, Item)>),
    /// What stands on a line with a syntax error, which has been reported.
    Unreadable,
}

/// Parses `text`, a TOML document that is called `source` in messages.
///
/// What can be understood is returned beside the syntax errors, so that the other mistakes are found too.
#[must_use]
pub fn parse(text: &str, source: &str) -> (Item, Vec<Problem>) {
    let mut lines = Lines::new(text, source);
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut problems = Vec::new();
    for error in errors {
        let span = error.span().unwrap_or_default();
        lines.note_broken(span.start);
        let message = format!("not valid TOML: {}", syntax(error.message()));
        problems.push(Problem::new(lines.place(span), message));
    }
    let item = Item {
        value: lines.table(table.get_ref(), &mut problems),
        place: Place::of(source),
        last_line: lines.count(),
        verbatim: None,
    };
    (item, problems)
}

/// The parser's `message` with a correction, for the two most frequent mistakes.
fn syntax(message: &str) -> &str {
    if message.starts_with("string values must be quoted") {
        "text stands in double quotes"
    } else if message == "duplicate key" {
        "the key is set twice; remove one"
    } else {
        message
    }
}

impl Place {
    /// The source as a whole.
    #[must_use]
    pub fn of(source: &str) -> Self {
        Self {
            source: source.into(),
            position: None,
        }
    }

    /// A line and a column of the source, both from 1.
    #[must_use]
    pub fn at(source: &str, line: usize, column: usize) -> Self {
        Self {
            source: source.into(),
            position: Some((line, column)),
        }
    }
}

impl Problem {
    /// What is wrong at `place`.
    pub fn new(place: Place, message: impl Into<String>) -> Self {
        Self {
            place,
            message: message.into(),
            denied: false,
        }
    }

    /// The file `source` cannot be read.
    #[must_use]
    pub fn unreadable(source: &str, error: &io::Error) -> Self {
        let denied = error.kind() == io::ErrorKind::PermissionDenied;
        let hint = if denied {
            "; make it readable for usrlocd's user or group"
        } else {
            ""
        };
        Self {
            denied,
            ..Self::new(Place::of(source), format!("cannot be read: {error}{hint}"))
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        match self.position {
            Some((line, column)) => write!(f, ":{line}:{column}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl Problems {
    /// The problems in the order of their sources and, within each, of their places; `None` without any.
    #[must_use]
    pub fn of(mut problems: Vec<Problem>) -> Option<Self> {
        let mut sources: Vec<Arc<str>> = Vec::new();
        for problem in &problems {
            if !sources.contains(&problem.place.source) {
                sources.push(problem.place.source.clone());
            }
        }
        problems.sort_by_key(|problem| {
            let source = &problem.place.source;
            let rank = sources.iter().position(|known| known == source);
            (rank, problem.place.position)
        });
        problems.dedup();
        (!problems.is_empty()).then_some(Self(problems))
    }

    /// A single problem with a whole source, for instance a file that cannot be read.
    #[must_use]
    pub fn one(source: &str, message: impl Into<String>) -> Self {
        Self(vec![Problem::new(Place::of(source), message)])
    }

    /// A file that cannot be read.
    #[must_use]
    pub fn unreadable(source: &str, error: &io::Error) -> Self {
        Self(vec![Problem::unreadable(source, error)])
    }

    /// Whether the only problems are permissions.
    #[must_use]
    pub fn denied(&self) -> bool {
        self.0.iter().all(|problem| problem.denied)
    }

    /// Each problem.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl Error for Problems {}

impl Item {
    /// The value that someone wrote outside a file: a TOML value such as `{ burst = 5, per_second = 1 }`, or a
    /// string without quotes.
    #[must_use]
    pub fn bare(text: &str, place: &Place) -> Self {
        let (document, problems) = parse(&format!("value = {text}"), "");
        let value = match document.value {
            Value::Table(entries) if problems.is_empty() && entries.len() == 1 => entries
                .into_iter()
                .next()
                .map(|(_, item)| item.at(place).value),
            _ => None,
        };
        Self {
            value: value.unwrap_or_else(|| Value::String(text.to_owned())),
            place: place.clone(),
            last_line: 0,
            verbatim: Some(text.to_owned()),
        }
    }

    /// A table with this item under `key`.
    #[must_use]
    pub fn under(self, key: &str) -> Self {
        let place = self.place.clone();
        let name = Name {
            text: key.to_owned(),
            place: place.clone(),
        };
        Self {
            value: Value::Table(vec![(name, self)]),
            place,
            last_line: 0,
            verbatim: None,
        }
    }

    /// The string; where quotes may be left out, whatever was written.
    ///
    /// # Errors
    /// When it is something else, in words for the operator.
    pub fn text(&self) -> Result<&str, String> {
        match (&self.value, &self.verbatim) {
            (Value::String(text), _) | (_, Some(text)) => Ok(text),
            _ => Err(self.expected("a string in quotes")),
        }
    }

    /// The elements of an array; a string alone counts as an array of one, and where quotes may be left out
    /// commas part it.
    ///
    /// # Errors
    /// When it is something else, in words for the operator.
    pub fn elements(&self) -> Result<Vec<Self>, String> {
        match (&self.value, &self.verbatim) {
            (Value::Array(items), _) => Ok(items.clone()),
            (Value::String(text), Some(_)) => Ok(text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(|part| Self {
                    value: Value::String(part.to_owned()),
                    place: self.place.clone(),
                    last_line: 0,
                    verbatim: Some(part.to_owned()),
                })
                .collect()),
            (Value::String(_), None) => Ok(vec![self.clone()]),
            _ => Err(self.expected("an array in square brackets")),
        }
    }

    /// The first and last line (from 1) on which this value and, for a table, its header and keys stand; `None`
    /// outside a file.
    #[must_use]
    pub fn lines(&self) -> Option<(usize, usize)> {
        let (first, _) = self.place.position?;
        Some((first, self.last_line))
    }

    /// Words for a value of the wrong type.
    #[must_use]
    pub fn expected(&self, wanted: &str) -> String {
        let found = match &self.value {
            Value::String(_) => "a string",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a number with a fraction",
            Value::Boolean(_) => "a boolean",
            Value::Datetime(_) => "a date",
            Value::Array(_) => "an array",
            Value::Table(_) => "a table",
            Value::Unreadable => "nothing readable",
        };
        format!("expected {wanted}, found {found}")
    }

    /// The same value with every place replaced by `place`.
    fn at(mut self, place: &Place) -> Self {
        self.place = place.clone();
        self.value = match self.value {
            Value::Array(items) => {
                Value::Array(items.into_iter().map(|item| item.at(place)).collect())
            }
            Value::Table(entries) => Value::Table(
                entries
                    .into_iter()
                    .map(|(mut name, item)| {
                        name.place = place.clone();
                        (name, item.at(place))
                    })
                    .collect(),
            ),
            scalar => scalar,
        };
        self
    }
}
