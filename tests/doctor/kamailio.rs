//! What the running Kamailio says, and what its configuration says of it.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::{examine, says};
use crate::oracle::lists;
use crate::support::daemon::Daemon;
use crate::support::kamailio::{Journal, Kamailio};
use crate::support::phone::Phone;
use crate::support::{eventually, holds};

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

/// In every way that Kamailio's lexer takes.
#[test]
fn parameters_are_read_however_they_are_written() {
    let mut kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).prepare();
    let lines = "#!ifdef NOBODY_DEFINES_THIS # don't\n/*\n#!endif\n\
         log_prefix=\"# // /* \" modparam('usrloc', 'use_domain', no); modparam(\"usr.*\",\n\
         /* a /* b */ */ \"expires_type\", 0x1) // done";
    with_line(&mut kamailio, lines);
    let (report, _) = examine(&daemon, &[]);
    says(&report, "use_domain", "warn", "stores no domain");
    says(&report, "expires_type", "warn", "writes times as seconds");
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

/// Its HTTP answers, but it is not JSON-RPC there: the status says more than any word about the answer.
#[test]
fn an_http_status_is_told() {
    let kamailio = Kamailio::builder().start();
    let mut phone = Phone::new(&kamailio, "alice", "acme.test");
    phone.register();
    let elsewhere = kamailio.rpc_url().replace("/RPC", "/elsewhere");
    assert_ne!(elsewhere, kamailio.rpc_url());
    let daemon = Daemon::builder(&kamailio).rpc(&elsewhere).start();
    let (report, _) = examine(&daemon, &[]);
    says(&report, "jsonrpc", "fail", "answers 404 ");
    says(
        &report,
        "jsonrpc",
        "fail",
        "the path in [kamailio] jsonrpc is mostly wrong",
    );
    lists(
        &daemon,
        "/v2/accounts/acme.test/registrations",
        &[phone.contact_uri()],
    );
    let answer = daemon.delete("/v2/accounts/acme.test/registrations");
    assert_eq!(answer.status, 502, "{}", answer.text());
    let reason = &answer.json()["data"]["failed"][0]["reason"];
    assert!(
        reason
            .as_str()
            .is_some_and(|it| it.contains("answers 404 ")),
        "{reason}"
    );
    eventually("the log has it", Duration::from_secs(20), || {
        let log = daemon.log();
        holds(
            log.contains("flushes fail: Kamailio's HTTP port answers 404 "),
            || log,
        )
    });
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
