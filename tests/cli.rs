//! The verbs that ask a running daemon, as an operator types them.

mod completions;
mod events;
mod manual;
mod named;
mod own;
mod paging;
mod refusals;
mod terminal;
mod watch;

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::oracle::{lists, of};
use crate::support::account::Account;
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::tools;

const ACME: &str = "acme.example.com";

/// The id of its account.
const ID: &str = "ac000000000000000000000000000000";

fn acme() -> Account {
    Account::new("ac", "Acme", ACME)
}

/// A token for that account alone, which may not flush.
const OWN_TOKEN: &str = "one-token-0123456789";

struct Lab {
    kamailio: Kamailio,
    daemon: Daemon,
    _phones: [Phone; 2],
}

fn lab() -> Lab {
    lab_with("")
}

/// The lab with further sections in usrlocd's configuration.
fn lab_with(sections: &str) -> Lab {
    let kamailio = Kamailio::builder().expires(1, 3600, 3600).start();
    let mut phones = ["alice", "bob"].map(|user| Phone::of(&kamailio, &acme().device(user, 1)));
    for phone in &mut phones {
        phone.register();
    }
    let daemon = Daemon::builder(&kamailio)
        .token("one", OWN_TOKEN, &[ID], &["read"])
        .sections(sections)
        .start();
    let contacts = [phones[0].contact_uri(), phones[1].contact_uri()];
    lists(&daemon, &of(&acme()), &contacts);
    Lab {
        kamailio,
        daemon,
        _phones: phones,
    }
}

impl Lab {
    /// A client verb over the daemon's socket.
    fn verb(&self, args: &[&str]) -> Output {
        let mut command = self.daemon.command(args[0]);
        command.args(&args[1..]).stdin(Stdio::null());
        command.output().expect("usrlocd can be run")
    }

    /// A verb that must succeed; what it prints.
    fn prints(&self, args: &[&str]) -> String {
        let output = self.verb(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", err(&output));
        out(&output)
    }
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn ends(output: &Output, status: i32, word: &str) {
    let said = err(output);
    assert_eq!(output.status.code(), Some(status), "{said}");
    assert!(said.contains(word), "{said}");
}

/// README's sample of a table has the columns of the real one.
#[track_caller]
fn readme_shows(table: &str) {
    let words =
        |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
    let head = words(table.lines().next().expect("a line of names"));
    assert!(head.len() > 2, "{table}");
    let readme = include_str!("../README.md");
    let is_there = readme.lines().any(|line| words(line) == head);
    assert!(is_there, "README shows no table of {head:?}");
}

#[test]
fn lists_in_each_format() {
    let lab = lab();
    let ndjson = lab.prints(&["list"]);
    let users: Vec<_> = ndjson
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a line is an object"))
        .map(|item| item["username"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(users, [Some("alice".to_owned()), Some("bob".to_owned())]);
    let json = lab.prints(&["list", ID, "-o", "json"]);
    let mut items: Value = serde_json::from_str(&json).expect("it is JSON");
    let mut api = lab.daemon.get(&of(&acme())).json()["data"].take();
    for item in [&mut items, &mut api] {
        for one in item.as_array_mut().expect("an array") {
            one.as_object_mut().expect("an object").remove("expires");
        }
    }
    assert_eq!(items, api, "the items are as the API gives them");
    assert_eq!(lab.prints(&["list", "-o", "csv"]).lines().count(), 3);
    let table = lab.prints(&["list", "--columns", "username,realm", "--sort", "-username"]);
    assert_eq!(
        table,
        format!("USERNAME  REALM\nbob       {ACME}\nalice     {ACME}\n")
    );
    assert_eq!(
        lab.prints(&["list", "-o", "wide", "--no-headers"])
            .lines()
            .count(),
        2
    );
    readme_shows(&lab.prints(&["list", "-o", "table"]));
    readme_shows(&lab.prints(&["accounts", "-o", "table"]));
    let none = lab.verb(&["list", "--filter", "username=carol", "-o", "json"]);
    ends(&none, 0, "nobody is registered");
    assert_eq!(out(&none), "[\n]\n");
}

#[test]
fn shows_counts_and_lists_accounts() {
    let lab = lab();
    for args in [
        &["show", "alice", "-o", "json"][..],
        &["show", "alice@acme.example.com", "-o", "json"],
        &["show", "ALICE", "--account", ID, "-o", "json"],
        &["show", "ALICE", "-o", "json"],
        &["show", "ALIce@acme.example.com", "-o", "json"],
        &["show", "alice@ACME.Example.com", "-o", "json"],
        &["show", "ALICE@ACME.EXAMPLE.COM", "-a", "Acme", "-o", "json"],
    ] {
        let items: Value = serde_json::from_str(&lab.prints(args)).expect("it is JSON");
        assert_eq!(items[0]["username"], "alice");
        assert_eq!(items.as_array().map(Vec::len), Some(1));
    }
    ends(&lab.verb(&["show", "carol"]), 1, "is not registered");
    for elsewhere in ["alice@bolts.example.com", "@acme.example.com"] {
        for account in [&[][..], &["--account", ID]] {
            let args = [&["show", elsewhere][..], account].concat();
            ends(&lab.verb(&args), 1, "is not registered");
        }
    }
    ends(
        &lab.verb(&["show", "carol", "-a", ID]),
        1,
        "no user `carol`",
    );
    assert_eq!(lab.prints(&["count"]), "2\n");
    assert_eq!(lab.prints(&["count", ID, "-f", "username!=bob"]), "1\n");
    assert_eq!(lab.prints(&["count", "-o", "json"]), "{\"count\":2}\n");
    let accounts = lab.prints(&["accounts", "-o", "json"]);
    let accounts: Value = serde_json::from_str(&accounts).expect("it is JSON");
    let expected = serde_json::json!([{"id": ID, "name": "Acme", "realm": ACME, "count": 2}]);
    assert_eq!(accounts, expected, "the rows name it");
    let openapi = Command::new(tools::usrlocd()).arg("openapi").output();
    let openapi = out(&openapi.expect("usrlocd can be run"));
    assert!(openapi.contains("\"openapi\": \"3.1.0\""), "{openapi}");
}

#[test]
fn flush_asks_or_wants_yes() {
    let lab = lab();
    ends(&lab.verb(&["flush", ID]), 64, "add --yes");
    let would = lab.prints(&["flush", ID, "--dry-run"]);
    assert_eq!(
        would,
        "would flush 2 registrations of account ac000000000000000000000000000000\n"
    );
    let unset = lab.verb(&["flush", ID, "--user", "", "--yes"]);
    ends(&unset, 64, "the user is empty (is a variable unset?)");
    for user in [".", "..", "count"] {
        let output = lab.verb(&["flush", ID, "--user", user, "--yes"]);
        ends(&output, 0, "");
        assert!(out(&output).starts_with("flushed 0 "), "{}", out(&output));
    }
    assert_eq!(lab.prints(&["count"]), "2\n", "nothing happened");
    let one = lab.prints(&["flush", ID, "--user", "alice", "--yes"]);
    assert_eq!(
        one,
        "flushed 1 registration of user alice of account ac000000000000000000000000000000\n"
    );
    let rest = lab.prints(&["flush", ID, "--yes", "-o", "json"]);
    assert_eq!(rest, "{\"failed\":[],\"flushed\":1}\n");
    assert_eq!(lab.prints(&["count"]), "0\n");
    ends(
        &lab.verb(&["flush", "nobody", "--yes"]),
        1,
        "no account `nobody`",
    );
}
