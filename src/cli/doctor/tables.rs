//! Kamailio's database and the usrloc tables in it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::findings::{Findings, Group};
use super::identity::{Identity, Want, group_name};
use super::rows::{Counts, Role, Rows};
use crate::clock::{Clock, SystemClock};
use crate::sqlite_file::{Inspection, Reason, State, TableSpec, Tail, TailOptions};

/// How long to try to read a database that others write.
const PATIENCE: Duration = Duration::from_secs(20);

/// Until the next try.
const RETRY: Duration = Duration::from_millis(5);

/// SQLite starts its log over near 4 MB; one of this length has a reader that never ends.
const LONG_LOG: u64 = 64 << 20;

/// The versions of the tables that this usrlocd knows (`usrloc-create.sql`).
const VERSIONS: [(&str, i64); 2] = [("location", 9), ("location_attrs", 1)];

/// What the tables say about Kamailio.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tables {
    /// Whether commits go through a write-ahead log.
    pub(super) wal: bool,
    /// The rows.
    pub(super) counts: Counts,
}

/// Checks the database and its tables; `None` when they cannot be read.
pub(super) fn check(
    database: &Path,
    tables: &[String],
    identity: &Identity,
    findings: &mut Findings,
) -> Option<Tables> {
    let readable = permissions(database, identity, findings);
    directory(database, identity, findings);
    if !readable {
        return None;
    }
    let clock = SystemClock::new();
    let inspection = match inspect(database, &clock) {
        Ok(inspection) => inspection,
        Err(reason) => {
            unreadable(database, &reason, findings);
            return None;
        }
    };
    journal(database, &inspection, findings);
    let rows = match read(database, tables, &clock) {
        Ok(rows) => rows,
        Err(reason) => {
            unreadable(database, &reason, findings);
            return None;
        }
    };
    let counts = rows.counts();
    schema(database, &rows, findings);
    indexes(database, tables, &inspection, counts, findings);
    judge_rows(database, counts, findings);
    Some(Tables {
        wal: inspection.wal,
        counts,
    })
}

/// Whether the user may read the database and the files beside it; says so.
fn permissions(database: &Path, identity: &Identity, findings: &mut Findings) -> bool {
    let group = Group::Database;
    let shown = database.display();
    let files = [
        database.to_owned(),
        beside(database, "-wal"),
        beside(database, "-shm"),
    ];
    match fs::metadata(database) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let message = format!(
                "{shown} does not exist. usrlocd waits for it. If Kamailio has its tables in another file, name that in /etc/usrlocd/usrlocd.toml; if it has none yet:"
            );
            findings.fail(
                group,
                "database_readable",
                message,
                ["kamdbctl create".to_owned()],
            );
            return false;
        }
        Ok(status) if !status.is_file() => {
            let message =
                format!("{shown} is not a file. Name the file in /etc/usrlocd/usrlocd.toml:");
            let mend = ["[kamailio]\ndatabase = \"/path/of/kamailio.sqlite\"".to_owned()];
            findings.fail(group, "database_readable", message, mend);
            return false;
        }
        Ok(_) | Err(_) => {}
    }
    for file in &files {
        if file != database && matches!(file.try_exists(), Ok(false)) {
            continue;
        }
        let Some(obstacle) = identity.obstacle(file, Want::Read) else {
            continue;
        };
        let owner = fs::metadata(&obstacle).map_or(0, |status| status.gid());
        let owner = group_name(owner);
        let bits = if obstacle.is_dir() { "g+x" } else { "g+r" };
        let message = format!(
            "The user {identity} may not read {}: {} is closed to it. Let it read, never write:",
            file.display(),
            obstacle.display()
        );
        let mend = [format!(
            "usermod -aG {owner} {identity} && chmod {bits} {} && systemctl restart usrlocd",
            obstacle.display()
        )];
        findings.fail(group, "database_readable", message, mend);
        return false;
    }
    findings.ok(
        group,
        "database_readable",
        format!("{shown} is there, and the user {identity} may read it."),
    );
    true
}

/// What the user may do in the database's directory, and what else is in it.
fn directory(database: &Path, identity: &Identity, findings: &mut Findings) {
    let group = Group::Database;
    let Some(folder) = database.parent().filter(|folder| folder.is_dir()) else {
        return;
    };
    let shown = folder.display();
    if identity.uid == 0 {
        let message = format!(
            "Judged for root, who may write everything in {shown}. usrlocd never writes there; run it as a user of its own:"
        );
        let mend = ["systemctl cat usrlocd | grep ^User=   # User=usrlocd".to_owned()];
        findings.warn(group, "directory", message, mend);
    } else if identity.may(folder, Want::Write) || identity.may(database, Want::Write) {
        let message = format!(
            "The user {identity} may write in {shown} or to the database. usrlocd needs only to read; a program of this user that opens the database with SQLite could leave files there that stop Kamailio's writing. Take the right away:"
        );
        let mend = [format!(
            "chmod g-w,o-w {shown} {}   # and let {identity} not be their owner",
            database.display()
        )];
        findings.warn(group, "directory", message, mend);
    } else {
        findings.ok(
            group,
            "directory",
            format!("The user {identity} cannot write in {shown}, as it should be."),
        );
    }
    foreign(database, findings);
}

/// Files beside the database that belong to somebody else: Kamailio cannot write to them.
fn foreign(database: &Path, findings: &mut Findings) {
    let Ok(owner) = fs::metadata(database).map(|status| status.uid()) else {
        return;
    };
    for suffix in ["-wal", "-shm", "-journal"] {
        let file = beside(database, suffix);
        if fs::metadata(&file).is_ok_and(|status| status.uid() != owner) {
            let message = format!(
                "{} belongs to another user than the database. Kamailio may be unable to write to it, and phones get 200 while no row is stored. Give it to the database's owner:",
                file.display()
            );
            let mend = [format!(
                "chown --reference={} {}",
                database.display(),
                file.display()
            )];
            findings.fail(Group::Database, "side_files", message, mend);
        }
    }
}

fn inspect(database: &Path, clock: &SystemClock) -> Result<Inspection, Reason> {
    loop {
        let now = clock.monotonic();
        match Inspection::of(database, now) {
            Err(reason) if passes(&reason) && now < PATIENCE / 4 => std::thread::sleep(RETRY),
            other => return other,
        }
    }
}

/// Whether to try again soon.
fn passes(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::Locked
            | Reason::Busy
            | Reason::HotJournal
            | Reason::WalMismatch
            | Reason::Malformed(_)
    )
}

/// Reads every row of the tables.
fn read(database: &Path, tables: &[String], clock: &SystemClock) -> Result<Rows, Reason> {
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

fn unreadable(database: &Path, reason: &Reason, findings: &mut Findings) {
    let shown = database.display();
    let mend = match reason {
        Reason::Empty | Reason::NoTable(_) => {
            "kamdbctl create   # or check [kamailio] database and table".to_owned()
        }
        Reason::HotJournal => {
            "systemctl restart kamailio   # it takes the interrupted transaction back".to_owned()
        }
        Reason::Locked | Reason::Busy | Reason::WalMismatch => {
            format!("fuser -v {shown}   # who holds it? then ask the doctor again")
        }
        Reason::Io { .. } => format!("ls -l {shown}*"),
        _ => format!(
            "sqlite3 /path/of/a/COPY 'pragma integrity_check'   # of a copy, never of {shown}"
        ),
    };
    let mut cause = reason.to_string();
    if let Reason::Io { source, .. } = reason {
        cause = format!("{cause}: {}", std::io::Error::from(*source));
    }
    let message = format!("{shown} cannot be read: {cause}.");
    findings.fail(Group::Database, "database_format", message, [mend]);
}

fn journal(database: &Path, inspection: &Inspection, findings: &mut Findings) {
    let group = Group::Database;
    let shown = database.display();
    if !inspection.wal {
        let message = "The database is in rollback-journal mode. usrlocd follows it without a lock, but each other reader makes Kamailio lose rows, and Kamailio's own workers collide. In WAL mode neither happens, writing is about seven times as fast, and changes show sooner. Switch while Kamailio is stopped (not by db_set_journal_mode, whose processes collide):";
        let mend = [format!(
            "systemctl stop kamailio && sqlite3 {shown} 'pragma journal_mode=wal' && systemctl start kamailio"
        )];
        findings.warn(group, "journal", message, mend);
        return;
    }
    let log = fs::metadata(beside(database, "-wal")).map_or(0, |status| status.len());
    if log > LONG_LOG {
        let message = format!(
            "The write-ahead log has {} MB. Some program holds a read transaction open, so that SQLite cannot start the log over. Find it and end it:",
            log >> 20
        );
        findings.warn(group, "journal", message, [format!("fuser -v {shown}")]);
        return;
    }
    let message = format!(
        "The database is in WAL mode with pages of {} bytes; its log has {} kB.",
        inspection.page_size,
        log >> 10
    );
    findings.ok(group, "journal", message);
}

fn schema(database: &Path, rows: &Rows, findings: &mut Findings) {
    let group = Group::Tables;
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

fn indexes(
    database: &Path,
    tables: &[String],
    inspection: &Inspection,
    counts: Counts,
    findings: &mut Findings,
) {
    for table in tables {
        let attributes = format!("{table}_attrs");
        if inspection.has_index(&attributes, "ruid") {
            findings.ok(
                Group::Tables,
                "attributes_index",
                format!("{attributes} has an index on ruid."),
            );
            continue;
        }
        // Kamailio's own schema has none: it matters with the number of attributes.
        let message = format!(
            "{attributes} has no index on ruid. Each refresh of a phone deletes its attributes by ruid (db_ops_ruid=1, the default) and reads all {} rows for it. Create one while Kamailio is stopped:",
            counts.attributes
        );
        let mend = [format!(
            "systemctl stop kamailio && sqlite3 {} 'create index {attributes}_ruid_idx on {attributes} (ruid)' && systemctl start kamailio",
            database.display()
        )];
        findings.warn(Group::Tables, "attributes_index", message, mend);
    }
}

fn judge_rows(database: &Path, counts: Counts, findings: &mut Findings) {
    let group = Group::Tables;
    let shown = database.display();
    let sqlite = |statement: &str| {
        [format!(
            "systemctl stop kamailio && sqlite3 {shown} \"{statement}\" && systemctl start kamailio"
        )]
    };
    let Counts {
        rows,
        current,
        zombies,
        orphans,
        ..
    } = counts;
    findings.ok(
        group,
        "rows",
        format!(
            "{rows} rows, {current} of them current, with {} attributes.",
            counts.attributes
        ),
    );
    if counts.epoch_times > 0 {
        let message = format!(
            "{} rows have times as seconds (usrloc expires_type=1). usrlocd reads them, but with SQLite Kamailio itself misreads them after a restart. In kamailio.cfg:",
            counts.epoch_times
        );
        findings.warn(
            group,
            "expires_type",
            message,
            ["modparam(\"usrloc\", \"expires_type\", 0)".to_owned()],
        );
    }
    if counts.without_domain > 0 {
        let message = format!(
            "{} of {rows} rows have no domain (usrloc use_domain=0): users of different realms are one. usrlocd takes them to be of [kamailio] default_realm. With several realms, in kamailio.cfg:",
            counts.without_domain
        );
        findings.warn(
            group,
            "use_domain",
            message,
            ["modparam(\"usrloc\", \"use_domain\", 1)".to_owned()],
        );
    }
    if counts.repeated > 0 {
        let message = format!(
            "{} rows repeat a contact of the same user. That comes from db_update_as_insert=1, with which refreshes fail, or from matching_mode 1 to 3. In kamailio.cfg:",
            counts.repeated
        );
        findings.warn(
            group,
            "repeated",
            message,
            ["modparam(\"usrloc\", \"db_update_as_insert\", 0)".to_owned()],
        );
    }
    if zombies > 0 {
        let message = format!(
            "{zombies} rows ended more than ten minutes ago and are still there: Kamailio does not know them any more, and the API does not list them. Have Kamailio clear them away (kamailio.cfg), or do it once:"
        );
        let [once] = sqlite(
            "delete from location where expires > 2440588 and expires < julianday('now') - 0.01",
        );
        findings.warn(
            group,
            "zombies",
            message,
            [
                "modparam(\"usrloc\", \"db_timer_clean\", 1)".to_owned(),
                once,
            ],
        );
    }
    if orphans > 0 {
        let message = format!(
            "{orphans} rows of attributes belong to no contact. They do no harm but slow Kamailio down. Remove them once:"
        );
        let mend =
            sqlite("delete from location_attrs where ruid not in (select ruid from location)");
        findings.warn(group, "orphans", message, mend);
    }
    if counts.from_future > 0 {
        let message = format!(
            "{} rows were written in the future by this machine's clock. A clock was set back, or the rows come from another machine. Is the clock right?",
            counts.from_future
        );
        findings.warn(group, "clock", message, ["timedatectl status".to_owned()]);
    }
}

/// The file of SQLite's beside `database`.
fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = fs::canonicalize(database)
        .unwrap_or_else(|_| database.to_owned())
        .into_os_string();
    name.push(suffix);
    name.into()
}
