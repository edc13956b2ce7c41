//! Addresses of record that Kamailio's RPC would read as another's, or cannot be told: nothing is asked and nothing is
//! hidden.

use super::{acme, flushed, refused};
use crate::oracle::{lists, of};
use crate::support::daemon::Daemon;
use crate::support::http::Response;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;

/// That a flush failed for this address of record alone; its reason.
#[track_caller]
fn failed(answer: &Response, flushed: u64, aor: &str) -> String {
    refused(answer, 502, "flush_incomplete");
    let data = &answer.json()["data"];
    assert_eq!(data["flushed"], flushed, "{data}");
    assert_eq!(data["failed_total"], 1, "{data}");
    assert_eq!(data["failed"][0]["aor"], aor, "{data}");
    let reason = &data["failed"][0]["reason"];
    reason.as_str().expect("a reason").to_owned()
}

fn usernames(kamailio: &Kamailio) -> Vec<String> {
    let rows = kamailio.rows();
    let mut names: Vec<String> = rows.iter().map(|row| row.text("username")).collect();
    names.sort();
    names
}

#[test]
fn a_user_name_with_an_at_sign_is_not_taken_for_the_part_before_it() {
    let kamailio = Kamailio::builder().db_mode(1).use_domain(false).start();
    let daemon = Daemon::builder(&kamailio)
        .environment("USRLOCD_KAMAILIO__DEFAULT_REALM", "r.test")
        .start();
    let users = ["user", "user%40example.com", "%40", "a%40b%40c"];
    let mut phones = users.map(|user| Phone::new(&kamailio, user, "r.test"));
    phones.iter_mut().for_each(Phone::register);
    let contacts: Vec<&[u8]> = phones.iter().map(Phone::contact_uri).collect();
    let path = "/v2/accounts/r.test/registrations";
    lists(&daemon, path, &contacts);

    for (user, name) in [
        ("user%40example.com", "user@example.com"),
        ("%40", "@"),
        ("a%40b%40c", "a@b@c"),
    ] {
        for target in [
            format!("{path}/{user}"),
            format!("{path}?filter_username={user}"),
        ] {
            let reason = failed(&daemon.delete(&target), 0, name);
            assert!(reason.contains("use_domain"), "{reason}");
            lists(&daemon, path, &contacts);
        }
    }
    assert_eq!(kamailio.lookup("user").len(), 1, "another phone");
    assert_eq!(kamailio.rows().len(), 4);

    // The others go.
    let answer = daemon.delete(path);
    refused(&answer, 502, "flush_incomplete");
    let data = &answer.json()["data"];
    assert_eq!(
        (&data["flushed"], &data["failed_total"]),
        (&1.into(), &3.into())
    );
    assert!(kamailio.lookup("user").is_empty());
    assert_eq!(usernames(&kamailio), ["@", "a@b@c", "user@example.com"]);
    lists(&daemon, path, &contacts[1..]);
}

#[test]
fn an_address_of_record_without_a_user_stays() {
    let kamailio = Kamailio::builder().db_mode(1).start();
    let daemon = Daemon::builder(&kamailio).start();
    let mut trunk = Phone::new(&kamailio, "trunk", "trunk.test").to("sip:trunk.test");
    let mut bob = Phone::new(&kamailio, "bob", "trunk.test");
    let mut other = Phone::new(&kamailio, "x", "pbx.test").to("sip:PBX.test:5070");
    for phone in [&mut trunk, &mut bob, &mut other] {
        phone.register();
    }
    let path = |realm: &str| format!("/v2/accounts/{realm}/registrations");
    let (t, b) = (trunk.contact_uri(), bob.contact_uri());
    lists(&daemon, &path("trunk.test"), &[t, b]);
    let nameless = format!("{}?filter_username=", path("trunk.test"));
    lists(&daemon, &nameless, &[t]);
    lists(&daemon, &path("pbx.test"), &[other.contact_uri()]);

    let reason = failed(&daemon.delete(&path("trunk.test")), 1, "trunk.test");
    assert!(reason.contains("no user part"), "{reason}");
    lists(&daemon, &path("trunk.test"), &[t]);
    assert!(kamailio.lookup("bob@trunk.test").is_empty());
    failed(&daemon.delete(&path("pbx.test")), 0, "pbx.test");
    lists(&daemon, &path("pbx.test"), &[other.contact_uri()]);
    assert_eq!(usernames(&kamailio), ["", ""]);
    assert_eq!(kamailio.contacts_in_memory(), 2);
}

#[test]
fn a_kamailio_that_cannot_be_reached_is_not_asked_for_them_either() {
    let mut kamailio = Kamailio::builder().db_mode(1).start();
    let daemon = Daemon::builder(&kamailio).start();
    let mut trunk = Phone::new(&kamailio, "trunk", "trunk.test").to("sip:trunk.test");
    trunk.register();
    let path = "/v2/accounts/trunk.test/registrations";
    lists(&daemon, path, &[trunk.contact_uri()]);
    kamailio.stop();
    failed(&daemon.delete(path), 0, "trunk.test");
    lists(&daemon, path, &[trunk.contact_uri()]);
}

#[test]
fn a_row_from_before_use_domain_was_switched_off_is_not_taken_for_all_of_that_name() {
    let mut kamailio = Kamailio::builder().use_domain(false).start();
    let mut bob = Phone::new(&kamailio, "bob", "r.test");
    bob.register();
    kamailio.stop();
    kamailio.sql("update location set domain = 'r.test'");
    kamailio.start();
    let daemon = Daemon::builder(&kamailio).start();
    let path = "/v2/accounts/r.test/registrations";
    lists(&daemon, path, &[bob.contact_uri()]);
    let reason = failed(&daemon.delete(path), 0, "bob@r.test");
    assert!(
        reason.contains("reads this address of record as another"),
        "{reason}"
    );
    lists(&daemon, path, &[bob.contact_uri()]);
    assert_eq!(kamailio.lookup("bob").len(), 1);
}

#[test]
fn a_row_with_capitals_that_kamailio_reads_in_lower_case_stays() {
    let mut kamailio = Kamailio::builder().start();
    let mut alice = Phone::new(&kamailio, "alice", "r.test");
    alice.register();
    kamailio.stop();
    kamailio.sql("update location set username = 'Alice'");
    kamailio.start();
    let daemon = Daemon::builder(&kamailio).start();
    let path = "/v2/accounts/r.test/registrations";
    lists(&daemon, path, &[alice.contact_uri()]);
    let reason = failed(&daemon.delete(path), 0, "Alice@r.test");
    assert!(reason.contains("case_sensitive"), "{reason}");
    assert_eq!(kamailio.contacts_in_memory(), 1);

    // Whoever has that name in lower case is another one.
    let mut lower = Phone::new(&kamailio, "alice", "r.test");
    lower.register();
    lists(&daemon, path, &[alice.contact_uri(), lower.contact_uri()]);
    let reason = failed(&daemon.delete(&format!("{path}/Alice")), 0, "Alice@r.test");
    assert!(
        reason.contains("reads this address of record as another"),
        "{reason}"
    );
    assert_eq!(kamailio.lookup("alice@r.test").len(), 1);
    lists(&daemon, path, &[alice.contact_uri(), lower.contact_uri()]);
}

/// `use_domain=1`: Kamailio stores `user` of `example.com@REALM`, and its memory has the whole.
#[test]
fn a_mail_address_is_removed_by_the_bytes_of_the_table() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    let acme = acme();
    let mut mail = Phone::of(&kamailio, &acme.device("user%40example.com", 1)).call_id("mail");
    let mut user = Phone::of(&kamailio, &acme.device("user", 2));
    let mut two = Phone::of(&kamailio, &acme.device("a%40b%40c", 3)).call_id("two");
    // It begins with one, and the row has no username.
    let mut home = Phone::of(&kamailio, &acme.device("%40home", 4)).call_id("home");
    for phone in [&mut mail, &mut user, &mut two, &mut home] {
        phone.register();
    }
    let (m, u, t) = (mail.contact_uri(), user.contact_uri(), two.contact_uri());
    lists(&daemon, &of(&acme), &[m, u, t, home.contact_uri()]);
    flushed(
        &daemon.delete(&format!("{}?filter_call_id=home", of(&acme))),
        1,
    );
    assert!(kamailio.lookup("@home@acme.example.com").is_empty());
    flushed(
        &daemon.delete(&format!("{}?filter_call_id=mail", of(&acme))),
        1,
    );
    flushed(
        &daemon.delete(&format!("{}?filter_call_id=two", of(&acme))),
        1,
    );
    assert!(
        kamailio
            .lookup("user@example.com@acme.example.com")
            .is_empty()
    );
    assert!(kamailio.lookup("a@b@c@acme.example.com").is_empty());
    assert_eq!(kamailio.lookup("user@acme.example.com").len(), 1);
    lists(&daemon, &of(&acme), &[u]);
}
