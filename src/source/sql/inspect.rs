//! A look at a server's tables for `usrlocd doctor`.

use std::sync::Arc;

use super::Options;
use super::connection::Connection;
use super::dialect::Dialect;
use super::error::Error;
use super::table::Table;
use super::times::{Repeated, unix_of};
use crate::clock::SystemClock;
use crate::source::usrloc::{Holds, Usrloc};

/// What a server has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inspection {
    /// What the server says of its version.
    pub version: String,
    /// Its tables of bindings.
    pub tables: Vec<Inspected>,
}

/// A table of bindings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inspected {
    /// Its name.
    pub name: String,
    /// How many rows it has.
    pub rows: u64,
    /// Whether an index begins with `last_modified`.
    pub indexed: bool,
    /// The latest `last_modified`, Unix seconds; `None` where there is none or it is not a time.
    pub latest: Option<i64>,
}

/// Looks at the tables, which costs the server a count of their rows.
///
/// # Errors
/// When they cannot be read.
pub async fn inspect(options: &Options) -> Result<Inspection, Error> {
    let dialect = Dialect::of(&options.url).ok_or(Error::Url)?;
    let mut connection = Connection::open(&options.url, Arc::new(SystemClock::new())).await?;
    let version = connection.query("select version()").await?;
    let version = version.iter().next().map(|row| row.text(0));
    let mut tables = Vec::new();
    for wanted in Usrloc::new(&options.tables).tables() {
        let (name, holds) = (wanted.name.clone(), wanted.holds);
        let mut table = Table::new(dialect, wanted);
        table.look(&mut connection, &options.servers).await?;
        if holds != Holds::Bindings {
            continue;
        }
        let figures = format!(
            "select count(*), max(last_modified) from {}",
            dialect.quoted(&name)
        );
        let figures = connection.query(figures).await?;
        let row = figures.iter().next().ok_or(Error::Failed)?;
        let latest = row.get(1).unwrap_or_default();
        let latest = unix_of(latest, &options.zone, Repeated::NotAfter(i64::MIN));
        tables.push(Inspected {
            name,
            rows: row.number(0).unwrap_or_default(),
            indexed: table.has_index(),
            latest: latest.or_else(|| row.number(1)),
        });
    }
    Ok(Inspection {
        version: version.unwrap_or_default(),
        tables,
    })
}
