//! Ready means ready: once usrlocd says so, every row that is there is shown.

use std::fs;

use serde_json::Value;

use crate::oracle::{PATIENCE, contacts_of, list, of};
use crate::support::account::Account;
use crate::support::daemon::Daemon;
use crate::support::kamailio::{Journal, Kamailio};
use crate::support::phone::Phone;
use crate::support::{eventually, holds};

const ALL: &str = "/v2/registrations";

fn acme() -> Account {
    Account::new("ac", "Acme", "acme.example.com")
}

/// Registers a phone that leaves no attributes, whose domain is its account.
fn plain(kamailio: &Kamailio, user: &str) -> Phone {
    let mut phone = Phone::new(kamailio, user, "plain.test");
    phone.register();
    phone
}

/// A registrar with one phone whose registration has attributes, and three whose registrations have none.
fn lab(journal: Journal) -> (Kamailio, Vec<Phone>) {
    let kamailio = Kamailio::builder().journal(journal).start();
    let mut phones = vec![Phone::of(&kamailio, &acme().device("alice", 1))];
    phones[0].register();
    phones.extend(["bob", "carol", "dave"].map(|user| plain(&kamailio, user)));
    writes(&kamailio, phones.len());
    (kamailio, phones)
}

/// Waits until the tables have these many rows.
fn writes(kamailio: &Kamailio, rows: usize) {
    eventually("the rows are written", PATIENCE, || {
        let found = kamailio.rows().len();
        holds(found == rows, || format!("{found} of {rows}"))
    });
}

/// All that the first answer after readiness has is all that there is.
#[track_caller]
fn shows_all(daemon: &Daemon, phones: &[Phone]) {
    let mut expected: Vec<_> = phones
        .iter()
        .map(|phone| String::from_utf8_lossy(phone.contact_uri()).into_owned())
        .collect();
    expected.sort();
    let items = list(daemon, ALL);
    assert_eq!(contacts_of(&items), expected, "{}", daemon.log());
    let of_plain = list(daemon, "/v2/accounts/plain.test/registrations");
    assert_eq!(of_plain.len(), phones.len() - 1);
    assert_eq!(list(daemon, &of(&acme())).len(), 1);
}

fn shows_all_rows_at_once(journal: Journal) {
    let (kamailio, mut phones) = lab(journal);
    let mut daemon = Daemon::builder(&kamailio).start();
    shows_all(&daemon, &phones);
    let line = |daemon: &Daemon| {
        let log = daemon.log();
        let ready = log.lines().rfind(|line| line.contains("notify: ready "));
        ready.expect("it has said so").to_owned()
    };
    let ready = line(&daemon);
    assert!(ready.contains("registrations=4 source=\"live\""), "{ready}");

    // Also after a start with a store, for what came meanwhile.
    assert!(daemon.stop().success());
    phones.extend(["erin", "frank"].map(|user| plain(&kamailio, user)));
    writes(&kamailio, phones.len());
    daemon.start();
    shows_all(&daemon, &phones);
    let ready = line(&daemon);
    assert!(ready.contains("registrations=6 source=\"live\""), "{ready}");
}

#[test]
fn shows_all_rows_at_once_wal() {
    shows_all_rows_at_once(Journal::Wal);
}

#[test]
fn shows_all_rows_at_once_rollback() {
    shows_all_rows_at_once(Journal::Rollback);
}

/// The file goes just when it has been read, and before what was read is shown.
#[test]
fn a_file_that_vanishes_meanwhile_loses_nothing() {
    let (mut kamailio, phones) = lab(Journal::Wal);
    kamailio.stop();
    let attributes = kamailio.sql("select count(*) from location_attrs");
    let rows = phones.len() as u64 + attributes.trim().parse::<u64>().expect("a number");
    let mut daemon = Daemon::builder(&kamailio).prepare();
    daemon.start_unready();
    let database = kamailio.database().to_owned();
    let away = database.with_extension("away");
    eventually("it has read every row", PATIENCE, || {
        let ready = daemon.get("/readyz");
        let body = ready.json();
        let read = ready.status == 200 || body["read"].as_u64() == Some(rows);
        holds(read, || ready.text())
    });
    fs::rename(&database, &away).expect("an own directory is writable");
    let body = eventually("the file is missed", PATIENCE, || {
        let ready = daemon.get("/readyz");
        let body = ready.json();
        let stale = body["source"]["state"] == "stale";
        holds(stale, || ready.text()).map(|()| body)
    });
    assert_eq!(body["status"], "unavailable");
    let reason = body["reason"].as_str().expect("a reason");
    assert!(
        reason.contains("the database file does not exist"),
        "{reason}"
    );
    assert!(body["source"]["as_of"].is_number(), "{body}");
    shows_all(&daemon, &phones);
    fs::rename(&away, &database).expect("an own directory is writable");
    eventually("it is ready", PATIENCE, || {
        let ready = daemon.get("/readyz");
        holds(ready.status == 200, || ready.text())
    });
    shows_all(&daemon, &phones);
    assert_eq!(daemon.get("/readyz").json()["reason"], Value::Null);
}
