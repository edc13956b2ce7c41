//! A flush harms nobody where each removal makes one of Kamailio's workers write: `db_mode` 1 and 3.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::middle::{Fate, Middle};
use super::{acme, flushed, globex, refused};
use crate::oracle::{PATIENCE, list, lists, of};
use crate::support::daemon::Daemon;
use crate::support::kamailio::{Journal, Kamailio};
use crate::support::phone::Phone;
use crate::support::table::Table;
use crate::support::{eventually, holds};

/// From one REGISTER of the other phones to the next.
const BETWEEN: Duration = Duration::from_millis(25);

/// Lines of Kamailio's log by which it lost a write.
fn lock_lines(kamailio: &Kamailio) -> usize {
    kamailio.log().matches("database is locked").count()
}

/// So many phones of an account, registered and listed.
fn phones(kamailio: &Kamailio, daemon: &Daemon, number: u32) -> Vec<Phone> {
    super::faults::register(kamailio, daemon, number)
}

fn alone(db_mode: u8, journal: Journal) {
    let kamailio = Kamailio::builder()
        .db_mode(db_mode)
        .journal(journal)
        .children(4)
        .timer_interval(super::LONG)
        .start();
    let daemon = Daemon::builder(&kamailio).start();
    let phones = phones(&kamailio, &daemon, 40);
    let mut eve = Phone::of(&kamailio, &globex().device("eve", 99));
    eve.register();
    lists(&daemon, &of(&globex()), &[eve.contact_uri()]);
    let before = lock_lines(&kamailio);
    // Two at once: one of the account, and one of somebody else.
    thread::scope(|scope| {
        let other = scope.spawn(|| daemon.delete(&format!("{}/eve", of(&globex()))));
        flushed(&daemon.delete(&of(&acme())), 40);
        flushed(&other.join().expect("it is answered"), 1);
    });
    assert_eq!(lock_lines(&kamailio), before, "{}", kamailio.log());
    for phone in &phones {
        assert!(kamailio.lookup(phone.aor()).is_empty());
    }
    let rows = kamailio.rows();
    assert!(rows.is_empty(), "{rows:?}");
}

#[test]
fn nothing_is_left_write_through_wal() {
    alone(1, Journal::Wal);
}

#[test]
fn nothing_is_left_write_through_rollback() {
    alone(1, Journal::Rollback);
}

#[test]
fn nothing_is_left_database_only_wal() {
    alone(3, Journal::Wal);
}

#[test]
fn nothing_is_left_database_only_rollback() {
    alone(3, Journal::Rollback);
}

/// Each row that stays is named in the answer, and nothing else is.
fn beside_others(db_mode: u8) {
    let kamailio = Kamailio::builder()
        .db_mode(db_mode)
        .children(4)
        .timer_interval(super::LONG)
        .start();
    let daemon = Daemon::builder(&kamailio).start();
    let _phones = phones(&kamailio, &daemon, 40);
    let mut others: Vec<Phone> = (0..10)
        .map(|n| Phone::of(&kamailio, &globex().device(&format!("o{n}"), 50 + n)))
        .collect();
    others.iter_mut().for_each(Phone::register);
    let (end, ended) = mpsc::channel::<()>();
    let rounds = AtomicU32::new(0);
    let answer = thread::scope(|scope| {
        let (others, rounds) = (&mut others, &rounds);
        scope.spawn(move || {
            loop {
                for phone in &mut *others {
                    // What comes of it is Kamailio's own matter.
                    let _status = phone.try_register();
                    if ended.recv_timeout(BETWEEN) != Err(RecvTimeoutError::Timeout) {
                        return;
                    }
                }
                rounds.fetch_add(1, Ordering::Relaxed);
            }
        });
        eventually("the others refresh", PATIENCE, || {
            holds(rounds.load(Ordering::Relaxed) > 0, || "not yet".to_owned())
        });
        let answer = daemon.delete(&of(&acme()));
        drop(end);
        answer
    });
    let realm = acme().realm;
    let rows = kamailio.rows();
    let mut left: Vec<String> = rows
        .iter()
        .filter(|row| row.text("domain") == realm)
        .map(|row| format!("{}@{realm}", row.text("username")))
        .collect();
    left.sort();
    let failed = answer.json()["data"]["failed"].clone();
    let mut named: Vec<String> = failed
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| one["aor"].as_str().expect("a name").to_owned())
        .collect();
    named.sort();
    assert_eq!(named, left, "{}", answer.text());
    assert_eq!(answer.status, if left.is_empty() { 200 } else { 502 });
    assert_eq!(list(&daemon, &of(&acme())).len(), left.len());
}

#[test]
fn what_stays_is_named_write_through() {
    beside_others(1);
}

#[test]
fn what_stays_is_named_database_only() {
    beside_others(3);
}

/// Makes SQLite keep the row of `user` whenever somebody deletes it.
fn keep_row_of(kamailio: &Kamailio, user: &str) {
    kamailio.sql(&format!(
        "create trigger keep before delete on location when old.username = '{user}' begin select raise(ignore); end"
    ));
}

fn metric(daemon: &Daemon, name: &str) -> String {
    let text = daemon.get("/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
        .trim()
        .to_owned()
}

#[test]
fn a_row_that_stays_is_no_success_where_kamailio_writes_through() {
    let mut kamailio = Kamailio::builder().db_mode(1).start();
    kamailio.stop();
    keep_row_of(&kamailio, "u01");
    kamailio.start();
    let daemon = Daemon::builder(&kamailio).start();
    let mut phones = phones(&kamailio, &daemon, 3);
    let answer = daemon.delete(&of(&acme()));
    refused(&answer, 502, "flush_incomplete");
    let data = &answer.json()["data"];
    assert_eq!(
        (&data["flushed"], &data["failed_total"]),
        (&2.into(), &1.into())
    );
    assert_eq!(data["failed"][0]["aor"], "u01@acme.example.com");
    let reason = data["failed"][0]["reason"].as_str().expect("a reason");
    assert!(
        reason.contains("a restart of Kamailio before 2"),
        "{reason}"
    );
    lists(&daemon, &of(&acme()), &[phones[1].contact_uri()]);
    eventually("it is counted", PATIENCE, || {
        let rows = metric(&daemon, "usrlocd_flush_leftover_rows ");
        holds(rows == "1", || rows)
    });
    assert!(
        daemon.log().contains("remain in Kamailio's table"),
        "{}",
        daemon.log()
    );
    // Kamailio would indeed register it again.
    kamailio.stop();
    kamailio.start();
    assert_eq!(kamailio.lookup("u01@acme.example.com").len(), 1);
    phones.clear();
}

#[test]
fn a_flush_waits_for_a_lock_and_goes_on() {
    let kamailio = Kamailio::builder()
        .db_mode(1)
        .timer_interval(super::LONG)
        .start();
    let daemon = Daemon::builder(&kamailio).start();
    let phones = phones(&kamailio, &daemon, 5);
    let before = lock_lines(&kamailio);
    let lock = Table::at(kamailio.database()).lock();
    thread::scope(|scope| {
        let flush = scope.spawn(|| daemon.delete(&of(&acme())));
        eventually("it has asked for the first one", PATIENCE, || {
            let name = "usrlocd_kamailio_rpc_calls_total{method=\"ul.lookup\",outcome=\"ok\"} ";
            let calls = metric(&daemon, name);
            holds(calls == "1", || calls)
        });
        assert_eq!(kamailio.lookup(phones[0].aor()).len(), 1);
        drop(lock);
        flushed(&flush.join().expect("it is answered"), 5);
    });
    assert_eq!(lock_lines(&kamailio), before);
    assert!(kamailio.rows().is_empty());
}

#[test]
fn refusals_are_tried_again_and_told_once() {
    let kamailio = Kamailio::builder().start();
    let removals = AtomicU32::new(0);
    let middle = Middle::of(&kamailio, move |method, _| {
        let refuses = method == "ul.rm" && removals.fetch_add(1, Ordering::Relaxed) < 2;
        if refuses {
            Fate::Refuse("Failed to delete AOR")
        } else {
            Fate::Pass
        }
    });
    let daemon = Daemon::builder(&kamailio).rpc(&middle.rpc_url()).start();
    let phones = phones(&kamailio, &daemon, 2);
    flushed(&daemon.delete(&of(&acme())), 2);
    let log = daemon.log();
    let told = log
        .lines()
        .filter(|line| line.contains("Failed to delete AOR"));
    let told: Vec<&str> = told.collect();
    assert_eq!(told.len(), 1, "{log}");
    assert!(
        told[0].contains("NOTICE") && told[0].contains("refused=2"),
        "{told:?}"
    );
    drop(phones);
}
