//! Kamailio's tables on a server of `PostgreSQL` or `MariaDB`: what holds for a file holds there.

mod changes;
mod faults;
mod found;
mod owners;
mod standby;
mod times;

use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::oracle::{PATIENCE, agree, list, lists, of, shows_round};
use crate::support::account::Account;
use crate::support::daemon::{self, Daemon};
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::server::{Engine, PASSWORD, Server};
use crate::support::{eventually, holds};

/// Kamailio's zone, which is neither the server's nor this machine's.
const ZONE: &str = "Asia/Kolkata";

pub(crate) const ALL: &str = "/v2/registrations";

fn acme() -> Account {
    Account::new("ac", "Acme", "acme.example.com")
}

fn beside(kamailio: &Kamailio) -> daemon::Builder {
    Daemon::builder(kamailio).environment("USRLOCD_KAMAILIO__TIMEZONE", ZONE)
}

/// Waits until `/readyz` is what it is to be; what it says.
#[track_caller]
fn readyz(daemon: &Daemon, status: u16, words: &str) -> String {
    eventually("/readyz says so", PATIENCE, || {
        let answer = daemon.request("GET", "/readyz", &[], b"");
        let said = answer.text();
        holds(answer.status == status && said.contains(words), || {
            format!("{} {said}", answer.status)
        })
        .map(|()| said)
    })
}

/// What phones do shows, exactly as the server has it; a flush is confirmed; and the server has seen reads alone.
fn follows_the_phones(engine: Engine, db_mode: u8) {
    follows_the_phones_of(&Server::start(engine), db_mode);
}

fn follows_the_phones_of(server: &Arc<Server>, db_mode: u8) {
    let kamailio = Kamailio::builder()
        .server(server)
        .db_mode(db_mode)
        .timezone(ZONE)
        .start();
    let daemon = beside(&kamailio).start();
    assert_eq!(list(&daemon, ALL).len(), 0);

    let acme = acme();
    let mut desk = Phone::of(&kamailio, &acme.device("alice", 1));
    let mut plain = Phone::new(&kamailio, "bob", "plain.test").q("0.7");
    let mut tcp =
        Phone::tcp(&kamailio, "carol", "plain.test").user_agent("Téléphone \"№ 7\" \\ 📞");
    for phone in [&mut desk, &mut plain, &mut tcp] {
        phone.register();
    }
    lists(&daemon, &of(&acme), &[desk.contact_uri()]);
    lists(
        &daemon,
        ALL,
        &[desk.contact_uri(), plain.contact_uri(), tcp.contact_uri()],
    );
    let items = agree(&kamailio, &daemon);
    assert!(
        items.iter().any(|item| item["q"] == json!(0.7)),
        "{items:?}"
    );

    desk.register();
    plain.register();
    shows_round(&daemon, 2, 2);
    agree(&kamailio, &daemon);
    tcp.unregister();
    lists(&daemon, ALL, &[desk.contact_uri(), plain.contact_uri()]);

    let permanent = json!([
        "location",
        "hall@plain.test",
        "sip:hall@192.0.2.7",
        0,
        1.0,
        "",
        0,
        0,
        0
    ]);
    let added = kamailio.rpc("ul.add", &permanent);
    assert!(added["error"].is_null(), "{added}");
    lists(
        &daemon,
        "/v2/accounts/plain.test/registrations",
        &[plain.contact_uri(), b"sip:hall@192.0.2.7"],
    );
    let items = agree(&kamailio, &daemon);
    assert!(
        items.iter().any(|item| item["permanent"] == true),
        "{items:?}"
    );

    let flush = daemon.delete(&of(&acme));
    assert_eq!(flush.status, 200, "{}", flush.text());
    assert_eq!(flush.header("X-Flushed"), Some("1"));
    assert_eq!(list(&daemon, &of(&acme)).len(), 0);
    agree(&kamailio, &daemon);
    assert!(server.only_reads() > 10, "{}", server.log());
    assert!(!daemon.log().contains(PASSWORD), "{}", daemon.log());
}

#[test]
fn a_postgresql_shows_what_phones_do_in_write_through() {
    follows_the_phones(Engine::Postgres, 1);
}

#[test]
fn a_postgresql_shows_what_phones_do_in_write_back() {
    follows_the_phones(Engine::Postgres, 2);
}

#[test]
fn a_postgresql_shows_what_phones_do_in_database_only_mode() {
    follows_the_phones(Engine::Postgres, 3);
}

#[test]
fn a_mariadb_shows_what_phones_do_in_write_through() {
    follows_the_phones(Engine::MariaDb, 1);
}

#[test]
fn a_mariadb_shows_what_phones_do_in_write_back() {
    follows_the_phones(Engine::MariaDb, 2);
}

#[test]
fn a_mariadb_shows_what_phones_do_in_database_only_mode() {
    follows_the_phones(Engine::MariaDb, 3);
}

/// Whatever becomes of the server, the last known rows are served and the cause is named; it is back by itself.
fn survives(engine: Engine) {
    let server = Server::start(engine);
    let kamailio = Kamailio::builder()
        .server(&server)
        .db_mode(1)
        .timezone(ZONE)
        .start();
    let daemon = beside(&kamailio).start();
    let mut phones: Vec<Phone> = (0..30)
        .map(|n| Phone::new(&kamailio, format!("user{n}"), "plain.test"))
        .collect();
    for phone in &mut phones {
        phone.register();
    }
    let contacts: Vec<&[u8]> = phones.iter().map(Phone::contact_uri).collect();
    lists(&daemon, ALL, &contacts);

    server.stop();
    readyz(&daemon, 503, "database server");
    assert_eq!(daemon.get(ALL).json()["source"]["state"], "stale");
    lists(&daemon, ALL, &contacts);
    server.resume();
    readyz(&daemon, 200, "");
    agree(&kamailio, &daemon);

    server.query("alter table location rename to elsewhere");
    readyz(&daemon, 503, "location");
    lists(&daemon, ALL, &contacts);
    server.query("alter table elsewhere rename to location");
    readyz(&daemon, 200, "");
    lists(&daemon, ALL, &contacts);

    // A table that is empty for a moment is not believed; one that stays so is.
    server.query("create table aside as select * from location; delete from location");
    server.query("insert into location select * from aside");
    readyz(&daemon, 200, "");
    lists(&daemon, ALL, &contacts);
    server.query("delete from location");
    lists(&daemon, ALL, &[]);
    assert!(!daemon.log().contains(PASSWORD), "{}", daemon.log());
}

#[test]
fn a_postgresql_that_is_away_or_empty_is_told() {
    survives(Engine::Postgres);
}

#[test]
fn a_mariadb_that_is_away_or_empty_is_told() {
    survives(Engine::MariaDb);
}

/// A phone at a Kamailio that is not asked stays listed, and its flush says why; what the asked one has goes.
#[test]
fn a_table_of_several_kamailios_keeps_what_the_other_ones_have() {
    let server = Server::start(Engine::Postgres);
    let kamailio = |id| {
        Kamailio::builder()
            .server(&server)
            .server_id(id)
            .db_mode(1)
            .timezone(ZONE)
            .start()
    };
    let (asked, other) = (kamailio(1), kamailio(2));
    let daemon = beside(&asked).start();
    let mut here = Phone::new(&asked, "alice", "plain.test");
    let mut there = Phone::new(&other, "bob", "plain.test");
    here.register();
    there.register();
    lists(&daemon, ALL, &[here.contact_uri(), there.contact_uri()]);

    let flush = daemon.delete("/v2/accounts/plain.test/registrations");
    assert_eq!(flush.status, 502, "{}", flush.text());
    let said = flush.json();
    assert_eq!(said["data"]["flushed"], 1, "{said}");
    assert!(flush.text().contains("another Kamailio"), "{said}");
    lists(&daemon, ALL, &[there.contact_uri()]);
    assert_eq!(other.lookup("bob@plain.test").len(), 1);

    let own = beside(&other)
        .environment("USRLOCD_KAMAILIO__SERVER_ID", "2")
        .start();
    here.register();
    lists(&own, ALL, &[there.contact_uri()]);
    assert_eq!(
        own.delete("/v2/accounts/plain.test/registrations").status,
        200
    );
    lists(&daemon, ALL, &[here.contact_uri()]);
}

/// `doctor` and `check-config` say what is wrong with the server, and never the password.
#[test]
fn doctor_examines_the_server() {
    let server = Server::start(Engine::Postgres);
    let kamailio = Kamailio::builder()
        .server(&server)
        .db_mode(1)
        .timezone(ZONE)
        .start();
    let mut phone = Phone::new(&kamailio, "alice", "plain.test");
    phone.register();
    let doctor = |zone: &str, database: &str| {
        let daemon = beside(&kamailio).database(database.as_ref()).prepare();
        let mut command = daemon.command("doctor");
        command.args(["-o", "json"]);
        command.env("USRLOCD_KAMAILIO__TIMEZONE", zone);
        let output = command.output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!said.contains(PASSWORD), "{said}");
        said
    };
    let url = server.url();
    let said = doctor(ZONE, &url);
    assert!(said.contains("can be read (PostgreSQL "), "{said}");
    assert!(said.contains("Table location has 1 row."), "{said}");
    assert!(!said.contains("min in the future"), "{said}");
    let said = doctor("UTC", &url);
    assert!(said.contains("min in the future"), "{said}");
    let said = doctor(ZONE, &url.replace(PASSWORD, "wrong"));
    assert!(said.contains("refused the login"), "{said}");
    server.query("revoke select on location from usrlocd");
    let said = doctor(ZONE, &url);
    assert!(said.contains("lacks the SELECT privilege"), "{said}");
}

/// A server that stands still is told and left; a login that is refused is tried again.
#[test]
fn a_postgresql_that_hangs_or_refuses_is_told() {
    let server = Server::start(Engine::Postgres);
    let kamailio = Kamailio::builder()
        .server(&server)
        .db_mode(1)
        .timezone(ZONE)
        .start();
    let mut phone = Phone::new(&kamailio, "alice", "plain.test");
    phone.register();
    server.query("alter role usrlocd password 'another'");
    let mut daemon = beside(&kamailio).prepare();
    daemon.start_unready();
    readyz(&daemon, 503, "refused the login");
    let answer = daemon.get(ALL);
    assert_eq!(answer.status, 503, "{}", answer.text());
    server.query(&format!("alter role usrlocd password '{PASSWORD}'"));
    readyz(&daemon, 200, "");
    lists(&daemon, ALL, &[phone.contact_uri()]);

    let own = server.query("select pid from pg_stat_activity where usename = 'usrlocd'");
    let own = own.trim().parse().ok().and_then(Pid::from_raw);
    let own = own.expect("usrlocd has one connection");
    kill_process(own, Signal::STOP).expect("it runs");
    readyz(&daemon, 503, "did not answer");
    lists(&daemon, ALL, &[phone.contact_uri()]);
    readyz(&daemon, 200, "");
    kill_process(own, Signal::CONT).expect("it hangs");
    assert!(!daemon.log().contains(PASSWORD), "{}", daemon.log());
}

/// More rows than any page has: all are read, and those that change or go without a new `last_modified` are found.
fn finds_changes_in_pages(engine: Engine) {
    let server = Server::start(engine);
    let kamailio = Kamailio::builder().server(&server).timezone(ZONE).start();
    let daemon = beside(&kamailio).start();
    let (numbers, ends) = match engine {
        Engine::Postgres => (
            "generate_series(1, 25000) as seq",
            "(now() at time zone 'Asia/Kolkata') + interval '1 hour'",
        ),
        Engine::MariaDb => ("seq_1_to_25000", "utc_timestamp() + interval 390 minute"),
    };
    server.query(&format!(
        "insert into location (ruid, username, domain, contact, expires, user_agent)
         select concat('r', seq), concat('u', seq), 'plain.test', concat('sip:u', seq, '@192.0.2.1'), {ends}, 'Old'
         from {numbers}"
    ));
    let counts = |filter: &str, expected: i64| {
        eventually("they are counted", PATIENCE, || {
            let answer = daemon.get(&format!("{ALL}/count{filter}")).json();
            let count = answer["data"]["count"].as_i64();
            holds(count == Some(expected), || format!("{filter} {answer}"))
        });
    };
    counts("", 25_000);
    server.query("update location set user_agent = 'New' where id % 2 = 0");
    counts("?filter_user_agent=New", 12_500);
    counts("", 25_000);
    server.query("delete from location where id in (select * from (select min(id) from location union select max(id) from location) as ends) or username in ('u10000', 'u10001')");
    counts("", 24_996);
}

#[test]
fn a_postgresql_is_read_in_pages() {
    finds_changes_in_pages(Engine::Postgres);
}

#[test]
fn a_mariadb_is_read_in_pages() {
    finds_changes_in_pages(Engine::MariaDb);
}
