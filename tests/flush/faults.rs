//! A Kamailio that answers badly, or is another one from one moment to the next.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use super::middle::{Fate, Middle};
use super::{LONG, acme, flushed};
use crate::oracle::{agree, list, of};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::{eventually, holds};

/// Registers so many phones of users `u00`, `u01` and so on, and waits until they are listed.
pub(super) fn register(kamailio: &Kamailio, daemon: &Daemon, number: u32) -> Vec<Phone> {
    let mut phones: Vec<Phone> = (0..number)
        .map(|n| Phone::of(kamailio, &acme().device(&format!("u{n:02}"), n)))
        .collect();
    phones.iter_mut().for_each(Phone::register);
    eventually("they are listed", crate::oracle::PATIENCE, || {
        let count = daemon.get("/v2/registrations/count").json();
        holds(count["data"]["count"] == number, || count.to_string())
    });
    phones
}

#[test]
fn a_close_after_each_reply_does_not_show() {
    let kamailio = Kamailio::builder().start();
    let middle = Middle::of(&kamailio, |_, _| Fate::Close);
    let daemon = Daemon::builder(&kamailio).rpc(&middle.rpc_url()).start();
    let phones = register(&kamailio, &daemon, 25);
    flushed(&daemon.delete(&of(&acme())), 25);
    assert!(list(&daemon, &of(&acme())).is_empty());
    agree(&kamailio, &daemon);
    drop(phones);
}

#[test]
fn replies_that_are_cut_short_are_a_partial_failure() {
    let kamailio = Kamailio::builder().timer_interval(LONG).start();
    let spoil = Arc::new(Mutex::new(true));
    let spoils = Arc::clone(&spoil);
    let middle = Middle::of(&kamailio, move |method, params| {
        let some = ["u03@acme.example.com", "u07@acme.example.com"];
        let hit = method == "ul.rm" && some.iter().any(|aor| params[1] == *aor);
        if hit && *spoils.lock().expect("nobody panics") {
            Fate::Cut
        } else {
            Fate::Pass
        }
    });
    let mut kamailio = kamailio;
    let mut phones: Vec<Phone> = (0..10)
        .map(|n| Phone::of(&kamailio, &acme().device(&format!("u{n:02}"), n)))
        .collect();
    phones.iter_mut().for_each(Phone::register);
    kamailio.stop();
    kamailio.start();
    let daemon = Daemon::builder(&kamailio).rpc(&middle.rpc_url()).start();
    let answer = daemon.delete(&of(&acme()));
    super::refused(&answer, 502, "flush_incomplete");
    let data = &answer.json()["data"];
    assert_eq!(
        (&data["flushed"], &data["failed_total"]),
        (&8.into(), &2.into())
    );
    let mut failed: Vec<_> = data["failed"].as_array().expect("a list").iter().collect();
    failed.sort_by_key(|one| one["aor"].to_string());
    for (one, aor) in failed.iter().zip(["u03", "u07"]) {
        assert_eq!(one["aor"], format!("{aor}@acme.example.com"));
        assert_eq!(one["reason"], "Kamailio's answer cannot be parsed");
    }
    let left: Vec<_> = list(&daemon, &of(&acme()))
        .iter()
        .map(|one| one["username"].clone())
        .collect();
    assert_eq!(left, ["u03", "u07"], "what failed is still listed");
    assert!(super::audit(&daemon).ends_with("|8|2\n"));
    // The removal was done, and the row is left over; this Kamailio is too young to be believed.
    *spoil.lock().expect("nobody panics") = false;
    super::refused(&daemon.delete(&of(&acme())), 502, "flush_incomplete");
    // Phones that register again can be flushed at once.
    phones[3].register();
    phones[7].register();
    flushed(&daemon.delete(&of(&acme())), 2);
}

#[test]
fn a_kamailio_that_starts_anew_in_the_middle_confirms_nothing() {
    let mut kamailio = Kamailio::builder().timer_interval(LONG).start();
    let mut phones: Vec<Phone> = (0..30)
        .map(|n| Phone::of(&kamailio, &acme().device(&format!("u{n:02}"), n)))
        .collect();
    phones.iter_mut().for_each(Phone::register);
    kamailio.stop();
    kamailio.start();
    let (reached, middle_is) = mpsc::sync_channel(1);
    let (go_on, may) = mpsc::sync_channel::<()>(1);
    let may = Mutex::new(may);
    let removals = AtomicUsize::new(0);
    let middle = Middle::of(&kamailio, move |method, _| {
        if method == "ul.rm" && removals.fetch_add(1, Ordering::SeqCst) == 10 {
            reached.send(()).expect("the test waits");
            may.lock()
                .expect("nobody panics")
                .recv()
                .expect("the test goes on");
        }
        Fate::Pass
    });
    let daemon = Daemon::builder(&kamailio)
        .rpc(&middle.rpc_url())
        // The flush waits for the new Kamailio.
        .environment("USRLOCD_KAMAILIO__RPC_TIMEOUT", "60s")
        .start();
    let answer = std::thread::scope(|scope| {
        let flush = scope.spawn(|| daemon.delete(&of(&acme())));
        middle_is.recv().expect("the flush gets there");
        kamailio.kill9();
        kamailio.start();
        go_on.send(()).expect("the middle waits");
        flush.join().expect("the flush is answered")
    });
    super::refused(&answer, 502, "flush_incomplete");
    assert_eq!(answer.json()["data"]["flushed"], 0, "{}", answer.text());
    // Those that were removed before the end of the first one are there again.
    agree(&kamailio, &daemon);
    assert!(!list(&daemon, &of(&acme())).is_empty());
}
