//! A flush takes nothing of another account's.

use super::{acme, flushed, globex};
use crate::oracle::{agree, list, lists, of};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;

#[test]
fn a_former_owner_cannot_remove_the_phone_of_the_new_one() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    let (acme, globex) = (acme(), globex());
    let mut bob = Phone::of(&kamailio, &acme.device("bob", 1));
    bob.register();
    lists(&daemon, &of(&acme), &[bob.contact_uri()]);
    // The device goes over to another account, and keeps its address of record.
    let mut sold = globex.device("bob", 7);
    sold.account.realm = acme.realm.clone();
    let mut bob = Phone::of(&kamailio, &sold).contact(bob.contact_uri());
    bob.register();
    lists(&daemon, &of(&globex), &[bob.contact_uri()]);
    assert!(list(&daemon, &of(&acme)).is_empty());

    flushed(&daemon.delete(&format!("{}/bob", of(&acme))), 0);
    flushed(&daemon.delete(&of(&acme)), 0);
    assert_eq!(kamailio.lookup("bob@acme.example.com").len(), 1);
    lists(&daemon, &of(&globex), &[bob.contact_uri()]);
    agree(&kamailio, &daemon);

    flushed(&daemon.delete(&format!("{}/bob", of(&globex))), 1);
    assert!(kamailio.lookup("bob@acme.example.com").is_empty());
}

#[test]
fn of_a_shared_address_of_record_each_takes_its_own() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    let (acme, globex) = (acme(), globex());
    let mut ours = Phone::of(&kamailio, &acme.device("bob", 1));
    let mut guest = globex.device("bob", 7);
    guest.account.realm = acme.realm.clone();
    let mut theirs = Phone::of(&kamailio, &guest);
    ours.register();
    theirs.register();
    lists(&daemon, &of(&acme), &[ours.contact_uri()]);
    lists(&daemon, &of(&globex), &[theirs.contact_uri()]);
    flushed(&daemon.delete(&format!("{}/bob", of(&acme))), 1);
    assert!(list(&daemon, &of(&acme)).is_empty());
    assert_eq!(kamailio.lookup("bob@acme.example.com").len(), 1);
    lists(&daemon, &of(&globex), &[theirs.contact_uri()]);
    agree(&kamailio, &daemon);
}
