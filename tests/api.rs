//! The four calls of the document as it shows them, with curl, against the real thing; and what is refused.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use crate::oracle::{lists, of};
use crate::support::account::Account;
use crate::support::daemon::Daemon;
use crate::support::http::Response;
use crate::support::kamailio::{Kamailio, Received};
use crate::support::phone::Phone;
use crate::support::tools;

/// The keys of the document's item.
const DOCUMENT: [&str; 24] = [
    "account_name",
    "account_realm",
    "authorizing_id",
    "authorizing_type",
    "call_id",
    "contact",
    "contact_ip",
    "contact_port",
    "event_timestamp",
    "expires",
    "from_host",
    "from_user",
    "network_ip",
    "network_port",
    "original_contact",
    "owner_id",
    "proxy_ip",
    "proxy_port",
    "realm",
    "suppress_unregister_notify",
    "to_host",
    "to_user",
    "user_agent",
    "username",
];

fn acme() -> Account {
    Account::new("ac", "Acme", "acme.example.com")
}

/// The document's command: its `-v` shows the status on standard error, its body is standard output.
fn curl(daemon: &Daemon, method: &str, path: &str) -> Value {
    let output = Command::new(tools::program("curl"))
        .args(["-v", "-X", method, "-H"])
        .arg(format!("X-Auth-Token: {}", Daemon::TOKEN))
        .arg(format!("http://{}{path}", daemon.address()))
        .output()
        .expect("curl starts");
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(shown.contains("< HTTP/1.1 200 OK"), "{shown}");
    let envelope: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(envelope["status"], "success");
    assert_eq!(envelope["auth_token"], Daemon::TOKEN);
    for key in ["request_id", "revision"] {
        let text = envelope[key].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "{key} in {envelope}");
    }
    envelope
}

/// A registrar as the document's: it does not store where a phone's packets come from.
fn lab() -> (Kamailio, Daemon, Vec<Phone>) {
    let kamailio = Kamailio::builder().received(Received::Never).start();
    let daemon = Daemon::builder(&kamailio)
        .token("reader", "reader-token", &[&acme().id], &["read"])
        .token("stranger", "stranger-token", &["ffff"], &["read", "flush"])
        .start();
    let mut phones: Vec<Phone> = ["Alice", "bob", "carol", "dave"]
        .into_iter()
        .zip(1..)
        .map(|(user, number)| Phone::of(&kamailio, &acme().device(user, number)))
        .collect();
    phones.iter_mut().for_each(Phone::register);
    let contacts: Vec<&[u8]> = phones.iter().map(Phone::contact_uri).collect();
    lists(&daemon, &of(&acme()), &contacts);
    (kamailio, daemon, phones)
}

#[test]
fn four_calls_of_the_document() {
    let (kamailio, daemon, phones) = lab();
    let device = acme().device("Alice", 1);

    let listed = curl(&daemon, "GET", &of(&acme()));
    assert_eq!(listed["page_size"], 4);
    let item = &listed["data"][0];
    let keys: BTreeSet<&str> = item
        .as_object()
        .expect("an item")
        .keys()
        .map(String::as_str)
        .collect();
    for key in DOCUMENT {
        assert!(keys.contains(key), "no {key} in {item}");
    }
    let contact = String::from_utf8_lossy(phones[0].contact_uri()).into_owned();
    for (key, value) in [
        ("account_name", json!("Acme")),
        ("account_realm", json!("acme.example.com")),
        ("authorizing_id", json!(device.id)),
        ("authorizing_type", json!("device")),
        ("contact", json!(contact)),
        ("contact_ip", json!("127.0.0.1")),
        ("contact_port", json!(phones[0].source().port().to_string())),
        ("from_user", json!("Alice")),
        ("network_ip", json!("undefined")),
        ("network_port", json!("undefined")),
        ("owner_id", json!(device.owner_id)),
        ("proxy_ip", json!("127.0.0.1")),
        ("proxy_port", json!(kamailio.address().port().to_string())),
        ("suppress_unregister_notify", json!(true)),
        ("username", json!("Alice")),
    ] {
        assert_eq!(item[key], value, "{key}");
    }

    let count = curl(&daemon, "GET", &format!("{}/count", of(&acme())));
    assert_eq!(count["data"], json!({"count": 4}));
    assert!(count.get("page_size").is_none());

    let one = curl(&daemon, "DELETE", &format!("{}/bob", of(&acme())));
    assert_eq!(one["data"], "ok");
    assert!(one.get("page_size").is_none());
    assert!(kamailio.lookup("bob@acme.example.com").is_empty());
    let count = curl(&daemon, "GET", &format!("{}/count", of(&acme())));
    assert_eq!(count["data"], json!({"count": 3}));

    let all = curl(&daemon, "DELETE", &of(&acme()));
    assert_eq!(all["data"], "ok");
    let listed = curl(&daemon, "GET", &of(&acme()));
    assert_eq!(listed["data"], json!([]));
    assert_eq!(listed["page_size"], 0);
    assert!(kamailio.lookup("alice@acme.example.com").is_empty());
}

fn ask(daemon: &Daemon, method: &str, target: &str, token: &str) -> Response {
    let headers = [("X-Auth-Token", token)];
    let headers = if token.is_empty() {
        &[][..]
    } else {
        &headers[..]
    };
    daemon.request(method, target, headers, b"")
}

#[test]
fn what_is_refused_says_why() {
    let (kamailio, daemon, _phones) = lab();
    let account = of(&acme());
    let (count, nobody) = (format!("{account}/count"), format!("{account}/nobody"));
    let unknown = format!("{account}?force=1");
    let bad_filter = format!("{account}?filter_nonsense=1");
    let bad_page = format!("{account}?page_size=0");
    let all = Daemon::TOKEN;
    for (method, target, token, status, message) in [
        ("GET", &account, "", 401, "invalid_credentials"),
        ("GET", &account, "no-such-token", 401, "invalid_credentials"),
        ("GET", &account, "stranger-token", 403, "forbidden"),
        ("DELETE", &account, "reader-token", 403, "forbidden"),
        (
            "DELETE",
            &"/v2/registrations".to_owned(),
            "reader-token",
            403,
            "forbidden",
        ),
        (
            "GET",
            &"/v2/accounts/nowhere/registrations".to_owned(),
            all,
            404,
            "bad_identifier",
        ),
        ("GET", &"/nothing".to_owned(), all, 404, "not_found"),
        ("GET", &nobody, all, 404, "bad identifier"),
        ("DELETE", &nobody, all, 404, "bad identifier"),
        ("DELETE", &count, all, 405, "invalid_method"),
        ("PUT", &account, all, 405, "invalid_method"),
        ("DELETE", &unknown, all, 400, "validation error"),
        ("GET", &bad_filter, all, 400, "validation error"),
        ("GET", &bad_page, all, 400, "validation error"),
    ] {
        let answer = ask(&daemon, method, target, token);
        let text = answer.text();
        assert_eq!(answer.status, status, "{method} {target}: {text}");
        let envelope = answer.json();
        assert_eq!(envelope["status"], "error", "{text}");
        assert_eq!(envelope["error"], status.to_string(), "{text}");
        assert_eq!(envelope["message"], message, "{text}");
        assert!(envelope.get("data").is_some(), "{text}");
        let id = envelope["request_id"].as_str().unwrap_or_default();
        assert_eq!(answer.header("X-Request-ID"), Some(id), "{text}");
        assert_eq!(answer.header("Allow").is_some(), status == 405, "{text}");
    }
    assert_eq!(kamailio.contacts_in_memory(), 4, "nothing was flushed");
    let mine = ask(&daemon, "GET", &account, "reader-token");
    assert_eq!(mine.status, 200);
}

#[test]
fn unix_socket_needs_no_token() {
    let (_kamailio, daemon, _phones) = lab();
    let output = Command::new(tools::program("curl"))
        .args(["-s", "--unix-socket"])
        .arg(daemon.socket())
        .arg(format!("http://localhost{}/count", of(&acme())))
        .output()
        .expect("curl starts");
    let envelope: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(envelope["data"], json!({"count": 4}), "{envelope}");
}
