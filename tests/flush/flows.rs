//! What was chosen goes, and nothing that merely shares its contact URI.

use super::{acme, flushed, refused};
use crate::oracle::{list, lists, of};
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::holds;
use crate::support::http::Response;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;

const AOR: &str = "alice@acme.example.com";
const URN: &str = "urn:uuid:00000000-0000-1000-8000-000a95a0e128";
const SHARED: &str = "sip:ob@192.0.2.60:5060;ob";

/// The two flows of a phone, over two edges: RFC 5626.
fn flows(kamailio: &Kamailio) -> [Phone; 2] {
    [1, 2].map(|number| {
        let mut flow = Phone::of(kamailio, &acme().device("alice", 1))
            .contact(SHARED)
            .instance(URN, number)
            .path(&format!("<sip:edge{number}.example.net;lr;ob>"));
        flow.register();
        flow
    })
}

#[track_caller]
fn nothing_went(answer: &Response) {
    refused(answer, 502, "flush_incomplete");
    let data = &answer.json()["data"];
    assert_eq!(
        (&data["flushed"], &data["failed_total"]),
        (&0.into(), &1.into())
    );
    assert_eq!(data["failed"][0]["aor"], AOR);
    let reason = data["failed"][0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("contact URI"), "{reason}");
}

/// Waits until the list shows what was registered last.
#[track_caller]
fn shows(daemon: &Daemon, key: &str, value: &serde_json::Value) {
    eventually("the last one is listed", crate::oracle::PATIENCE, || {
        let answer = daemon.get(&of(&acme()));
        let items = answer.json()["data"].clone();
        let mut items = items.as_array().into_iter().flatten();
        holds(items.any(|item| item[key] == *value), || answer.text())
    });
}

#[test]
fn a_flow_does_not_go_for_another() {
    for db_mode in [1, 2, 3] {
        let kamailio = Kamailio::builder().db_mode(db_mode).outbound(true).start();
        let daemon = Daemon::builder(&kamailio).start();
        let _phones = flows(&kamailio);
        shows(&daemon, "reg_id", &2.into());
        assert_eq!(kamailio.lookup(AOR).len(), 2);
        let before = list(&daemon, &of(&acme()));

        nothing_went(&daemon.delete(&format!("{}?filter_reg_id=2", of(&acme()))));
        nothing_went(&daemon.delete(&format!("{}/alice?filter_reg_id=2", of(&acme()))));
        let mut left: Vec<_> = kamailio.lookup(AOR);
        left.sort_by_key(|one| one["Reg-Id"].as_i64());
        assert_eq!(left.len(), 2);
        assert_eq!(
            (&left[0]["Reg-Id"], &left[1]["Reg-Id"]),
            (&1.into(), &2.into())
        );
        assert_eq!(list(&daemon, &of(&acme())).len(), before.len());

        // The whole user: both.
        let answer = daemon.delete(&format!("{}/alice", of(&acme())));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(kamailio.lookup(AOR).is_empty());
        assert!(list(&daemon, &of(&acme())).is_empty());
    }
}

#[test]
fn where_both_flows_were_chosen_both_go_and_nothing_else() {
    for db_mode in [1, 2] {
        let kamailio = Kamailio::builder().db_mode(db_mode).outbound(true).start();
        let daemon = Daemon::builder(&kamailio).start();
        let _phones = flows(&kamailio);
        let mut other = Phone::of(&kamailio, &acme().device("alice", 1));
        other.register();
        let shared = SHARED.as_bytes();
        let all = [shared, shared, other.contact_uri()];
        lists(&daemon, &of(&acme()), &all);
        let target = format!("{}/alice?filter_instance=%3C{URN}%3E", of(&acme()));
        // In write-back Kamailio finds the flow that it has just let go of until its timer runs.
        flushed(&daemon.delete(&target), 2);
        lists(&daemon, &of(&acme()), &[other.contact_uri()]);
        assert_eq!(kamailio.lookup(AOR).len(), 1);
    }
}

#[test]
fn nor_does_a_contact_for_the_same_one_of_another_call() {
    let kamailio = Kamailio::builder().matching_mode(1).start();
    let daemon = Daemon::builder(&kamailio).start();
    let mut phones = ["one", "two"].map(|call| {
        let phone = Phone::of(&kamailio, &acme().device("alice", 1));
        phone.contact("sip:alice@192.0.2.1").call_id(call)
    });
    phones.iter_mut().for_each(Phone::register);
    shows(&daemon, "call_id", &"two".into());
    assert_eq!(kamailio.lookup(AOR).len(), 2);
    nothing_went(&daemon.delete(&format!("{}?filter_call_id=two", of(&acme()))));
    assert_eq!(kamailio.lookup(AOR).len(), 2);
    shows(&daemon, "call_id", &"two".into());
}

#[test]
fn a_flow_beside_others_goes_alone() {
    let kamailio = Kamailio::builder().outbound(true).start();
    let daemon = Daemon::builder(&kamailio).start();
    let phones = [1, 2].map(|number| {
        let mut flow = Phone::of(&kamailio, &acme().device("alice", 1)).instance(URN, number);
        flow.register();
        flow
    });
    let [first, second] = [0, 1].map(|place: usize| phones[place].contact_uri());
    lists(&daemon, &of(&acme()), &[first, second]);
    flushed(
        &daemon.delete(&format!("{}?filter_reg_id=2", of(&acme()))),
        1,
    );
    lists(&daemon, &of(&acme()), &[first]);
    let left = kamailio.lookup(AOR);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["Reg-Id"], 1);
}
