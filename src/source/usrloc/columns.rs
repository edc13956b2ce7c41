//! Where the columns stand: by name, so that added or reordered columns do not matter.

use std::sync::LazyLock;

use super::rows::{Holds, Row, Value};
use crate::registration::Column;

/// The columns of `location_attrs` (version 1): none of its rows says anything without one of them.
const OF_ATTRIBUTES: &[&str] = &["ruid", "aname", "avalue"];

/// The columns of `location` without which no row is a binding, and the others.
static NEEDED: LazyLock<Vec<&str>> = LazyLock::new(|| names(true));
static OTHERS: LazyLock<Vec<&str>> = LazyLock::new(|| names(false));

fn names(needed: bool) -> Vec<&'static str> {
    let columns = Column::ALL.iter();
    let columns = columns.filter(|column| column.is_needed() == needed);
    columns.map(|column| column.name()).collect()
}

impl Holds {
    /// The columns without which such a table cannot be read.
    #[must_use]
    pub fn needed(self) -> &'static [&'static str] {
        match self {
            Self::Bindings => &NEEDED,
            Self::Attributes => OF_ATTRIBUTES,
        }
    }

    /// The other columns that are read of it.
    #[must_use]
    pub fn others(self) -> &'static [&'static str] {
        match self {
            Self::Bindings => &OTHERS,
            Self::Attributes => &[],
        }
    }
}

/// Where the columns of `location` stand, by [`Column::ALL`]; nowhere where the table has none of that name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct LocationColumns(Vec<Option<usize>>);

/// The same of `location_attrs`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AttributeColumns {
    ruid: Option<usize>,
    name: Option<usize>,
    value: Option<usize>,
}

impl LocationColumns {
    /// Where they stand, as `place` says of each name.
    pub(super) fn of(place: impl Fn(&str) -> Option<usize>) -> Self {
        let columns = Column::ALL.iter();
        Self(columns.map(|column| place(column.name())).collect())
    }

    /// Each column with its value in `row`.
    pub(super) fn values<'a>(
        &self,
        row: &impl Row<'a>,
    ) -> impl Iterator<Item = (Column, Value<'a>)> {
        let columns = Column::ALL.iter().zip(&self.0);
        columns.map(|(column, place)| (*column, value(row, *place)))
    }
}

impl AttributeColumns {
    /// Where they stand, as `place` says of each name.
    pub(super) fn of(place: impl Fn(&str) -> Option<usize>) -> Self {
        let [ruid, name, value] = [0, 1, 2].map(|at: usize| place(OF_ATTRIBUTES[at]));
        Self { ruid, name, value }
    }

    /// The ruid, name and value that a row says.
    pub(super) fn values<'a>(self, row: &impl Row<'a>) -> [Value<'a>; 3] {
        [self.ruid, self.name, self.value].map(|place| value(row, place))
    }
}

/// The value at a place of `row`; NULL where the table has no such column.
fn value<'a>(row: &impl Row<'a>, place: Option<usize>) -> Value<'a> {
    place.map_or(Value::Null, |place| row.value(place))
}
