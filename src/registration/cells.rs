//! A row of `location` column by column, as a source has read it and before it is worth a binding of its own.

use std::sync::Arc;

use super::cell::Cell;
use super::columns::{Binding, Column};
use super::intern::Interner;
use super::text::{Packer, Piece};
use super::{Attributes, Key, Ruid, Shape, Shapes, Text};

/// A row: what each column says.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Cells<'a>([Cell<'a>; COUNT]);

/// One place for each column number, and one for 0, which is not used.
const COUNT: usize = Column::ALL[Column::ALL.len() - 1] as usize + 1;

/// Makes the texts of bindings: shared ones once, the others of a row side by side.
#[derive(Debug, Default)]
pub struct Texts {
    /// Table names.
    tables: Interner<Arc<str>>,
    /// Domains, sockets and phone models, which many rows have in common.
    common: Interner<Text>,
    shapes: Shapes,
    /// All others of a row, side by side.
    own: Packer,
}

impl<'a> Cells<'a> {
    /// What `column` says.
    #[must_use]
    pub fn get(&self, column: Column) -> &Cell<'a> {
        &self.0[column as usize]
    }

    /// Notes what `column` says.
    pub fn set(&mut self, column: Column, cell: Cell<'a>) {
        self.0[column as usize] = cell;
    }

    /// The bytes of a text; none where the column says nothing.
    #[must_use]
    pub fn text(&self, column: Column) -> &[u8] {
        match self.get(column) {
            Cell::Text(text) => text,
            Cell::Absent | Cell::Integer(_) | Cell::Real(_) => &[],
        }
    }

    /// The binding that this row of `table` is, with these attributes.
    #[must_use]
    pub fn binding(&self, table: &Arc<str>, attributes: Attributes, texts: &mut Texts) -> Binding {
        let Texts { common, own, .. } = texts;
        let mut pieces = [Piece::default(); COUNT];
        for column in Column::ALL {
            if let Cell::Text(text) = self.get(*column)
                && !column.is_shared()
            {
                pieces[*column as usize] = own.add(text);
            }
        }
        let pack = own.pack();
        let key = Key {
            table: Arc::clone(table),
            ruid: Ruid(pack.text(pieces[Column::Ruid as usize])),
        };
        Binding::of_cells(
            key,
            attributes,
            |column| self.get(column),
            |column| {
                if column.is_shared() {
                    common.get(self.text(column))
                } else {
                    pack.text(pieces[column as usize])
                }
            },
        )
    }

    /// Whether `binding` says the same; table and attributes do not count. At a start nearly all rows are what they
    /// were, and finding that out costs a fraction of making a binding.
    #[must_use]
    pub fn are_of(&self, binding: &Binding) -> bool {
        binding.has_cells(|column| self.get(column))
    }
}

impl Texts {
    /// The one copy of a table's name.
    pub fn table(&mut self, name: &str) -> Arc<str> {
        self.tables.get(name)
    }

    /// Attributes with these names and values; of equal names the last counts.
    pub fn attributes<'a>(
        &mut self,
        pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Attributes {
        self.shapes.attributes(pairs)
    }

    /// The shape with this key.
    pub fn shape(&mut self, key: &[u8]) -> Shape {
        self.shapes.shape(key)
    }
}
