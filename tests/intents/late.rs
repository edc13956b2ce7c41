//! Time: nobody begins what is too late, and who dies in the middle leaves nothing in doubt.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use usrlocd::clock::{Clock, SystemClock};

use super::{Site, acme, flushed, incomplete};
use crate::oracle::{PATIENCE, of};
use crate::support::phone::Phone;
use crate::support::{eventually, holds};

/// The node that is dead is named, at once where it is known to be; the other one does its part.
#[test]
fn a_dead_node_is_named_and_the_other_does_its_part() {
    let mut site = Site::of(2);
    let acme = acme();
    let mut alice = Phone::of(&site.kamailios[0], &acme.device("alice", 1));
    let mut bob = Phone::of(&site.kamailios[1], &acme.device("bob", 2));
    alice.register();
    bob.register();
    site.lists(2);
    site.nodes[1].kill9();
    let answer = site.fleet.delete(&of(&acme));
    let (flushed, node, reason) = incomplete(&answer);
    assert_eq!((flushed, &*node), (1, "k2"), "{reason}");
    assert!(
        reason.starts_with("no answer from the node for 1"),
        "{reason}"
    );
    assert!(!site.has(0, &alice) && site.has(1, &bob));

    alice.register();
    let beat = "UPDATE usrlocd.node SET beat_at = now() - interval '341 seconds' WHERE name = 'k2'";
    site.server.query(beat);
    eventually("the phone is back", PATIENCE, || {
        let answer = site.fleet.get(&format!("{}/alice", of(&acme)));
        holds(answer.json()["page_size"] == 1, || answer.text())
    });
    let clock = SystemClock::new();
    let (flushed, node, reason) = incomplete(&site.fleet.delete(&of(&acme)));
    assert!(
        clock.monotonic() < Duration::from_secs(5),
        "refused at once"
    );
    assert_eq!((flushed, &*node), (1, "k2"), "{reason}");
    assert_eq!(
        reason,
        "no answer from the node for 341 s; nothing was done"
    );

    site.nodes[1].start();
    site.lists(1);
    site.nodes[1].stop();
    let (_, node, reason) = incomplete(&site.fleet.delete(&of(&acme)));
    assert_eq!(node, "k2");
    assert!(reason.starts_with("the node was stopped "), "{reason}");
    assert!(site.has(1, &bob));
}

/// A node that was halted until it was too late flushes nothing when it goes on.
#[test]
fn nobody_begins_what_is_too_late() {
    let site = Site::of(1);
    let acme = acme();
    let mut alice = Phone::of(&site.kamailios[0], &acme.device("alice", 1));
    alice.register();
    site.lists(1);
    site.nodes[0].signal(Signal::STOP);
    let (flushed_, node, reason) = incomplete(&site.fleet.delete(&of(&acme)));
    assert_eq!((flushed_, &*node), (0, "k1"), "{reason}");
    let metrics = site.fleet.get("/metrics").text();
    let expired = "usrlocd_fleet_intents_total{state=\"expired\"} 1";
    // Unless it was halted between two words with the database.
    let state = site.intents("state");
    assert!(
        state == "claimed" || metrics.contains(expired),
        "{state} {metrics}"
    );
    site.nodes[0].signal(Signal::CONT);
    site.lists(1);
    let beats = || {
        let query = "SELECT beat_at FROM usrlocd.node";
        site.server.query(query)
    };
    for _ in 0..2 {
        let before = beats();
        eventually("the node goes on", PATIENCE, || {
            holds(beats() != before, || before.clone())
        });
    }
    assert!(
        site.has(0, &alice),
        "flushed too late: {}",
        site.intents("state, outcome")
    );
    flushed(&site.fleet.delete(&of(&acme)), 1);
}

/// What was asked is done although nobody waits for it any more.
#[test]
fn an_asker_that_dies_leaves_nothing_undone() {
    let mut site = Site::of(1);
    let acme = acme();
    let mut alice = Phone::of(&site.kamailios[0], &acme.device("alice", 1));
    alice.register();
    site.lists(1);
    site.nodes[0].signal(Signal::STOP);
    let (address, path) = (site.fleet.address(), of(&acme));
    let asking = thread::spawn(move || {
        let headers = [("X-Auth-Token", super::Daemon::TOKEN)];
        crate::support::http::request(address, "DELETE", &path, &headers, b"")
    });
    eventually("it is asked", PATIENCE, || {
        let state = site.intents("state");
        holds(!state.is_empty(), || state.clone())
    });
    site.fleet.kill9();
    assert!(asking.join().expect("no panic").is_err(), "it was killed");
    site.nodes[0].signal(Signal::CONT);
    site.are("done");
    assert!(!site.has(0, &alice));
}

/// A node that starts within the time does it; one that dies in the middle is told to have.
#[test]
fn a_node_that_restarts_does_it_or_it_is_told() {
    let mut site = Site::of(1);
    let acme = acme();
    let mut alice = Phone::of(&site.kamailios[0], &acme.device("alice", 1));
    alice.register();
    site.lists(1);
    let ask = |site: &Site| {
        let (address, path) = (site.fleet.address(), of(&acme));
        let headers = [("X-Auth-Token", super::Daemon::TOKEN)];
        thread::spawn(move || {
            crate::support::http::request(address, "DELETE", &path, &headers, b"")
        })
    };
    let is = |site: &Site, state: &str| {
        eventually("it is in that state", PATIENCE, || {
            let states = site.intents("state");
            holds(states.ends_with(state), || states.clone())
        });
    };
    site.nodes[0].kill9();
    let asking = ask(&site);
    is(&site, "asked");
    site.nodes[0].start();
    let answer = asking.join().expect("no panic");
    flushed(&answer.expect("an answer"), 1);
    assert!(!site.has(0, &alice));
    assert_eq!(site.intents("claimed_epoch"), "2");

    alice.register();
    site.lists(1);
    site.kamailios[0].signal(Signal::STOP);
    let asking = ask(&site);
    is(&site, "claimed");
    site.nodes[0].kill9();
    site.nodes[0].start();
    let answer = asking.join().expect("no panic").expect("an answer");
    site.kamailios[0].signal(Signal::CONT);
    let (flushed, node, reason) = incomplete(&answer);
    assert_eq!((flushed, &*node), (0, "k1"));
    assert!(reason.starts_with("the node was restarted"), "{reason}");
    assert!(site.has(0, &alice));
}
