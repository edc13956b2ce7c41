//! Tables that cannot be understood are unreadable, not empty.

use std::fs;
use std::path::Path;

use crate::oracle::{PATIENCE, list};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::table::Table;
use crate::support::{eventually, holds};

const ALL: &str = "/v2/registrations";

/// What is there and cannot be understood, and what is said of it.
const CASES: &[(&str, &str)] = &[
    (
        "create table location (id integer primary key, username text, domain text, contact text, expires real, \
         callid text); insert into location values (1, 'alice', 'acme.test', 'sip:alice@192.0.2.1', 4e9, 'c')",
        "the table \"location\" has no column ruid",
    ),
    (
        "create table location (ruid text, name text); insert into location values ('uloc-1', 'Berlin')",
        "the table \"location\" has no column username and no column contact and no column expires",
    ),
    (
        "create table places (ruid text, username text, contact text, expires real); \
         create view location as select * from places",
        "it is a view",
    ),
    (
        "create virtual table location using fts5(ruid, username, contact, expires)",
        "it is a virtual table",
    ),
    (
        "create table location (ruid text primary key, username text, contact text, expires real) without rowid",
        "it is a WITHOUT ROWID table",
    ),
    (
        "create table location (ruid text, username text, contact text, ends real, expires real as (ends + 1))",
        "its column expires is generated and not stored",
    ),
    (
        "create table location (ruid text, username text, contact text, expires real, realm text, domain text \
         generated always as (lower(realm)) virtual)",
        "its column domain is generated and not stored",
    ),
    (
        "create table location (ruid text, username text, contact text, expires text); insert into location values \
         ('uloc-1', 'alice', 'sip:alice@192.0.2.1', 'next week'), ('uloc-2', 'bob', 'sip:bob@192.0.2.1', 'soon')",
        "no row of the table \"location\" can be understood; row 1: ",
    ),
    (
        "create table location (ruid text, username text, contact text, expires real); \
         create table location_attrs (ruid text, name text, value text)",
        "the table \"location_attrs\" has no column aname and no column avalue",
    ),
    (
        "create table location (ruid text, username text, contact text, expires real); \
         create view location_attrs as select ruid, 'a' as aname, 'b' as avalue from location",
        "it is a view",
    ),
    (
        "pragma encoding = 'UTF-16le'; create table location (ruid, username, contact, expires)",
        "UTF-16",
    ),
];

/// Puts a database with these tables in place of the one that is there.
fn put(database: &Path, sql: &str) {
    let new = database.with_extension("new");
    Table::at(&new).query(sql);
    fs::rename(&new, database).expect("an own directory is writable");
}

/// Waits until `/readyz` says this.
fn says(daemon: &Daemon, cause: &str) {
    eventually("the cause is named", PATIENCE, || {
        let ready = daemon.get("/readyz");
        let body = ready.json();
        let said = body["reason"]
            .as_str()
            .is_some_and(|said| said.contains(cause));
        let is_it = ready.status == 503 && body["status"] == "unavailable" && said;
        holds(is_it, || format!("wanted {cause}: {}", ready.text()))
    });
    eventually("the log names it", PATIENCE, || {
        holds(daemon.log().contains(cause), || daemon.log())
    });
}

#[test]
fn a_table_of_rows_that_are_no_bindings_is_empty() {
    let mut kamailio = Kamailio::builder().start();
    kamailio.stop();
    let folder = tempfile::tempdir().expect("a temporary directory");
    let database = folder.path().join("kamailio.sqlite");
    put(
        &database,
        "create table location (ruid text, username text, contact text, expires real); insert into location values \
         (null, 'a', 'sip:a@192.0.2.1', 4e9), ('uloc-2', null, 'sip:b@192.0.2.1', 4e9), ('uloc-3', 'c', null, 4e9), \
         ('uloc-4', 'd', 'sip:d@192.0.2.1', null)",
    );
    let daemon = Daemon::builder(&kamailio).database(&database).start();
    let answer = daemon.get(ALL);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(list(&daemon, ALL).is_empty());
}

#[test]
fn tables_that_cannot_be_understood_are_unreadable() {
    let mut kamailio = Kamailio::builder().start();
    kamailio.stop();
    let folder = tempfile::tempdir().expect("a temporary directory");
    let database = folder.path().join("kamailio.sqlite");
    let mut daemon = Daemon::builder(&kamailio).database(&database).prepare();
    daemon.start_unready();
    let encrypted = [0x5a_u8; 8192];
    for (sql, cause) in CASES {
        put(&database, sql);
        says(&daemon, cause);
        let answer = daemon.get(ALL);
        assert_eq!(answer.status, 503, "{cause}: {}", answer.text());
        assert_eq!(answer.json()["message"], "datastore_unreachable");
    }
    fs::write(&database, encrypted).expect("an own directory is writable");
    says(&daemon, "the file is not a SQLite database");
    assert_eq!(daemon.get(ALL).status, 503);
    let output = daemon.command("list").output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains("the file is not a SQLite database"), "{said}");

    // Once rows are known, they stay, whatever comes in the place of their table.
    let good = "create table location (ruid text, username text, domain text, contact text, expires real); insert into \
                location values ('uloc-a', 'alice', 'acme.test', 'sip:alice@192.0.2.1', 4e9), ('uloc-b', 'bob', \
                'acme.test', 'sip:bob@192.0.2.1', 4e9)";
    for (sql, cause) in CASES {
        put(&database, good);
        eventually("it is read", PATIENCE, || {
            let ready = daemon.get("/readyz");
            holds(ready.status == 200, || ready.text())
        });
        assert_eq!(list(&daemon, ALL).len(), 2);
        put(&database, sql);
        says(&daemon, cause);
        assert_eq!(list(&daemon, ALL).len(), 2, "{cause}");
        let source = daemon.get(ALL).json()["source"].clone();
        assert_eq!(source["state"], "stale", "{cause}: {source}");
    }
}

/// A Kamailio whose phones alice and bob are listed, and that has been stopped.
fn stopped_with_two_phones() -> (Kamailio, Daemon) {
    let mut kamailio = Kamailio::builder().start();
    let mut phones = ["alice", "bob"].map(|user| Phone::new(&kamailio, user, "acme.test"));
    phones.iter_mut().for_each(Phone::register);
    let daemon = Daemon::builder(&kamailio).start();
    eventually("both are listed", PATIENCE, || {
        let found = list(&daemon, ALL).len();
        holds(found == 2, || found.to_string())
    });
    kamailio.stop();
    (kamailio, daemon)
}

/// Under a Kamailio's own table, as by a migration that goes wrong and is mended.
#[test]
fn a_column_that_goes_and_comes_back() {
    let (kamailio, mut daemon) = stopped_with_two_phones();
    for column in ["ruid", "username", "contact", "expires"] {
        let cause = format!("the table \"location\" has no column {column}");
        kamailio.sql(&format!(
            "alter table location rename column {column} to away"
        ));
        says(&daemon, &cause);
        assert_eq!(list(&daemon, ALL).len(), 2, "{column}");
        // The cause is there at a start as well, and the rows of before.
        assert!(daemon.stop().success());
        daemon.start_unready();
        says(&daemon, &cause);
        assert_eq!(list(&daemon, ALL).len(), 2, "{column}");
        kamailio.sql(&format!(
            "alter table location rename column away to {column}"
        ));
        eventually("it is read", PATIENCE, || {
            let ready = daemon.get("/readyz");
            holds(ready.status == 200, || ready.text())
        });
        assert_eq!(list(&daemon, ALL).len(), 2, "{column}");
    }
    // Without it a row means as much.
    kamailio.sql("alter table location rename column domain to away");
    eventually("it is read", PATIENCE, || {
        let items = list(&daemon, ALL);
        let without = items.iter().all(|item| item["realm"].is_null());
        holds(without && items.len() == 2, || format!("{items:?}"))
    });
}

/// The attributes say whose a registration is: without them nobody knows.
#[test]
fn attributes_that_go_and_come_back() {
    let mut kamailio = Kamailio::builder().start();
    let account = crate::support::account::Account::new("ac", "Acme", "acme.test");
    let path = crate::oracle::of(&account);
    let mut phone = Phone::of(&kamailio, &account.device("alice", 1));
    phone.register();
    let daemon = Daemon::builder(&kamailio).start();
    crate::oracle::lists(&daemon, &path, &[phone.contact_uri()]);
    kamailio.stop();
    for (go, come, cause) in [
        (
            "rename to away",
            "alter table away rename to location_attrs",
            "the database has no table \"location_attrs\"",
        ),
        (
            "rename column avalue to away",
            "alter table location_attrs rename column away to avalue",
            "the table \"location_attrs\" has no column avalue",
        ),
    ] {
        kamailio.sql(&format!("alter table location_attrs {go}"));
        says(&daemon, cause);
        assert_eq!(list(&daemon, &path).len(), 1, "{cause}");
        kamailio.sql(come);
        eventually("it is read", PATIENCE, || {
            let ready = daemon.get("/readyz");
            holds(ready.status == 200, || ready.text())
        });
        assert_eq!(list(&daemon, &path).len(), 1);
    }
}

/// A row that never could be read hides nobody's departure, not even the last one's.
#[test]
fn the_last_row_that_can_be_read_goes() {
    for never in ["'never'", "'9999-12-31 23:59:59'"] {
        let mut kamailio = Kamailio::builder().start();
        let mut phones = ["alice", "bob"].map(|user| Phone::new(&kamailio, user, "acme.test"));
        phones.iter_mut().for_each(Phone::register);
        eventually("both have a row", PATIENCE, || {
            let found = kamailio.rows().len();
            holds(found == 2, || found.to_string())
        });
        kamailio.stop();
        kamailio.sql(&format!(
            "update location set expires = {never} where username = 'alice'"
        ));
        let lists = |daemon: &Daemon, expected: &[&str]| {
            eventually("these are listed", PATIENCE, || {
                let items = list(daemon, ALL);
                let users: Vec<_> = items.iter().map(|it| &it["username"]).collect();
                let ready = daemon.get("/readyz");
                holds(users == expected && ready.status == 200, || {
                    format!("{users:?}, {}", ready.text())
                })
            });
        };
        let stays: &[&str] = if never == "'never'" { &[] } else { &["alice"] };
        let daemon = Daemon::builder(&kamailio).start();
        lists(&daemon, &[stays, &["bob"]].concat());
        kamailio.sql("delete from location where username = 'bob'");
        lists(&daemon, stays);
    }
}

/// One row that cannot be understood costs itself alone. Where it is all of them, nobody knows who is registered.
#[test]
fn rows_that_all_become_unintelligible_say_nothing() {
    let (kamailio, mut daemon) = stopped_with_two_phones();
    kamailio.sql("update location set expires = 'next week'");
    let cause = "no row of the table \"location\" can be understood";
    says(&daemon, cause);
    assert_eq!(list(&daemon, ALL).len(), 2);
    assert!(daemon.stop().success());
    daemon.start_unready();
    says(&daemon, cause);
    assert_eq!(list(&daemon, ALL).len(), 2);
    kamailio.sql("update location set expires = 2500000.5 where username = 'alice'");
    eventually("one is left", PATIENCE, || {
        let ready = daemon.get("/readyz");
        let found = list(&daemon, ALL).len();
        holds(ready.status == 200 && found == 1, || {
            format!("{found}, {}", ready.text())
        })
    });
    kamailio.sql("update location set expires = 2500000.5");
    eventually("both are back", PATIENCE, || {
        let found = list(&daemon, ALL).len();
        holds(found == 2, || found.to_string())
    });
}
