//! A flush takes registrations out of Kamailio's memory and out of the list, for certain, and disturbs nobody else.

mod also;
mod crash;
mod everybody;
mod faults;
mod flows;
mod harmless;
mod leftovers;
mod matching;
mod middle;
mod names;
mod newest;
mod owners;
mod races;
mod replies;
mod tel;
mod transports;
mod unaskable;
mod withdrawn;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::oracle::{PATIENCE, agree, list, lists, of};
use crate::support::account::Account;
use crate::support::daemon::Daemon;
use crate::support::http::Response;
use crate::support::kamailio::{Journal, Kamailio};
use crate::support::phone::Phone;
use crate::support::table::Table;
use crate::support::{eventually, holds};

/// Seconds between two write-backs, so many that none comes in a test's way.
const LONG: u32 = 600;

fn acme() -> Account {
    Account::new("ac", "Acme", "acme.example.com")
}

fn globex() -> Account {
    Account::new("91be", "Globex", "globex.example.com")
}

#[track_caller]
fn flushed(answer: &Response, bindings: u32) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["data"], "ok");
    assert_eq!(
        answer.header("X-Flushed"),
        Some(bindings.to_string().as_str())
    );
}

#[track_caller]
fn refused(answer: &Response, status: u16, message: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let envelope = answer.json();
    assert_eq!(envelope["status"], "error");
    assert_eq!(envelope["error"], status.to_string());
    assert_eq!(envelope["message"], message);
}

/// What `sqlite3` reads from usrlocd's own store.
pub(crate) fn audit(daemon: &Daemon) -> String {
    Table::copy_of(&daemon.store()).query(
        "select token, account, coalesce(username, '-'), filters, flushed, failed from flush order by id",
    )
}

fn flushes(db_mode: u8, journal: Journal) {
    let kamailio = Kamailio::builder()
        .db_mode(db_mode)
        .journal(journal)
        .start();
    let daemon = Daemon::builder(&kamailio).start();
    let (acme, globex) = (acme(), globex());
    let mut alice = Phone::of(&kamailio, &acme.device("Alice", 1));
    let mut tablet = Phone::tcp(&kamailio, "alice", &acme.realm);
    let mut bob = Phone::of(&kamailio, &acme.device("bob", 2));
    let mut eve = Phone::of(&kamailio, &globex.device("eve", 3));
    for phone in [&mut alice, &mut bob, &mut eve] {
        phone.register();
    }
    tablet = tablet.attributes(&acme.device("Alice", 1));
    tablet.register();
    let (a, t, b, e) = (
        alice.contact_uri().to_vec(),
        tablet.contact_uri().to_vec(),
        bob.contact_uri().to_vec(),
        eve.contact_uri().to_vec(),
    );
    lists(&daemon, "/v2/registrations", &[&a, &t, &b, &e]);

    // One user, named in any case: both contacts, and nobody else.
    flushed(&daemon.delete(&format!("{}/ALICE", of(&acme))), 2);
    let left = list(&daemon, &of(&acme));
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(kamailio.lookup("alice@acme.example.com").is_empty());
    assert_eq!(kamailio.lookup("bob@acme.example.com").len(), 1);

    // A phone that registers again is back, whether or not Kamailio has written its removal yet.
    alice.register();
    lists(&daemon, &of(&acme), &[&a, &b]);

    // The whole account, and no other.
    flushed(&daemon.delete(&of(&acme)), 2);
    assert!(list(&daemon, &of(&acme)).is_empty());
    assert!(kamailio.lookup("alice@acme.example.com").is_empty());
    assert!(kamailio.lookup("bob@acme.example.com").is_empty());
    lists(&daemon, &of(&globex), &[&e]);
    agree(&kamailio, &daemon);

    // A second flush is not an error; a user who was never there is one.
    flushed(&daemon.delete(&of(&acme)), 0);
    flushed(&daemon.delete(&format!("{}/alice", of(&acme))), 0);
    let answer = daemon.delete(&format!("{}/nobody", of(&acme)));
    refused(&answer, 404, "bad identifier");
    assert_eq!(answer.json()["data"], json!(["nobody"]));
    kamailio.has_missed_no_lock();

    let lines = audit(&daemon);
    let id = &acme.id;
    let expected =
        format!("lab|{id}|ALICE||2|0\nlab|{id}|-||2|0\nlab|{id}|-||0|0\nlab|{id}|alice||0|0\n");
    assert_eq!(lines, expected);
}

#[test]
fn flushes_write_through_wal() {
    flushes(1, Journal::Wal);
}

#[test]
fn flushes_write_through_rollback() {
    flushes(1, Journal::Rollback);
}

#[test]
fn flushes_write_back_wal() {
    flushes(2, Journal::Wal);
}

#[test]
fn flushes_write_back_rollback() {
    flushes(2, Journal::Rollback);
}

#[test]
fn flushes_database_only_wal() {
    flushes(3, Journal::Wal);
}

#[test]
fn flushes_database_only_rollback() {
    flushes(3, Journal::Rollback);
}

/// A write-back Kamailio whose tables have one row that no timer will change, and usrlocd beside it.
fn with_one_lasting_row() -> (Kamailio, Daemon, Phone) {
    let mut kamailio = Kamailio::builder().timer_interval(LONG).start();
    let mut phone = Phone::of(&kamailio, &acme().device("alice", 1));
    phone.register();
    // Ending writes the row; the next Kamailio has it in memory and leaves it alone.
    kamailio.stop();
    kamailio.start();
    let daemon = Daemon::builder(&kamailio).start();
    lists(&daemon, &of(&acme()), &[phone.contact_uri()]);
    (kamailio, daemon, phone)
}

#[test]
fn new_register_shows_before_the_timer() {
    let (kamailio, daemon, mut phone) = with_one_lasting_row();
    flushed(&daemon.delete(&of(&acme())), 1);
    assert!(list(&daemon, &of(&acme())).is_empty());
    assert_eq!(kamailio.rows().len(), 1, "the row must outlive the flush");
    phone.register();
    lists(&daemon, &of(&acme()), &[phone.contact_uri()]);
    assert_eq!(kamailio.rows()[0].integer("cseq"), 1, "not written yet");
}

#[test]
fn flushed_stays_hidden_across_kill_and_restart() {
    let (kamailio, mut daemon, phone) = with_one_lasting_row();
    flushed(&daemon.delete(&format!("{}/alice", of(&acme()))), 1);
    daemon.kill9();
    daemon.start();
    assert!(list(&daemon, &of(&acme())).is_empty());
    let source = eventually("all rows are compared", PATIENCE, || {
        let envelope = daemon.get(&of(&acme())).json();
        assert_eq!(envelope["data"], json!([]));
        let live = envelope["source"]["state"] == "live";
        holds(live, || envelope.to_string()).map(|()| envelope)
    });
    assert_eq!(source["data"], json!([]));
    assert_eq!(kamailio.rows().len(), 1, "the row must outlive the flush");
    drop(phone);
}

#[test]
fn rows_that_come_back_to_life_show_again() {
    let (mut kamailio, daemon, phone) = with_one_lasting_row();
    flushed(&daemon.delete(&of(&acme())), 1);
    assert!(list(&daemon, &of(&acme())).is_empty());
    kamailio.kill9();
    kamailio.start();
    assert_eq!(kamailio.contacts_in_memory(), 1, "it loads the row again");
    lists(&daemon, &of(&acme()), &[phone.contact_uri()]);
}

#[test]
fn stopped_kamailio_is_said_and_nothing_is_hidden() {
    let (mut kamailio, daemon, phone) = with_one_lasting_row();
    kamailio.stop();
    refused(&daemon.delete(&of(&acme())), 503, "kamailio_unreachable");
    let user = format!("{}/alice", of(&acme()));
    refused(&daemon.delete(&user), 503, "kamailio_unreachable");
    lists(&daemon, &of(&acme()), &[phone.contact_uri()]);
    kamailio.start();
    flushed(&daemon.delete(&of(&acme())), 1);
    assert!(audit(&daemon).ends_with("1|0\n"), "{}", audit(&daemon));
}

#[test]
fn silent_kamailio_is_said_and_nothing_is_hidden() {
    let (kamailio, daemon, phone) = with_one_lasting_row();
    kamailio.signal(Signal::STOP);
    let answer = daemon.delete(&of(&acme()));
    let listed = list(&daemon, &of(&acme()));
    kamailio.signal(Signal::CONT);
    refused(&answer, 504, "kamailio_timeout");
    assert_eq!(listed.len(), 1);
    lists(&daemon, &of(&acme()), &[phone.contact_uri()]);
    flushed(&daemon.delete(&of(&acme())), 1);
}

#[test]
fn leftover_row_of_a_young_kamailio_is_not_believed() {
    let (kamailio, daemon, phone) = with_one_lasting_row();
    let answer = kamailio.rpc("ul.rm", &json!(["location", "alice@acme.example.com"]));
    assert_eq!(answer["result"], json!({}));
    let answer = daemon.delete(&of(&acme()));
    refused(&answer, 502, "flush_incomplete");
    let data = &answer.json()["data"];
    assert_eq!(data["flushed"], 0);
    assert_eq!(data["failed_total"], 1);
    assert_eq!(data["failed"][0]["aor"], "alice@acme.example.com");
    lists(&daemon, &of(&acme()), &[phone.contact_uri()]);
}

#[test]
fn filters_and_dry_run_choose_what_goes() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    let acme = acme();
    let mut old = Phone::of(&kamailio, &acme.device("alice", 1)).user_agent("Old 1.0");
    let mut new = Phone::of(&kamailio, &acme.device("alice", 1)).user_agent("New 2.0");
    old.register();
    new.register();
    lists(&daemon, &of(&acme), &[old.contact_uri(), new.contact_uri()]);
    let target = format!("{}?filter_user_agent=Old%201.0", of(&acme));
    let dry = daemon.delete(&format!("{target}&dry_run=true"));
    assert_eq!(dry.header("X-Would-Flush"), Some("1"), "{}", dry.text());
    assert_eq!(list(&daemon, &of(&acme)).len(), 2);
    refused(
        &daemon.delete(&format!("{target}&dry_run=1")),
        400,
        "validation error",
    );
    refused(
        &daemon.delete(&format!("{}?force=1", of(&acme))),
        400,
        "validation error",
    );
    assert_eq!(kamailio.lookup("alice@acme.example.com").len(), 2);
    flushed(&daemon.delete(&target), 1);
    assert_eq!(
        list(&daemon, &of(&acme))[0]["user_agent"],
        Value::from("New 2.0")
    );
    assert_eq!(kamailio.lookup("alice@acme.example.com").len(), 1);
    agree(&kamailio, &daemon);
}

#[test]
fn odd_address_of_record_is_flushed_with_its_own_bytes() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    for user in [b"bin\xff".as_slice(), b"es%20c", b"semi;x=1"] {
        Phone::new(&kamailio, user, "odd.example.com")
            .contact(b"sip:odd@192.0.2.9")
            .register();
    }
    let odd = "/v2/accounts/odd.example.com/registrations";
    lists(&daemon, odd, &[b"sip:odd@192.0.2.9".as_slice(); 3]);
    flushed(&daemon.delete(odd), 3);
    assert!(list(&daemon, odd).is_empty());
    assert!(kamailio.lookup(b"bin\xff@odd.example.com").is_empty());
    agree(&kamailio, &daemon);
}
