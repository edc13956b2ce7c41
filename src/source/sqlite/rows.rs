//! Hands the rows of a SQLite file to [`Usrloc`].

use std::time::Duration;

use crate::source::usrloc::{self, Holds, NotUnderstood, Usrloc};
use crate::sqlite_file::{HintIndexSpec, Reason, Row, Sink, Table, TableSpec, Value};

/// Kamailio's times are whole seconds.
const RESOLUTION: Duration = Duration::from_secs(1);

impl Usrloc {
    /// The tables to tail, in the order in which the sink is told of them. Each has an index of times, which shows
    /// where rows have changed.
    #[must_use]
    pub fn specs(&self) -> Vec<TableSpec> {
        let spec = |table: usrloc::Wanted| {
            let (index, optional) = match table.holds {
                Holds::Bindings => ("expires", false),
                Holds::Attributes => ("last_modified", true),
            };
            TableSpec {
                name: table.name,
                hint_index: Some(HintIndexSpec {
                    column: index.to_owned(),
                    resolution: RESOLUTION,
                }),
                optional,
                required: table.holds.needed(),
                used: table.holds.others(),
            }
        };
        self.tables().into_iter().map(spec).collect()
    }
}

impl Sink for Usrloc {
    fn schema(&mut self, table: usize, schema: &Table) {
        self.set_columns(table, |name| schema.column(name));
    }

    fn upsert(&mut self, table: usize, row: Row<'_>) {
        Self::upsert(self, table, &row);
    }

    fn delete(&mut self, table: usize, rowid: i64) {
        Self::delete(self, table, rowid);
    }
}

impl<'a> usrloc::Row<'a> for Row<'a> {
    fn id(&self) -> i64 {
        self.rowid()
    }

    fn value(&self, place: usize) -> usrloc::Value<'a> {
        self.get(place).into()
    }
}

impl<'a> From<Value<'a>> for usrloc::Value<'a> {
    fn from(value: Value<'a>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Integer(number) => Self::Integer(number),
            Value::Real(number) => Self::Real(number),
            Value::Text(bytes) => Self::Text(bytes),
            Value::Blob(bytes) => Self::Blob(bytes),
        }
    }
}

impl From<NotUnderstood> for Reason {
    fn from(NotUnderstood { table, row, why }: NotUnderstood) -> Self {
        Self::NotUnderstood {
            table,
            rowid: row,
            why,
        }
    }
}
