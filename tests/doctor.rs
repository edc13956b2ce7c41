//! `usrlocd doctor` beside a real Kamailio: a healthy set-up is well, each fault is told with what mends it, and
//! nothing is changed.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

mod examples;
mod files;
pub(crate) mod first_run;
mod flushes;
mod kamailio;
mod own_files;
mod tables;
mod versions;

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
    for mend in mends(&report) {
        assert_eq!(danger(&mend), None, "{mend}");
    }
    (report, output.status.code())
}

/// Every line that mends something.
fn mends(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().into_iter().flatten();
    let mends = findings.flat_map(|it| it["mend"].as_array().into_iter().flatten());
    mends
        .map(|mend| mend.as_str().expect("a text").to_owned())
        .collect()
}

/// What would be wrong with running a line that mends.
fn danger(mend: &str) -> Option<&'static str> {
    if mend.contains("reinit") {
        return Some("it deletes the whole database");
    }
    let words: Vec<&str> = mend.split([' ', ';']).collect();
    let after = |verb: &str| -> Vec<&str> {
        let units = words.windows(3).filter(|it| it[..2] == ["systemctl", verb]);
        units.map(|it| it[2]).collect()
    };
    if after("stop") != after("start") {
        return Some("it leaves Kamailio stopped");
    }
    let writes = [
        "insert ",
        "update ",
        "delete ",
        "alter ",
        "create ",
        "drop ",
        "journal_mode=",
    ];
    let is_statement = mend.contains("sqlite3 ") && writes.iter().any(|it| mend.contains(it));
    if is_statement && after("stop").is_empty() {
        return Some("it writes beside Kamailio");
    }
    let groups = ["root", "adm", "sudo"];
    if groups.iter().any(|it| mend.contains(&format!("-aG {it}"))) {
        return Some("it opens much more than Kamailio's files");
    }
    None
}

#[test]
fn dangerous_mends_are_known_as_such() {
    for mend in [
        "kamdbctl reinit",
        "systemctl stop kamailio && sqlite3 k \"pragma journal_mode=wal\"",
        "sqlite3 k \"insert into version values (1)\"",
        "usermod -aG root usrlocd",
    ] {
        assert!(danger(mend).is_some(), "{mend}");
    }
    let good = "systemctl stop k && sqlite3 k \"delete from location\"; systemctl start k";
    assert_eq!(danger(good), None);
}

/// The statement in the one line that mends a check.
#[track_caller]
fn statement(report: &Value, check: &str) -> String {
    let findings = report["findings"].as_array().expect("a list");
    let found = findings.iter().find(|it| it["check"] == check);
    let lines = found.map(|it| it["mend"].clone()).unwrap_or_default();
    let lines = lines.as_array().cloned().unwrap_or_default();
    let line = lines
        .iter()
        .filter_map(Value::as_str)
        .find(|it| it.contains("sqlite3"));
    let line = line.unwrap_or_else(|| panic!("no statement for {check} in {report:#}"));
    line.split('"').nth(1).expect("it is quoted").to_owned()
}

/// The mark and message of a check.
#[track_caller]
fn finding(report: &Value, check: &str) -> (String, String) {
    let findings = report["findings"].as_array().expect("a list");
    let found = findings.iter().find(|it| it["check"] == check);
    let found = found.unwrap_or_else(|| panic!("no {check} in {report:#}"));
    let text = |key: &str| found[key].as_str().expect("a text").to_owned();
    let mends = found["mend"].as_array().expect("a list").len();
    let is_fault = matches!(&*text("mark"), "warn" | "fail");
    assert_eq!(is_fault, mends > 0, "{found:#}");
    (text("mark"), text("message"))
}

#[track_caller]
fn says(report: &Value, check: &str, mark: &str, words: &str) {
    let (found, message) = finding(report, check);
    assert_eq!(found, mark, "{message}");
    assert!(message.contains(words), "{message}");
}

/// Whether the doctor warns of the WAL-reset bug.
fn wal_reset_bug(report: &Value) -> bool {
    let findings = report["findings"].as_array().expect("a list");
    findings
        .iter()
        .any(|it| it["check"] == "sqlite_version" && it["mark"] == "warn")
}

/// A Kamailio with Debian's schema and one phone, and usrlocd beside it as it should be installed; with the
/// arguments that have the doctor judge as for an installation.
fn healthy() -> (Kamailio, Daemon, Vec<&'static str>) {
    let kamailio = Kamailio::builder().start();
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
    // Who sets the clock of the machine that tests is not ours to say.
    let clock_warns = usize::from(finding(&report, "clock_set").0 == "warn");
    // Nor is which SQLite this Debian has.
    let has_bug = wal_reset_bug(&report);
    let warnings = clock_warns + usize::from(has_bug);
    assert_eq!(report["errors"], 0, "{report:#}");
    assert_eq!(report["warnings"], warnings, "{report:#}");
    assert_eq!(status, Some(if warnings == 0 { 0 } else { 2 }));
    let checks: Vec<&str> = report["findings"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| it["check"].as_str().expect("a name"))
        .filter(|check| *check != "sqlite_version")
        .collect();
    let expected = [
        "configuration",
        "database_readable",
        "directory",
        "journal",
        "columns",
        "rows",
        "db_mode",
        "clock_kamailio",
        "jsonrpc",
        "kamailio_version",
        "notify",
        "workers",
        "private_memory",
        "contacts",
        "exposure",
        "attributes_index",
        "clock_set",
        "store",
        "tokens",
        "socket",
        "daemon",
        "flush_leftover_rows",
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
