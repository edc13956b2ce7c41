//! Who may ask which phones, and what is refused: as with a flush.

use serde_json::json;

use super::{CHECK_SYNC, FR_TIMER, acme, beside, notified, path, post, statuses};
use crate::oracle::{lists, of};
use crate::support::account::Account;
use crate::support::daemon::Daemon;
use crate::support::http::Response;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;

const READER: &str = "reader-token-0123456789abcdef";
const OTHER: &str = "other-token-0123456789abcdef";

fn with(daemon: &Daemon, headers: &[(&str, &str)]) -> Response {
    daemon.request("POST", &path("alice"), headers, CHECK_SYNC)
}

#[test]
fn phones_are_asked_as_registrations_are_flushed() {
    let kamailio = Kamailio::builder().tm(FR_TIMER).start();
    let (acme, globex) = (acme(), Account::new("91be", "Globex", "globex.example.com"));
    let daemon = beside(&kamailio)
        .token("reader", READER, &["*"], &["read"])
        .token("other", OTHER, &[&globex.id], &["read", "flush"])
        .start();
    let mut desk = Phone::of(&kamailio, &acme.device("alice", 1)).user_agent("Desk 1");
    let mut soft = Phone::of(&kamailio, &acme.device("alice", 2)).user_agent("Soft 2");
    let mut gone = Phone::of(&kamailio, &acme.device("bob", 3));
    desk.register();
    soft.register();
    gone.register();
    let contacts = [desk.contact_uri(), soft.contact_uri()];
    lists(
        &daemon,
        &of(&acme),
        &[contacts[0], contacts[1], gone.contact_uri()],
    );
    gone.unregister();
    lists(&daemon, &of(&acme), &contacts);
    let (at_desk, at_soft) = (
        desk.answering(Some("200 OK")),
        soft.answering(Some("200 OK")),
    );

    // Rights, and pages of other sites.
    assert_eq!(with(&daemon, &[]).status, 401);
    for token in [READER, OTHER] {
        assert_eq!(with(&daemon, &[("X-Auth-Token", token)]).status, 403);
    }
    let own = ("X-Auth-Token", Daemon::TOKEN);
    for foreign in [
        ("Origin", "https://evil.example.net"),
        ("Sec-Fetch-Site", "cross-site"),
    ] {
        assert_eq!(with(&daemon, &[own, foreign]).status, 403);
    }
    for method in ["GET", "DELETE", "PUT"] {
        let answer = daemon.request(method, &path("alice"), &[own], b"");
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("Allow"), Some("POST, OPTIONS"));
    }

    // What is not known, or not understood.
    assert_eq!(post(&daemon, &path("nobody"), CHECK_SYNC).status, 404);
    let device = |id: &str| format!("/v2/accounts/{}/devices/{id}/sync", acme.id);
    let answer = post(&daemon, &device("nobody"), b"");
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json()["data"]["cause"], "nobody");
    for body in [
        &b""[..],
        b"{}",
        br#"{"event": "resync"}"#,
        br#"{"event": "check-sync\r\nX-Evil: 1"}"#,
        br#"{"event": "check-sync", "headers": "X-Evil: 1"}"#,
    ] {
        assert_eq!(post(&daemon, &path("alice"), body).status, 400);
    }
    for query in [
        "event=check-sync",
        "keep_newest=1",
        "filter_nothing=1",
        "dry_run=yes",
    ] {
        let target = format!("{}?{query}", path("alice"));
        assert_eq!(post(&daemon, &target, CHECK_SYNC).status, 400, "{query}");
    }

    // A dry run asks nobody.
    let answer = post(
        &daemon,
        &format!("{}?dry_run=true", path("alice")),
        CHECK_SYNC,
    );
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("X-Would-Notify"), Some("2"));
    assert_eq!(answer.header("X-Notified"), None);
    assert_eq!(statuses(&answer), [json!(null), json!(null)]);
    assert!(at_desk.heard().is_empty() && at_soft.heard().is_empty());

    // A user whose last phone went is known, and has nobody to ask.
    let answer = post(&daemon, &path("bob"), CHECK_SYNC);
    notified(&answer, 0);
    assert_eq!(answer.json()["data"], json!([]));

    // Filters, ruids and devices choose.
    let target = format!("{}?filter_user_agent=Desk%201", path("alice"));
    notified(&post(&daemon, &target, CHECK_SYNC), 1);
    assert_eq!((at_desk.heard().len(), at_soft.heard().len()), (1, 0));
    let listed = daemon
        .get(&format!("{}?filter_user_agent=Soft%202", of(&acme)))
        .json();
    let body = json!({"data": {"event": "check-sync", "ruids": [listed["data"][0]["ruid"]]}});
    notified(
        &post(&daemon, &path("alice"), body.to_string().as_bytes()),
        1,
    );
    assert_eq!((at_desk.heard().len(), at_soft.heard().len()), (1, 1));
    notified(&post(&daemon, &device(&acme.device("alice", 2).id), b""), 1);
    assert_eq!((at_desk.heard().len(), at_soft.heard().len()), (1, 2));
    notified(&post(&daemon, &path("alice"), CHECK_SYNC), 2);
}

#[test]
fn requests_count_as_deletes_do() {
    let kamailio = Kamailio::builder().tm(FR_TIMER).start();
    let daemon = beside(&kamailio)
        .sections("[limits]\ndeletes = { burst = 2, per_second = 0.01 }\n")
        .start();
    let mut phone = Phone::of(&kamailio, &acme().device("alice", 1));
    phone.register();
    lists(&daemon, &of(&acme()), &[phone.contact_uri()]);
    let _answering = phone.answering(Some("200 OK"));
    notified(&post(&daemon, &path("alice"), CHECK_SYNC), 1);
    let dry = format!("{}?dry_run=true", path("alice"));
    assert_eq!(post(&daemon, &dry, CHECK_SYNC).status, 200);
    notified(&post(&daemon, &path("alice"), CHECK_SYNC), 1);
    let answer = post(&daemon, &path("alice"), CHECK_SYNC);
    assert_eq!(answer.status, 429);
    assert!(answer.header("Retry-After").is_some());
}

#[test]
fn events_are_those_that_the_configuration_names() {
    let kamailio = Kamailio::builder().tm(FR_TIMER).start();
    let daemon = Daemon::builder(&kamailio)
        .sections("[notify]\nevents = [\"resync\"]\ntimeout = \"1s\"\n")
        .start();
    let mut phone = Phone::of(&kamailio, &acme().device("alice", 1));
    phone.register();
    lists(&daemon, &of(&acme()), &[phone.contact_uri()]);
    let answering = phone.answering(Some("200 OK"));
    notified(&post(&daemon, &path("alice"), br#"{"event": "resync"}"#), 1);
    assert_eq!(super::header(&super::only(&answering), "Event"), "resync");
    notified(&post(&daemon, &path("alice"), CHECK_SYNC), 1);
    assert_eq!(
        post(&daemon, &path("alice"), br#"{"event": "reboot"}"#).status,
        400
    );
}
