//! What one column of a row says, and the types that a binding has for it.

use std::borrow::Cow;

use super::{Expiry, Number, TIME_UNKNOWN, Text};

/// What a column of a row says.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Cell<'a> {
    /// Nothing.
    #[default]
    Absent,
    /// A text.
    Text(Cow<'a, [u8]>),
    /// A whole number, or a Unix second.
    Integer(i64),
    /// A number with a fraction.
    Real(f64),
}

/// The type of a binding's field, as a cell and back.
pub(super) trait Field {
    fn cell(&self) -> Cell<'_>;

    /// Whether this is what `cell` says.
    fn is(&self, cell: &Cell<'_>) -> bool {
        self.cell() == *cell
    }

    /// `text` makes the cell's text.
    fn of(cell: &Cell<'_>, text: impl FnOnce() -> Text) -> Self;
}

impl Field for Text {
    fn cell(&self) -> Cell<'_> {
        Cell::Text(self.as_bytes().into())
    }

    fn of(_: &Cell<'_>, text: impl FnOnce() -> Text) -> Self {
        text()
    }
}

impl Field for Option<Text> {
    fn cell(&self) -> Cell<'_> {
        self.as_ref().map_or(Cell::Absent, Field::cell)
    }

    fn of(cell: &Cell<'_>, text: impl FnOnce() -> Text) -> Self {
        matches!(cell, Cell::Text(_)).then(text)
    }
}

impl Field for Expiry {
    fn cell(&self) -> Cell<'_> {
        self.end().map_or(Cell::Absent, Cell::Integer)
    }

    fn of(cell: &Cell<'_>, _: impl FnOnce() -> Text) -> Self {
        integer(cell).map_or(Self::Permanent, Self::At)
    }
}

impl Field for i64 {
    fn cell(&self) -> Cell<'_> {
        Cell::Integer(*self)
    }

    fn of(cell: &Cell<'_>, _: impl FnOnce() -> Text) -> Self {
        integer(cell).unwrap_or(TIME_UNKNOWN)
    }
}

impl Field for Option<Number> {
    fn cell(&self) -> Cell<'_> {
        self.map_or(Cell::Absent, |number| Cell::Integer(number.get()))
    }

    fn of(cell: &Cell<'_>, _: impl FnOnce() -> Text) -> Self {
        integer(cell).and_then(Number::new)
    }
}

impl Field for Option<f64> {
    fn cell(&self) -> Cell<'_> {
        self.map_or(Cell::Absent, Cell::Real)
    }

    fn of(cell: &Cell<'_>, _: impl FnOnce() -> Text) -> Self {
        match cell {
            Cell::Real(number) => Some(*number),
            Cell::Absent | Cell::Text(_) | Cell::Integer(_) => None,
        }
    }
}

fn integer(cell: &Cell<'_>) -> Option<i64> {
    match cell {
        Cell::Integer(number) => Some(*number),
        Cell::Absent | Cell::Text(_) | Cell::Real(_) => None,
    }
}
