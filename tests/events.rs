//! The stream of changes beside a real Kamailio: each type and reason, and nothing lost, doubled or shown to others.

mod faults;
mod many;
mod resume;

use serde_json::{Value, json};

use crate::oracle::{PATIENCE, list, lists, of};
use crate::support::account::Account;
use crate::support::daemon::Daemon;
use crate::support::kamailio::{Journal, Kamailio};
use crate::support::phone::Phone;
use crate::support::stream::{Stream, type_of};
use crate::support::{eventually, holds};

fn acme() -> Account {
    Account::new("ac", "Acme", "acme.example.com")
}

fn globex() -> Account {
    Account::new("91be", "Globex", "globex.example.com")
}

fn watched(account: &Account) -> String {
    format!("{}?watch=true", of(account))
}

/// Type, user and reason of an event.
fn told(event: &Value) -> (&str, &str, &str) {
    let text = |key: &str| event[key].as_str().unwrap_or_default();
    (type_of(event), text("username"), text("reason"))
}

/// The number in an id.
fn seq(event: &Value) -> u64 {
    let id = event["id"].as_str().expect("it has an id");
    let (log, seq) = id.split_once('-').expect("log and number");
    assert_eq!(log.len(), 16, "{id}");
    seq.parse().expect("a number")
}

fn tells_what_phones_do(db_mode: u8, journal: Journal) {
    let kamailio = Kamailio::builder()
        .db_mode(db_mode)
        .journal(journal)
        .expires(1, 60, 3600)
        .start();
    let daemon = Daemon::builder(&kamailio).start();
    let (acme, globex) = (acme(), globex());
    // An account is known once it has a row.
    let mut first = Phone::of(&kamailio, &acme.device("first", 9));
    first.register();
    lists(&daemon, &of(&acme), &[first.contact_uri()]);
    let mut stream = Stream::open(&daemon, &watched(&acme));
    let hello = stream.next();
    assert_eq!(type_of(&hello), "hello");
    assert_eq!(hello["source"]["state"], "live", "{hello}");

    let mut eve = Phone::of(&kamailio, &globex.device("eve", 3));
    eve.register();
    let mut alice = Phone::of(&kamailio, &acme.device("alice", 1)).instance("urn:uuid:1", 1);
    alice.register();
    let came = stream.event();
    assert_eq!(told(&came), ("registered", "alice", ""), "{came}");
    assert_eq!(came["account_id"], acme.id.as_str());
    let item = &came["registration"];
    assert!(item.get("expires").is_none() && item["expires_at"].is_i64());
    assert!(came["happened_at"].is_i64() && came["replaces"].is_null());

    // A refresh is no event unless one asks for it.
    alice.register();
    alice = alice.user_agent("Lab Phone 2.0");
    alice.register();
    let changed = stream.event();
    assert_eq!(told(&changed), ("changed", "alice", ""), "{changed}");
    assert_eq!(changed["previous"], json!({"user_agent": "Lab Phone 1.0"}));

    alice.unregister();
    let gone = stream.event();
    assert_eq!(told(&gone), ("terminated", "alice", "removed"), "{gone}");
    // Two that came between two looks are one.
    let refreshes = gone["stats"]["refreshes"].as_u64().expect("a number");
    assert!((1..=2).contains(&refreshes), "{gone}");
    assert!(gone.get("happened_at").is_none());
    assert_eq!(gone["registration"]["user_agent"], "Lab Phone 2.0");

    alice.register();
    let back = stream.event();
    assert_eq!(told(&back), ("registered", "alice", ""), "{back}");
    assert_eq!(back["replaces"]["ruid"], gone["ruid"], "{back}");
    assert!(back["replaces"]["after"].as_f64().expect("seconds") <= 5.0);

    let mut short = Phone::of(&kamailio, &acme.device("short", 2)).expires(2);
    short.register();
    let came = stream.event();
    assert_eq!(told(&came), ("registered", "short", ""), "{came}");
    let expired = stream.event();
    assert_eq!(
        told(&expired),
        ("terminated", "short", "expired"),
        "{expired}"
    );
    assert_eq!(expired["happened_at"], came["registration"]["expires_at"]);

    let answer = daemon.request(
        "DELETE",
        &format!("{}/alice", of(&acme)),
        &[("X-Auth-Token", Daemon::TOKEN), ("X-Request-ID", "flush-1")],
        b"",
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    let flushed = stream.event();
    assert_eq!(
        told(&flushed),
        ("terminated", "alice", "flushed"),
        "{flushed}"
    );
    assert_eq!(flushed["flush"]["request_id"], "flush-1", "{flushed}");
    assert_eq!(flushed["flush"]["actor"], "lab", "{flushed}");

    // Numbers grow by one; those that are missing here were not this account's.
    let numbers = [&came, &expired, &flushed].map(seq);
    assert!(numbers.is_sorted(), "{numbers:?}");
}

#[test]
fn tells_what_phones_do_write_through_wal() {
    tells_what_phones_do(1, Journal::Wal);
}

#[test]
fn tells_what_phones_do_write_through_rollback() {
    tells_what_phones_do(1, Journal::Rollback);
}

#[test]
fn refreshes_come_on_request_without_an_id() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    let acme = acme();
    let mut alice = Phone::of(&kamailio, &acme.device("alice", 1));
    alice.register();
    lists(&daemon, &of(&acme), &[alice.contact_uri()]);
    let target = format!("{}&events=refreshed,terminated", watched(&acme));
    let mut stream = Stream::open(&daemon, &target);
    assert_eq!(type_of(&stream.next()), "hello");
    for _ in 0..3 {
        alice.register();
        let refreshed = stream.event();
        assert_eq!(told(&refreshed), ("refreshed", "alice", ""), "{refreshed}");
        assert!(refreshed.get("id").is_none(), "{refreshed}");
    }
    alice.unregister();
    let gone = stream.event();
    assert_eq!(told(&gone), ("terminated", "alice", "removed"));
}

#[test]
fn a_stream_begins_with_the_rows_of_now_where_it_is_asked_to() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    let acme = acme();
    let mut phones: Vec<Phone> = ["alice", "bob", "carol"]
        .iter()
        .zip(1..)
        .map(|(user, n)| Phone::of(&kamailio, &acme.device(user, n)))
        .collect();
    phones.iter_mut().for_each(Phone::register);
    eventually("all are listed", PATIENCE, || {
        let answer = daemon.get(&of(&acme));
        let count = answer.json()["page_size"].as_u64();
        holds(count == Some(3), || answer.text())
    });
    let target = format!("{}&initial=true&filter_not_username=bob", watched(&acme));
    let mut stream = Stream::open(&daemon, &target);
    assert_eq!(type_of(&stream.next()), "hello");
    let present = [stream.event(), stream.event()];
    let users = present.each_ref().map(told);
    assert_eq!(users, [("present", "alice", ""), ("present", "carol", "")]);
    let synced = stream.event();
    assert_eq!(type_of(&synced), "synced");
    assert!(synced["id"].is_string() && present[0].get("id").is_none());
    for phone in &mut phones {
        phone.unregister();
    }
    // Those that went between two looks come in the order of the table.
    let gone = [stream.event(), stream.event()];
    let mut users = gone.each_ref().map(told);
    users.sort_unstable();
    let removed = |user| ("terminated", user, "removed");
    assert_eq!(users, [removed("alice"), removed("carol")]);
}

#[test]
fn server_sent_events_have_type_id_and_data() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    let headers = [
        ("X-Auth-Token", Daemon::TOKEN),
        ("Accept", "text/event-stream"),
    ];
    let mut stream = Stream::with(&daemon, "/v2/registrations?initial=true", &headers);
    let mut block = || -> Vec<String> {
        let lines = std::iter::from_fn(|| stream.line());
        lines.take_while(|line| !line.is_empty()).collect()
    };
    let hello = block();
    assert_eq!(hello[0], "event: hello");
    assert!(hello[1].starts_with("data: {"), "{hello:?}");
    let synced = block();
    assert_eq!(synced[0], "event: synced");
    assert!(
        synced[1].starts_with("id: ") && synced[2].starts_with("data: {"),
        "{synced:?}"
    );
    let mut alice = Phone::of(&kamailio, &acme().device("alice", 1));
    alice.register();
    let came = loop {
        let block = block();
        if block[0] != "event: source" {
            break block;
        }
    };
    assert_eq!(came[0], "event: registered");
    let data: Value = serde_json::from_str(&came[2]["data: ".len()..]).expect("JSON");
    assert_eq!(
        came[1],
        format!("id: {}", data["id"].as_str().expect("an id"))
    );
}

#[test]
fn too_many_streams_are_429_and_a_place_comes_free() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    let target = "/v2/registrations?watch=true";
    let mut streams: Vec<Stream> = (0..8).map(|_| Stream::open(&daemon, target)).collect();
    let refused = daemon.get(target);
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!(refused.header("Retry-After").is_some());
    drop(streams.pop());
    eventually("a place is free", PATIENCE, || {
        let answer = daemon.request("HEAD", target, &[("X-Auth-Token", Daemon::TOKEN)], b"");
        assert_eq!(answer.status, 200, "HEAD needs no place");
        let mut probe = std::net::TcpStream::connect(daemon.address()).expect("it listens");
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: {}\r\n\r\n",
            Daemon::TOKEN
        );
        std::io::Write::write_all(&mut probe, request.as_bytes()).expect("it reads");
        let mut status = [0; 12];
        std::io::Read::read_exact(&mut probe, &mut status).expect("an answer");
        holds(status.ends_with(b"200"), || {
            String::from_utf8_lossy(&status).into_owned()
        })
    });
}

#[test]
fn a_stream_ends_with_the_token_and_with_the_daemon() {
    let kamailio = Kamailio::builder().start();
    let mut daemon = Daemon::builder(&kamailio).start();
    let mut stream = Stream::open(&daemon, "/v2/registrations?watch=true");
    daemon.replace_tokens(&[]);
    let bye = stream.next_of("bye");
    assert_eq!(bye["reason"], "token_revoked");
    assert!(stream.try_next().is_none(), "it is over");
    daemon.replace_tokens(&[("test", Daemon::TOKEN)]);
    eventually("the token is good again", PATIENCE, || {
        let answer = daemon.get("/v2/registrations");
        holds(answer.status == 200, || answer.text())
    });
    let mut stream = Stream::open(&daemon, "/v2/registrations?watch=true");
    assert_eq!(type_of(&stream.next()), "hello");
    daemon.stop();
    assert_eq!(stream.next_of("bye")["reason"], "shutting_down");
}

#[test]
fn only_lists_can_be_watched() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    for query in [
        "/count?watch=true",
        "?watch=maybe",
        "?watch=true&page_size=5",
        "?watch=true&accept=csv",
        "?watch=true&events=everything",
        "?watch=true&since=yesterday",
    ] {
        let answer = daemon.get(&format!("/v2/registrations{query}"));
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
    }
    assert!(list(&daemon, "/v2/registrations").is_empty());
}
