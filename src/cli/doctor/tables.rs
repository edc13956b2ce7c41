//! What stands in the usrloc tables.

use std::path::Path;
use std::time::Duration;

use super::database::{RETRY, unreadable};
use super::findings::{Findings, Group};
use super::remedies::Site;
use super::rows::{Counts, Role, Rows, ZOMBIE_AGE};
use super::{many, schema};
use crate::clock::{Clock, SystemClock};
use crate::config::kamailio_cfg::KamailioCfg;
use crate::sqlite_file::{Inspection, Reason, State, TableSpec, Tail, TailOptions};

/// How long to try to read tables that others write.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the tables show about Kamailio.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    /// Whether commits go through a write-ahead log.
    pub(super) wal: bool,
    /// The rows.
    pub(super) counts: Counts,
    /// Whether there is a table of attributes.
    has_attributes: bool,
    /// Tables of attributes without an index on ruid.
    unindexed: Vec<String>,
}

#[cfg(test)]
impl Tables {
    /// Tables in WAL mode with so many rows.
    pub(super) fn testing(counts: Counts) -> Self {
        Self {
            wal: true,
            counts,
            has_attributes: true,
            unindexed: Vec::new(),
        }
    }
}

/// Checks the tables; `None` when they cannot be read, or are not Kamailio's.
pub(super) fn check(
    site: &Site,
    inspection: &Inspection,
    findings: &mut Findings,
) -> Option<Tables> {
    let rows = match read(&site.database, &site.tables) {
        Ok(rows) => rows,
        Err(reason) => {
            unreadable(site, &reason, findings);
            return None;
        }
    };
    if !schema::check(site, &rows, findings) {
        return None;
    }
    let counts = rows.counts();
    judge_rows(site, counts, findings);
    let attributes: Vec<&str> = rows
        .tables()
        .filter(|(role, _, schema)| *role == Role::Attributes && schema.is_some())
        .map(|(_, name, _)| name)
        .collect();
    Some(Tables {
        wal: inspection.wal,
        counts,
        has_attributes: !attributes.is_empty(),
        unindexed: attributes
            .into_iter()
            .filter(|name| !inspection.has_index(name, "ruid"))
            .map(str::to_owned)
            .collect(),
    })
}

/// Whether Kamailio finds a contact's attributes without reading all of them. Kamailio's own schema has no such
/// index, which matters where there are attributes.
pub(super) fn index(
    site: &Site,
    tables: &Tables,
    cfg: Option<&KamailioCfg>,
    findings: &mut Findings,
) {
    let check = "attributes_index";
    let by_ruid = cfg.and_then(|cfg| cfg.usrloc("db_ops_ruid"));
    if tables.has_attributes && tables.unindexed.is_empty() {
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
                "{table} has no index on ruid, as in Kamailio's schema. It has no rows either; if attributes are ever stored, create one."
            );
            findings.note(Group::Tables, check, message);
        } else {
            let why = by_ruid.map_or("the default".to_owned(), ToString::to_string);
            let message = format!(
                "{table} has no index on ruid. Each refresh of a phone deletes its attributes by ruid (db_ops_ruid 1, {why}) and reads all {count} rows for it. Create one:"
            );
            let statement = format!("create index {table}_ruid_idx on {table} (ruid)");
            findings.warn(Group::Tables, check, message, [site.stopped(&statement)]);
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
        optional: *role != Role::Location,
        ..TableSpec::default()
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

fn judge_rows(site: &Site, counts: Counts, findings: &mut Findings) {
    let group = Group::Tables;
    let Counts {
        rows,
        current,
        zombies,
        orphans,
        ..
    } = counts;
    let attributes = many(counts.attributes, "attribute");
    let message = format!(
        "{}, {current} of them current, with {attributes}.",
        many(rows, "row")
    );
    findings.ok(group, "rows", message);
    if zombies > 0 {
        let message = format!(
            "{} expired more than ten minutes ago and {} still in the table: Kamailio no longer knows them, and the API does not list them. Have Kamailio remove them (kamailio.cfg), or do it once:",
            many(zombies, "row"),
            if zombies == 1 { "is" } else { "are" }
        );
        let remedy = [
            "modparam(\"usrloc\", \"db_timer_clean\", 1)".to_owned(),
            site.stopped(&without_zombies(&site.tables)),
        ];
        findings.warn(group, "zombies", message, remedy);
    }
    if orphans > 0 {
        let message = format!(
            "{} of attributes {} to no contact. They are harmless but slow Kamailio down. Remove them once:",
            many(orphans, "row"),
            if orphans == 1 { "belongs" } else { "belong" }
        );
        findings.warn(
            group,
            "orphans",
            message,
            [site.stopped(&without_orphans(&site.tables))],
        );
    }
    if counts.from_future > 0 {
        let message = format!(
            "{} written in the future by this machine's clock. A clock was set back, or the rows come from another machine. Is the clock right?",
            if counts.from_future == 1 {
                "1 row was".to_owned()
            } else {
                format!("{} rows were", counts.from_future)
            }
        );
        let remedy = ["timedatectl status".to_owned()];
        findings.warn(group, "clock", message, remedy);
    }
}

/// The statement that removes the rows that [`Counts::zombies`] counts: times are Julian days, Unix seconds
/// (`expires_type` 1) or text, as usrlocd reads them. A permanent contact has the second 0.
fn without_zombies(tables: &[String]) -> String {
    let of = |table: &String| {
        format!(
            "delete from {table} where (case when typeof(expires) = 'integer' or (typeof(expires) = 'real' and expires > 1e7) then expires / 86400.0 + 2440587.5 else julianday(expires) end) between 2440588 and julianday('now') - {ZOMBIE_AGE} / 86400.0"
        )
    };
    tables.iter().map(of).collect::<Vec<_>>().join("; ")
}

/// The statement that removes the attributes that [`Counts::orphans`] counts: those of no contact of any table.
fn without_orphans(tables: &[String]) -> String {
    let ruids: Vec<String> = tables
        .iter()
        .map(|table| format!("select ruid from {table}"))
        .collect();
    let ruids = ruids.join(" union all ");
    let of = |table: &String| format!("delete from {table}_attrs where ruid not in ({ruids})");
    tables.iter().map(of).collect::<Vec<_>>().join("; ")
}
