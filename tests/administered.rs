//! What operators do to the database between two runs of Kamailio.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::oracle::agree;
use crate::restart::{goes_on, has};
use crate::support::daemon::Daemon;
use crate::support::kamailio::{Journal, Kamailio};
use crate::support::phone::Phone;
use crate::support::tools;

/// `kamdbctl reinit` as an operator runs it, for this database.
fn reinit(kamailio: &Kamailio) {
    let home = TempDir::with_prefix("usrlocd-kamdbctl-").expect("a temporary directory");
    let settings = format!(
        "DBENGINE=SQLITE\nDB_PATH={}\nINSTALL_EXTRA_TABLES=no\nINSTALL_PRESENCE_TABLES=no\n",
        kamailio.database().display()
    );
    fs::write(home.path().join(".kamctlrc"), settings).expect("an own directory is writable");
    let mut child = Command::new(tools::program("kamdbctl"))
        .arg("reinit")
        .env("HOME", home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kamdbctl starts");
    let mut answers = child.stdin.take().expect("the input is a pipe");
    answers.write_all(b"y\n").expect("kamdbctl asks");
    drop(answers);
    let output = child.wait_with_output().expect("kamdbctl ends");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(said.contains("successfully created"), "{said}");
}

fn reinitialized(journal: Journal) {
    let mut kamailio = Kamailio::builder().journal(journal).start();
    let daemon = Daemon::builder(&kamailio).start();
    for number in 0..5 {
        Phone::new(&kamailio, format!("user{number}"), "acme.example.com").register();
    }
    has(&daemon, 5);
    kamailio.stop();
    reinit(&kamailio);
    has(&daemon, 0);
    goes_on(&mut kamailio, &daemon, 1);
}

#[test]
fn kamdbctl_reinit_wal() {
    reinitialized(Journal::Wal);
}

#[test]
fn kamdbctl_reinit_rollback() {
    reinitialized(Journal::Rollback);
}

#[test]
fn another_journal_between_two_runs() {
    let mut kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    let mut phones = Vec::new();
    for (number, journal) in ["delete", "wal", "truncate", "persist", "wal", "delete"]
        .iter()
        .enumerate()
    {
        kamailio.stop();
        let mode = kamailio.sql(&format!("pragma journal_mode = {journal}"));
        assert_eq!(mode.trim(), *journal);
        kamailio.start();
        phones.push(Phone::new(
            &kamailio,
            format!("user{number}"),
            "acme.example.com",
        ));
        phones.iter_mut().for_each(Phone::register);
        has(&daemon, phones.len());
        agree(&kamailio, &daemon);
    }
    kamailio.has_missed_no_lock();
}
