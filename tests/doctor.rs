//! `usrlocd doctor` beside a real Kamailio: a healthy set-up is well, each fault is told with what mends it, and
//! nothing is changed.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::process::geteuid;
use serde_json::Value;

use crate::harmless::{call, complaint};
use crate::oracle::lists;
use crate::support::daemon::Daemon;
use crate::support::kamailio::{Journal, Kamailio};
use crate::support::phone::Phone;
use crate::support::tools;

/// Debian's user without rights, as whom permissions are judged.
const NOBODY: u32 = 65534;

/// A row of `location`, as Kamailio writes it, but for `expires` and what `columns` say.
fn row(ruid: &str, expires: &str, columns: &str, values: &str) -> String {
    format!(
        "insert into location (ruid, username, contact, expires, last_modified{columns}) values \
         ('{ruid}', 'u{ruid}', 'sip:{ruid}@192.0.2.1', {expires}, julianday('now') - 1{values});"
    )
}

fn of_acme(ruid: &str, expires: &str) -> String {
    row(ruid, expires, ", domain", ", 'acme.example.com'")
}

const INDEX: &str = "create index location_attrs_ruid_idx on location_attrs (ruid)";

fn root() -> bool {
    geteuid().is_root()
}

fn ask(daemon: &Daemon, arguments: &[&str]) -> Output {
    let mut command = daemon.command("doctor");
    command.args(arguments);
    command.output().expect("usrlocd can be run")
}

/// What the doctor says, and its exit status.
fn examine(daemon: &Daemon, arguments: &[&str]) -> (Value, Option<i32>) {
    let output = ask(daemon, &[&["-o", "json"], arguments].concat());
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (report, output.status.code())
}

/// The mark and message of a check.
#[track_caller]
fn finding(report: &Value, check: &str) -> (String, String) {
    let findings = report["findings"].as_array().expect("a list");
    let found = findings.iter().find(|it| it["check"] == check);
    let found = found.unwrap_or_else(|| panic!("no {check} in {report:#}"));
    let text = |key: &str| found[key].as_str().expect("a text").to_owned();
    let mends = found["mend"].as_array().expect("a list").len();
    assert_eq!(text("mark") == "ok", mends == 0, "{found:#}");
    (text("mark"), text("message"))
}

#[track_caller]
fn says(report: &Value, check: &str, mark: &str, words: &str) {
    let (found, message) = finding(report, check);
    assert_eq!(found, mark, "{message}");
    assert!(message.contains(words), "{message}");
}

/// A Kamailio with an index on `ruid` and one phone, and usrlocd beside it as it should be installed; with the
/// arguments that have the doctor judge as for an installation.
fn healthy() -> (Kamailio, Daemon, Vec<&'static str>) {
    let mut kamailio = Kamailio::builder().start();
    kamailio.stop();
    kamailio.sql(INDEX);
    kamailio.start();
    let mut phone = Phone::new(&kamailio, "alice", "acme.example.com");
    phone.register();
    let daemon = Daemon::builder(&kamailio).start();
    lists(&daemon, "/v2/registrations", &[phone.contact_uri()]);
    let folder = kamailio.database().parent().expect("it is in one");
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
    };
    if !root() {
        mode(kamailio.database(), 0o444);
        mode(folder, 0o555);
        return (kamailio, daemon, Vec::new());
    }
    mode(folder.parent().expect("it is in one"), 0o755);
    for path in [
        daemon.config_file().parent().expect("in one").to_owned(),
        daemon.store().parent().expect("in one").to_owned(),
        daemon.store(),
        daemon.tokens_file(),
    ] {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("root may");
    }
    (kamailio, daemon, vec!["--user", "nobody"])
}

#[test]
fn healthy_setup_is_well() {
    let (kamailio, daemon, arguments) = healthy();
    let (report, status) = examine(&daemon, &arguments);
    assert_eq!(status, Some(0), "{report:#}");
    assert_eq!(
        (&report["errors"], &report["warnings"]),
        (&0.into(), &0.into())
    );
    let checks: Vec<&str> = report["findings"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| it["check"].as_str().expect("a name"))
        .collect();
    let expected = [
        "configuration",
        "database_readable",
        "directory",
        "journal",
        "columns",
        "attributes_index",
        "rows",
        "jsonrpc",
        "workers",
        "private_memory",
        "contacts",
        "exposure",
        "store",
        "tokens",
        "daemon",
    ];
    assert_eq!(checks, expected);
    let table = ask(&daemon, &arguments);
    let text = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(text.contains("Kamailio's database\n  ok    "), "{text}");
    assert!(!text.contains('\x1b'), "{text}");
    let long_words = |line: &&str| line.chars().count() > 80 && line.trim().contains(' ');
    assert_eq!(text.lines().filter(long_words).count(), 0, "{text}");
    // Put back what removes the directories.
    let folder = kamailio.database().parent().expect("it is in one");
    fs::set_permissions(folder, Permissions::from_mode(0o755)).expect("it is ours");
}

#[test]
fn rollback_journal_and_missing_index_are_warnings() {
    let kamailio = Kamailio::builder().journal(Journal::Rollback).start();
    let daemon = Daemon::builder(&kamailio).start();
    let (report, status) = examine(&daemon, &[]);
    assert_eq!(status, Some(2), "{report:#}");
    says(&report, "journal", "warn", "rollback-journal mode");
    says(
        &report,
        "workers",
        "warn",
        "worker processes and a rollback journal",
    );
    says(&report, "attributes_index", "warn", "no index on ruid");
}

#[test]
fn odd_rows_and_a_stopped_kamailio_are_told() {
    let mut kamailio = Kamailio::builder().start();
    kamailio.stop();
    let soon = "julianday('now') + 0.1";
    kamailio.sql(&of_acme("now", soon));
    kamailio.sql(&of_acme("old", "julianday('now') - 1"));
    kamailio.sql(&of_acme("permanent", "2440587.499994212"));
    kamailio.sql(&of_acme("epoch", "strftime('%s', 'now') + 3600"));
    kamailio.sql(&row("nameless", soon, "", ""));
    kamailio.sql(&of_acme("twin", soon));
    kamailio.sql(
        "update location set username = 'unow', contact = 'sip:now@192.0.2.1' where ruid = 'twin'",
    );
    kamailio.sql(&of_acme("ahead", soon));
    kamailio.sql("update location set last_modified = julianday('now') + 1 where ruid = 'ahead'");
    kamailio.sql("insert into location_attrs (ruid, aname, avalue) values ('gone', 'token', 'x'), ('now', 'token', 'x')");
    kamailio.sql("update version set table_version = 8 where table_name = 'location'");
    let daemon = Daemon::builder(&kamailio).prepare();
    let (report, status) = examine(&daemon, &[]);
    assert_eq!(status, Some(1), "{report:#}");
    says(
        &report,
        "rows",
        "ok",
        "7 rows, 6 of them current, with 2 attributes",
    );
    says(&report, "zombies", "warn", "1 rows ended");
    says(
        &report,
        "expires_type",
        "warn",
        "1 rows have times as seconds",
    );
    says(&report, "use_domain", "warn", "1 of 7 rows have no domain");
    says(&report, "repeated", "warn", "1 rows repeat a contact");
    says(
        &report,
        "clock",
        "warn",
        "1 rows were written in the future",
    );
    says(
        &report,
        "orphans",
        "warn",
        "1 rows of attributes belong to no contact",
    );
    says(&report, "version", "warn", "says 8 for location");
    says(&report, "jsonrpc", "fail", "cannot reach Kamailio");
    says(&report, "daemon", "fail", "does not answer");
}

#[test]
fn missing_column_is_an_error() {
    let mut kamailio = Kamailio::builder().start();
    kamailio.stop();
    kamailio.sql("alter table location drop column user_agent");
    let daemon = Daemon::builder(&kamailio).prepare();
    let (report, status) = examine(&daemon, &[]);
    assert_eq!(status, Some(1), "{report:#}");
    says(&report, "columns", "fail", "Missing: location.user_agent.");
}

#[test]
fn files_that_are_no_database_are_told_apart() {
    let kamailio = Kamailio::builder().start();
    let folder = tempfile::TempDir::new().expect("a temporary directory");
    let file = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("an own directory is writable");
        path
    };
    let broken = {
        let mut bytes = fs::read(kamailio.database()).expect("it is there");
        bytes.truncate(5000);
        file("broken", &bytes)
    };
    for (path, check, words) in [
        (
            folder.path().join("none"),
            "database_readable",
            "does not exist",
        ),
        (
            folder.path().to_owned(),
            "database_readable",
            "is not a file",
        ),
        (file("empty", b""), "database_format", "is empty"),
        (
            file("text", &b"not a database at all ".repeat(20)),
            "database_format",
            "not a SQLite database",
        ),
        (broken, "database_format", "cannot be read"),
    ] {
        let daemon = Daemon::builder(&kamailio).database(&path).prepare();
        let (report, status) = examine(&daemon, &[]);
        assert_eq!(status, Some(1), "{report:#}");
        says(&report, check, "fail", words);
    }
}

#[test]
fn mistaken_configuration_is_an_error() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).sections("[logg]\n").prepare();
    let (report, status) = examine(&daemon, &[]);
    assert_eq!(status, Some(1), "{report:#}");
    says(&report, "configuration", "fail", "logg");
}

#[test]
fn tokens_are_judged() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).prepare();
    let file = daemon.tokens_file();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("it is ours");
    says(
        &examine(&daemon, &[]).0,
        "tokens_mode",
        "warn",
        "Everyone on this machine",
    );
    let text = fs::read_to_string(&file).expect("it is ours");
    let expired = text.replace("rights", "expires = 2020-01-01T00:00:00Z\nrights");
    fs::write(&file, expired).expect("it is ours");
    says(
        &examine(&daemon, &[]).0,
        "tokens",
        "warn",
        "1 of 1 token expired: lab",
    );
    fs::write(&file, "").expect("it is ours");
    says(&examine(&daemon, &[]).0, "tokens", "warn", "lists no token");
    fs::remove_file(&file).expect("it is ours");
    says(&examine(&daemon, &[]).0, "tokens", "warn", "is not there");
}

#[test]
fn closed_directory_is_told_for_the_user_judged() {
    // Root may do everything: it asks for somebody else.
    let (arguments, closed): (&[&str], u32) = if root() {
        (&["--user", "nobody"], 0o700)
    } else {
        (&[], 0o000)
    };
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).prepare();
    let folder = kamailio.database().parent().expect("it is in one");
    let above = folder.parent().expect("it is in one");
    fs::set_permissions(above, Permissions::from_mode(closed)).expect("it is ours");
    let (report, status) = examine(&daemon, arguments);
    assert_eq!(status, Some(1), "{report:#}");
    says(
        &report,
        "database_readable",
        "fail",
        &format!("{} is closed", above.display()),
    );
    if root() {
        assert_eq!(report["judged_for"], "nobody");
        says(&report, "store", "fail", "may not write the store");
    }
    fs::set_permissions(above, Permissions::from_mode(0o755)).expect("it is ours");
    fs::set_permissions(folder, Permissions::from_mode(0o777)).expect("it is ours");
    let (report, _) = examine(&daemon, arguments);
    says(&report, "directory", "warn", "may write in");
}

/// Names, lengths and times of all files below `folders`.
fn snapshot(folders: &[&Path]) -> BTreeMap<PathBuf, (u64, i64, i64, i64)> {
    let mut all = BTreeMap::new();
    let mut open: Vec<PathBuf> = folders.iter().map(|it| it.to_path_buf()).collect();
    while let Some(path) = open.pop() {
        let it = fs::symlink_metadata(&path).expect("it is there");
        if it.is_dir() {
            let entries = fs::read_dir(&path).expect("it is ours");
            open.extend(entries.map(|entry| entry.expect("it is ours").path()));
        }
        all.insert(
            path,
            (it.size(), it.mtime(), it.mtime_nsec(), it.ctime_nsec()),
        );
    }
    all
}

#[test]
fn nothing_is_changed() {
    for journal in [Journal::Wal, Journal::Rollback] {
        let kamailio = Kamailio::builder().journal(journal).start();
        let daemon = Daemon::builder(&kamailio).prepare();
        let database = kamailio.database().parent().expect("it is in one");
        let own = daemon.config_file();
        let folders = [database, own.parent().expect("it is in one")];
        let traces = tempfile::TempDir::new().expect("a temporary directory");
        let trace = traces.path().join("trace");
        let before = snapshot(&folders);
        let command = daemon.command("doctor");
        let status = Command::new(tools::program("strace"))
            .args(["-f", "-y", "-s", "0", "-o"])
            .arg(&trace)
            .arg(command.get_program())
            .args(command.get_args())
            .output()
            .expect("strace runs")
            .status;
        assert!(status.code().is_some_and(|code| code < 3), "{status}");
        assert_eq!(before, snapshot(&folders));
        let trace = fs::read(&trace).expect("strace wrote it");
        let trace = String::from_utf8_lossy(&trace);
        let mut reads = 0;
        for (name, arguments) in trace.lines().filter_map(call) {
            let opens = ["open", "openat", "creat"].contains(&name);
            let writes = ["O_WRONLY", "O_RDWR", "O_CREAT"]
                .iter()
                .any(|it| arguments.contains(it));
            assert!(!(opens && writes), "{name}({arguments}");
            let of_kamailio = arguments.contains(&database.display().to_string());
            let asks = ["faccessat", "faccessat2", "access", "statfs"].contains(&name);
            if of_kamailio && !asks {
                reads += usize::from(name == "pread64");
                assert_eq!(complaint(name, arguments), None, "{name}({arguments}");
            }
        }
        assert!(reads > 3, "the trace has gone blind: {trace}");
    }
}

/// The daemon without a word about the database, beside directories that stand for the machine's own.
#[test]
fn first_run_waits_for_the_database_and_begins() {
    let kamailio = Kamailio::builder().start();
    let mut phone = Phone::new(&kamailio, "alice", "acme.example.com");
    phone.register();
    let folder = tempfile::TempDir::new().expect("a temporary directory");
    let etc = folder.path();
    let mount = "mount --bind \"$1\" /etc/kamailio && shift && exec \"$@\"";
    let shown = etc.display().to_string();
    let wrapper = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        mount,
        "sh",
        &shown,
    ];
    let mut daemon = Daemon::builder(&kamailio).wrapper(&wrapper).prepare();
    let config = fs::read_to_string(daemon.config_file()).expect("it is ours");
    let unnamed: Vec<&str> = config
        .lines()
        .filter(|line| !line.starts_with("database"))
        .collect();
    fs::write(daemon.config_file(), unnamed.join("\n")).expect("it is ours");
    daemon.start_unready();
    assert_eq!(daemon.request("GET", "/readyz", &[], b"").status, 503);
    assert_eq!(daemon.get("/v2/registrations").status, 503);
    let log = daemon.log();
    assert!(
        log.contains("found no database of Kamailio's and keeps looking"),
        "{log}"
    );
    assert!(
        log.contains("/var/lib/kamailio/kamailio.sqlite is not there"),
        "{log}"
    );

    let url = format!(
        "#!define DBURL \"sqlite://{}\"\n",
        kamailio.database().display()
    );
    fs::write(etc.join("kamailio.cfg"), url).expect("it is ours");
    lists(&daemon, "/v2/registrations", &[phone.contact_uri()]);
    assert_eq!(daemon.request("GET", "/readyz", &[], b"").status, 200);
    let log = daemon.log();
    assert!(
        log.contains("/etc/kamailio/kamailio.cfg line 1 names it"),
        "{log}"
    );
}
