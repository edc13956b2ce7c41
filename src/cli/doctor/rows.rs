//! Counts the rows of the usrloc tables, as the passive reader reports them.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::source::usrloc::time;
use crate::sqlite_file::{Row, Sink, Table, Value};

/// How many seconds after its end a registration is a zombie: usrloc's timer runs at least once a minute.
pub(super) const ZOMBIE_AGE: i64 = 600;

/// How far ahead of us Kamailio's clock may be.
const CLOCK_SLACK: i64 = 60;

/// What a tailed table is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Version,
    Attributes,
    Location,
}

/// What is counted of a row of `location`.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "findings that do not exclude each other"
)]
struct Facts {
    contact: u64,
    ruid: u64,
    without_domain: bool,
    epoch_times: bool,
    current: bool,
    zombie: bool,
    from_future: bool,
}

/// The rows; those that change while they are read count once.
#[derive(Debug, Default)]
pub(super) struct Rows {
    roles: Vec<(Role, String)>,
    schemas: Vec<Option<Table>>,
    now: i64,
    /// Versions of tables, by name.
    pub(super) versions: HashMap<String, i64>,
    locations: HashMap<(usize, i64), Facts>,
    attributes: HashMap<(usize, i64), u64>,
}

/// How many rows of `location` there are of each kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Counts {
    /// All.
    pub(super) rows: usize,
    /// That have not ended.
    pub(super) current: usize,
    /// Without a domain.
    pub(super) without_domain: usize,
    /// With times as seconds.
    pub(super) epoch_times: usize,
    /// That ended long ago.
    pub(super) zombies: usize,
    /// Written in our future.
    pub(super) from_future: usize,
    /// That repeat a contact of the same AoR.
    pub(super) repeated: usize,
    /// Of `location_attrs`.
    pub(super) attributes: usize,
    /// Of `location_attrs`, that belong to no contact.
    pub(super) orphans: usize,
}

impl Rows {
    pub(super) fn new(roles: Vec<(Role, String)>, now: i64) -> Self {
        Self {
            schemas: vec![None; roles.len()],
            roles,
            now,
            ..Self::default()
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let facts = || self.locations.values();
        let count = |kind: fn(&&Facts) -> bool| facts().filter(kind).count();
        let contacts: HashSet<u64> = facts().map(|it| it.contact).collect();
        let ruids: HashSet<u64> = facts().map(|it| it.ruid).collect();
        let attributes = self.attributes.values();
        Counts {
            rows: self.locations.len(),
            current: count(|it| it.current),
            without_domain: count(|it| it.without_domain),
            epoch_times: count(|it| it.epoch_times),
            zombies: count(|it| it.zombie),
            from_future: count(|it| it.from_future),
            repeated: self.locations.len() - contacts.len(),
            attributes: self.attributes.len(),
            orphans: attributes.filter(|ruid| !ruids.contains(ruid)).count(),
        }
    }

    /// What the tables are, each with its name and what is known of its columns.
    pub(super) fn tables(&self) -> impl Iterator<Item = (Role, &str, Option<&Table>)> {
        let tables = self.roles.iter().zip(&self.schemas);
        tables.map(|((role, name), schema)| (*role, &**name, schema.as_ref()))
    }

    fn facts(&self, table: usize, row: &Row<'_>) -> Facts {
        let value = |column| self.value(table, row, column);
        let contact = [value("username"), value("domain"), value("contact")].map(bytes);
        let expires = value("expires");
        let end = time(expires.into()).filter(|end| *end > 0);
        let modified = time(value("last_modified").into()).unwrap_or_default();
        Facts {
            contact: hash((table, contact)),
            ruid: hash(bytes(value("ruid"))),
            without_domain: matches!(value("domain"), Value::Null | Value::Text(b"")),
            epoch_times: matches!(expires, Value::Integer(_)),
            current: end.is_none_or(|end| end > self.now),
            zombie: end.is_some_and(|end| end + ZOMBIE_AGE < self.now),
            from_future: modified > self.now + CLOCK_SLACK,
        }
    }

    fn value<'a>(&self, table: usize, row: &Row<'a>, column: &str) -> Value<'a> {
        let schema = self.schemas.get(table).and_then(Option::as_ref);
        let index = schema.and_then(|schema| schema.column(column));
        index.map_or(Value::Null, |index| row.get(index))
    }
}

impl Sink for Rows {
    fn schema(&mut self, table: usize, schema: &Table) {
        self.schemas[table] = Some(schema.clone());
    }

    fn upsert(&mut self, table: usize, row: Row<'_>) {
        match self.roles[table].0 {
            Role::Location => {
                let facts = self.facts(table, &row);
                self.locations.insert((table, row.rowid()), facts);
            }
            Role::Attributes => {
                let ruid = hash(bytes(self.value(table, &row, "ruid")));
                self.attributes.insert((table, row.rowid()), ruid);
            }
            Role::Version => {
                let name = bytes(self.value(table, &row, "table_name"));
                if let Value::Integer(version) = self.value(table, &row, "table_version") {
                    let name = String::from_utf8_lossy(name).into_owned();
                    self.versions.insert(name, version);
                }
            }
        }
    }

    fn delete(&mut self, table: usize, rowid: i64) {
        self.locations.remove(&(table, rowid));
        self.attributes.remove(&(table, rowid));
    }
}

fn bytes(value: Value<'_>) -> &[u8] {
    match value {
        Value::Text(bytes) | Value::Blob(bytes) => bytes,
        Value::Null | Value::Integer(_) | Value::Real(_) => &[],
    }
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
