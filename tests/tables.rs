//! Several usrloc tables in one file or on one server, as a Kamailio with more than one location domain keeps them.

use serde_json::Value;

use crate::oracle::{PATIENCE, list, lists};
use crate::support::account::Account;
use crate::support::daemon::Daemon;
use crate::support::kamailio::{Builder, Journal, Kamailio};
use crate::support::phone::Phone;
use crate::support::server::{Engine, Server};
use crate::support::{eventually, holds};

const ALL: &str = "/v2/registrations";
const TABLES: [&str; 2] = ["location", "location2"];

/// A Kamailio that keeps two tables in a file, and a usrlocd that is told of both.
fn lab(db_mode: u8, journal: Journal) -> (Kamailio, Daemon) {
    let mut builder = Kamailio::builder().db_mode(db_mode).journal(journal);
    if db_mode != 2 {
        // Who writes through is in the way of the timer, and attributes would be lost.
        builder = builder.timer_interval(3600);
    }
    started(builder)
}

fn started(builder: Builder) -> (Kamailio, Daemon) {
    let kamailio = builder.tables(&TABLES).start();
    let daemon = Daemon::builder(&kamailio)
        .environment("USRLOCD_KAMAILIO__TABLE", &TABLES.join(", "))
        .start();
    (kamailio, daemon)
}

/// A phone that is saved to the second table.
fn second(phone: Phone) -> Phone {
    phone.header("X-Table", TABLES[1])
}

fn ruids(items: &[Value]) -> Vec<String> {
    let mut ruids: Vec<_> = items.iter().map(|item| item["ruid"].to_string()).collect();
    ruids.sort();
    ruids
}

/// Waits until the list is what both tables hold.
fn agree(kamailio: &Kamailio, daemon: &Daemon) {
    eventually("list and both tables agree", PATIENCE, || {
        let rows = TABLES.map(|table| kamailio.rows_of(table)).concat();
        let mut expected: Vec<_> = rows
            .iter()
            .map(|row| format!("{:?}", row.text("ruid")))
            .collect();
        expected.sort();
        let found = ruids(&list(daemon, ALL));
        holds(found == expected, || {
            format!("listed {found:?}, in the tables {expected:?}")
        })
    });
}

fn follows_and_flushes((kamailio, daemon): (Kamailio, Daemon)) {
    let acme = Account::new("ac", "Acme", "acme.example.com");
    let path = format!("/v2/accounts/{}/registrations", acme.id);
    let (alice, bob) = (acme.device("alice", 1), acme.device("bob", 2));
    let mut first = Phone::of(&kamailio, &alice);
    let mut other = second(Phone::of(&kamailio, &alice));
    let mut third = second(Phone::of(&kamailio, &bob));
    for phone in [&mut first, &mut other, &mut third] {
        phone.register();
    }
    // Attributes reach the rows of their own table.
    let items = lists(
        &daemon,
        &path,
        &[
            first.contact_uri(),
            other.contact_uri(),
            third.contact_uri(),
        ],
    );
    let ids: Vec<_> = items.iter().map(|item| &item["authorizing_id"]).collect();
    assert_eq!(ids, [&alice.id, &alice.id, &bob.id]);
    agree(&kamailio, &daemon);
    assert_eq!(kamailio.rows_of(TABLES[0]).len(), 1);
    assert_eq!(kamailio.rows_of(TABLES[1]).len(), 2);

    // A row that goes from one table leaves the other's.
    first.unregister();
    lists(&daemon, &path, &[other.contact_uri(), third.contact_uri()]);
    first.register();
    lists(
        &daemon,
        &path,
        &[
            first.contact_uri(),
            other.contact_uri(),
            third.contact_uri(),
        ],
    );

    // Of a user that both have, both let go; of one, that one.
    let answer = daemon.delete(&format!("{path}/alice"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("X-Flushed"), Some("2"));
    for table in TABLES {
        let left = kamailio.lookup_in(table, "alice@acme.example.com");
        assert!(left.is_empty(), "{table}: {left:?}");
    }
    let bobs = kamailio.lookup_in(TABLES[1], "bob@acme.example.com");
    assert_eq!(bobs.len(), 1);
    lists(&daemon, &path, &[third.contact_uri()]);
    let answer = daemon.delete(&format!("{path}?filter_username=bob"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("X-Flushed"), Some("1"));
    let bobs = kamailio.lookup_in(TABLES[1], "bob@acme.example.com");
    assert!(bobs.is_empty(), "{bobs:?}");
    agree(&kamailio, &daemon);
    kamailio.has_missed_no_lock();
}

#[test]
fn two_tables_are_followed_and_flushed_write_back() {
    follows_and_flushes(lab(2, Journal::Wal));
}

#[test]
fn two_tables_are_followed_and_flushed_write_through() {
    follows_and_flushes(lab(1, Journal::Wal));
}

#[test]
fn two_tables_are_followed_and_flushed_rollback() {
    follows_and_flushes(lab(2, Journal::Rollback));
}

fn follows_and_flushes_on(engine: Engine) {
    let server = Server::start(engine);
    follows_and_flushes(started(Kamailio::builder().server(&server).db_mode(1)));
}

#[test]
fn two_tables_of_a_postgresql_are_followed_and_flushed() {
    follows_and_flushes_on(Engine::Postgres);
}

#[test]
fn two_tables_of_a_mariadb_are_followed_and_flushed() {
    follows_and_flushes_on(Engine::MariaDb);
}

/// What is told to be gone from one table is not looked for in the other, and a restart knows both.
#[test]
fn two_tables_are_known_after_a_restart() {
    let (mut kamailio, mut daemon) = lab(2, Journal::Wal);
    let mut phones: Vec<Phone> = (0..6)
        .map(|number| Phone::new(&kamailio, format!("user{number}"), "acme.example.com"))
        .map(|phone| {
            if phone.aor() < b"user3".to_vec() {
                phone
            } else {
                second(phone)
            }
        })
        .collect();
    phones.iter_mut().for_each(Phone::register);
    agree(&kamailio, &daemon);
    eventually("all show", PATIENCE, || {
        let found = list(&daemon, ALL).len();
        holds(found == 6, || found.to_string())
    });
    assert!(daemon.stop().success());
    kamailio.stop();
    kamailio.sql("delete from location2 where username = 'user4'");
    daemon.start();
    let expected = ["user0", "user1", "user2", "user3", "user5"];
    let expected = expected.map(|user| format!("{user:?}"));
    eventually("the one that went is gone", PATIENCE, || {
        let items = list(&daemon, ALL);
        let users = items.iter().map(|item| item["username"].to_string());
        let users: Vec<_> = users.collect();
        holds(users == expected, || format!("{users:?}"))
    });
    kamailio.start();
    agree(&kamailio, &daemon);
}

#[test]
fn a_table_that_is_not_named_is_not_shown() {
    let kamailio = Kamailio::builder().tables(&TABLES).start();
    let daemon = Daemon::builder(&kamailio).start();
    let mut shown = Phone::new(&kamailio, "shown", "acme.example.com");
    let mut unseen = second(Phone::new(&kamailio, "unseen", "acme.example.com"));
    unseen.register();
    eventually("the other table has it", PATIENCE, || {
        holds(kamailio.rows_of(TABLES[1]).len() == 1, || {
            "not yet".to_owned()
        })
    });
    shown.register();
    lists(&daemon, ALL, &[shown.contact_uri()]);
}
