//! What the columns of a row mean.
//!
//! The source is Kamailio's `usrloc/ucontact.c`.

use std::borrow::Cow;

use super::cells::{integer, real, text, time};
use super::columns::{AttributeColumns, LocationColumns};
use super::rows::{Row, Value};
use super::unreadable::{Reason, Unread};
use crate::registration::{Cell, Cells, Kind, TIME_UNKNOWN};

/// What usrloc stores where the phone sent no User-Agent, or too long a one.
const NO_USER_AGENT: &[u8] = b"n/a";

/// A row of `location_attrs`.
#[derive(Debug)]
pub(super) struct Attribute<'a> {
    pub(super) ruid: Cow<'a, [u8]>,
    pub(super) name: Cow<'a, [u8]>,
    pub(super) value: Cow<'a, [u8]>,
}

/// What a row of `location` says. Adds the values that cannot be read to `unread`: a bad one costs itself alone, but
/// for those that every binding has.
pub(super) fn cells<'a>(
    columns: &LocationColumns,
    row: &impl Row<'a>,
    unread: &mut Vec<Unread<'a>>,
) -> Cells<'a> {
    let mut cells = Cells::default();
    for (column, value) in columns.values(row) {
        match cell(column.kind(), value) {
            Ok(cell) => cells.set(column, cell),
            Err(reason) => {
                if column.kind() == Kind::Moment {
                    cells.set(column, Cell::Integer(TIME_UNKNOWN));
                }
                unread.push(Unread {
                    column,
                    reason,
                    value,
                });
            }
        }
    }
    cells
}

/// What a value of a column of this kind says.
fn cell(kind: Kind, value: Value<'_>) -> Result<Cell<'_>, Reason> {
    let is_null = value == Value::Null;
    Ok(match kind {
        Kind::Name => Cell::Text(text(value).ok_or(Reason::Null)?),
        Kind::Domain => text(value).map_or(Cell::Absent, Cell::Text),
        Kind::Text | Kind::Agent => match text(value) {
            Some(text) if kind == Kind::Agent && *text == *NO_USER_AGENT => Cell::Absent,
            Some(text) if !text.is_empty() => Cell::Text(text),
            _ => Cell::Absent,
        },
        Kind::Expiry if is_null => return Err(Reason::Null),
        Kind::Expiry => match time(value).ok_or(Reason::NotATime)? {
            0 => Cell::Absent,
            end => Cell::Integer(end),
        },
        Kind::Moment if is_null => Cell::Integer(TIME_UNKNOWN),
        Kind::Moment => Cell::Integer(time(value).ok_or(Reason::NotATime)?),
        Kind::Number | Kind::FlowId | Kind::Preference if is_null => Cell::Absent,
        Kind::Number | Kind::FlowId => match integer(value).ok_or(Reason::NotANumber)? {
            0 if kind == Kind::FlowId => Cell::Absent,
            number => Cell::Integer(number),
        },
        Kind::Preference => match real(value).ok_or(Reason::NotANumber)? {
            q if q < 0.0 => Cell::Absent,
            q => Cell::Real(q),
        },
    })
}

impl<'a> Attribute<'a> {
    /// What a row of `location_attrs` says.
    pub(super) fn of(columns: AttributeColumns, row: &impl Row<'a>) -> Self {
        let [ruid, name, value] = columns
            .values(row)
            .map(|value| text(value).unwrap_or_default());
        Self { ruid, name, value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registration::Column;
    use crate::registration::testing::any_cell;
    use proptest::prelude::*;

    struct One<'a>(&'a [Value<'a>]);

    impl<'a> Row<'a> for One<'a> {
        fn id(&self) -> i64 {
            1
        }

        fn value(&self, place: usize) -> Value<'a> {
            self.0[place]
        }
    }

    /// A value that says what `cell` does.
    fn value<'a>(cell: &'a Cell<'_>) -> Value<'a> {
        match cell {
            Cell::Absent => Value::Null,
            Cell::Text(text) => Value::Text(text),
            Cell::Integer(number) => Value::Integer(*number),
            Cell::Real(number) => Value::Real(*number),
        }
    }

    /// What becomes of a cell that means nothing to usrloc.
    fn meant<'a>(column: Column, cell: &Cell<'a>) -> Cell<'a> {
        match (column.kind(), cell) {
            (Kind::Text | Kind::Agent, Cell::Text(text)) if text.is_empty() => Cell::Absent,
            (Kind::Expiry | Kind::FlowId, Cell::Integer(0)) => Cell::Absent,
            _ => cell.clone(),
        }
    }

    proptest! {
        /// In whatever order the columns stand, each is read.
        #[test]
        fn every_column_is_read(
            filled in Column::ALL.iter().copied().map(any_cell).collect::<Vec<_>>(),
            order in Just((0..Column::ALL.len()).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let columns = LocationColumns::of(|name| {
                let at = Column::ALL.iter().position(|column| column.name() == name);
                Some(order[at.expect("it is asked for columns alone")])
            });
            let mut values = vec![Value::Null; filled.len()];
            for (at, cell) in filled.iter().enumerate() {
                values[order[at]] = value(cell);
            }
            let mut unread = Vec::new();
            let read = cells(&columns, &One(&values), &mut unread);
            for (column, cell) in Column::ALL.iter().zip(&filled) {
                if *column != Column::Expires || *cell != Cell::Absent {
                    prop_assert_eq!(read.get(*column), &meant(*column, cell), "{:?}", column);
                }
            }
            let lost: Vec<_> = unread.iter().map(|unread| unread.column).collect();
            let has_end = filled[Column::Expires as usize - 1] != Cell::Absent;
            prop_assert_eq!(lost, if has_end { vec![] } else { vec![Column::Expires] });
        }
    }

    #[test]
    fn what_usrloc_writes_for_nothing_is_nothing() {
        for (kind, value) in [
            (Kind::Agent, Value::Text(b"n/a")),
            (Kind::Text, Value::Text(b"")),
            (Kind::FlowId, Value::Integer(0)),
            (Kind::Expiry, Value::Integer(0)),
            (Kind::Preference, Value::Real(-1.0)),
        ] {
            assert_eq!(cell(kind, value), Ok(Cell::Absent), "{kind:?}");
        }
        assert_eq!(
            cell(Kind::Text, Value::Text(b"n/a")),
            Ok(Cell::Text(b"n/a".into()))
        );
        assert_eq!(
            cell(Kind::Domain, Value::Text(b"")),
            Ok(Cell::Text(b"".into()))
        );
        assert_eq!(
            cell(Kind::Moment, Value::Null),
            Ok(Cell::Integer(TIME_UNKNOWN))
        );
    }
}
