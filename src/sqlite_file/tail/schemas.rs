//! Keeping up with the schema.

use std::time::Duration;

use crate::sqlite_file::header::Header;
use crate::sqlite_file::payload::Pages;
use crate::sqlite_file::reason::{Reason, Result};
use crate::sqlite_file::schema::Schema;
use crate::sqlite_file::source::{Committed, Source};
use crate::sqlite_file::table::Table;

use super::Sink;
use super::engine::{Engine, Epoch, Followed};
use super::hints::Hints;

/// The page that has the database header.
pub(super) const FIRST: u32 = 1;

impl Engine {
    /// Reads the schema if it may have changed, and begins a new epoch if it has.
    ///
    /// # Errors
    /// When it cannot be read, or a table is missing that must be there.
    pub(super) fn read_schema(&mut self, now: Duration, sink: &mut dyn Sink) -> Result<()> {
        let unchanged = match (self.seen, self.epoch) {
            (Some(Committed::File(version)), Some(epoch)) => {
                version.header().schema_cookie == epoch.schema_cookie
            }
            (_, Some(_)) => !self.changed_pages.contains(&FIRST),
            (_, None) => false,
        };
        if unchanged {
            return Ok(());
        }
        let known = self.epoch;
        let read = self.in_window(now, |_, source| {
            let epoch = epoch(source)?;
            if Some(epoch) == known {
                return Ok((epoch, None));
            }
            Schema::read(source).map(|schema| (epoch, Some(schema)))
        })?;
        self.changed_pages.remove(&FIRST);
        let (epoch, Some(schema)) = read else {
            return Ok(());
        };
        self.nodes.clear();
        self.suspects.clear();
        // Until all tables are found it is no epoch.
        let mut moved = self.epoch.take().is_none_or(|old| old.file != epoch.file);
        for index in 0..self.tables.len() {
            moved |= self.take_table(index, &schema, epoch.wal)?;
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
        let table = schema.table(&followed.spec.name);
        let table = match table {
            Ok(table) => table,
            Err(reason) => {
                followed.table = None;
                return if followed.spec.optional {
                    Ok(true)
                } else {
                    Err(reason)
                };
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
        if followed.table.is_none() && !followed.spec.optional {
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

/// The epoch of the present window.
fn epoch(source: &mut Source) -> Result<Epoch> {
    let mut page = Vec::new();
    source.read(FIRST, &mut page)?;
    let header = Header::parse(&page)?;
    Ok(Epoch {
        file: source.identity(),
        page_size: source.header().page_size,
        wal: source.header().wal,
        schema_cookie: header.schema_cookie,
    })
}
