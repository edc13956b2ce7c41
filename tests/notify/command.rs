//! `usrlocd notify`, and what `usrlocd doctor` says about it.

use std::process::Output;

use super::{FR_TIMER, acme, beside, header, only};
use crate::oracle::{lists, of};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;

fn run(daemon: &Daemon, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = daemon
        .command("notify")
        .args(arguments)
        .output()
        .expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn a_user_is_named_and_each_phone_has_a_line() {
    let kamailio = Kamailio::builder().tm(FR_TIMER).start();
    let daemon = beside(&kamailio).start();
    let mut desk = Phone::of(&kamailio, &acme().device("alice", 1)).q("0.9");
    let mut soft = Phone::of(&kamailio, &acme().device("alice", 2)).q("0.1");
    let mut bob = Phone::of(&kamailio, &acme().device("bob", 3));
    for phone in [&mut desk, &mut soft, &mut bob] {
        phone.register();
    }
    let contacts = [&desk, &soft, &bob].map(|phone| phone.contact_uri().to_vec());
    let contacts = contacts.each_ref().map(Vec::as_slice);
    lists(&daemon, &of(&acme()), &contacts);
    let contact = |phone: &Phone| String::from_utf8_lossy(phone.contact_uri()).into_owned();
    let at_bob = bob.answering(Some("200 OK"));
    let line = format!("{}  200 OK\n", contact(&bob));
    assert_eq!(
        run(&daemon, &["bob@acme.example.com", "--reboot"]),
        (Some(0), line, String::new())
    );
    assert_eq!(header(&only(&at_bob), "Event"), "check-sync;reboot=true");

    let (status, out, _) = run(&daemon, &["alice", "--dry-run"]);
    assert_eq!(status, Some(0));
    assert_eq!(out.matches("not sent: dry run\n").count(), 2, "{out}");
    let at_desk = desk.answering(Some("200 OK"));
    let (status, out, err) = run(&daemon, &["alice"]);
    assert_eq!(status, Some(2), "{out}{err}");
    assert!(
        out.contains(&format!("{}  200 OK\n", contact(&desk))),
        "{out}"
    );
    let silent = format!("{}  no reply within 0.5 s\n", contact(&soft));
    assert!(out.contains(&silent), "{out}");
    assert!(err.contains("1 of 2 phones accepted"), "{err}");
    assert_eq!(header(&only(&at_desk), "Event"), "check-sync;reboot=false");

    let only_soft = format!("contact={}", contact(&soft));
    let (status, out, err) = run(&daemon, &["alice", "-f", &only_soft, "-o", "json"]);
    assert_eq!(status, Some(1), "{out}{err}");
    assert!(err.contains("no phone accepted"), "{err}");
    assert!(out.contains("\"status\": null"), "{out}");
    drop(at_bob);
    bob.unregister();
    lists(&daemon, &of(&acme()), &contacts[..2]);
    let (status, _, err) = run(&daemon, &["bob"]);
    assert_eq!(status, Some(1));
    assert!(err.contains("the user is not registered"), "{err}");
    for (arguments, status) in [
        (&["nobody"][..], 1),
        (&["alice", "--event", "resync"], 64),
        (&["alice", "--event", "resync", "--reboot"], 64),
    ] {
        assert_eq!(run(&daemon, arguments).0, Some(status), "{arguments:?}");
    }
}

#[test]
fn doctor_says_whether_phones_can_be_asked() {
    for (kamailio, told) in [
        (
            Kamailio::builder().tm(FR_TIMER),
            "Kamailio can ask phones to act (module tm).",
        ),
        (Kamailio::builder(), "add loadmodule \"tm.so\""),
        (
            Kamailio::builder().tm(FR_TIMER).datagram(true),
            "flushes wait while a phone does not answer",
        ),
    ] {
        let kamailio = kamailio.start();
        let mut daemon = beside(&kamailio);
        if let Some(socket) = kamailio.datagram_socket() {
            daemon = daemon.rpc(&format!("unixgram:{}", socket.display()));
        }
        let daemon = daemon.start();
        let output = daemon.command("doctor").output().expect("the program runs");
        let text = String::from_utf8_lossy(&output.stdout).replace('\n', " ");
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(told), "{told}: {text}");
    }
}
