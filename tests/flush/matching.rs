//! A usrloc whose `matching_mode` is not 0: `ul.rm_contact` finds nothing there.

use super::{acme, flushed, refused};
use crate::oracle::{agree, list, lists, of};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;

fn single_contacts(matching_mode: u8) {
    let kamailio = Kamailio::builder().matching_mode(matching_mode).start();
    let daemon = Daemon::builder(&kamailio).start();
    let acme = acme();
    let mut old = Phone::of(&kamailio, &acme.device("alice", 1)).user_agent("Old 1.0");
    let mut new = Phone::of(&kamailio, &acme.device("alice", 1)).user_agent("New 2.0");
    let mut bob = Phone::of(&kamailio, &acme.device("bob", 2)).user_agent("Old 1.0");
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
    single_contacts(1);
}

#[test]
fn single_contacts_by_call_id_alone() {
    single_contacts(3);
}
