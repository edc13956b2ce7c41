//! Rows as any database has them: what a source hands to [`Usrloc`](super::Usrloc).

/// A value of a row, in the storage class that the database has it in.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Real(f64),
    /// A text: mostly, but not necessarily UTF-8.
    Text(&'a [u8]),
    /// Bytes.
    Blob(&'a [u8]),
}

/// A row of a table.
pub trait Row<'a> {
    /// What tells it from the other rows of its table: the rowid, or the column `id`.
    fn id(&self) -> i64;

    /// The value of the column at this place of the table.
    fn value(&self, place: usize) -> Value<'a>;
}

/// A table that is to be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub holds: Holds,
}

/// What a table holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holds {
    /// Bindings: `location`.
    Bindings,
    /// Attributes of bindings: `location_attrs`. A database may do without.
    Attributes,
}

/// Why a table that has rows says nothing about who is registered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotUnderstood {
    /// The table.
    pub table: String,
    /// One of its rows.
    pub row: i64,
    /// What is wrong with that row.
    pub why: String,
}
