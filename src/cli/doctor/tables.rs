//! What stands in the usrloc tables.

use std::path::Path;
use std::time::Duration;

use super::database::{RETRY, unreadable};
use super::findings::{Findings, Group};
use super::kamailio_cfg::Setting;
use super::many;
use super::rows::{Counts, Role, Rows};
use crate::clock::{Clock, SystemClock};
use crate::sqlite_file::{Inspection, Reason, State, TableSpec, Tail, TailOptions};

/// How long to try to read tables that others write.
const PATIENCE: Duration = Duration::from_secs(20);

/// The versions of the tables that this usrlocd knows (`usrloc-create.sql`).
const VERSIONS: [(&str, i64); 2] = [("location", 9), ("location_attrs", 1)];

/// What the tables say about Kamailio.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    /// Whether commits go through a write-ahead log.
    pub(super) wal: bool,
    /// The rows.
    pub(super) counts: Counts,
    /// Tables of attributes without an index on ruid.
    unindexed: Vec<String>,
}

/// Checks the tables; `None` when they cannot be read.
pub(super) fn check(
    database: &Path,
    tables: &[String],
    inspection: &Inspection,
    findings: &mut Findings,
) -> Option<Tables> {
    let rows = match read(database, tables) {
        Ok(rows) => rows,
        Err(reason) => {
            unreadable(database, &reason, findings);
            return None;
        }
    };
    schema(database, &rows, findings);
    let counts = rows.counts();
    judge_rows(database, counts, findings);
    Some(Tables {
        wal: inspection.wal,
        counts,
        unindexed: tables
            .iter()
            .map(|table| format!("{table}_attrs"))
            .filter(|attributes| !inspection.has_index(attributes, "ruid"))
            .collect(),
    })
}

/// Whether Kamailio finds a contact's attributes without reading all of them; `by_ruid` is what its configuration
/// says of `db_ops_ruid`. Kamailio's own schema has no such index, which matters where there are attributes.
pub(super) fn index(
    database: &Path,
    tables: &Tables,
    by_ruid: Option<&Setting>,
    findings: &mut Findings,
) {
    let check = "attributes_index";
    if tables.unindexed.is_empty() {
        let message = "The attributes have an index on ruid.";
        findings.ok(Group::Tables, check, message);
    }
    for table in &tables.unindexed {
        let count = tables.counts.attributes;
        if let Some(off) = by_ruid.filter(|it| it.number() == Some(0)) {
            let message = format!(
                "{table} has no index on ruid, and needs none: attributes are not looked up by ruid (db_ops_ruid 0, {off})."
            );
            findings.note(Group::Tables, check, message);
        } else if count == 0 {
            let message = format!(
                "{table} has no index on ruid, as Kamailio's schema is. It has no rows either; should attributes be stored one day, create one."
            );
            findings.note(Group::Tables, check, message);
        } else {
            let why = by_ruid.map_or("the default".to_owned(), ToString::to_string);
            let message = format!(
                "{table} has no index on ruid. Each refresh of a phone deletes its attributes by ruid (db_ops_ruid 1, {why}) and reads all {count} rows for it. Create one while Kamailio is stopped:"
            );
            let statement = format!("create index {table}_ruid_idx on {table} (ruid)");
            findings.warn(
                Group::Tables,
                check,
                message,
                [stopped(database, &statement)],
            );
        }
    }
}

/// Reads every row of the tables.
fn read(database: &Path, tables: &[String]) -> Result<Rows, Reason> {
    let clock = SystemClock::new();
    let mut roles = vec![(Role::Version, "version".to_owned())];
    for table in tables {
        roles.push((Role::Attributes, format!("{table}_attrs")));
        roles.push((Role::Location, table.clone()));
    }
    let specs = roles.iter().map(|(role, name)| TableSpec {
        name: name.clone(),
        hint_index_column: None,
        optional: *role != Role::Location,
    });
    let mut tail = Tail::new(TailOptions {
        path: database.to_owned(),
        tables: specs.collect(),
    });
    let mut rows = Rows::new(roles, clock.unix_seconds());
    let start = clock.monotonic();
    loop {
        let now = clock.monotonic();
        let step = tail.step(now, &mut rows);
        match step.state {
            _ if step.complete => return Ok(rows),
            State::Absent(reason) => return Err(reason),
            State::Blocked(reason) if now > start + PATIENCE => return Err(reason),
            _ if now > start + PATIENCE * 6 => return Err(Reason::Busy),
            _ => std::thread::sleep(step.wake.min(RETRY)),
        }
    }
}

fn schema(database: &Path, rows: &Rows, findings: &mut Findings) {
    let group = Group::Tables;
    if rows.versions.is_empty() {
        let message = "The table version is empty or not there, so that nothing tells of which Kamailio the tables are; columns are found by name.";
        findings.note(group, "version", message);
    }
    let missing = rows.missing();
    if missing.is_empty() {
        findings.ok(group, "columns", "All columns are there.");
    } else {
        let message = format!(
            "Missing: {}. What stands there is not shown by the API. Create the tables with the schema of your Kamailio's version:",
            missing.join(", ")
        );
        let mend = ["kamdbctl reinit   # drops all registrations; phones come back".to_owned()];
        findings.fail(group, "columns", message, mend);
    }
    for (table, known) in VERSIONS {
        match rows.versions.get(table) {
            Some(version) if *version == known => {}
            Some(version) => {
                let message = format!(
                    "The table version says {version} for {table}; this usrlocd knows {known}. Columns are found by name, so it may still work. Kamailio 5.6 wants {known}:"
                );
                let mend = [format!("systemctl stop kamailio && sqlite3 {} \"select * from version where table_name='{table}'\"", database.display())];
                findings.warn(group, "version", message, mend);
            }
            None if rows.versions.is_empty() => {}
            None => findings.warn(
                group,
                "version",
                format!("The table version has no row for {table}; Kamailio may refuse to start. Add it while Kamailio is stopped:"),
                [format!("sqlite3 {} \"insert into version (table_name, table_version) values ('{table}', {known})\"", database.display())],
            ),
        }
    }
}

/// The line that runs a statement while Kamailio is stopped.
fn stopped(database: &Path, statement: &str) -> String {
    format!(
        "systemctl stop kamailio && sqlite3 {} \"{statement}\" && systemctl start kamailio",
        database.display()
    )
}

/// Rows that a setting of usrloc's makes, each with the setting that ends it.
fn settings(counts: Counts, findings: &mut Findings) {
    let rows = counts.rows;
    let odd = [
        (
            "expires_type",
            "expires_type",
            counts.epoch_times,
            format!(
                "{} rows have times as seconds (usrloc expires_type=1). usrlocd reads them, but with SQLite Kamailio itself misreads them after a restart. In kamailio.cfg:",
                counts.epoch_times
            ),
            0,
        ),
        (
            "use_domain",
            "use_domain",
            counts.without_domain,
            format!(
                "{} of {rows} rows have no domain (usrloc use_domain=0): users of different realms are one. usrlocd takes them to be of [kamailio] default_realm. With several realms, in kamailio.cfg:",
                counts.without_domain
            ),
            1,
        ),
        (
            "repeated",
            "db_update_as_insert",
            counts.repeated,
            format!(
                "{} rows repeat a contact of the same user. That comes from db_update_as_insert=1, with which refreshes fail, or from matching_mode 1 to 3. In kamailio.cfg:",
                counts.repeated
            ),
            0,
        ),
    ];
    for (check, setting, count, message, value) in odd {
        if count > 0 {
            let mend = [format!("modparam(\"usrloc\", \"{setting}\", {value})")];
            findings.warn(Group::Tables, check, message, mend);
        }
    }
}

fn judge_rows(database: &Path, counts: Counts, findings: &mut Findings) {
    let group = Group::Tables;
    let Counts {
        rows,
        current,
        zombies,
        orphans,
        ..
    } = counts;
    let attributes = many(counts.attributes, "attribute");
    let message = format!("{rows} rows, {current} of them current, with {attributes}.");
    findings.ok(group, "rows", message);
    settings(counts, findings);
    if zombies > 0 {
        let message = format!(
            "{zombies} rows ended more than ten minutes ago and are still there: Kamailio does not know them any more, and the API does not list them. Have Kamailio clear them away (kamailio.cfg), or do it once:"
        );
        let statement =
            "delete from location where expires > 2440588 and expires < julianday('now') - 0.01";
        let mend = [
            "modparam(\"usrloc\", \"db_timer_clean\", 1)".to_owned(),
            stopped(database, statement),
        ];
        findings.warn(group, "zombies", message, mend);
    }
    if orphans > 0 {
        let message = format!(
            "{orphans} rows of attributes belong to no contact. They do no harm but slow Kamailio down. Remove them once:"
        );
        let statement = "delete from location_attrs where ruid not in (select ruid from location)";
        findings.warn(group, "orphans", message, [stopped(database, statement)]);
    }
    if counts.from_future > 0 {
        let message = format!(
            "{} rows were written in the future by this machine's clock. A clock was set back, or the rows come from another machine. Is the clock right?",
            counts.from_future
        );
        let mend = ["timedatectl status".to_owned()];
        findings.warn(group, "clock", message, mend);
    }
}
