//! Phones that are waited for are in nobody's way.

use std::time::Duration;

use serde_json::json;
use usrlocd::clock::{Clock, SystemClock};

use super::{AT_ONCE, CHECK_SYNC, FR_TIMER, acme, beside, failed, path, post, statuses};
use crate::oracle::{lists, of};
use crate::support::daemon::Daemon;
use crate::support::http::Response;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::{eventually, holds};

/// As many as are waited for at once, and one more.
const MUTE: u32 = 33;

/// Registers mute phones of a user, and one of another.
fn crowd(kamailio: &Kamailio, daemon: &Daemon, mute: u32) -> Vec<Phone> {
    let acme = acme();
    let mut phones: Vec<Phone> = (0..mute)
        .map(|n| Phone::of(kamailio, &acme.device("mute", n)))
        .collect();
    phones.push(Phone::of(kamailio, &acme.device("bob", 99)));
    phones.iter_mut().for_each(Phone::register);
    let contacts: Vec<&[u8]> = phones.iter().map(Phone::contact_uri).collect();
    lists(daemon, &of(&acme), &contacts);
    phones
}

/// The answer, and after which time it came.
fn timed(ask: impl FnOnce() -> Response) -> (Response, Duration) {
    let clock = SystemClock::new();
    let answer = ask();
    (answer, clock.monotonic())
}

#[test]
fn a_flush_beside_as_many_mute_phones_as_may_be_is_not_slower() {
    let kamailio = Kamailio::builder().tm(FR_TIMER).start();
    let daemon = beside(&kamailio).start();
    let phones = crowd(&kamailio, &daemon, MUTE);
    let heard: Vec<_> = phones[..MUTE as usize]
        .iter()
        .map(|phone| phone.answering(None))
        .collect();
    let (answer, took) = timed(|| post(&daemon, &path("mute"), CHECK_SYNC));
    assert!(took < AT_ONCE, "{took:?}");
    // Where one was not even asked, not all phones are silent.
    failed(&answer, 502, "notify_failed");
    let data = answer.json()["data"].clone();
    let reasons: Vec<_> = data.as_array().expect("a list").iter().collect();
    let told = |start: &str| {
        let is = |one: &&&serde_json::Value| {
            one["reason"]
                .as_str()
                .is_some_and(|it| it.starts_with(start))
        };
        reasons.iter().filter(is).count()
    };
    assert_eq!((told("no reply"), told("not sent: 32")), (32, 1), "{data}");
    assert!(statuses(&answer).iter().all(|one| *one == json!(null)));
    let asked = heard.iter().filter(|one| !one.heard().is_empty()).count();
    assert_eq!(asked, 32);

    // Kamailio waits for them still, and does everything else as ever.
    let (answer, took) = timed(|| daemon.delete(&format!("{}/bob", of(&acme()))));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(took < AT_ONCE, "{took:?}");
    let (answer, took) = timed(|| post(&daemon, &path("mute"), CHECK_SYNC));
    assert!(took < AT_ONCE, "{took:?}");
    failed(&answer, 502, "notify_failed");
    let log = kamailio.log();
    assert!(!log.contains("ERROR"), "{log}");
}

#[test]
fn over_datagrams_a_flush_waits_for_the_end_of_a_wait_and_succeeds() {
    let kamailio = Kamailio::builder().tm(3000).datagram(true).start();
    let socket = kamailio.datagram_socket().expect("it was built so");
    let address = format!("unixgram:{}", socket.display());
    let daemon = beside(&kamailio).rpc(&address).start();
    let phones = crowd(&kamailio, &daemon, 1);
    let mute = phones[0].answering(None);
    let (answer, took) = timed(|| post(&daemon, &path("mute"), CHECK_SYNC));
    failed(&answer, 504, "phone_timeout");
    assert!(took < AT_ONCE, "{took:?}");
    assert!(!mute.heard().is_empty());
    // Its only worker waits for the phone; a second request is not sent later.
    let answer = post(&daemon, &path("mute"), CHECK_SYNC);
    failed(&answer, 502, "notify_failed");
    let flush = daemon.delete(&format!("{}/bob", of(&acme())));
    assert_eq!(flush.status, 200, "{}", flush.text());
    assert_eq!(flush.header("X-Flushed"), Some("1"));
    let call_ids = || {
        let heard = mute.heard();
        let mut ids: Vec<String> = heard
            .iter()
            .map(|it| super::header(it, "Call-ID").to_owned())
            .collect();
        ids.dedup();
        ids.len()
    };
    assert_eq!(call_ids(), 1);
    // Then phones are asked again.
    eventually("the worker is free", Duration::from_secs(10), || {
        let answer = post(&daemon, &path("mute"), CHECK_SYNC);
        holds(answer.status == 504, || answer.text())
    });
    assert_eq!(call_ids(), 2);
}
