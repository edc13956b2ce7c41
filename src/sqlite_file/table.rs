//! A table as its `CREATE TABLE` statement describes it, and its rows by column.

use super::reason::{Reason, Result};
use super::record::Value;
use super::sql::{Token, Tokens, split};

/// Words that end the type of a column.
const CONSTRAINTS: [&str; 11] = [
    "CONSTRAINT",
    "PRIMARY",
    "NOT",
    "NULL",
    "UNIQUE",
    "CHECK",
    "DEFAULT",
    "COLLATE",
    "REFERENCES",
    "GENERATED",
    "AS",
];

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Its name, as created.
    pub name: String,
    /// The names of its columns, in declared order.
    pub columns: Vec<String>,
    /// The page where its b-tree begins.
    pub root: u32,
    places: Vec<Place>,
}

/// Where the value of a column comes from.
#[derive(Debug, Clone, PartialEq)]
enum Place {
    /// The record's value with this index, or the default where the record is older than the column.
    Stored(usize, Constant),
    /// The rowid itself: `INTEGER PRIMARY KEY`.
    Rowid,
    /// Nowhere: a generated column that is not stored; it shows as NULL.
    Virtual,
}

/// The default of a column.
#[derive(Debug, Clone, PartialEq, Default)]
enum Constant {
    #[default]
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

/// A row, valid for the length of the report.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    table: &'a Table,
    rowid: i64,
    values: &'a [Value<'a>],
}

impl Table {
    /// Reads the statement `sql` that created the table `name` with its b-tree at page `root`.
    ///
    /// # Errors
    /// When its rows are not in a rowid table.
    pub(super) fn parse(name: &str, root: u32, sql: &str) -> Result<Self> {
        let unsupported = |why| Reason::Unsupported {
            table: name.to_owned(),
            why,
        };
        let mut tokens = Tokens::of(sql);
        tokens.skip("CREATE");
        if tokens.skip("VIRTUAL") {
            return Err(unsupported("it is a virtual table"));
        }
        while tokens
            .peek()
            .is_some_and(|token| *token != Token::Mark('('))
        {
            tokens.take();
        }
        let body = tokens
            .group()
            .ok_or_else(|| unsupported("its definition has no columns"))?;
        while let Some(option) = tokens.take() {
            if option.is("WITHOUT") {
                return Err(unsupported("it is a WITHOUT ROWID table"));
            }
        }
        let mut table = Self {
            name: name.to_owned(),
            columns: Vec::new(),
            root,
            places: Vec::new(),
        };
        table.define(body);
        if table.columns.is_empty() {
            return Err(unsupported("its definition has no columns"));
        }
        Ok(table)
    }

    /// The index of the column `name`; names differ not by ASCII case.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns
            .iter()
            .position(|column| column.eq_ignore_ascii_case(name))
    }

    /// Whether the values of the column `index` are in the rows.
    pub(super) fn stores(&self, index: usize) -> bool {
        !matches!(self.places.get(index), Some(Place::Virtual) | None)
    }

    /// Whether rows mean the same in `other`.
    pub(super) fn reads_like(&self, other: &Self) -> bool {
        self.name == other.name && self.columns == other.columns && self.places == other.places
    }

    /// Takes in the columns and constraints of the definition.
    fn define(&mut self, body: Vec<Token>) {
        let mut stored = 0;
        let mut integers = Vec::new();
        let mut key = None;
        for part in split(body) {
            let Some(column) = Column::parse(part, &mut key) else {
                continue;
            };
            if column.primary_key {
                key = Some(column.name.clone());
            }
            integers.push(column.kind.eq_ignore_ascii_case("INTEGER") && !column.no_alias);
            let place = if column.generated {
                Place::Virtual
            } else {
                stored += 1;
                Place::Stored(stored - 1, column.default)
            };
            self.columns.push(column.name);
            self.places.push(place);
        }
        let alias = key.and_then(|key| self.column(&key));
        if let Some(alias) = alias.filter(|&it| integers[it]) {
            self.places[alias] = Place::Rowid;
        }
    }
}

/// A column's definition.
#[derive(Default)]
struct Column {
    name: String,
    /// The declared type.
    kind: String,
    default: Constant,
    primary_key: bool,
    /// `INTEGER PRIMARY KEY DESC` is no alias of the rowid.
    no_alias: bool,
    /// Generated and not stored.
    generated: bool,
}

impl Column {
    /// Reads one part of a table's definition. What is a table constraint gives `None`, and in `key` the column
    /// that it makes the primary key alone.
    fn parse(part: Vec<Token>, key: &mut Option<String>) -> Option<Self> {
        let mut tokens = Tokens::from_list(part);
        let first = tokens.take()?;
        if first.is("CONSTRAINT") {
            tokens.take();
            Self::constraint(&mut tokens, key);
            return None;
        }
        if first.is("PRIMARY") && tokens.skip("KEY") {
            *key = Self::single(&mut tokens).or(key.take());
            return None;
        }
        let group_follows = tokens.peek() == Some(&Token::Mark('('));
        if (first.is("UNIQUE") || first.is("CHECK")) && group_follows
            || first.is("FOREIGN") && tokens.skip("KEY")
        {
            return None;
        }
        let mut column = Self {
            name: first.name()?.to_owned(),
            ..Self::default()
        };
        column.read_type(&mut tokens);
        column.read_constraints(&mut tokens);
        Some(column)
    }

    /// Reads a named table constraint.
    fn constraint(tokens: &mut Tokens, key: &mut Option<String>) {
        if tokens.skip("PRIMARY") && tokens.skip("KEY") {
            *key = Self::single(tokens).or(key.take());
        }
    }

    /// The only column of a `PRIMARY KEY (…)`.
    fn single(tokens: &mut Tokens) -> Option<String> {
        let mut columns = split(tokens.group()?);
        let only = columns.pop().filter(|_| columns.is_empty())?;
        only.first()?.name().map(str::to_owned)
    }

    fn read_type(&mut self, tokens: &mut Tokens) {
        while let Some(token) = tokens.peek() {
            if CONSTRAINTS.iter().any(|word| token.is(word)) {
                break;
            }
            if *token == Token::Mark('(') {
                tokens.group();
                self.kind.push_str("()");
                continue;
            }
            if let Some(word) = token.name() {
                if !self.kind.is_empty() {
                    self.kind.push(' ');
                }
                self.kind.push_str(word);
            }
            tokens.take();
        }
    }

    fn read_constraints(&mut self, tokens: &mut Tokens) {
        while let Some(token) = tokens.take() {
            if token.is("PRIMARY") && tokens.skip("KEY") {
                self.primary_key = true;
                self.no_alias = tokens.skip("DESC");
            } else if token.is("DEFAULT") {
                self.default = Constant::parse(tokens).with_affinity(&self.kind);
            } else if token.is("AS") {
                tokens.group();
                self.generated = !tokens.skip("STORED");
            } else if token == Token::Mark('(') {
                skip_group(tokens);
            }
        }
    }
}

/// Skips to the parenthesis that closes one already taken.
fn skip_group(tokens: &mut Tokens) {
    let mut depth = 1;
    while depth > 0 {
        match tokens.take() {
            Some(Token::Mark('(')) => depth += 1,
            Some(Token::Mark(')')) => depth -= 1,
            Some(_) => {}
            None => break,
        }
    }
}

impl Constant {
    /// Reads a literal. Expressions give NULL: SQLite lets them not be defaults of columns added to a table that
    /// has rows.
    fn parse(tokens: &mut Tokens) -> Self {
        if let Some(group) = tokens.group() {
            return Self::parse(&mut Tokens::from_list(group));
        }
        let negative = tokens.skip_mark('-');
        if !negative {
            tokens.skip_mark('+');
        }
        match tokens.take() {
            Some(Token::Number(number)) => Self::number(&number, negative),
            Some(Token::String(text) | Token::Name(text)) => Self::Text(text),
            Some(Token::Blob(blob)) => Self::Blob(blob),
            Some(token) if token.is("NULL") => Self::Null,
            Some(token) if token.is("TRUE") => Self::Integer(1),
            Some(token) if token.is("FALSE") => Self::Integer(0),
            Some(Token::Word(text)) if !text.to_ascii_uppercase().starts_with("CURRENT_") => {
                Self::Text(text)
            }
            _ => Self::Null,
        }
    }

    fn number(text: &str, negative: bool) -> Self {
        let text = text.replace('_', "").to_ascii_lowercase();
        let signed = if negative {
            format!("-{text}")
        } else {
            text.clone()
        };
        if let Some(digits) = text.strip_prefix("0x") {
            let value = u64::from_str_radix(digits, 16).unwrap_or_default();
            let value = value.cast_signed();
            return Self::Integer(if negative {
                value.wrapping_neg()
            } else {
                value
            });
        }
        match (signed.parse(), signed.parse()) {
            (Ok(integer), _) => Self::Integer(integer),
            (Err(_), Ok(real)) => Self::Real(real),
            (Err(_), Err(_)) => Self::Null,
        }
    }

    /// The value after the affinity of the column's declared type
    /// (<https://sqlite.org/datatype3.html#determination_of_column_affinity>).
    fn with_affinity(self, kind: &str) -> Self {
        let kind = kind.to_ascii_uppercase();
        let has = |parts: &[&str]| parts.iter().any(|part| kind.contains(part));
        if has(&["INT"]) {
            self.numeric()
        } else if has(&["CHAR", "CLOB", "TEXT"]) {
            match self {
                Self::Integer(integer) => Self::Text(integer.to_string()),
                Self::Real(real) => Self::Text(format!("{real:?}")),
                other => other,
            }
        } else if has(&["BLOB"]) || kind.is_empty() {
            self
        } else if has(&["REAL", "FLOA", "DOUB"]) {
            match self.numeric() {
                #[expect(clippy::cast_precision_loss, reason = "as SQLite does")]
                Self::Integer(integer) => Self::Real(integer as f64),
                other => other,
            }
        } else {
            self.numeric()
        }
    }

    fn numeric(self) -> Self {
        match self {
            Self::Text(text) => {
                let trimmed = text.trim();
                let plain = trimmed
                    .chars()
                    .all(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E'));
                match (trimmed.parse(), trimmed.parse::<f64>()) {
                    (Ok(integer), _) => Self::Integer(integer),
                    (Err(_), Ok(real)) if plain => Self::Real(real).numeric(),
                    _ => Self::Text(text),
                }
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                clippy::float_cmp,
                reason = "checked by the way back"
            )]
            Self::Real(real) if real.abs() < 9e15 && (real as i64) as f64 == real => {
                Self::Integer(real as i64)
            }
            other => other,
        }
    }

    fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Integer(integer) => Value::Integer(*integer),
            Self::Real(real) => Value::Real(*real),
            Self::Text(text) => Value::Text(text.as_bytes()),
            Self::Blob(blob) => Value::Blob(blob),
        }
    }
}

impl<'a> Row<'a> {
    /// The row `rowid` of `table` with the values of its record.
    pub(super) fn new(table: &'a Table, rowid: i64, values: &'a [Value<'a>]) -> Self {
        Self {
            table,
            rowid,
            values,
        }
    }

    /// The value of the column `index`; NULL where the table has no such column.
    #[must_use]
    pub fn get(&self, index: usize) -> Value<'a> {
        match self.table.places.get(index) {
            Some(Place::Stored(at, default)) => {
                self.values.get(*at).copied().unwrap_or(default.value())
            }
            Some(Place::Rowid) => Value::Integer(self.rowid),
            Some(Place::Virtual) | None => Value::Null,
        }
    }

    /// The rowid.
    #[must_use]
    pub fn rowid(&self) -> i64 {
        self.rowid
    }
}
