//! What a tail is asked for, and whom it reports to.

use std::path::PathBuf;
use std::time::Duration;

use crate::sqlite_file::reason::{Reason, Result};
use crate::sqlite_file::schema::Schema;
use crate::sqlite_file::table::{Row, Table};

/// Receives what stands in the tables. Only facts of verified windows are reported.
pub trait Sink {
    /// The table with index `table` of [`TailOptions::tables`] looks like this from now on; reported before its first
    /// row, and when it has changed. After a change that alters what rows mean, each is reported again.
    fn schema(&mut self, table: usize, schema: &Table);

    /// A row is there with this content; it is new, or changed.
    fn upsert(&mut self, table: usize, row: Row<'_>);

    /// A row is gone.
    fn delete(&mut self, table: usize, rowid: i64);
}

/// What to tail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TailOptions {
    /// The database file.
    pub path: PathBuf,
    /// The tables.
    pub tables: Vec<TableSpec>,
}

/// A table to tail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableSpec {
    /// Its name.
    pub name: String,
    /// In rollback mode an index shows cheaply which rows to look at; without one, every change leads to a look at all
    /// rows.
    pub hint_index: Option<HintIndexSpec>,
    /// Whether the others are reported when this one has never been there.
    pub optional: bool,
    /// Columns without which no row means anything: a table that lacks one cannot be read.
    pub required: &'static [&'static str],
    /// Columns whose values matter where the table has them: it cannot be read where one of them, or of the required
    /// ones, is generated and not stored.
    pub used: &'static [&'static str],
}

/// An index whose changed entries point at rows that have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HintIndexSpec {
    /// A column that most changes alter and an index begins with.
    pub column: String,
    /// How finely its values resolve time: two changes of a row that are closer together may leave the same entry, so
    /// that each row that has changed is looked at again after that.
    pub resolution: Duration,
}

impl TableSpec {
    /// The table in `schema`, `None` where there is none.
    ///
    /// # Errors
    /// When it is there, but its rows cannot be read or would mean nothing.
    pub(super) fn readable(&self, schema: &Schema) -> Result<Option<Table>> {
        let Some(table) = schema.table(&self.name)? else {
            return Ok(None);
        };
        let missing = |column: &&&str| table.column(column).is_none();
        let missing: Vec<_> = self.required.iter().filter(missing).copied().collect();
        if !missing.is_empty() {
            return Err(Reason::NoColumn {
                table: self.name.clone(),
                columns: missing,
            });
        }
        let is_computed = |column: &&&str| {
            let index = table.column(column);
            index.is_some_and(|index| !table.stores(index))
        };
        let mut columns = self.required.iter().chain(self.used);
        if let Some(column) = columns.find(is_computed) {
            return Err(Reason::NotStored {
                table: self.name.clone(),
                column,
            });
        }
        Ok(Some(table))
    }
}
