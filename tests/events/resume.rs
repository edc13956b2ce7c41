//! A stream goes on where it ended, over restarts and kills of the daemon, without a hole and without a double.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use super::{acme, seq, watched};
use crate::oracle::{PATIENCE, list, of};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::stream::{Stream, type_of};
use crate::support::tools;
use crate::support::{eventually, holds};

/// A client that keeps a list by events alone.
#[derive(Default)]
struct Client {
    list: BTreeMap<String, Value>,
    last: Option<String>,
    seen: BTreeSet<u64>,
}

impl Client {
    /// Reads on, from where it was, until its list is the daemon's and nothing more comes.
    #[track_caller]
    fn catches_up(&mut self, daemon: &Daemon) {
        let target = match &self.last {
            Some(last) => format!("{}&since={last}", watched(&acme())),
            None => format!("{}&initial=true", watched(&acme())),
        };
        let mut stream = Stream::open(daemon, &target);
        eventually("the list that is kept is the daemon's", PATIENCE, || {
            while let Some(frame) = stream.at_once() {
                self.apply(&frame);
            }
            let listed: BTreeSet<String> = list(daemon, &of(&acme()))
                .iter()
                .map(|one| one["ruid"].as_str().expect("a ruid").to_owned())
                .collect();
            let kept: BTreeSet<String> = self.list.keys().cloned().collect();
            holds(kept == listed, || format!("{kept:?} beside {listed:?}"))
        });
    }

    fn apply(&mut self, frame: &Value) {
        if let Some(id) = frame["id"].as_str() {
            if !["synced", "mark"].contains(&type_of(frame)) {
                assert!(self.seen.insert(seq(frame)), "twice: {frame}");
            }
            self.last = Some(id.to_owned());
        }
        let ruid = frame["ruid"].as_str().unwrap_or_default().to_owned();
        match type_of(frame) {
            "present" | "registered" => {
                let former = self.list.insert(ruid, frame.clone());
                assert!(former.is_none(), "it was there: {frame}");
            }
            "moved" | "changed" => {
                let former = self.list.insert(ruid, frame.clone());
                assert!(former.is_some(), "it was not there: {frame}");
            }
            "terminated" => {
                let former = self.list.remove(&ruid);
                assert!(former.is_some(), "it was not there: {frame}");
            }
            "gap" => assert_eq!(frame["cause"], "restored", "{frame}"),
            "hello" | "synced" | "mark" | "source" | "bye" => {}
            other => panic!("{other}: {frame}"),
        }
    }
}

/// Numbers that look random, and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// A walk of phones that come, go and are flushed, while the daemon is stopped and killed at any moment.
fn walk(db_mode: u8, seed: u64) {
    let mut dice = Dice(seed);
    let kamailio = Kamailio::builder()
        .db_mode(db_mode)
        .timer_interval(1)
        .start();
    let mut daemon = Daemon::builder(&kamailio).start();
    let mut stays = Phone::of(&kamailio, &acme().device("stays", 99));
    stays.register();
    eventually("the account is known", PATIENCE, || {
        let answer = daemon.get(&of(&acme()));
        holds(answer.status == 200, || answer.text())
    });
    let mut phones: Vec<(Phone, bool)> = (0..6)
        .map(|n| Phone::of(&kamailio, &acme().device(&format!("u{n}"), n)))
        .map(|phone| (phone, false))
        .collect();
    let mut clients = [Client::default(), Client::default()];
    for step in 0..70 {
        let which = usize::try_from(dice.roll(6)).expect("small");
        let (phone, is_there) = &mut phones[which];
        match dice.roll(12) {
            0..=4 => {
                phone.register();
                *is_there = true;
            }
            5..=7 if *is_there => {
                phone.unregister();
                *is_there = false;
            }
            8 => {
                let target = format!("{}/u{which}", of(&acme()));
                let answer = daemon.delete(&target);
                // A Kamailio that has just started may not have loaded what is still in its table.
                let is_young = answer.status == 502 && answer.text().contains("has just started");
                let is_answered = [200, 404].contains(&answer.status) || is_young;
                assert!(is_answered, "{}", answer.text());
            }
            9 => clients[step % 2].catches_up(&daemon),
            10 => {
                daemon.kill9();
                daemon.start();
            }
            11 if step % 2 == 0 => {
                daemon.stop();
                daemon.start();
            }
            _ => {}
        }
    }
    for client in &mut clients {
        client.catches_up(&daemon);
    }
    // Nothing was skipped: the account's events are all that there are, but for what is about the source.
    let mut all = Stream::open(&daemon, "/v2/registrations?watch=true&initial=true");
    let hello = all.next();
    let newest = hello["newest"].as_str().expect("an id").to_owned();
    assert!(
        newest.ends_with(|last: char| last.is_ascii_digit()),
        "{hello}"
    );
}

#[test]
fn a_client_that_resumes_has_the_list_of_now_write_through() {
    walk(1, 0x1234_5678);
}

#[test]
fn a_client_that_resumes_has_the_list_of_now_write_back() {
    walk(2, 0x9876_5432);
}

#[test]
fn what_happened_while_the_daemon_was_down_is_told_after_the_gap() {
    let kamailio = Kamailio::builder().expires(1, 60, 3600).start();
    let mut daemon = Daemon::builder(&kamailio).start();
    let mut stays = Phone::of(&kamailio, &acme().device("stays", 1));
    let mut leaves = Phone::of(&kamailio, &acme().device("leaves", 2));
    let mut expires = Phone::of(&kamailio, &acme().device("expires", 3)).expires(3);
    for phone in [&mut stays, &mut leaves, &mut expires] {
        phone.register();
    }
    let mut client = Client::default();
    eventually("three are kept", PATIENCE, || {
        let count = daemon.get(&of(&acme())).json()["page_size"].as_u64();
        holds(count == Some(3), || format!("{count:?}"))
    });
    client.catches_up(&daemon);
    daemon.kill9();
    leaves.unregister();
    let mut comes = Phone::of(&kamailio, &acme().device("comes", 4));
    comes.register();
    std::thread::sleep(std::time::Duration::from_secs(4));
    daemon.start();
    let last = client.last.clone().expect("it has read");
    let target = format!("{}&since={last}", watched(&acme()));
    let mut stream = Stream::open(&daemon, &target);
    let mut told = BTreeMap::new();
    let gap = stream.event();
    assert_eq!(
        (type_of(&gap), &gap["cause"]),
        ("gap", &"restored".into()),
        "{gap}"
    );
    while told.len() < 3 {
        let event = stream.event();
        let user = event["username"].as_str().expect("a user").to_owned();
        let reason = event["reason"].as_str().unwrap_or_default();
        told.insert(user, format!("{} {reason}", type_of(&event)));
    }
    let expected = [
        ("comes", "registered "),
        ("expires", "terminated expired"),
        ("leaves", "terminated removed"),
    ];
    let expected = expected.map(|(user, what)| (user.to_owned(), what.to_owned()));
    assert_eq!(told, BTreeMap::from(expected));
}

#[test]
fn an_id_of_another_log_or_of_the_future_is_a_gap() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    let mut alice = Phone::of(&kamailio, &acme().device("alice", 1));
    alice.register();
    eventually("alice is there", PATIENCE, || {
        let answer = daemon.get(&of(&acme()));
        holds(answer.status == 200, || answer.text())
    });
    let hello = Stream::open(&daemon, &watched(&acme())).next();
    let log = hello["log"].as_str().expect("a log").to_owned();
    for since in [format!("{log}-999999"), "0123456789abcdef-1".to_owned()] {
        let mut stream = Stream::open(&daemon, &format!("{}&since={since}", watched(&acme())));
        let gap = stream.event();
        assert_eq!(type_of(&gap), "gap", "{gap}");
        assert_eq!(gap["cause"], "other_log", "{gap}");
        assert!(
            gap["to"].as_str().expect("an id").starts_with(&log),
            "{gap}"
        );
        alice.unregister();
        assert_eq!(type_of(&stream.event()), "terminated");
        alice.register();
        assert_eq!(type_of(&stream.event()), "registered");
    }
}

#[test]
fn a_client_that_has_asked_for_the_rows_has_them_again_after_a_gap() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    let mut alice = Phone::of(&kamailio, &acme().device("alice", 1));
    alice.register();
    eventually("alice is there", PATIENCE, || {
        let answer = daemon.get(&of(&acme()));
        holds(answer.status == 200, || answer.text())
    });
    let path = format!("{}&initial=true", watched(&acme()));
    let last = [
        ("X-Auth-Token", Daemon::TOKEN),
        ("Last-Event-ID", "0123456789abcdef-1"),
    ];
    let mut stream = Stream::with(&daemon, &path, &last);
    let expect_rows = |stream: &mut Stream, cause: &str| {
        let gap = stream.event();
        assert_eq!((type_of(&gap), &gap["cause"]), ("gap", &cause.into()));
        let present = stream.event();
        assert_eq!(type_of(&present), "present", "{present}");
        assert_eq!(present["registration"]["username"], "alice", "{present}");
        assert_eq!(type_of(&stream.event()), "synced");
    };
    expect_rows(&mut stream, "other_log");
    // One who has not asked for them is told of the gap alone.
    let mut without = Stream::open(&daemon, &watched(&acme()));
    without.next_of("hello");
    alice.unregister();
    assert_eq!(type_of(&stream.event()), "terminated");
    alice.register();
    assert_eq!(type_of(&stream.event()), "registered");
    let forget = Command::new(tools::usrlocd())
        .args(["history", "forget", "alice", "--account", &acme().id])
        .arg("--config")
        .arg(daemon.config_file())
        .status();
    assert!(forget.expect("usrlocd can be run").success());
    expect_rows(&mut stream, "forgotten");
    alice.unregister();
    assert_eq!(type_of(&stream.event()), "terminated");
    let mut told = Vec::new();
    while told.len() < 4 {
        told.push(type_of(&without.event()).to_owned());
    }
    assert_eq!(told, ["terminated", "registered", "gap", "terminated"]);
}
