//! What the running Kamailio says, and what its configuration says of it.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use super::{examine, says};
use crate::support::daemon::Daemon;
use crate::support::kamailio::{Journal, Kamailio};

#[test]
fn db_mode_is_read_from_the_configuration_of_the_running_one() {
    for (mode, mark, words) in [
        (1, "ok", "writes each registration through"),
        (2, "ok", "writes back to the database by a timer"),
        (3, "warn", "only in the database (db_mode 3"),
    ] {
        let kamailio = Kamailio::builder().db_mode(mode).start();
        let daemon = Daemon::builder(&kamailio).start();
        let (report, _) = examine(&daemon, &[]);
        says(&report, "db_mode", mark, words);
        says(&report, "db_mode", mark, "kamailio.cfg line ");
        says(&report, "clock_kamailio", "ok", "agree");
    }
}

#[test]
fn workers_that_write_collide() {
    for (mode, journal, mark, words) in [
        (2, Journal::Rollback, "ok", "do not collide"),
        (1, Journal::Rollback, "warn", "phones get 500"),
        (1, Journal::Wal, "warn", "Even in WAL mode"),
    ] {
        let kamailio = Kamailio::builder()
            .db_mode(mode)
            .children(2)
            .journal(journal);
        let kamailio = kamailio.start();
        let daemon = Daemon::builder(&kamailio).prepare();
        says(&examine(&daemon, &[]).0, "workers", mark, words);
    }
}

/// Adds a line to the registrar's configuration, and starts it again.
pub(super) fn with_line(kamailio: &mut Kamailio, line: &str) {
    kamailio.stop();
    let file = kamailio.file("kamailio.cfg");
    let text = fs::read_to_string(&file).expect("it is ours");
    fs::write(&file, format!("{text}\n{line}\n")).expect("it is ours");
    kamailio.start();
}

#[test]
fn parameters_of_usrloc_are_those_of_the_running_kamailio() {
    let mut kamailio = Kamailio::builder().matching_mode(1).start();
    let daemon = Daemon::builder(&kamailio).prepare();
    let (report, _) = examine(&daemon, &[]);
    says(
        &report,
        "matching_mode",
        "note",
        "flushes can only remove whole users",
    );
    lacks(&report, "use_domain");
    lacks(&report, "expires_type");
    for (line, check, words) in [
        (
            "modparam(\"usrloc\", \"use_domain\", 0)",
            "use_domain",
            "stores no domain",
        ),
        (
            "modparam(\"usrloc\", \"expires_type\", 1)",
            "expires_type",
            "writes times as seconds",
        ),
        (
            "modparam(\"usrloc\", \"db_update_as_insert\", 1)",
            "repeated",
            "inserts a row instead of updating one",
        ),
    ] {
        with_line(&mut kamailio, line);
        // There is no row that shows it.
        says(&examine(&daemon, &[]).0, check, "warn", words);
    }
    kamailio.stop();
    let (report, _) = examine(&daemon, &[]);
    says(
        &report,
        "db_mode",
        "note",
        "Not checked, since Kamailio does not answer",
    );
    says(
        &report,
        "workers",
        "note",
        "Not checked, since Kamailio does not answer",
    );
    lacks(&report, "use_domain");
}

#[track_caller]
pub(super) fn lacks(report: &Value, check: &str) {
    let findings = report["findings"].as_array().expect("a list");
    assert!(findings.iter().all(|it| it["check"] != check), "{report:#}");
}

#[test]
fn another_database_than_usrlocs_is_an_error() {
    let kamailio = Kamailio::builder().start();
    let other = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio)
        .database(other.database())
        .prepare();
    let (report, status) = examine(&daemon, &[]);
    assert_eq!(status, Some(1), "{report:#}");
    let words = format!("usrloc writes to {}", kamailio.database().display());
    says(&report, "db_url", "fail", &words);
}

/// One that is stuck is asked what it says: lines for its configuration would not mend it.
#[test]
fn a_kamailio_that_hangs_is_not_one_that_is_down() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).prepare();
    kamailio.signal(Signal::STOP);
    let (report, _) = examine(&daemon, &[]);
    kamailio.signal(Signal::CONT);
    says(&report, "jsonrpc", "fail", "flushes answer 504");
    says(&report, "jsonrpc", "fail", "workers are busy or stuck");
}
