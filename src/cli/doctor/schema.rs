//! Whether the tables are those of a Kamailio that usrlocd knows.

use super::findings::{Findings, Group};
use super::remedies::Site;
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

/// What the tables lack.
#[derive(Default)]
struct Lacking<'a> {
    /// Tables that do not exist.
    absent: Vec<&'a str>,
    missing: Vec<Missing<'a>>,
    /// Tables that lack an essential column.
    strangers: Vec<&'a str>,
}

fn lacking(rows: &Rows) -> Lacking<'_> {
    let location = of_location();
    let mut lacking = Lacking::default();
    for (role, table, schema) in rows.tables() {
        let wanted: &[(&str, &str)] = match role {
            Role::Version => continue,
            Role::Attributes => &ATTRIBUTES,
            Role::Location => &location,
        };
        let Some(schema) = schema else {
            lacking.absent.push(table);
            continue;
        };
        let lacks = wanted
            .iter()
            .filter(|(column, _)| schema.column(column).is_none());
        let missing: Vec<Missing<'_>> = lacks
            .map(|(column, declaration)| Missing {
                table,
                column,
                declaration,
            })
            .collect();
        if missing.iter().any(|it| is_essential(role, it.column)) {
            lacking.strangers.push(table);
        }
        lacking.missing.extend(missing);
    }
    lacking
}

/// Checks that all columns are present; whether the tables are Kamailio's.
fn columns(site: &Site, rows: &Rows, findings: &mut Findings) -> bool {
    let check = "columns";
    let Lacking {
        absent,
        missing,
        strangers,
    } = lacking(rows);
    if absent.is_empty() && missing.is_empty() {
        findings.ok(Group::Tables, check, "All columns are present.");
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
            "Missing: {missing_names}. Without them no row can be read, so {} not a table of Kamailio's usrloc, and the tables were not checked any further. Set the database and the table that usrloc writes to; see `modparam(\"usrloc\", \"db_url\", …)` and `save(\"location\")` in kamailio.cfg:",
            are(&strangers)
        );
        let lines = "[kamailio]\ndatabase = \"/path/of/kamailio.sqlite\"\ntable = \"location\"";
        findings.fail(Group::Tables, check, message, [site.configure(lines)]);
        return false;
    }
    let what = format!("Missing: {missing_names}. The API does not show their values.");
    let message = format!("{what} Add them as in your Kamailio's schema; existing rows are kept:");
    let mut remedy = if absent.is_empty() {
        Vec::new()
    } else {
        site.create_tables()
    };
    remedy.extend(missing.iter().map(|it| {
        let Missing {
            table,
            column,
            declaration,
        } = it;
        site.stopped(&format!(
            "alter table {table} add column {column} {declaration}"
        ))
    }));
    findings.fail(Group::Tables, check, message, remedy);
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
        let message = "The table version is empty or missing, so the tables do not tell their version; columns are found by name.";
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
                    "The table version has {version} for {table}; this usrlocd knows {known}. Columns are found by name, so it may still work. Check which one your Kamailio needs:"
                );
                let remedy = [
                    "grep \"'location\" /usr/share/kamailio/db_sqlite/usrloc-create.sql".to_owned(),
                ];
                findings.warn(group, check, message, remedy);
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
