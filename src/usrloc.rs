//! Kamailio's usrloc tables: rows of `location` and `location_attrs` become bindings.
//!
//! Knows columns and their oddities, but no file and no clock. [`Usrloc`] is told row by row what the tables hold
//! (it is the [`Sink`] of the tail) and says, as a [`Changeset`], what became of bindings.

mod columns;
mod decode;
mod slots;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::registration::{Binding, Changeset, Key};
use crate::sqlite_file::{Row, Sink, Table, TableSpec};
use columns::{AttributeColumns, LocationColumns};
use decode::Texts;
pub use decode::time;
use slots::{SlotId, Slots};

/// The bindings of one or more usrloc tables, put together from rows.
#[derive(Debug)]
pub struct Usrloc {
    tables: Vec<Role>,
    slots: Slots,
    bad_rows: u64,
    shared: Texts,
}

/// What a tailed table is, by its place among the [specs](Usrloc::specs).
#[derive(Debug)]
enum Role {
    Attributes {
        location: Arc<str>,
        columns: Box<AttributeColumns>,
        rows: HashMap<i64, SlotId>,
    },
    Location {
        name: Arc<str>,
        columns: Box<LocationColumns>,
        rows: HashMap<i64, SlotId>,
    },
}

impl Usrloc {
    /// For the usrloc tables with these names, knowing `former` bindings from an earlier run: they are taken to
    /// exist until [everything](Self::changes) has been read.
    #[must_use]
    pub fn new(tables: &[String], former: impl IntoIterator<Item = Arc<Binding>>) -> Self {
        let roles = tables.iter().flat_map(|table| {
            let name: Arc<str> = table.as_str().into();
            // Attributes first: a new row then finds its attributes when it is read.
            [
                Role::Attributes {
                    location: Arc::clone(&name),
                    columns: Box::default(),
                    rows: HashMap::new(),
                },
                Role::Location {
                    name,
                    columns: Box::default(),
                    rows: HashMap::new(),
                },
            ]
        });
        let known: Vec<Arc<str>> = tables.iter().map(|table| table.as_str().into()).collect();
        let former = former
            .into_iter()
            .filter(|binding| known.contains(&binding.key.table));
        Self {
            tables: roles.collect(),
            slots: Slots::new(former),
            bad_rows: 0,
            shared: Texts::default(),
        }
    }

    /// The tables to tail, in the order in which the sink is told of them.
    #[must_use]
    pub fn specs(&self) -> Vec<TableSpec> {
        let spec = |role: &Role| match role {
            Role::Attributes { location, .. } => TableSpec {
                name: format!("{location}_attrs"),
                hint_index_column: Some("last_modified".to_owned()),
                optional: true,
            },
            Role::Location { name, .. } => TableSpec {
                name: name.to_string(),
                hint_index_column: Some("expires".to_owned()),
                optional: false,
            },
        };
        self.tables.iter().map(spec).collect()
    }

    /// What became of bindings by `now` (monotonic time). Until `complete`, former bindings that have not been
    /// read yet are kept.
    pub fn changes(&mut self, now: Duration, complete: bool) -> Changeset {
        self.slots.changes(now, complete)
    }

    /// When [`changes`](Self::changes) has something to say although no row changes.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.slots.deadline()
    }

    /// How many rows could not be understood (no time of expiry, for instance) and are not shown.
    #[must_use]
    pub fn bad_rows(&self) -> u64 {
        self.bad_rows
    }

    /// How many attribute rows belong to no row of `location`.
    #[must_use]
    pub fn orphans(&self) -> usize {
        self.slots.orphans()
    }
}

impl Sink for Usrloc {
    fn schema(&mut self, table: usize, schema: &Table) {
        match &mut self.tables[table] {
            Role::Attributes { columns, .. } => **columns = AttributeColumns::of(schema),
            Role::Location { columns, .. } => **columns = LocationColumns::of(schema),
        }
    }

    fn upsert(&mut self, table: usize, row: Row<'_>) {
        let rowid = row.rowid();
        match &mut self.tables[table] {
            Role::Attributes {
                location,
                columns,
                rows,
            } => {
                let attribute = decode::attribute(columns, &row);
                let slot = self.slots.with_key(Key {
                    table: Arc::clone(location),
                    ruid: attribute.ruid,
                });
                if let Some(former) = rows.insert(rowid, slot).filter(|former| *former != slot) {
                    self.slots.remove_attribute(former, rowid);
                }
                self.slots
                    .set_attribute(slot, rowid, attribute.name, attribute.value);
            }
            Role::Location {
                name,
                columns,
                rows,
            } => {
                let binding = decode::binding(name, columns, &row, &mut self.shared);
                let slot = binding
                    .as_ref()
                    .ok()
                    .map(|binding| self.slots.with_key(binding.key.clone()));
                let former = match slot {
                    Some(slot) => rows.insert(rowid, slot),
                    None => rows.remove(&rowid),
                };
                if let Some(former) = former.filter(|former| Some(*former) != slot) {
                    self.slots.remove_row(former, rowid);
                }
                match (binding, slot) {
                    (Ok(binding), Some(slot)) => self.slots.set_row(slot, rowid, binding),
                    (Ok(_), None) => {}
                    (Err(error), _) => {
                        self.bad_rows += 1;
                        tracing::debug!(table = %name, rowid, %error, "a row cannot be understood and is not shown");
                    }
                }
            }
        }
    }

    fn delete(&mut self, table: usize, rowid: i64) {
        match &mut self.tables[table] {
            Role::Attributes { rows, .. } => {
                if let Some(slot) = rows.remove(&rowid) {
                    self.slots.remove_attribute(slot, rowid);
                }
            }
            Role::Location { rows, .. } => {
                if let Some(slot) = rows.remove(&rowid) {
                    self.slots.remove_row(slot, rowid);
                }
            }
        }
    }
}
