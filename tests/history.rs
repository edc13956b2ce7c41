//! What happened, which phones flap and why one was away, beside a real Kamailio: over HTTP and on the command line.

use std::process::Command;

use serde_json::Value;

use crate::oracle::{PATIENCE, lists, of};
use crate::support::account::Account;
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::{eventually, holds, tools};

fn acme() -> Account {
    Account::new("ac", "Acme", "acme.example.com")
}

/// Type and reason of the user's events, the newest first.
fn told(daemon: &Daemon, path: &str) -> Vec<String> {
    let answer = daemon.get(path);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let event = |event: &Value| {
        let text = |key: &str| event[key].as_str().unwrap_or("-").to_owned();
        format!("{} {}", text("type"), text("reason"))
    };
    let events = answer.json()["data"].clone();
    events
        .as_array()
        .expect("an array")
        .iter()
        .map(event)
        .collect()
}

/// Standard output of a command that succeeds.
fn run(daemon: &Daemon, args: &[&str]) -> String {
    let output = Command::new(tools::usrlocd())
        .args(args)
        .arg("--config")
        .arg(daemon.config_file())
        .output()
        .expect("usrlocd can be run");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {err}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn what_happened_to_a_phone_is_told_also_after_a_restart() {
    let kamailio = Kamailio::builder().db_mode(1).expires(1, 60, 3600).start();
    let mut daemon = Daemon::builder(&kamailio).start();
    let acme = acme();
    // An account is known once it has a row.
    let mut first = Phone::of(&kamailio, &acme.device("first", 9));
    first.register();
    lists(&daemon, &of(&acme), &[first.contact_uri()]);
    let mut alice = Phone::of(&kamailio, &acme.device("alice", 1));
    alice.register();
    let path = format!("{}/alice/history", of(&acme));
    let has = |daemon: &Daemon, expected: &[&str]| {
        eventually("the history has it", PATIENCE, || {
            let known = daemon.get(&path).status == 200;
            let events = if known {
                told(daemon, &path)
            } else {
                Vec::new()
            };
            holds(events == expected, || format!("{events:?}"))
        });
    };
    has(&daemon, &["registered -"]);
    alice.unregister();
    has(&daemon, &["terminated removed", "registered -"]);
    let why = format!("{}/alice/why", of(&acme));
    let sentence = |daemon: &Daemon| daemon.get(&why).json()["data"]["sentence"].clone();
    let text = sentence(&daemon);
    let text = text.as_str().expect("a sentence");
    assert!(text.starts_with("It was removed at "), "{text}");

    daemon.stop();
    daemon.start();
    has(&daemon, &["terminated removed", "registered -"]);
    let answer = daemon.get(&path);
    assert!(answer.json()["oldest"].is_string(), "{}", answer.text());

    // By name: she is not registered, and the history knows her.
    let shown = run(
        &daemon,
        &["history", "alice", "--account", &acme.id, "-o", "ndjson"],
    );
    assert_eq!(shown.lines().count(), 2, "{shown}");
    // The realm alone may name an account of its own: that of a row whose attributes were still to come.
    let named = ["history", "ALICE@acme.example.com", "--account", &acme.id];
    let shown = run(&daemon, &[&named[..], &["-o", "csv"]].concat());
    assert!(
        shown
            .lines()
            .nth(1)
            .is_some_and(|row| row.contains("terminated,removed,alice")),
        "{shown}"
    );
    let shown = run(
        &daemon,
        &[
            "history", "--since", "1h", "--reason", "removed", "-o", "json",
        ],
    );
    let events: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(events.as_array().map(Vec::len), Some(1), "{shown}");
    let shown = run(&daemon, &["why", "alice", "--account", &acme.id]);
    assert!(shown.starts_with("It was removed at "), "{shown}");
    assert!(shown.contains("It has not registered since."), "{shown}");
    assert_eq!(run(&daemon, &["flaps", "-o", "json"]).trim(), "[]");

    let shown = run(
        &daemon,
        &["history", "forget", "alice", "--account", &acme.id],
    );
    assert_eq!(shown, "{\"forgotten\":2}\n");
    // Her row has gone within the last hour, so she is known for a while.
    assert_eq!(told(&daemon, &path), Vec::<String>::new());
    eventually("who follows the log is told", PATIENCE, || {
        let events = told(&daemon, "/v2/history");
        let is_told = events.first().is_some_and(|one| one == "gap -");
        holds(is_told, || format!("{events:?}"))
    });
}
