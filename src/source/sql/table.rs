//! A usrloc table on a server: which columns it has, what is known of its rows, and the statements that read them.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::connection::Connection;
use super::dialect::Dialect;
use super::error::Error;
use super::rows::{Cells, Rows};
use super::times::{Repeated, unix_of};
use crate::registration::{Column, Kind};
use crate::source::usrloc::{Holds, Row, Value, Wanted};

/// What stands before the columns of usrloc in every row that is read: the id and the version.
const LEADING: usize = 2;

/// The rows that a glance looks at, at most: very many may have been modified in the same second.
const RECENT: usize = 5_000;

/// So long after a `last_modified` was seen first, no other row is written with the same one.
const OVER: Duration = Duration::from_secs(2);

/// The version of a row: another one when the row has changed.
pub(super) type Version = u64;

/// How the rows of a table are read.
#[derive(Debug)]
pub(super) struct Table {
    dialect: Dialect,
    name: String,
    pub(super) holds: Holds,
    /// The columns that are read, and how their times are.
    columns: Vec<(String, Time)>,
    /// The type of `last_modified`, where an index of the table begins with it.
    indexed: Option<String>,
    latest: Option<Latest>,
    /// The expression of the version.
    version: String,
    /// What all rows that are read have to meet.
    condition: String,
    /// Whether the server has the table.
    exists: bool,
    /// The rows that have been reported, by id.
    pub(super) known: BTreeMap<i64, Version>,
}

/// Whether a column holds a time, and which.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Time {
    No,
    Expiry,
    Moment,
}

/// The latest `last_modified` that a glance has seen.
#[derive(Debug)]
struct Latest {
    moment: String,
    /// When it was seen first.
    since: Duration,
    /// When the rows of its time were last looked at.
    looked: Duration,
}

/// What rows are compared by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum By {
    /// Their ids alone: that finds what is new and what is gone.
    Id,
    /// Their versions too.
    Version,
}

/// Rows that have changed, and those that are gone.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// How many rows there are.
    pub(super) rows: usize,
    /// The ids of rows that are new or have changed.
    pub(super) changed: Vec<i64>,
    /// The ids of rows that are not there any more.
    pub(super) gone: Vec<i64>,
    /// The last id; `None` at the end of the table.
    pub(super) last: Option<i64>,
}

/// What reading a row needs to know beside the row.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    /// The zone of Kamailio's process.
    pub(super) zone: TimeZone,
    /// The Unix second of now.
    pub(super) now: i64,
}

/// A row as usrloc takes it.
struct OneRow<'a> {
    id: i64,
    cells: Cells<'a>,
    columns: &'a [(String, Time)],
    reading: &'a Reading,
}

impl Table {
    pub(super) fn new(dialect: Dialect, wanted: Wanted) -> Self {
        Self {
            dialect,
            name: wanted.name,
            holds: wanted.holds,
            columns: Vec::new(),
            indexed: None,
            latest: None,
            version: String::new(),
            condition: String::new(),
            exists: false,
            known: BTreeMap::new(),
        }
    }

    /// Looks which columns the table has. Only rows of these `servers` count, where any are given.
    pub(super) async fn look(
        &mut self,
        connection: &mut Connection,
        servers: &[i64],
    ) -> Result<(), Error> {
        let found = connection
            .query(self.dialect.columns_of(&self.name))
            .await?;
        let found: BTreeMap<String, String> = found
            .iter()
            .map(|row| (row.text(0), row.text(1).to_ascii_lowercase()))
            .collect();
        self.exists = !found.is_empty();
        if !self.exists {
            return match self.holds {
                Holds::Bindings => Err(Error::NoTable(self.name.clone())),
                Holds::Attributes => Ok(()),
            };
        }
        let missing = ["id"].iter().chain(self.holds.needed());
        if let Some(column) = missing.copied().find(|name| !found.contains_key(*name)) {
            return Err(Error::NoColumn {
                table: self.name.clone(),
                column: column.to_owned(),
            });
        }
        let names = self.holds.needed().iter().chain(self.holds.others());
        let present = names.filter(|name| found.contains_key(**name));
        self.columns = present
            .map(|name| ((*name).to_owned(), Time::of(name, self.holds)))
            .collect();
        let columns: Vec<&str> = self.columns.iter().map(|it| &*it.0).collect();
        let halves = columns.split_at(self.holds.needed().len());
        self.version = self.dialect.version(halves, found.contains_key("xmin"));
        "true".clone_into(&mut self.condition);
        if self.holds == Holds::Bindings && !servers.is_empty() {
            let ids: Vec<String> = servers.iter().map(ToString::to_string).collect();
            self.condition = format!("server_id in ({})", ids.join(", "));
        }
        let indexed = connection.query(self.dialect.indexed(&self.name)).await?;
        let is_indexed = indexed
            .iter()
            .any(|row| row.get(0) == Some(b"last_modified"));
        let kind = found.get("last_modified");
        self.indexed = kind.filter(|_| is_indexed).cloned();
        Ok(())
    }

    /// Where each column stands, for [`Usrloc`](crate::source::usrloc::Usrloc).
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|(column, _)| column == name)
    }

    /// Whether reading ids alone is much cheaper than reading versions too.
    pub(super) fn has_costly_versions(&self) -> bool {
        self.dialect == Dialect::MySql
    }

    /// Whether the rows that were modified last can be asked for.
    pub(super) fn has_index(&self) -> bool {
        self.indexed.is_some()
    }

    /// Compares the `limit` rows after the id `after` with those that are known.
    pub(super) async fn compare(
        &self,
        connection: &mut Connection,
        by: By,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Compared, Error> {
        let there = self.keys(connection, by, &page(after, limit)).await?;
        let last = there.last().filter(|_| there.len() == limit).map(|it| it.0);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let until = last.map_or(Bound::Unbounded, Bound::Included);
        let ids: HashSet<i64, foldhash::fast::FixedState> = there.iter().map(|it| it.0).collect();
        let known = self.known.range((from, until));
        Ok(Compared {
            rows: there.len(),
            changed: self.changed(&there),
            gone: known
                .map(|it| *it.0)
                .filter(|id| !ids.contains(id))
                .collect(),
            last,
        })
    }

    /// Of the rows that were modified since the last glance: how many there are, and the ids of those that have changed.
    pub(super) async fn recent(
        &mut self,
        connection: &mut Connection,
        now: Duration,
    ) -> Result<(usize, Vec<i64>), Error> {
        let Some(kind) = &self.indexed else {
            return Ok((0, Vec::new()));
        };
        let name = self.dialect.quoted(&self.name);
        let latest = connection
            .query(format!("select max(last_modified) from {name}"))
            .await?;
        let latest = String::from_utf8_lossy(latest.first().unwrap_or_default()).into_owned();
        let former = self.latest.take();
        let is_same = former.as_ref().is_some_and(|it| it.moment == latest);
        let since = former
            .as_ref()
            .filter(|_| is_same)
            .map_or(now, |it| it.since);
        let is_over = |it: &Latest| it.looked.saturating_sub(it.since) >= OVER;
        if is_same && former.as_ref().is_some_and(is_over) {
            self.latest = former;
            return Ok((0, Vec::new()));
        }
        let is_earlier = |former: &String| former.len() == latest.len() && *former < latest;
        let from = former.map(|it| it.moment).filter(is_earlier);
        let from = self.dialect.before(kind, from.as_ref().unwrap_or(&latest));
        self.latest = Some(Latest {
            moment: latest,
            since,
            looked: now,
        });
        let Some(from) = from else {
            return Ok((0, Vec::new()));
        };
        let which =
            format!("and last_modified > {from} order by last_modified desc limit {RECENT}");
        let there = self.keys(connection, By::Version, &which).await?;
        Ok((there.len(), self.changed(&there)))
    }

    /// The first `limit` rows after the id `after`, whole; after all that are known where that is `None`.
    pub(super) async fn rows_after(
        &self,
        connection: &mut Connection,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Rows, Error> {
        if !self.exists {
            return Ok(Rows::default());
        }
        let after = after.or_else(|| self.known.last_key_value().map(|it| *it.0));
        self.rows(connection, &page(after, limit)).await
    }

    /// The rows with these ids, whole.
    pub(super) async fn rows_of(
        &self,
        connection: &mut Connection,
        ids: &[i64],
    ) -> Result<Rows, Error> {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        self.rows(connection, &format!("and id in ({})", ids.join(", ")))
            .await
    }

    /// The rows of an answer as usrloc takes them, each with its id and version.
    pub(super) fn read<'a>(
        &'a self,
        rows: &'a Rows,
        reading: &'a Reading,
    ) -> impl Iterator<Item = (i64, Version, impl Row<'a>)> {
        rows.iter().filter_map(|cells| {
            let (id, version) = key(&cells)?;
            let row = OneRow {
                id,
                cells,
                columns: &self.columns,
                reading,
            };
            Some((id, version, row))
        })
    }

    /// The ids of those rows that are new or other than they were.
    fn changed(&self, there: &[(i64, Option<Version>)]) -> Vec<i64> {
        let is_new = |(id, version): &&(i64, Option<Version>)| {
            let known = self.known.get(id);
            known.is_none_or(|known| version.is_some_and(|version| version != *known))
        };
        there.iter().filter(is_new).map(|it| it.0).collect()
    }

    /// The ids of rows, and their versions where they are asked for.
    async fn keys(
        &self,
        connection: &mut Connection,
        by: By,
        which: &str,
    ) -> Result<Vec<(i64, Option<Version>)>, Error> {
        if !self.exists {
            return Ok(Vec::new());
        }
        let version = match by {
            By::Id => "",
            By::Version => &format!(", {}", self.version),
        };
        let rows = connection.query(self.select(version, which)).await?;
        let keys = rows.iter().filter_map(|cells| match by {
            By::Id => Some((cells.number(0)?, None)),
            By::Version => key(&cells).map(|(id, version)| (id, Some(version))),
        });
        Ok(keys.collect())
    }

    async fn rows(&self, connection: &mut Connection, which: &str) -> Result<Rows, Error> {
        let columns = self.columns.iter();
        let columns = columns.map(|(name, _)| format!(", {}", self.dialect.quoted(name)));
        let columns: String = columns.collect();
        let columns = format!(", {}{columns}", self.version);
        connection.query(self.select(&columns, which)).await
    }

    fn select(&self, columns: &str, which: &str) -> String {
        let name = self.dialect.quoted(&self.name);
        let condition = &self.condition;
        format!("select id{columns} from {name} where {condition} {which}")
    }
}

/// The condition and order of a page of rows.
fn page(after: Option<i64>, limit: usize) -> String {
    let after = after
        .map(|id| format!("and id > {id} "))
        .unwrap_or_default();
    format!("{after}order by id limit {limit}")
}

/// The id and version that a row begins with.
fn key(cells: &Cells<'_>) -> Option<(i64, Version)> {
    Some((cells.number(0)?, cells.number(1)?))
}

impl Time {
    fn of(name: &str, holds: Holds) -> Self {
        let column = Column::ALL.iter().find(|column| column.name() == name);
        match column.map(|column| column.kind()) {
            Some(Kind::Expiry) if holds == Holds::Bindings => Self::Expiry,
            Some(Kind::Moment) if holds == Holds::Bindings => Self::Moment,
            _ => Self::No,
        }
    }
}

impl<'a> Row<'a> for OneRow<'a> {
    fn id(&self) -> i64 {
        self.id
    }

    fn value(&self, place: usize) -> Value<'a> {
        let Some(text) = self.cells.get(place + LEADING) else {
            return Value::Null;
        };
        let repeated = match self.columns[place].1 {
            Time::No => return Value::Text(text),
            Time::Expiry => Repeated::Later,
            Time::Moment => Repeated::NotAfter(self.reading.now),
        };
        // What is no local time may be a number (expires_type 1), or is nothing.
        unix_of(text, &self.reading.zone, repeated).map_or(Value::Text(text), Value::Integer)
    }
}
