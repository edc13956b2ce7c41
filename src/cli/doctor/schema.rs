//! Whether the tables are those of a Kamailio that usrlocd knows.

use super::findings::{Findings, Group};
use super::mend::Site;
use super::rows::{Role, Rows};
use crate::registration::Column;
use crate::source::usrloc::Holds;

/// The versions of `location` and `location_attrs` that this usrlocd knows (`usrloc-create.sql`).
const LOCATION_VERSION: i64 = 9;
const ATTRIBUTES_VERSION: i64 = 1;

/// Columns of `location_attrs`.
const ATTRIBUTES: [(&str, &str); 3] = [
    ("aname", "VARCHAR(64) DEFAULT '' NOT NULL"),
    ("avalue", "VARCHAR(512) DEFAULT '' NOT NULL"),
    ("ruid", "VARCHAR(64) DEFAULT '' NOT NULL"),
];

/// A column that a table lacks.
#[derive(Clone, Copy, Debug)]
struct Missing<'a> {
    table: &'a str,
    column: &'static str,
    declaration: &'static str,
}

/// Checks columns and versions; whether all tables that are there are Kamailio's.
pub(super) fn check(site: &Site, rows: &Rows, findings: &mut Findings) -> bool {
    let are_kamailios = columns(site, rows, findings);
    if are_kamailios {
        versions(site, rows, findings);
    }
    are_kamailios
}

/// Whether a column is one without which no row can be read: a table of this name without it is not Kamailio's,
/// whatever else it is, and nothing of it may be changed.
fn is_essential(role: Role, column: &str) -> bool {
    // Each of the attributes' columns is.
    role == Role::Attributes || Holds::Bindings.needed().contains(&column)
}

/// The columns of `location` with their declarations, by name.
fn of_location() -> Vec<(&'static str, &'static str)> {
    let columns = Column::ALL.iter();
    let mut columns: Vec<_> = columns
        .map(|column| (column.name(), column.declaration()))
        .collect();
    columns.sort_unstable();
    columns
}

fn columns(site: &Site, rows: &Rows, findings: &mut Findings) -> bool {
    let check = "columns";
    let location = of_location();
    let mut absent: Vec<&str> = Vec::new();
    let mut missing: Vec<Missing<'_>> = Vec::new();
    let mut strangers: Vec<&str> = Vec::new();
    for (role, table, schema) in rows.tables() {
        let wanted: &[(&str, &str)] = match role {
            Role::Version => continue,
            Role::Attributes => &ATTRIBUTES,
            Role::Location => &location,
        };
        let Some(schema) = schema else {
            absent.push(table);
            continue;
        };
        let lacks = wanted
            .iter()
            .filter(|(column, _)| schema.column(column).is_none());
        let before = missing.len();
        missing.extend(lacks.map(|(column, declaration)| Missing {
            table,
            column,
            declaration,
        }));
        if missing[before..]
            .iter()
            .any(|it| is_essential(role, it.column))
        {
            strangers.push(table);
        }
    }
    if absent.is_empty() && missing.is_empty() {
        findings.ok(Group::Tables, check, "All columns are there.");
        return true;
    }
    let names = missing
        .iter()
        .map(|it| format!("{}.{}", it.table, it.column));
    let names: Vec<String> = absent
        .iter()
        .map(ToString::to_string)
        .chain(names)
        .collect();
    let missing_names = names.join(", ");
    if !strangers.is_empty() {
        let message = format!(
            "Missing: {missing_names}. Without them no row can be read, so {} not a table of Kamailio's usrloc, and nothing more of the tables was checked. Name the database and the table that usrloc writes to; `modparam(\"usrloc\", \"db_url\", …)` and `save(\"location\")` in kamailio.cfg say which:",
            are(&strangers)
        );
        let lines = "[kamailio]\ndatabase = \"/path/of/kamailio.sqlite\"\ntable = \"location\"";
        findings.fail(Group::Tables, check, message, [site.configure(lines)]);
        return false;
    }
    let what = format!("Missing: {missing_names}. What stands there is not shown by the API.");
    let message = format!("{what} Add it as your Kamailio's schema has it; rows stay:");
    let mut mend = if absent.is_empty() {
        Vec::new()
    } else {
        site.create_tables()
    };
    mend.extend(missing.iter().map(|it| {
        let Missing {
            table,
            column,
            declaration,
        } = it;
        site.stopped(&format!(
            "alter table {table} add column {column} {declaration}"
        ))
    }));
    findings.fail(Group::Tables, check, message, mend);
    true
}

/// `a is`, `a and b are`.
fn are(tables: &[&str]) -> String {
    let verb = if tables.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", tables.join(" and "))
}

/// The version that each table should have.
fn versions(site: &Site, rows: &Rows, findings: &mut Findings) {
    let (group, check) = (Group::Tables, "version");
    if rows.versions.is_empty() {
        let message = "The table version is empty or not there, so that nothing tells of which Kamailio the tables are; columns are found by name.";
        findings.note(group, check, message);
        return;
    }
    for (role, table, _) in rows.tables() {
        let known = match role {
            Role::Version => continue,
            Role::Attributes => ATTRIBUTES_VERSION,
            Role::Location => LOCATION_VERSION,
        };
        match rows.versions.get(table) {
            Some(version) if *version == known => {}
            Some(version) => {
                let message = format!(
                    "The table version says {version} for {table}; this usrlocd knows {known}. Columns are found by name, so it may still work. See which one your Kamailio wants:"
                );
                let mend = [
                    "grep \"'location\" /usr/share/kamailio/db_sqlite/usrloc-create.sql".to_owned(),
                ];
                findings.warn(group, check, message, mend);
            }
            None => {
                let message = format!(
                    "The table version has no row for {table}; Kamailio may refuse to start. Add it:"
                );
                let statement = format!(
                    "insert into version (table_name, table_version) values ('{table}', {known})"
                );
                findings.warn(group, check, message, [site.stopped(&statement)]);
            }
        }
    }
}
