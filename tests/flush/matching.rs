//! A usrloc whose `matching_mode` is not 0: `ul.rm_contact` finds nothing there, for it asks for a Call-ID and a Path of
//! its own making.

use super::{acme, flushed, refused};
use crate::oracle::{agree, list, lists, of};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;

/// With `edges` each phone is behind a proxy, which the registration names.
fn single_contacts(matching_mode: u8, edges: bool) {
    let kamailio = Kamailio::builder().matching_mode(matching_mode).start();
    let daemon = Daemon::builder(&kamailio).start();
    let acme = acme();
    let phone = |user: &str, number: u32, edge: &str| {
        let phone = Phone::of(&kamailio, &acme.device(user, number));
        if edges {
            phone.path(&format!("<sip:{edge}.example.net;lr>"))
        } else {
            phone
        }
    };
    let mut old = phone("alice", 1, "edge1").user_agent("Old 1.0");
    let mut new = phone("alice", 1, "edge2").user_agent("New 2.0");
    let mut bob = phone("bob", 2, "edge1").user_agent("Old 1.0");
    for phone in [&mut old, &mut new, &mut bob] {
        phone.register();
    }
    let (o, n, b) = (old.contact_uri(), new.contact_uri(), bob.contact_uri());
    lists(&daemon, &of(&acme), &[o, n, b]);

    // Of bob all is chosen, of alice one of two: she keeps both, and that is said.
    let some = format!("{}?filter_user_agent=Old%201.0", of(&acme));
    let answer = daemon.delete(&some);
    refused(&answer, 502, "flush_incomplete");
    let data = &answer.json()["data"];
    assert_eq!(
        (&data["flushed"], &data["failed_total"]),
        (&1.into(), &1.into())
    );
    assert_eq!(data["failed"][0]["aor"], "alice@acme.example.com");
    let reason = data["failed"][0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("matching_mode"), "{reason}");
    assert_eq!(kamailio.lookup("alice@acme.example.com").len(), 2);
    assert!(kamailio.lookup("bob@acme.example.com").is_empty());
    lists(&daemon, &of(&acme), &[o, n]);

    // Filters that choose both.
    let both = format!("{}?filter_username=alice", of(&acme));
    flushed(&daemon.delete(&both), 2);
    assert!(list(&daemon, &of(&acme)).is_empty());
    assert!(kamailio.lookup("alice@acme.example.com").is_empty());

    // The whole user.
    old.register();
    new.register();
    lists(&daemon, &of(&acme), &[old.contact_uri(), new.contact_uri()]);
    flushed(&daemon.delete(&format!("{}/alice", of(&acme))), 2);
    agree(&kamailio, &daemon);
    assert!(list(&daemon, &of(&acme)).is_empty());
}

#[test]
fn single_contacts_by_contact_and_call_id() {
    single_contacts(1, false);
}

#[test]
fn single_contacts_by_call_id_alone() {
    single_contacts(3, false);
}

#[test]
fn single_contacts_by_contact_and_path() {
    single_contacts(2, true);
}

#[test]
fn single_contacts_by_contact_and_path_without_a_path() {
    single_contacts(2, false);
}

/// A contact that two proxies have brought is two bindings.
#[test]
fn a_contact_over_two_paths_goes_whole_or_not_at_all() {
    let kamailio = Kamailio::builder().matching_mode(2).start();
    let daemon = Daemon::builder(&kamailio).start();
    let acme = acme();
    let device = acme.device("alice", 1);
    let shared = "sip:alice@192.0.2.1:5060";
    let over = |edge: &str| {
        let phone = Phone::of(&kamailio, &device).contact(shared);
        phone.path(&format!("<sip:{edge}.example.net;lr>"))
    };
    let (mut first, mut second) = (over("edge1"), over("edge2"));
    let mut other = Phone::of(&kamailio, &device).user_agent("Other 1.0");
    for phone in [&mut first, &mut second, &mut other] {
        phone.register();
    }
    let contacts = [shared.as_bytes(), shared.as_bytes(), other.contact_uri()];
    lists(&daemon, &of(&acme), &contacts);
    let in_memory = || kamailio.lookup("alice@acme.example.com").len();
    assert_eq!(in_memory(), 3);

    // Neither the one nor the other can be had alone, and nothing goes that was not asked for.
    for filter in [
        "filter_user_agent=Other%201.0",
        "filter_not_user_agent=Other%201.0",
    ] {
        let answer = daemon.delete(&format!("{}?{filter}", of(&acme)));
        refused(&answer, 502, "flush_incomplete");
        assert_eq!(answer.json()["data"]["flushed"], 0, "{}", answer.text());
        assert_eq!(in_memory(), 3, "{filter}");
        lists(&daemon, &of(&acme), &contacts);
    }

    flushed(&daemon.delete(&format!("{}/alice", of(&acme))), 3);
    assert_eq!(in_memory(), 0);
    agree(&kamailio, &daemon);
    assert!(list(&daemon, &of(&acme)).is_empty());
}
