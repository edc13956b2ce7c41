//! `DELETE /v2/registrations`: what a search, ruids or a filter finds in all accounts, and what belongs to none.

use serde_json::{Value, json};

use super::{acme, audit, flushed, globex, refused};
use crate::oracle::{agree, list, lists, of};
use crate::support::account::Account;
use crate::support::daemon::Daemon;
use crate::support::http::Response;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;

const LIST: &str = "/v2/registrations";

/// Sees one account.
const ONE: &str = "one-token-0123456789abcdef";

fn with(daemon: &Daemon, token: &str, target: &str, body: &Value) -> Response {
    let headers = [("X-Auth-Token", token)];
    daemon.request("DELETE", target, &headers, body.to_string().as_bytes())
}

/// Two phones of each of two accounts, and one that belongs to none.
fn phones(kamailio: &Kamailio) -> [Phone; 5] {
    let phone = |account: &Account, user: &str, agent: &str| {
        Phone::of(kamailio, &account.device(user, 1)).user_agent(agent)
    };
    let mut phones = [
        phone(&acme(), "alice", "Yealink T46S"),
        phone(&acme(), "bob", "Snom D785"),
        phone(&globex(), "eve", "Yealink T46S"),
        phone(&globex(), "mallory", "Snom D785"),
        Phone::new(kamailio, "x", "tel.example.com").to("tel:+15550100"),
    ];
    phones.iter_mut().for_each(Phone::register);
    phones
}

fn flushes_what_is_found(db_mode: u8) {
    let kamailio = Kamailio::builder().db_mode(db_mode).start();
    let daemon = Daemon::builder(&kamailio)
        .token("one", ONE, &[&globex().id], &["read", "flush"])
        .start();
    let phones = phones(&kamailio);
    let contacts: Vec<&[u8]> = phones.iter().map(Phone::contact_uri).collect();
    let items = lists(&daemon, LIST, &contacts);

    for query in [
        "",
        "?q=",
        "?dry_run=true",
        "?keep_newest=1",
        "?q=ip:phone",
        "?q=a&sort=q",
    ] {
        refused(
            &daemon.delete(&format!("{LIST}{query}")),
            400,
            "validation error",
        );
    }
    let dry = daemon.delete(&format!("{LIST}?q=ua:yealink&dry_run=true"));
    assert_eq!(dry.header("X-Would-Flush"), Some("2"), "{}", dry.text());
    assert_eq!(list(&daemon, LIST).len(), 5);

    // A search reaches every account that the token may see.
    flushed(
        &with(&daemon, ONE, &format!("{LIST}?q=yealink"), &json!({})),
        1,
    );
    lists(
        &daemon,
        LIST,
        &[contacts[0], contacts[1], contacts[3], contacts[4]],
    );
    flushed(&daemon.delete(&format!("{LIST}?q=yealink")), 1);
    assert!(kamailio.lookup("alice@acme.example.com").is_empty());
    assert!(kamailio.lookup("eve@globex.example.com").is_empty());
    assert_eq!(kamailio.lookup("bob@acme.example.com").len(), 1);

    // Ruids of what was shown; what is gone by now is simply not flushed.
    let ruid = |contact: &[u8]| {
        let contact = String::from_utf8_lossy(contact);
        let item = items.iter().find(|item| item["contact"] == *contact);
        item.expect("it was listed")["ruid"].clone()
    };
    let chosen =
        json!({"data": {"ruids": [ruid(contacts[0]), ruid(contacts[1]), ruid(contacts[4])]}});
    let own = with(&daemon, ONE, LIST, &chosen);
    flushed(&own, 0);
    let nobody = format!(
        "{}?ruids={}",
        of(&acme()),
        ruid(contacts[4]).as_str().expect("text")
    );
    flushed(&daemon.delete(&nobody), 0);
    flushed(&with(&daemon, Daemon::TOKEN, LIST, &chosen), 2);
    assert!(
        kamailio.lookup("+15550100@").is_empty(),
        "it belonged to no account"
    );
    assert_eq!(lists(&daemon, LIST, &[contacts[3]]).len(), 1);
    agree(&kamailio, &daemon);

    let (acme, globex) = (acme().id, globex().id);
    assert_eq!(
        audit(&daemon),
        format!(
            "one|{globex}|-|q=yealink|1|0\n\
             lab|{acme}|-|q=yealink|1|0\n\
             one||-|ruids=3|0|0\n\
             lab|{acme}|-|ruids=1|0|0\n\
             lab||-|ruids=3|1|0\n\
             lab|{acme}|-|ruids=3|1|0\n"
        )
    );
}

#[test]
fn what_is_found_in_all_accounts_goes_write_through() {
    flushes_what_is_found(1);
}

#[test]
fn what_is_found_in_all_accounts_goes_write_back() {
    flushes_what_is_found(2);
}

/// Of two contacts of one user only what was shown goes, also where another one has come since.
#[test]
fn what_was_not_shown_stays() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    let phone = || Phone::of(&kamailio, &acme().device("alice", 1));
    let mut first = phone();
    first.register();
    let shown = lists(&daemon, LIST, &[first.contact_uri()]);
    let mut second = phone();
    second.register();
    lists(&daemon, LIST, &[first.contact_uri(), second.contact_uri()]);
    let ruids = format!("{LIST}?ruids={}", shown[0]["ruid"].as_str().expect("text"));
    flushed(&daemon.delete(&ruids), 1);
    lists(&daemon, LIST, &[second.contact_uri()]);
    assert_eq!(kamailio.lookup("alice@acme.example.com").len(), 1);
    flushed(&daemon.delete(&ruids), 0);
}

#[test]
fn the_command_line_searches_and_sorts() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    let phones = phones(&kamailio);
    let contacts: Vec<&[u8]> = phones.iter().map(Phone::contact_uri).collect();
    lists(&daemon, LIST, &contacts);
    let run = |verb: &str, args: &[&str]| {
        let mut command = daemon.command(verb);
        let command = command.args(args).stdin(std::process::Stdio::null());
        let output = command.output().expect("it can be run");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let prints = |verb: &str, args: &[&str]| {
        let (code, out, err) = run(verb, args);
        assert_eq!(code, Some(0), "{args:?}: {err}");
        out
    };
    let users = |args: &[&str]| -> Vec<String> {
        let lines = prints("list", args);
        let user = |line: &str| {
            let item: Value = serde_json::from_str(line).expect("a line is an object");
            item["username"].as_str().expect("text").to_owned()
        };
        lines.lines().map(user).collect()
    };
    let ndjson = ["-o", "ndjson"];
    assert_eq!(
        users(&[&ndjson[..], &["--search", "yealink"]].concat()),
        ["alice", "eve"]
    );
    let sorted = [
        &ndjson[..],
        &["--search", "example.com", "--sort", "-username"],
    ]
    .concat();
    assert_eq!(users(&sorted), ["mallory", "eve", "bob", "alice"]);
    let table = prints(
        "list",
        &[
            "--columns",
            "username",
            "--sort",
            "user_agent",
            "--no-headers",
        ],
    );
    assert_eq!(table.lines().count(), 5);
    assert!(table.ends_with("bob\nmallory\nalice\neve\n"), "{table}");
    assert_eq!(prints("count", &["--search", "user:eve"]), "1\n");
    let (code, _, err) = run("count", &["--search", "ip:phone"]);
    assert_ne!(code, Some(0));
    assert!(err.contains("203.0.113.0/24"), "{err}");

    let (code, _, err) = run("flush", &["--yes"]);
    assert_eq!(code, Some(64), "{err}");
    let (code, _, err) = run("flush", &["--search", " ", "--yes"]);
    assert_eq!(code, Some(64), "{err}");
    let (code, _, err) = run("flush", &["--search", "a", "--user", "bob", "--yes"]);
    assert_eq!(code, Some(64), "{err}");
    let would = prints("flush", &["--search", "snom", "--dry-run"]);
    assert_eq!(would, "would flush 2 registrations found in all accounts\n");
    let one = prints("flush", &["Acme", "--search", "snom", "--yes"]);
    assert!(
        one.starts_with("flushed 1 registration of account Acme"),
        "{one}"
    );
    let stray = prints("flush", &["--search", "user:+15550100", "--yes"]);
    assert_eq!(stray, "flushed 1 registration found in all accounts\n");
    lists(&daemon, LIST, &[contacts[0], contacts[2], contacts[3]]);
}
