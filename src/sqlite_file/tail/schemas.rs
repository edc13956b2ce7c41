//! Keeping up with the schema.

use std::time::Duration;

use crate::sqlite_file::header::Header;
use crate::sqlite_file::payload::Pages;
use crate::sqlite_file::reason::{Reason, Result};
use crate::sqlite_file::schema::Schema;
use crate::sqlite_file::source::{Committed, Source};
use crate::sqlite_file::table::Table;

use super::engine::{Engine, Epoch, Followed};
use super::hints::Hints;
use super::{Sink, TableSpec};

/// The page that has the database header.
pub(super) const FIRST: u32 = 1;

/// Between two readings of the whole schema while commits come and nothing hints at a change of it, at least. A file
/// that was copied over the database may have the same cookie, and is not written to while that is done.
const SCHEMA_REST: Duration = Duration::from_secs(1);

/// What has to be read before the roots of tables count again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Suspicion {
    /// Nothing.
    None,
    /// The header: the first page has changed.
    Header,
    /// The whole schema, whatever the header says.
    #[default]
    Schema,
}

impl Engine {
    /// The schema may not be what it was.
    pub(super) fn suspect(&mut self, suspicion: Suspicion) {
        self.suspicion = self.suspicion.max(suspicion);
    }

    /// Reads the schema if it may have changed, and begins a new epoch if it has.
    ///
    /// # Errors
    /// When it cannot be read, or a table is missing that must be there.
    pub(super) fn read_schema(&mut self, now: Duration, sink: &mut dyn Sink) -> Result<()> {
        if matches!(self.seen, Some(Committed::File(_)))
            && self.schema_of != self.seen
            && now >= self.schema_at + SCHEMA_REST
        {
            self.suspect(Suspicion::Schema);
        }
        if self.epoch.is_some() && self.suspicion == Suspicion::None {
            return Ok(());
        }
        let known = self.epoch.filter(|_| self.suspicion < Suspicion::Schema);
        let read = |_: &mut Self, source: &mut Source| {
            let epoch = Epoch::read(source)?;
            if Some(epoch) == known {
                return Ok((epoch, None));
            }
            Schema::read(source).map(|schema| (epoch, Some(schema)))
        };
        let (epoch, schema) = self.in_window_while(now, read, |_| true)?;
        self.suspicion = Suspicion::None;
        let Some(schema) = schema else {
            return Ok(());
        };
        (self.schema_of, self.schema_at) = (self.seen, now);
        if self.epoch == Some(epoch) && self.schema == schema {
            return Ok(());
        }
        self.begin_epoch(epoch, &schema, sink)?;
        self.schema = schema;
        Ok(())
    }

    fn begin_epoch(&mut self, epoch: Epoch, schema: &Schema, sink: &mut dyn Sink) -> Result<()> {
        self.nodes.clear();
        self.suspects.clear();
        // Until all tables are found it is no epoch.
        let mut moved = self.epoch.take().is_none_or(|old| old.file != epoch.file);
        for index in 0..self.tables.len() {
            moved |= self.take_table(index, schema, epoch.wal)?;
            self.announce(index, sink);
        }
        self.epoch = Some(epoch);
        self.counters.epochs += 1;
        self.sweep.begin_epoch(moved);
        Ok(())
    }

    /// Takes table `index` from the schema; whether it is another than it was.
    fn take_table(&mut self, index: usize, schema: &Schema, wal: bool) -> Result<bool> {
        let Some(followed) = self.tables.get_mut(index) else {
            return Ok(false);
        };
        let table = match readable(schema, &followed.spec) {
            Ok(table) => table,
            Err(reason) => {
                followed.table = None;
                return Err(reason);
            }
        };
        let root = |it: &Option<_>| it.as_ref().map(|it: &Table| it.root);
        let moved = root(&table) != root(&followed.table);
        followed.table = table;
        followed.pending.clear();
        followed.hints = if wal {
            Hints::Log
        } else {
            let column = followed.spec.hint_index_column.as_ref();
            Hints::without_log(column.and_then(|it| schema.index(&followed.spec.name, it)))
        };
        // Of an optional table, too, what cannot be read is not told to be gone.
        if followed.table.is_none() && !(followed.spec.optional && followed.known.len() == 0) {
            return Err(Reason::NoTable(followed.spec.name.clone()));
        }
        Ok(moved)
    }

    /// Tells the sink what table `index` looks like, if it does not know.
    fn announce(&mut self, index: usize, sink: &mut dyn Sink) {
        let Some(followed) = self.tables.get_mut(index) else {
            return;
        };
        let Followed {
            table: Some(table),
            announced,
            known,
            ..
        } = followed
        else {
            return;
        };
        if announced.as_ref() == Some(table) {
            return;
        }
        if announced.as_ref().is_some_and(|it| !it.reads_like(table)) {
            known.make_stale();
        }
        sink.schema(index, table);
        *announced = Some(table.clone());
    }
}

/// The table in `schema`, `None` where there is none.
///
/// # Errors
/// When it is there, but its rows cannot be read or would mean nothing.
fn readable(schema: &Schema, spec: &TableSpec) -> Result<Option<Table>> {
    let Some(table) = schema.table(&spec.name)? else {
        return Ok(None);
    };
    let missing = |column: &&&str| table.column(column).is_none();
    let missing: Vec<_> = spec.required.iter().filter(missing).copied().collect();
    if !missing.is_empty() {
        return Err(Reason::NoColumn {
            table: spec.name.clone(),
            columns: missing,
        });
    }
    let is_computed = |column: &&&str| {
        let index = table.column(column);
        index.is_some_and(|index| !table.stores(index))
    };
    let mut columns = spec.required.iter().chain(spec.used);
    if let Some(column) = columns.find(is_computed) {
        return Err(Reason::NotStored {
            table: spec.name.clone(),
            column,
        });
    }
    Ok(Some(table))
}

impl Epoch {
    /// The epoch of the present window.
    fn read(source: &mut Source) -> Result<Self> {
        let mut page = Vec::new();
        source.read(FIRST, &mut page)?;
        let header = Header::parse(&page)?;
        let opened = source.header();
        // Another journal or other pages: the file is to be opened anew.
        if (header.page_size, header.wal) != (opened.page_size, opened.wal) {
            return Err(Reason::Busy);
        }
        Ok(Self {
            file: source.identity(),
            page_size: header.page_size,
            wal: header.wal,
            schema_cookie: header.schema_cookie,
        })
    }

    /// Whether a database with `header` may be of it.
    pub(super) fn has(&self, header: Header) -> bool {
        (self.page_size, self.wal, self.schema_cookie)
            == (header.page_size, header.wal, header.schema_cookie)
    }
}
