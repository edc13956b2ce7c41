//! What tables hold is not to become a header line.

use super::{CHECK_SYNC, FR_TIMER, acme, beside, failed, header, notified, only, post};
use crate::oracle::{PATIENCE, of};
use crate::support::daemon::Daemon;
use crate::support::http::Response;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::{eventually, holds};

/// A Kamailio that has ended and whose only row was changed by this SQL, its phone, and usrlocd.
fn changed(sql: &str) -> (Kamailio, Daemon, Phone) {
    let mut kamailio = Kamailio::builder().tm(FR_TIMER).start();
    let phone = Phone::new(&kamailio, "alice", "acme.example.com");
    let mut phone = phone.header("X-Token", acme().device("alice", 1).token());
    phone.register();
    eventually("the row is written", PATIENCE, || {
        holds(kamailio.rows().len() == 1, || "no row".to_owned())
    });
    kamailio.kill9();
    kamailio.sql(sql);
    let daemon = beside(&kamailio).start();
    (kamailio, daemon, phone)
}

/// Asks the only device.
fn ask(daemon: &Daemon) -> Response {
    let device = acme().device("alice", 1).id;
    let target = format!("/v2/accounts/{}/devices/{device}/sync", acme().id);
    post(daemon, &target, b"")
}

#[test]
fn names_are_escaped() {
    let kamailio = Kamailio::builder().tm(FR_TIMER).start();
    let daemon = beside(&kamailio).start();
    let acme = acme();
    for (typed, escaped) in [
        // Kamailio unescapes what it stores.
        (&b"a%20b"[..], "a%20b"),
        (b"a%3cb%3e", "a%3Cb%3E"),
        (b"a%22b", "a%22b"),
        (b"100%25", "100%25"),
        (b"a%3bb", "a%3Bb"),
        (b"\xff\xc3\xa4", "%FF%C3%A4"),
        (b"+15550100", "+15550100"),
    ] {
        let mut phone = Phone::new(&kamailio, typed, "acme.example.com");
        let contact = format!("sip:phone@{}", phone.source());
        phone = phone
            .contact(contact)
            .header("X-Token", acme.device("x", 1).token());
        phone.register();
        let contact = String::from_utf8_lossy(phone.contact_uri()).into_owned();
        let listed = eventually("it is listed", PATIENCE, || {
            let target = format!("{}?filter_contact={contact}", of(&acme));
            let listed = daemon.get(&target).json();
            let number = listed["data"].as_array().map_or(0, Vec::len);
            holds(number == 1, || listed.to_string()).map(|()| listed)
        });
        let answering = phone.answering(Some("200 OK"));
        let user = listed["data"][0]["username"].as_str().expect("a name");
        let device = acme.device("x", 1).id;
        let target = format!(
            "/v2/accounts/{}/devices/{device}/sync?filter_contact={contact}",
            acme.id
        );
        notified(&post(&daemon, &target, CHECK_SYNC), 1);
        let request = only(&answering);
        let to = format!("<sip:{escaped}@acme.example.com>");
        assert_eq!(header(&request, "To"), to, "{user}");
        assert!(!request.contains("\nX-Evil"), "{request}");
    }
}

#[test]
fn a_name_with_an_end_of_line_is_escaped() {
    let evil = "update location set username = 'evil' || char(13, 10) || 'X-Evil: 1'";
    let (mut kamailio, daemon, phone) = changed(evil);
    kamailio.start();
    let answering = phone.answering(Some("200 OK"));
    notified(&ask(&daemon), 1);
    let request = only(&answering);
    let to = "<sip:evil%0D%0AX-Evil%3A%201@acme.example.com>";
    assert_eq!(header(&request, "To"), to);
    assert!(!request.contains("\nX-Evil"), "{request}");
}

#[test]
fn a_path_that_would_end_the_line_is_refused() {
    for path in [
        "'<sip:127.0.0.1:9;lr>' || char(13, 10) || 'X-Evil: 1'",
        "'<sip:127.0.0.1:9;lr' || char(13, 10) || 'X-Evil: 1' || char(13, 10) || ';x>'",
        "'<sip:127.0.0.1:9;lr>, evil'",
        "'<sip:127.0.0.1:9;lr>;a=\"<b>\"'",
    ] {
        let (_kamailio, daemon, phone) = changed(&format!("update location set path = {path}"));
        let answering = phone.answering(Some("200 OK"));
        let answer = ask(&daemon);
        failed(&answer, 502, "notify_failed");
        let reason = answer.json()["data"][0]["reason"].clone();
        assert_eq!(
            reason, "not sent: the Path is not a list of SIP URIs in angle brackets",
            "{path}"
        );
        assert!(answering.heard().is_empty());
    }
}

#[test]
fn a_contact_that_would_end_the_line_is_refused() {
    for (column, value, reason) in [
        (
            "contact",
            "contact || ' SIP/2.0' || char(13, 10) || 'X-Evil: 1'",
            "not sent: the contact has characters that do not belong in a SIP request",
        ),
        (
            "received",
            "received || '>' || char(10) || 'X-Evil: 1'",
            "not sent: `received` has characters that do not belong in a SIP request",
        ),
        (
            "socket",
            "'udp:127.0.0.1>' || char(13, 10) || 'X-Evil: 1' || ':5060'",
            "not sent: `socket` does not name a socket of Kamailio''s",
        ),
    ] {
        let (_kamailio, daemon, phone) =
            changed(&format!("update location set {column} = {value}"));
        let answering = phone.answering(Some("200 OK"));
        let answer = ask(&daemon);
        failed(&answer, 502, "notify_failed");
        let told = answer.json()["data"][0]["reason"].clone();
        assert_eq!(told, reason.replace("''", "'"), "{column}");
        assert!(answering.heard().is_empty());
        // A dry run says so too.
        let device = acme().device("alice", 1).id;
        let dry = format!(
            "/v2/accounts/{}/devices/{device}/sync?dry_run=true",
            acme().id
        );
        let answer = post(&daemon, &dry, b"");
        assert_eq!(answer.header("X-Would-Notify"), Some("0"));
    }
}

#[test]
fn what_kamailio_could_not_read_is_not_sent() {
    let path = "'<sip:127.0.0.1:9;lr;x=' || replace(hex(zeroblob(1900)), '00', 'ab') || '>'";
    let (_kamailio, daemon, phone) = changed(&format!("update location set path = {path}"));
    let answering = phone.answering(Some("200 OK"));
    let answer = ask(&daemon);
    failed(&answer, 502, "notify_failed");
    let reason = answer.json()["data"][0]["reason"].clone();
    assert_eq!(
        reason,
        "the request cannot be sent to Kamailio: the request is longer than Kamailio accepts"
    );
    assert!(answering.heard().is_empty());
}
