//! Flushes, and phones that register at the same time.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use serde_json::Value;

use super::{acme, flushed};
use crate::oracle::{agree, list, lists, of};
use crate::support::daemon::Daemon;
use crate::support::kamailio::{Journal, Kamailio};
use crate::support::phone::Phone;

/// How many flushes race.
const FLUSHES: usize = 40;

/// Says that it is over, also when a test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A phone that registers without a pause while its user and its account are flushed. An "ok" means that each contact
/// that Kamailio has afterwards is from a REGISTER that had not been answered when the flush began.
fn against_a_phone_that_registers(db_mode: u8) {
    let kamailio = Kamailio::builder().db_mode(db_mode).start();
    let daemon = Daemon::builder(&kamailio)
        .sections("[limits]\ndeletes = { burst = 0, per_second = 0 }\n")
        .start();
    let acme = acme();
    let mut alice = Phone::of(&kamailio, &acme.device("alice", 1));
    alice.register();
    lists(&daemon, &of(&acme), &[alice.contact_uri()]);
    let (answered, over) = (AtomicU32::new(1), AtomicBool::new(false));
    let mut alice = thread::scope(|scope| {
        let phone = scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                // Without memory of its own Kamailio may be in its own way; a phone tries again.
                let _status = alice.try_register();
                answered.fetch_add(1, Ordering::SeqCst);
            }
            alice
        });
        let ends = Over(&over);
        let (mut ok, mut incomplete) = (0, Vec::new());
        for number in 0..FLUSHES {
            let target = if number % 2 == 0 {
                of(&acme)
            } else {
                format!("{}/alice", of(&acme))
            };
            let before = answered.load(Ordering::SeqCst);
            let answer = daemon.delete(&target);
            match answer.status {
                200 => ok += 1,
                502 => {
                    incomplete.push(answer.text());
                    continue;
                }
                _ => panic!("{}", answer.text()),
            }
            // An account's flush covers what was listed, and the row may have been on its way.
            if number % 2 == 0 && answer.header("X-Flushed") == Some("0") {
                continue;
            }
            for contact in kamailio.lookup("alice@acme.example.com") {
                let cseq = contact["CSeq"].as_u64().expect("a number");
                assert!(
                    cseq > u64::from(before),
                    "{contact} outlived a flush after {before}"
                );
            }
        }
        drop(ends);
        assert!(ok > 0, "no flush was ever confirmed: {incomplete:#?}");
        phone.join().expect("the phone is answered")
    });
    alice.register();
    // In the end the list says what Kamailio does.
    let items = agree(&kamailio, &daemon);
    assert_eq!(items.len(), 1, "{items:?}");
    assert_eq!(kamailio.lookup(alice.aor()).len(), 1);
}

#[test]
fn against_a_phone_that_registers_write_through() {
    against_a_phone_that_registers(1);
}

#[test]
fn against_a_phone_that_registers_write_back() {
    against_a_phone_that_registers(2);
}

#[test]
fn against_a_phone_that_registers_database_only() {
    against_a_phone_that_registers(3);
}

#[test]
fn two_flushes_of_an_account_at_once() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    let phones = super::faults::register(&kamailio, &daemon, 40);
    let answers: Vec<_> = thread::scope(|scope| {
        let flush = || daemon.delete(&of(&acme()));
        let flushes: Vec<_> = (0..3).map(|_| scope.spawn(flush)).collect();
        flushes
            .into_iter()
            .map(|one| one.join().expect("it is answered"))
            .collect()
    });
    let count = |answer: &crate::support::http::Response| -> u32 {
        assert_eq!(
            (answer.status, &answer.json()["data"]),
            (200, &Value::from("ok"))
        );
        answer
            .header("X-Flushed")
            .expect("a number")
            .parse()
            .expect("a number")
    };
    assert_eq!(
        answers.iter().map(count).sum::<u32>(),
        40,
        "each contact counts once"
    );
    assert!(list(&daemon, &of(&acme())).is_empty());
    agree(&kamailio, &daemon);
    drop(phones);
}

#[test]
fn a_known_user_whose_row_lags_behind_is_flushed() {
    let kamailio = Kamailio::builder().timer_interval(super::LONG).start();
    let mut kamailio = kamailio;
    let mut alice = Phone::of(&kamailio, &acme().device("alice", 1));
    alice.register();
    kamailio.stop();
    kamailio.start();
    let daemon = Daemon::builder(&kamailio).start();
    lists(&daemon, &of(&acme()), &[alice.contact_uri()]);
    // A second phone, in Kamailio's memory alone.
    let mut second = Phone::of(&kamailio, &acme().device("alice", 1));
    second.register();
    assert_eq!(kamailio.lookup(alice.aor()).len(), 2);
    flushed(&daemon.delete(&format!("{}/alice", of(&acme()))), 1);
    assert!(kamailio.lookup(alice.aor()).is_empty(), "both are gone");
    // Nothing is listed, the user is known, and again there is one in memory alone.
    second.register();
    assert_eq!(kamailio.lookup(alice.aor()).len(), 1);
    flushed(&daemon.delete(&format!("{}/alice", of(&acme()))), 0);
    assert!(kamailio.lookup(alice.aor()).is_empty());
    assert_eq!(kamailio.rows().len(), 1, "the timer has not come");
    assert!(list(&daemon, &of(&acme())).is_empty());
}

#[test]
fn a_contact_comes_back_to_life_with_its_ruid_before_the_timer() {
    let mut kamailio = Kamailio::builder()
        .journal(Journal::Rollback)
        .timer_interval(super::LONG)
        .start();
    let mut alice = Phone::of(&kamailio, &acme().device("alice", 1));
    alice.register();
    kamailio.stop();
    kamailio.start();
    let daemon = Daemon::builder(&kamailio).start();
    let before = lists(&daemon, &of(&acme()), &[alice.contact_uri()]);
    for _ in 0..3 {
        flushed(&daemon.delete(&of(&acme())), 1);
        assert!(list(&daemon, &of(&acme())).is_empty());
        alice.register();
        let after = lists(&daemon, &of(&acme()), &[alice.contact_uri()]);
        assert_eq!(after[0]["ruid"], before[0]["ruid"]);
        assert_eq!(kamailio.rows()[0].integer("cseq"), 1, "not written yet");
    }
}
