//! Kamailio's database as a file: who may do what with it, how it is journaled, why it cannot be read.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::acl::{self, Want};
use super::findings::{Findings, Group};
use super::identity::Identity;
use super::remedies::{EXAMPLE, Opening, Site, group_of, has_kamailio_group, shell};
use super::sqlite_version;
use super::version::Version;
use crate::clock::{Clock, SystemClock};
use crate::sqlite_file::{Inspection, Reason};

/// How long to try to look at a database that others write.
const PATIENCE: Duration = Duration::from_secs(5);

/// Until the next try.
pub(super) const RETRY: Duration = Duration::from_millis(5);

/// SQLite starts its log over near 4 MB; one of this length has a reader that never ends.
const LONG_LOG: u64 = 64 << 20;

/// Checks the file; `None` when it cannot be read. `kamailio` is the version of the Kamailio that answers.
pub(super) fn check(
    site: &Site,
    identity: &Identity,
    kamailio: Option<Version>,
    findings: &mut Findings,
) -> Option<Inspection> {
    let database = &*site.database;
    let readable = permissions(site, identity, findings);
    directory(database, identity, findings);
    if !readable {
        return None;
    }
    match inspect(database) {
        Ok(inspection) => {
            journal(site, &inspection, kamailio, findings);
            sqlite_version::check(site, &inspection, findings);
            Some(inspection)
        }
        Err(reason) => {
            unreadable(site, &reason, findings);
            None
        }
    }
}

/// Checks that the user can read the database and the files beside it.
fn permissions(site: &Site, identity: &Identity, findings: &mut Findings) -> bool {
    let check = "database_readable";
    let database = &*site.database;
    let shown = database.display();
    match fs::metadata(database) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let message = format!(
                "{shown} does not exist. usrlocd waits for it. If Kamailio has its tables in another file, set that in {}. Debian's Kamailio as installed does not write registrations to a database: {EXAMPLE} has the lines that make it do so. To create the database:",
                site.config.display()
            );
            findings.fail(Group::Database, check, message, site.create());
            return false;
        }
        Ok(status) if !status.is_file() => {
            let message = format!("{shown} is not a file. Set the path of the file:");
            let remedy = [site.configure("[kamailio]\ndatabase = \"/path/of/kamailio.sqlite\"")];
            findings.fail(Group::Database, check, message, remedy);
            return false;
        }
        Ok(_) | Err(_) => {}
    }
    let beside = ["-wal", "-shm"].map(|suffix| beside(database, suffix));
    let there = beside
        .iter()
        .map(PathBuf::as_path)
        .filter(|file| !matches!(file.try_exists(), Ok(false)));
    let closed = std::iter::once(database)
        .chain(there)
        .find_map(|file| Some((file, identity.obstacle(file, Want::Read)?)));
    if let Some((file, obstacle)) = closed {
        closed_to(identity, file, &obstacle, findings);
        return false;
    }
    let message = format!("{shown} exists, and the user {identity} can read it.");
    findings.ok(Group::Database, check, message);
    true
}

fn closed_to(identity: &Identity, file: &Path, obstacle: &Path, findings: &mut Findings) {
    let message = format!(
        "The user {identity} cannot read {}: no access to {}. Grant it read access, but not write access:",
        file.display(),
        obstacle.display()
    );
    let opening = Opening {
        user: identity.name(),
        obstacle,
        folder: file.parent().unwrap_or(Path::new("/")),
        is_directory: obstacle.is_dir(),
        group: &group_of(obstacle),
        has_kamailio: has_kamailio_group(),
    };
    findings.fail(
        Group::Database,
        "database_readable",
        message,
        [opening.command()],
    );
}

/// Checks what the user can do in the database's directory, and what else is in it.
fn directory(database: &Path, identity: &Identity, findings: &mut Findings) {
    let group = Group::Database;
    let Some(folder) = database.parent().filter(|folder| folder.is_dir()) else {
        return;
    };
    let shown = folder.display();
    if identity.ids().uid == 0 {
        let message = format!(
            "Checked for root, who can write everything in {shown}. usrlocd never writes there; run it as a separate user:"
        );
        let remedy = ["systemctl cat usrlocd | grep ^User=   # User=usrlocd".to_owned()];
        findings.warn(group, "directory", message, remedy);
    } else if identity.may(folder, Want::Write) || identity.may(database, Want::Write) {
        let message = format!(
            "The user {identity} can write to {shown} or the database. usrlocd only needs to read; a program of this user that opens the database with SQLite could leave files there that stop Kamailio from writing. Revoke write access:"
        );
        let files = format!("{} {}", shell(&shown), shell(&database.display()));
        let remedy = if acl::is_there(folder) || acl::is_there(database) {
            format!("getfacl {files}; setfacl -x u:{identity} {files}   # or the group's entry")
        } else {
            format!("chmod g-w,o-w {files}   # and make sure that {identity} is not their owner")
        };
        findings.warn(group, "directory", message, [remedy]);
    } else if acl::lets_write_new(folder, identity.ids()) {
        let message = format!(
            "A default ACL of {shown} allows the user {identity} to write every file that Kamailio creates there, including -wal and -shm. Revoke write access:"
        );
        let remedy = [format!(
            "getfacl {0}; setfacl -d -x u:{identity} {0}   # or the group's entry",
            shell(&shown)
        )];
        findings.warn(group, "directory", message, remedy);
    } else {
        findings.ok(
            group,
            "directory",
            format!("The user {identity} cannot write to {shown}, as it should be."),
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
                "{} does not belong to the owner of the database. Kamailio may be unable to write to it, and then phones get 200 while no row is stored. Give it to the database's owner:",
                file.display()
            );
            let remedy = [format!(
                "chown --reference={} {}",
                shell(&database.display()),
                shell(&file.display())
            )];
            findings.fail(Group::Database, "side_files", message, remedy);
        }
    }
}

fn inspect(database: &Path) -> Result<Inspection, Reason> {
    let clock = SystemClock::new();
    loop {
        let now = clock.monotonic();
        match Inspection::of(database, now) {
            Err(reason) if passes(&reason) && now < PATIENCE => std::thread::sleep(RETRY),
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

/// Says why the database cannot be read.
pub(super) fn unreadable(site: &Site, reason: &Reason, findings: &mut Findings) {
    let shown = site.database.display();
    let database = shell(&shown);
    let remedy = match reason {
        Reason::Empty => site.create(),
        Reason::NoTable(_) => site.create_tables(),
        Reason::HotJournal => vec![format!(
            "systemctl restart {}   # rolls back the interrupted transaction",
            site.service
        )],
        Reason::Locked | Reason::Busy | Reason::WalMismatch => vec![format!(
            "fuser -v {database}   # who has it open? then run doctor again"
        )],
        Reason::Io { .. } => vec![format!("ls -l {database}*")],
        _ => vec![format!(
            "sqlite3 /path/of/a/COPY 'pragma integrity_check'   # of a copy, never of {database}"
        )],
    };
    let mut cause = reason.to_string();
    if let Reason::Io { source, .. } = reason {
        cause = format!("{cause}: {}", std::io::Error::from(*source));
    }
    if let Reason::NoTable(_) = reason {
        cause.push_str(". If Kamailio keeps its tables in another file or under another name, correct [kamailio] database and table; if it has none yet, create them");
    }
    let message = format!("{shown} cannot be read: {cause}.");
    findings.fail(Group::Database, "database_format", message, remedy);
}

fn journal(
    site: &Site,
    inspection: &Inspection,
    kamailio: Option<Version>,
    findings: &mut Findings,
) {
    let group = Group::Database;
    let database = &*site.database;
    let shown = shell(&database.display());
    if !inspection.wal {
        let parameter = if kamailio.is_some_and(Version::has_busy_timeout) {
            "or with db_set_journal_mode, but only together with db_set_busy_timeout"
        } else {
            "not with db_set_journal_mode, over which its processes collide"
        };
        let message = format!(
            "The database is in rollback-journal mode. usrlocd follows it without a lock, but any other reader makes Kamailio lose rows. In WAL mode readers are harmless, Kamailio writes about seven times as fast, its workers collide far less often, and changes are listed sooner. Some versions of SQLite have a bug in WAL mode (the WAL-reset bug); with one of them either mode is a reasonable choice. Switch while Kamailio is stopped ({parameter}):"
        );
        let remedy = [site.stopped("pragma journal_mode=wal")];
        findings.warn(group, "journal", message, remedy);
        return;
    }
    let log = fs::metadata(beside(database, "-wal")).map_or(0, |status| status.len());
    if log > LONG_LOG {
        let message = format!(
            "The write-ahead log has grown to {} MB. Some program holds a read transaction open, so SQLite cannot reset the log. Find it and stop it:",
            log >> 20
        );
        findings.warn(group, "journal", message, [format!("fuser -v {shown}")]);
        return;
    }
    let message = format!(
        "The database is in WAL mode with pages of {} bytes; the log is {} kB long.",
        inspection.page_size,
        log >> 10
    );
    findings.ok(group, "journal", message);
}

/// The file of SQLite's beside `database`.
fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = fs::canonicalize(database)
        .unwrap_or_else(|_| database.to_owned())
        .into_os_string();
    name.push(suffix);
    name.into()
}
