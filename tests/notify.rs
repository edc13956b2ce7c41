//! Phones are asked to act by NOTIFY, over the way by which they registered, and their answers are told.

mod beside;
mod command;
mod hostile;
mod rights;
mod ways;

use std::time::Duration;

use serde_json::{Value, json};

use crate::oracle::{lists, of};
use crate::support::account::Account;
use crate::support::daemon::{self, Daemon};
use crate::support::http::Response;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::phone::answering::Answering;
use crate::support::table::Table;

/// Kamailio's own timer, in milliseconds: its default.
const FR_TIMER: u32 = 30_000;

/// Long enough for a phone on loopback, and short enough for one that is mute.
const SHORT: &str = "[notify]\ntimeout = \"500ms\"\n";

/// The time within which an answer must be there whatever phones do.
const AT_ONCE: Duration = Duration::from_secs(2);

const CHECK_SYNC: &[u8] = br#"{"data": {"event": "check-sync"}}"#;
const REBOOT: &[u8] = br#"{"data": {"event": "check-sync", "reboot": true}}"#;

fn acme() -> Account {
    Account::new("ac", "Acme", "acme.example.com")
}

/// A usrlocd that waits for a second or less.
fn beside(kamailio: &Kamailio) -> daemon::Builder {
    Daemon::builder(kamailio).sections(SHORT)
}

fn path(user: &str) -> String {
    format!("{}/{user}/notify", of(&acme()))
}

fn post(daemon: &Daemon, target: &str, body: &[u8]) -> Response {
    let headers = [("X-Auth-Token", Daemon::TOKEN)];
    daemon.request("POST", target, &headers, body)
}

/// The status codes of an answer, in the order of the contacts.
#[track_caller]
fn statuses(answer: &Response) -> Vec<Value> {
    let envelope = answer.json();
    let contacts = envelope["data"].as_array();
    let contacts = contacts.unwrap_or_else(|| panic!("no list in {envelope}"));
    contacts.iter().map(|one| one["status"].clone()).collect()
}

#[track_caller]
fn notified(answer: &Response, phones: u32) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let number = phones.to_string();
    assert_eq!(answer.header("X-Notified"), Some(number.as_str()));
    assert_eq!(answer.json()["status"], "success");
}

#[track_caller]
fn failed(answer: &Response, status: u16, message: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.json()["message"], message);
    assert_eq!(answer.header("X-Notified"), Some("0"));
}

/// The only request that a phone heard.
#[track_caller]
fn only(answering: &Answering) -> String {
    let heard = answering.heard();
    assert_eq!(heard.len(), 1, "{heard:?}");
    heard[0].clone()
}

/// A header of a request.
#[track_caller]
fn header<'a>(request: &'a str, name: &str) -> &'a str {
    let line = |line: &'a str| line.strip_prefix(name)?.strip_prefix(": ");
    let mut lines = request.lines().filter_map(line);
    let value = lines
        .next()
        .unwrap_or_else(|| panic!("no {name} in {request}"));
    assert_eq!(lines.next(), None, "{name} is there twice: {request}");
    value
}

/// What `sqlite3` reads from usrlocd's own store.
fn audit(daemon: &Daemon) -> String {
    Table::copy_of(&daemon.store()).query(
        "select token, account, coalesce(username, '-'), filters, event, notified, failed, ended >= at \
         from notify order by id",
    )
}

#[test]
fn a_phone_is_asked_and_its_answer_is_told() {
    let kamailio = Kamailio::builder().tm(FR_TIMER).start();
    let daemon = beside(&kamailio).start();
    let acme = acme();
    let mut phone = Phone::of(&kamailio, &acme.device("Alice", 1));
    phone.register();
    lists(&daemon, &of(&acme), &[phone.contact_uri()]);
    let answering = phone.answering(Some("200 Fine with me"));
    let answer = post(&daemon, &path("ALICE"), REBOOT);
    notified(&answer, 1);
    let row = &kamailio.rows()[0];
    let contact = String::from_utf8_lossy(phone.contact_uri()).into_owned();
    assert_eq!(
        answer.json()["data"],
        json!([{
            "username": "Alice", "realm": "acme.example.com", "contact": contact,
            "ruid": row.text("ruid"),
            "status": 200, "reason": "Fine with me",
        }])
    );
    let request = only(&answering);
    assert!(
        request.starts_with(&format!("NOTIFY {contact} SIP/2.0\r\n")),
        "{request}"
    );
    assert_eq!(header(&request, "Event"), "check-sync;reboot=true");
    assert_eq!(header(&request, "Subscription-State"), "terminated");
    assert_eq!(header(&request, "To"), "<sip:Alice@acme.example.com>");
    let from = header(&request, "From");
    assert!(from.starts_with("<sip:acme.example.com>;tag="), "{from}");
    let own = format!("<sip:{}>", kamailio.address());
    assert_eq!(header(&request, "Contact"), own);
    assert!(!request.contains("\r\nRoute:"), "{request}");
    assert!(daemon.log().contains("notified phones"), "{}", daemon.log());

    // The other event that is always there; and Kazoo's own path.
    notified(&post(&daemon, &path("alice"), CHECK_SYNC), 1);
    let sync = format!(
        "/v2/accounts/{}/devices/{}/sync",
        acme.id,
        acme.device("x", 1).id
    );
    notified(&post(&daemon, &sync, b""), 1);
    notified(&post(&daemon, &sync, br#"{"data": {"reboot": true}}"#), 1);
    let events: Vec<String> = answering
        .heard()
        .iter()
        .map(|it| header(it, "Event").to_owned())
        .collect();
    assert_eq!(
        events,
        ["true", "false", "false", "true"].map(|it| format!("check-sync;reboot={it}"))
    );
    let id = &acme.id;
    let device = acme.device("x", 1).id;
    assert_eq!(
        audit(&daemon),
        format!(
            "lab|{id}|ALICE||check-sync;reboot=true|1|0|1\n\
             lab|{id}|alice||check-sync;reboot=false|1|0|1\n\
             lab|{id}|-|filter_authorizing_id={device}|check-sync;reboot=false|1|0|1\n\
             lab|{id}|-|filter_authorizing_id={device}|check-sync;reboot=true|1|0|1\n"
        )
    );
    let metrics = daemon.request("GET", "/metrics", &[], b"").text();
    assert!(
        metrics.contains("usrlocd_notify_total{outcome=\"accepted\"} 4\n"),
        "{metrics}"
    );
}

#[test]
fn what_phones_answer_decides_the_status() {
    let kamailio = Kamailio::builder().tm(FR_TIMER).start();
    let daemon = beside(&kamailio).start();
    let acme = acme();
    let phone = |user: &str, number| {
        let mut phone = Phone::of(&kamailio, &acme.device(user, number));
        phone.register();
        phone
    };
    let phones = [
        ("busy", "486 Busy Here"),
        ("old", "405 Method Not Allowed"),
        ("late", "408 Request Timeout"),
        ("mute", ""),
        ("both", "202 Accepted"),
        ("both", ""),
        ("none", "489 Bad Event"),
        ("none", ""),
    ];
    let phones: Vec<(Phone, &str)> = phones
        .into_iter()
        .zip(1..)
        .map(|((user, status), number)| (phone(user, number), status))
        .collect();
    let contacts: Vec<&[u8]> = phones.iter().map(|(it, _)| it.contact_uri()).collect();
    lists(&daemon, &of(&acme), &contacts);
    let _answering: Vec<Answering> = phones
        .iter()
        .map(|(phone, status)| phone.answering((!status.is_empty()).then_some(status)))
        .collect();
    for (user, status, message, code, reason) in [
        ("busy", 502, "notify_failed", json!(486), "Busy Here"),
        (
            "old",
            502,
            "notify_failed",
            json!(405),
            "Method Not Allowed",
        ),
        // A phone's own.
        ("late", 502, "notify_failed", json!(408), "Request Timeout"),
        (
            "mute",
            504,
            "phone_timeout",
            json!(null),
            "no reply within 0.5 s",
        ),
    ] {
        let answer = post(&daemon, &path(user), CHECK_SYNC);
        failed(&answer, status, message);
        let data = &answer.json()["data"];
        assert_eq!(data[0]["status"], code, "{data}");
        assert_eq!(data[0]["reason"], reason, "{data}");
    }
    let answer = post(&daemon, &path("both"), CHECK_SYNC);
    notified(&answer, 1);
    let mut codes = statuses(&answer);
    codes.sort_by_key(Value::is_null);
    assert_eq!(codes, [json!(202), json!(null)]);
    let answer = post(&daemon, &path("none"), CHECK_SYNC);
    failed(&answer, 502, "notify_failed");
    let mut codes = statuses(&answer);
    codes.sort_by_key(Value::is_null);
    assert_eq!(codes, [json!(489), json!(null)]);
}

#[test]
fn a_kamailio_without_tm_is_told_what_it_lacks() {
    let kamailio = Kamailio::builder().start();
    let daemon = beside(&kamailio).start();
    let mut phone = Phone::of(&kamailio, &acme().device("alice", 1));
    phone.register();
    lists(&daemon, &of(&acme()), &[phone.contact_uri()]);
    let answer = post(&daemon, &path("alice"), CHECK_SYNC);
    failed(&answer, 502, "notify_failed");
    let reason = answer.json()["data"][0]["reason"].clone();
    let reason = reason.as_str().expect("it is text");
    assert!(reason.contains("loadmodule \"tm.so\""), "{reason}");
}

#[test]
fn a_kamailio_that_is_away_is_no_silent_phone() {
    let mut kamailio = Kamailio::builder().tm(FR_TIMER).start();
    let daemon = beside(&kamailio).start();
    let mut phone = Phone::of(&kamailio, &acme().device("alice", 1));
    phone.register();
    lists(&daemon, &of(&acme()), &[phone.contact_uri()]);
    kamailio.kill9();
    let answer = post(&daemon, &path("alice"), CHECK_SYNC);
    failed(&answer, 502, "notify_failed");
    assert_eq!(answer.json()["data"][0]["reason"], "cannot reach Kamailio");
}
