//! Kamailio's usrloc tables: rows of `location` and `location_attrs` become bindings.
//!
//! Knows columns and their oddities, but no database and no clock. A source of any kind passes in [rows], and gets
//! back a [`Changeset`] with what became of the bindings.

mod assembler;
mod attribute_rows;
mod cells;
mod columns;
mod decode;
mod row_map;
mod rows;
mod slot;
#[cfg(test)]
mod tests;
mod unreadable;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::registration::{Attributes, Binding, Changeset, Column, Texts};
use assembler::Assembler;
pub use assembler::Reading;
pub use cells::time;
use columns::{AttributeColumns, LocationColumns};
use decode::Attribute;
use row_map::RowMap;
pub use rows::{Holds, NotUnderstood, Row, Value, Wanted};
use unreadable::{Cause, Unreadable, Whose};

/// The bindings of one or more usrloc tables, put together from rows.
#[derive(Debug)]
pub struct Usrloc {
    tables: Vec<Role>,
    assembler: Assembler,
    unreadable: Unreadable,
    texts: Texts,
    /// Whether the bindings of an earlier run have been compared with the tables.
    is_compared: bool,
}

/// What a tailed table is, by its place among the [specs](Usrloc::specs).
#[derive(Debug)]
enum Role {
    Attributes {
        location: Arc<str>,
        columns: AttributeColumns,
        rows: RowMap,
    },
    Location {
        name: Arc<str>,
        columns: LocationColumns,
        /// Those that can be read.
        rows: RowMap,
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
                    columns: AttributeColumns::default(),
                    rows: RowMap::default(),
                },
                Role::Location {
                    name,
                    columns: LocationColumns::default(),
                    rows: RowMap::default(),
                    lost: BTreeMap::new(),
                    understood: false,
                },
            ]
        });
        Self {
            tables: roles.collect(),
            assembler: Assembler::default(),
            unreadable: Unreadable::default(),
            texts: Texts::default(),
            is_compared: false,
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

    /// The tables to read. Their places here are what they are called by later, and the order in which they had better
    /// be read.
    #[must_use]
    pub fn tables(&self) -> Vec<Wanted> {
        let wanted = |role: &Role| match role {
            Role::Attributes { location, .. } => Wanted {
                name: format!("{location}_attrs"),
                holds: Holds::Attributes,
            },
            Role::Location { name, .. } => Wanted {
                name: name.to_string(),
                holds: Holds::Bindings,
            },
        };
        self.tables.iter().map(wanted).collect()
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
        self.is_compared = false;
        self.assembler.read_again();
    }

    /// Whether most of the bindings that were taken to exist at the beginning have no row; to be asked once
    /// everything has been read. True once only: the guard against mass removals knew of none of their rows and let them
    /// pass, so the source has to look again before they go.
    pub fn misses_most(&mut self) -> bool {
        let is_first = !std::mem::replace(&mut self.is_compared, true);
        let misses_most = is_first && self.assembler.miss_most();
        if misses_most {
            tracing::warn!(
                "most known registrations are missing from Kamailio's tables; reading them again before removing any"
            );
        }
        misses_most
    }

    /// Whether the usrloc tables have no row at all, as far as they have been read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let has_rows =
            |role: &Role| matches!(role, Role::Location { rows, .. } if !rows.is_empty());
        self.unreadable.lost() == 0 && !self.tables.iter().any(has_rows)
    }

    /// Why a table that has rows says nothing about who is registered: none of them can be read, and none ever could, or
    /// some could. One that lacks a value that every binding has is not a binding, and says nothing about the others.
    #[must_use]
    pub fn not_understood(&self) -> Option<NotUnderstood> {
        self.tables.iter().find_map(|role| match role {
            Role::Location {
                name,
                rows,
                lost,
                understood,
                ..
            } if rows.is_empty() => {
                let says_nothing = |lost: &Lost| lost.was_read || !understood;
                let (row, lost) = lost
                    .iter()
                    .find(|(_, lost)| !lost.cause.is_absence() && says_nothing(lost))?;
                Some(NotUnderstood {
                    table: name.to_string(),
                    row: *row,
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

    /// Notes where the columns of a table stand: `place` says it of each name. To be called before rows of it come.
    pub fn set_columns(&mut self, table: usize, place: impl Fn(&str) -> Option<usize>) {
        match &mut self.tables[table] {
            Role::Attributes { columns, .. } => *columns = AttributeColumns::of(place),
            Role::Location {
                columns,
                understood,
                ..
            } => {
                let now = LocationColumns::of(place);
                *understood &= *columns == now;
                *columns = now;
            }
        }
    }

    /// Notes that a row is there, with this content.
    pub fn upsert<'a>(&mut self, table: usize, row: &impl Row<'a>) {
        match &self.tables[table] {
            Role::Attributes { .. } => self.upsert_attribute(table, row),
            Role::Location { .. } => self.upsert_location(table, row),
        }
    }

    /// Notes that the row `id` is gone.
    pub fn delete(&mut self, table: usize, id: i64) {
        match &mut self.tables[table] {
            Role::Attributes { rows, .. } => {
                if let Some(slot) = rows.remove(id) {
                    self.assembler.remove_attribute(slot, id);
                }
            }
            Role::Location { rows, lost, .. } => {
                self.unreadable.remove((table, id));
                lost.remove(&id);
                if let Some(slot) = rows.remove(id) {
                    self.assembler.remove_row(slot, id);
                }
            }
        }
    }

    fn upsert_attribute<'a>(&mut self, table: usize, row: &impl Row<'a>) {
        let Role::Attributes {
            location,
            columns,
            rows,
        } = &mut self.tables[table]
        else {
            return;
        };
        let (id, assembler) = (row.id(), &mut self.assembler);
        let Attribute { ruid, name, value } = Attribute::of(*columns, row);
        let slot = assembler.with_key(location, &ruid);
        if let Some(former) = rows.insert(id, slot).filter(|former| *former != slot) {
            assembler.remove_attribute(former, id);
        }
        assembler.set_attribute(slot, id, &name, &value);
    }

    fn upsert_location<'a>(&mut self, table: usize, row: &impl Row<'a>) {
        let Role::Location {
            name,
            columns,
            rows,
            lost,
            understood,
        } = &mut self.tables[table]
        else {
            return;
        };
        let (id, assembler) = (row.id(), &mut self.assembler);
        let mut unread = Vec::new();
        let cells = decode::cells(columns, row, &mut unread);
        let cause = Cause::of_loss(&unread);
        let whose = Whose {
            place: (table, id),
            table: name,
            ruid: cells.text(Column::Ruid),
            is_lost: cause.is_some(),
        };
        self.unreadable.set(whose, &unread);
        let (slot, former) = if let Some(cause) = cause {
            let former = rows.remove(id);
            let before = lost.get(&id);
            let was_read = former.is_some() || before.is_some_and(|it| it.was_read);
            lost.insert(id, Lost { cause, was_read });
            (None, former)
        } else {
            lost.remove(&id);
            *understood = true;
            let slot = assembler.with_key(name, cells.text(Column::Ruid));
            (Some(slot), rows.insert(id, slot))
        };
        if let Some(former) = former.filter(|former| Some(*former) != slot) {
            assembler.remove_row(former, id);
        }
        if let Some(slot) = slot {
            let is_told = assembler.told(slot).is_some_and(|told| cells.are_of(told));
            let binding =
                (!is_told).then(|| cells.binding(name, Attributes::default(), &mut self.texts));
            assembler.set_row(slot, id, binding);
        }
    }
}
