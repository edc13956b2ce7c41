//! Kamailio's usrloc tables: rows of `location` and `location_attrs` become bindings.
//!
//! Knows columns and their oddities, but no file and no clock. [`Usrloc`] is told row by row what the tables hold
//! (it is the [`Sink`] of the tail) and says, as a [`Changeset`], what became of bindings.

mod assembler;
mod attribute_rows;
mod cells;
mod columns;
mod decode;
#[cfg(test)]
mod tests;
mod unreadable;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::registration::{Binding, Changeset};
use crate::sqlite_file::{HintIndexSpec, Reason, Row, Sink, Table, TableSpec};
pub use assembler::Reading;
use assembler::{Assembler, SlotId};
pub use cells::time;
use columns::{AttributeColumns, LocationColumns, REQUIRED, REQUIRED_OF_ATTRIBUTES, USED};
use decode::{Attribute, Fields, Texts};
use unreadable::{Cause, Unreadable, Whose};

/// The bindings of one or more usrloc tables, put together from rows.
#[derive(Debug)]
pub struct Usrloc {
    tables: Vec<Role>,
    assembler: Assembler,
    unreadable: Unreadable,
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
        /// Those that can be read.
        rows: HashMap<i64, SlotId>,
        /// The others.
        lost: BTreeMap<i64, Lost>,
        /// Whether any row has been read since the columns are these: then one that cannot be is at fault itself.
        understood: bool,
    },
}

/// A row that cannot be read.
#[derive(Clone, Copy, Debug)]
struct Lost {
    cause: Cause,
    /// Whether it could be before: it may still be a registration.
    was_read: bool,
}

impl Usrloc {
    /// For the usrloc tables with these names.
    #[must_use]
    pub fn new(tables: &[String]) -> Self {
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
                    lost: BTreeMap::new(),
                    understood: false,
                },
            ]
        });
        Self {
            tables: roles.collect(),
            assembler: Assembler::default(),
            unreadable: Unreadable::default(),
            shared: Texts::default(),
        }
    }

    /// Knows these bindings from an earlier run: they are taken to exist until [everything](Self::changes) has been
    /// read. To be called before anything is read.
    pub fn know(&mut self, former: impl IntoIterator<Item = Arc<Binding>>) {
        let is_ours = |binding: &Binding| {
            let is_it = |role: &Role| matches!(role, Role::Location { name, .. } if *name == binding.key.table);
            self.tables.iter().any(is_it)
        };
        let former = former.into_iter().filter(|binding| is_ours(binding));
        self.assembler = Assembler::new(former);
    }

    /// The tables to tail, in the order in which the sink is told of them.
    #[must_use]
    pub fn specs(&self) -> Vec<TableSpec> {
        // Kamailio's times are whole seconds.
        let hint_index = |column: &str| {
            Some(HintIndexSpec {
                column: column.to_owned(),
                resolution: Duration::from_secs(1),
            })
        };
        let spec = |role: &Role| match role {
            Role::Attributes { location, .. } => TableSpec {
                name: format!("{location}_attrs"),
                hint_index: hint_index("last_modified"),
                optional: true,
                required: REQUIRED_OF_ATTRIBUTES,
                used: &[],
            },
            Role::Location { name, .. } => TableSpec {
                name: name.to_string(),
                hint_index: hint_index("expires"),
                optional: false,
                required: REQUIRED,
                used: USED,
            },
        };
        self.tables.iter().map(spec).collect()
    }

    /// Forgets which rows there are, for another database is read or the same one again: what has been told is
    /// taken to exist until everything has been read.
    pub fn read_again(&mut self) {
        for role in &mut self.tables {
            match role {
                Role::Attributes { rows, .. } => rows.clear(),
                Role::Location {
                    rows,
                    lost,
                    understood,
                    ..
                } => {
                    rows.clear();
                    lost.clear();
                    *understood = false;
                }
            }
        }
        self.unreadable.clear();
        self.assembler.read_again();
    }

    /// Whether most of the bindings that were taken to exist at the beginning have no row; to be asked once
    /// everything has been read.
    #[must_use]
    pub fn misses_most(&self) -> bool {
        self.assembler.miss_most()
    }

    /// Whether the usrloc tables have no row at all, as far as they have been read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let has_rows =
            |role: &Role| matches!(role, Role::Location { rows, .. } if !rows.is_empty());
        self.unreadable.lost() == 0 && !self.tables.iter().any(has_rows)
    }

    /// Why a table that has rows says nothing about who is registered: none of them can be read, and none ever could, or
    /// some could. One that lacks a value that every binding has is no binding, and says nothing about the others.
    #[must_use]
    pub fn not_understood(&self) -> Option<Reason> {
        self.tables.iter().find_map(|role| match role {
            Role::Location {
                name,
                rows,
                lost,
                understood,
                ..
            } if rows.is_empty() => {
                let says_nothing = |lost: &Lost| lost.was_read || !understood;
                let (rowid, lost) = lost
                    .iter()
                    .find(|(_, lost)| !lost.cause.is_absence() && says_nothing(lost))?;
                Some(Reason::NotUnderstood {
                    table: name.to_string(),
                    rowid: *rowid,
                    why: lost.cause.to_string(),
                })
            }
            Role::Location { .. } | Role::Attributes { .. } => None,
        })
    }

    /// What became of bindings by `now` (monotonic time). Until every row has been read, bindings without a row are
    /// kept.
    pub fn changes(&mut self, now: Duration, reading: Reading) -> Changeset {
        self.unreadable.report(now, reading == Reading::Complete);
        self.assembler.changes(now, reading)
    }

    /// When [`changes`](Self::changes) has something to say although no row changes.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.assembler.deadline()
    }

    /// The `now` of the last [`changes`](Self::changes) after which a row came that has not been told yet; `None`
    /// while all are told.
    #[must_use]
    pub fn withheld_since(&self) -> Option<Duration> {
        self.assembler.withheld_since()
    }

    /// How many rows cannot be read (no time of expiry, for instance) and are not listed.
    #[must_use]
    pub fn bad_rows(&self) -> usize {
        self.unreadable.lost()
    }

    /// How many attribute rows belong to no row of `location`.
    #[must_use]
    pub fn orphans(&self) -> usize {
        self.assembler.orphans()
    }
}

impl Sink for Usrloc {
    fn schema(&mut self, table: usize, schema: &Table) {
        match &mut self.tables[table] {
            Role::Attributes { columns, .. } => **columns = AttributeColumns::of(schema),
            Role::Location {
                columns,
                understood,
                ..
            } => {
                let now = LocationColumns::of(schema);
                *understood &= **columns == now;
                **columns = now;
            }
        }
    }

    fn upsert(&mut self, table: usize, row: Row<'_>) {
        let rowid = row.rowid();
        let Self {
            tables,
            assembler,
            unreadable,
            shared,
        } = self;
        match &mut tables[table] {
            Role::Attributes {
                location,
                columns,
                rows,
            } => {
                let Attribute { ruid, name, value } = Attribute::of(columns, &row);
                let slot = assembler.with_key(location, &ruid);
                if let Some(former) = rows.insert(rowid, slot).filter(|former| *former != slot) {
                    assembler.remove_attribute(former, rowid);
                }
                assembler.set_attribute(slot, rowid, &name, &value);
            }
            Role::Location {
                name,
                columns,
                rows,
                lost,
                understood,
            } => {
                let mut unread = Vec::new();
                let fields = Fields::of(columns, &row, &mut unread);
                let whose = Whose {
                    place: (table, rowid),
                    table: name,
                    ruid: &Fields::ruid(columns, &row),
                    is_lost: fields.is_none(),
                };
                unreadable.set(whose, &unread);
                match Cause::of_loss(&unread).filter(|_| fields.is_none()) {
                    Some(cause) => {
                        let before = lost.get(&rowid);
                        let was_read =
                            rows.contains_key(&rowid) || before.is_some_and(|it| it.was_read);
                        lost.insert(rowid, Lost { cause, was_read })
                    }
                    None => lost.remove(&rowid),
                };
                *understood |= fields.is_some();
                let slot = fields.as_ref();
                let slot = slot.map(|fields| assembler.with_key(name, &fields.ruid));
                let former = match slot {
                    Some(slot) => rows.insert(rowid, slot),
                    None => rows.remove(&rowid),
                };
                if let Some(former) = former.filter(|former| Some(*former) != slot) {
                    assembler.remove_row(former, rowid);
                }
                if let (Some(fields), Some(slot)) = (fields, slot) {
                    let is_told = assembler.told(slot).is_some_and(|told| fields.are_of(told));
                    let binding = (!is_told).then(|| fields.binding(name, shared));
                    assembler.set_row(slot, rowid, binding);
                }
            }
        }
    }

    fn delete(&mut self, table: usize, rowid: i64) {
        match &mut self.tables[table] {
            Role::Attributes { rows, .. } => {
                if let Some(slot) = rows.remove(&rowid) {
                    self.assembler.remove_attribute(slot, rowid);
                }
            }
            Role::Location { rows, lost, .. } => {
                self.unreadable.remove((table, rowid));
                lost.remove(&rowid);
                if let Some(slot) = rows.remove(&rowid) {
                    self.assembler.remove_row(slot, rowid);
                }
            }
        }
    }
}
