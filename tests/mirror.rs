//! The list follows the phones: in each way that Kamailio keeps its tables it equals them, and Kamailio's memory.

use serde_json::json;

use crate::oracle::{PATIENCE, agree, agrees_with_tables, list, lists, of};
use crate::support::account::Account;
use crate::support::daemon::Daemon;
use crate::support::kamailio::{Journal, Kamailio, Received};
use crate::support::phone::{Phone, Transport};
use crate::support::{eventually, holds, unix_now};

const ALL: &str = "/v2/registrations";

fn follows(db_mode: u8, journal: Journal) {
    let kamailio = Kamailio::builder()
        .db_mode(db_mode)
        .journal(journal)
        .ipv6(true)
        .start();
    let daemon = Daemon::builder(&kamailio).start();
    assert!(agree(&kamailio, &daemon).is_empty());
    let acme = Account::new("ac", "Acme", "Acme.example.com");
    let mut desk = Phone::of(&kamailio, &acme.device("Alice", 1));
    let mut soft = Phone::tcp(&kamailio, "alice", "acme.example.com").q("0.5");

    desk.register();
    let first = lists(&daemon, &of(&acme), &[desk.contact_uri()]);
    assert_eq!(first[0]["username"], "Alice");
    assert_eq!(first[0]["realm"], "Acme.example.com");
    assert_eq!(
        first[0]["initial_registration"],
        first[0]["event_timestamp"]
    );
    agree(&kamailio, &daemon);

    // Kamailio's time(2) may lag behind ours by a tick of the kernel, so one second more is not enough.
    let before = unix_now();
    eventually("the clock goes on", PATIENCE, || {
        holds(unix_now() > before + 1, || "not yet".to_owned())
    });
    desk.register();
    let refreshed = eventually("the refresh shows", PATIENCE, || {
        let item = list(&daemon, &of(&acme)).remove(0);
        holds(item["cseq"] == 2, || item.to_string()).map(|()| item)
    });
    assert_eq!(refreshed["ruid"], first[0]["ruid"]);
    assert_eq!(
        refreshed["initial_registration"],
        first[0]["initial_registration"]
    );
    assert!(refreshed["event_timestamp"].as_i64() > first[0]["event_timestamp"].as_i64());
    agree(&kamailio, &daemon);

    soft.register();
    lists(&daemon, ALL, &[desk.contact_uri(), soft.contact_uri()]);
    agree(&kamailio, &daemon);
    desk.unregister();
    lists(&daemon, ALL, &[soft.contact_uri()]);
    agree(&kamailio, &daemon);
    soft.unregister();
    lists(&daemon, ALL, &[]);
    agree(&kamailio, &daemon);

    shows_odd_contacts(&kamailio, &daemon);
    drops_what_expires(&kamailio, &daemon);
    kamailio.has_missed_no_lock();
}

fn shows_odd_contacts(kamailio: &Kamailio, daemon: &Daemon) {
    let long = format!("sip:long@192.0.2.1:5060;x={}", "x".repeat(1900));
    let odd: [(&[u8], &[u8]); 9] = [
        (b"nat", b"sip:nat@192.168.1.20:5060;line=abc"),
        (b"six", b"sip:six@[2001:db8::10]"),
        (b"secure", b"sips:secure@192.0.2.30"),
        (b"tls", b"sip:tls@192.0.2.30;transport=TLS"),
        (b"semi;x=1", b"sip:semi;x=1@192.0.2.30"),
        (b"es%20c", b"sip:es%20c@192.0.2.30"),
        (b"nouser", b"sip:192.0.2.30:5062"),
        (b"long", long.as_bytes()),
        (b"bin\xff", b"sip:bin\xff@192.0.2.30"),
    ];
    let v6 = kamailio.address_v6();
    let mut six = Phone::with(v6, Transport::Udp, "v6", "acme.example.com");
    six.register();
    for (user, contact) in odd {
        Phone::new(kamailio, user, "Odd.Example.COM")
            .contact(contact)
            .user_agent(b"Ph\xff ne")
            .call_id(b"call\xff@lab")
            .register();
    }
    let mut expected: Vec<&[u8]> = odd.iter().map(|(_, contact)| *contact).collect();
    expected.push(six.contact_uri());
    lists(daemon, ALL, &expected);
    agree(kamailio, daemon);
    // Without any directory the domain is the account.
    let odd_ones = list(daemon, "/v2/accounts/odd.example.com/registrations");
    assert_eq!(odd_ones.len(), odd.len());
}

fn drops_what_expires(kamailio: &Kamailio, daemon: &Daemon) {
    let brief = "/v2/accounts/brief.example.com/registrations";
    let mut phone = Phone::new(kamailio, "brief", "brief.example.com").expires(4);
    phone.register();
    let item = lists(daemon, brief, &[phone.contact_uri()]).remove(0);
    let end = item["expires_at"].as_i64().expect("a time");
    eventually("it expires", PATIENCE, || {
        let asked = unix_now();
        let items = list(daemon, brief);
        let answered = unix_now();
        assert!(
            items.is_empty() || asked < end,
            "listed at {asked}: {items:?}"
        );
        assert!(!items.is_empty() || answered >= end, "gone before {end}");
        holds(items.is_empty(), || "still there".to_owned())
    });
    eventually("Kamailio deletes it", PATIENCE, || {
        let rows = kamailio.rows();
        let left = rows.iter().filter(|row| row.text("username") == "brief");
        holds(left.count() == 0, || "not yet".to_owned())
    });
    agree(kamailio, daemon);
}

#[test]
fn follows_write_through_wal() {
    follows(1, Journal::Wal);
}

#[test]
fn follows_write_through_rollback() {
    follows(1, Journal::Rollback);
}

#[test]
fn follows_write_back_wal() {
    follows(2, Journal::Wal);
}

#[test]
fn follows_write_back_rollback() {
    follows(2, Journal::Rollback);
}

#[test]
fn follows_database_only_wal() {
    follows(3, Journal::Wal);
}

#[test]
fn follows_database_only_rollback() {
    follows(3, Journal::Rollback);
}

#[test]
fn shows_path_instance_and_unknown_source() {
    let kamailio = Kamailio::builder()
        .outbound(true)
        .received(Received::Never)
        .start();
    let daemon = Daemon::builder(&kamailio).start();
    let mut edge = Phone::tcp(&kamailio, "edge", "acme.example.com")
        .path("<sip:edge.example.net;lr>")
        .instance("urn:uuid:00000000-0000-1000-8000-aabbccddeeff", 3);
    edge.register();
    let item = lists(&daemon, ALL, &[edge.contact_uri()]).remove(0);
    assert_eq!(item["path"], "<sip:edge.example.net;lr>");
    assert_eq!(item["reg_id"], 3);
    assert_eq!(item["network_ip"], "undefined");
    assert!(item.get("source_ip").is_none());
    agree(&kamailio, &daemon);
}

/// With this flag a phone's new contact replaces its old ones: deleted and inserted in one run of the timer.
#[test]
fn follows_contacts_that_replace_each_other() {
    let kamailio = Kamailio::builder().save_flags("0x04").start();
    let daemon = Daemon::builder(&kamailio).start();
    let acme = Account::new("ac", "Acme", "acme.example.com");
    let alice = acme.device("alice", 1);
    let mut other = Phone::of(&kamailio, &acme.device("bob", 2));
    other.register();
    for round in 0..4 {
        let mut phone = Phone::of(&kamailio, &alice);
        phone.register();
        let items = lists(
            &daemon,
            &of(&acme),
            &[other.contact_uri(), phone.contact_uri()],
        );
        let own = items.iter().find(|item| item["username"] == "alice");
        let own = own.expect("it is listed");
        assert_eq!(own["authorizing_id"], alice.id, "in round {round}: {own}");
        agree(&kamailio, &daemon);
    }
    kamailio.has_missed_no_lock();
}

#[test]
fn shows_permanent_contacts() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    let contact = "sip:gateway@192.0.2.77:5060";
    let params = json!([
        "location",
        "gateway@acme.example.com",
        contact,
        0,
        1.0,
        ".",
        0,
        0,
        4095
    ]);
    let answer = kamailio.rpc("ul.add", &params);
    assert!(answer["result"].is_object(), "{answer}");
    let item = lists(&daemon, ALL, &[contact.as_bytes()]).remove(0);
    assert_eq!(item["permanent"], true);
    assert!(item.get("expires").is_none(), "{item}");
    agrees_with_tables(&kamailio, &daemon);
}
