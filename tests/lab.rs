//! The support itself: what phones do at a private Kamailio is what its tables and its memory say.

use std::time::Duration;

use serde_json::json;

use crate::support::account::Account;
use crate::support::kamailio::{Journal, Kamailio, Received};
use crate::support::phone::{Phone, Transport};
use crate::support::table::Row;
use crate::support::{eventually, holds, tools, unix_now};

const PATIENCE: Duration = Duration::from_secs(15);

/// The contacts in the table, when there are as many as expected.
fn contacts(kamailio: &Kamailio, expected: &[&[u8]]) -> Vec<Row> {
    let mut expected: Vec<Vec<u8>> = expected.iter().map(|contact| contact.to_vec()).collect();
    expected.sort();
    eventually("the table has the contacts", PATIENCE, || {
        let rows = kamailio.rows();
        let mut found: Vec<Vec<u8>> = rows
            .iter()
            .filter_map(|row| row.bytes("contact").map(<[u8]>::to_vec))
            .collect();
        found.sort();
        holds(found == expected, || format!("{rows:?}")).map(|()| rows)
    })
}

/// Register, refresh, a second contact, un-register: in every mode the table follows.
fn follows_the_phones(db_mode: u8, journal: Journal) {
    let mut builder = Kamailio::builder().db_mode(db_mode).journal(journal);
    if db_mode != 2 {
        // Who writes through is in the way of the timer, which would refuse the phone or lose its attributes.
        builder = builder.timer_interval(3600);
    }
    let kamailio = builder.start();
    let acme = Account::new("ac", "Acme", "acme.example.com");
    let device = acme.device("alice", 1);

    let mut desk = Phone::of(&kamailio, &device);
    desk.register();
    let rows = contacts(&kamailio, &[desk.contact_uri()]);
    let row = eventually("the row has its attributes", PATIENCE, || {
        let rows = kamailio.rows();
        holds(rows[0].attributes.len() == 2, || format!("{rows:?}")).map(|()| rows[0].clone())
    });
    assert_eq!(row.aor(), b"alice@acme.example.com");
    assert_eq!(row.attributes["token"], device.token().into_bytes());
    assert_eq!(
        row.attributes["custom_channel_vars"],
        device.custom_channel_vars().into_bytes()
    );
    assert_eq!(row.text("received"), format!("sip:{}", desk.source()));
    assert_eq!(row.text("socket"), format!("udp:{}", kamailio.address()));
    assert_eq!(row.integer("cseq"), 1);
    assert!((unix_now() + 3500..=unix_now() + 3600).contains(&row.time("expires")));

    desk.register();
    let refreshed = eventually("the table has the refresh", PATIENCE, || {
        let row = kamailio.rows().remove(0);
        holds(row.integer("cseq") == 2, || format!("{row:?}")).map(|()| row)
    });
    assert_eq!(refreshed.bytes("ruid"), rows[0].bytes("ruid"));

    let mut soft = Phone::tcp(&kamailio, "alice", "acme.example.com").q("0.5");
    soft.register();
    let both = contacts(&kamailio, &[desk.contact_uri(), soft.contact_uri()]);
    assert!(both.iter().any(|row| (row.number("q") - 0.5).abs() < 1e-9));
    assert_eq!(kamailio.lookup("alice@acme.example.com").len(), 2);

    desk.unregister();
    contacts(&kamailio, &[soft.contact_uri()]);
    assert_eq!(kamailio.lookup("alice@acme.example.com").len(), 1);
    soft.unregister();
    contacts(&kamailio, &[]);
    assert!(kamailio.lookup("alice@acme.example.com").is_empty());
    kamailio.has_missed_no_lock();
}

/// `tests/debian/run` names another Kamailio than this machine's: it is the one that runs.
#[test]
fn kamailio_is_the_one_that_was_chosen() {
    let answer = Kamailio::builder().start().rpc("core.version", &json!([]));
    let version = answer["result"].as_str().unwrap_or_default();
    let chosen = format!("kamailio {} ", tools::kamailio_version());
    assert!(version.starts_with(&chosen), "{chosen}: {answer}");
}

#[test]
fn table_follows_phones_in_write_through_wal() {
    follows_the_phones(1, Journal::Wal);
}

#[test]
fn table_follows_phones_in_write_through_rollback() {
    follows_the_phones(1, Journal::Rollback);
}

#[test]
fn table_follows_phones_in_write_back_wal() {
    follows_the_phones(2, Journal::Wal);
}

#[test]
fn table_follows_phones_in_write_back_rollback() {
    follows_the_phones(2, Journal::Rollback);
}

#[test]
fn table_follows_phones_in_database_only_wal() {
    follows_the_phones(3, Journal::Wal);
}

#[test]
fn table_follows_phones_in_database_only_rollback() {
    follows_the_phones(3, Journal::Rollback);
}

#[test]
fn journal_is_as_built() {
    for (journal, mode) in [(Journal::Wal, "wal\n"), (Journal::Rollback, "delete\n")] {
        let mut kamailio = Kamailio::builder().journal(journal).start();
        Phone::new(&kamailio, "alice", "acme.example.com").register();
        eventually("the row is written", PATIENCE, || {
            holds(kamailio.rows().len() == 1, || "no row".to_owned())
        });
        let wal = kamailio
            .database_files()
            .contains(&"kamailio.sqlite-wal".to_owned());
        assert_eq!(wal, journal == Journal::Wal);
        kamailio.stop();
        assert_eq!(kamailio.sql("pragma journal_mode"), mode);
    }
}

#[test]
fn odd_phones_are_stored_as_they_are() {
    let kamailio = Kamailio::builder().start();
    let long = format!("sip:long@192.0.2.1:5060;x={}", "x".repeat(1900));
    let odd: [(&[u8], &[u8], &[u8]); 9] = [
        (b"nat", b"sip:nat@192.168.1.20:5060;line=abc", b"nat"),
        (b"six", b"sip:six@[2001:db8::10]:5070", b"six"),
        (b"secure", b"sips:secure@192.0.2.30", b"secure"),
        (b"tls", b"sip:tls@192.0.2.30;transport=TLS", b"tls"),
        (b"semi;x=1", b"sip:semi;x=1@192.0.2.30", b"semi;x=1"),
        (b"es%20c", b"sip:es%20c@192.0.2.30", b"es c"),
        (b"nouser", b"sip:192.0.2.30:5062", b"nouser"),
        (b"long", long.as_bytes(), b"long"),
        (b"bin\xff", b"sip:bin\xff@192.0.2.30", b"bin\xff"),
    ];
    for (user, contact, _) in odd {
        Phone::new(&kamailio, user, "Odd.Example.COM")
            .contact(contact)
            .user_agent(b"Ph\xff ne")
            .call_id(b"call\xff@lab")
            .register();
    }
    let rows = contacts(&kamailio, &odd.map(|(_, contact, _)| contact));
    for (_, contact, stored) in odd {
        let row = rows
            .iter()
            .find(|row| row.bytes("contact") == Some(contact))
            .expect("its contact is there");
        assert_eq!(row.bytes("username"), Some(stored));
        assert_eq!(row.bytes("domain"), Some(b"odd.example.com".as_slice()));
        assert_eq!(row.bytes("user_agent"), Some(b"Ph\xff ne".as_slice()));
        assert_eq!(row.bytes("callid"), Some(b"call\xff@lab".as_slice()));
    }
    assert_eq!(kamailio.lookup(b"bin\xff@odd.example.com").len(), 1);
    assert_eq!(kamailio.lookup(b"es c@odd.example.com").len(), 1);
}

#[test]
fn ipv6_path_and_instance_are_stored() {
    let kamailio = Kamailio::builder().ipv6(true).outbound(true).start();
    let mut six = Phone::with(
        kamailio.address_v6(),
        Transport::Udp,
        "six",
        "acme.example.com",
    );
    six.register();
    let mut edge = Phone::tcp(&kamailio, "edge", "acme.example.com")
        .path("<sip:edge.example.net;lr>")
        .instance("urn:uuid:00000000-0000-1000-8000-aabbccddeeff", 3);
    edge.register();
    let rows = contacts(&kamailio, &[six.contact_uri(), edge.contact_uri()]);
    let (edge, six) = (&rows[0], &rows[1]);
    assert_eq!(six.text("received"), format!("sip:{}", six_source(six)));
    assert_eq!(six.text("socket"), format!("udp:{}", kamailio.address_v6()));
    assert_eq!(edge.text("path"), "<sip:edge.example.net;lr>");
    assert_eq!(
        edge.text("instance"),
        "<urn:uuid:00000000-0000-1000-8000-aabbccddeeff>"
    );
    assert_eq!(edge.integer("reg_id"), 3);
}

/// The host and port of the row's contact, which is where an IPv6 phone of the lab sends from.
fn six_source(row: &Row) -> String {
    row.text("contact").replacen("sip:six@", "", 1)
}

#[test]
fn received_is_stored_as_built() {
    for (received, expected) in [
        (Received::Never, [false, false]),
        (Received::BehindNat, [false, true]),
        (Received::Always, [true, true]),
    ] {
        let kamailio = Kamailio::builder().received(received).start();
        let mut public = Phone::new(&kamailio, "public", "acme.example.com");
        let mut private =
            Phone::new(&kamailio, "private", "acme.example.com").contact("sip:p@192.168.1.20:5060");
        public.register();
        private.register();
        let rows = contacts(&kamailio, &[public.contact_uri(), private.contact_uri()]);
        // Ordered by username: the private one comes first.
        let found = [1, 0].map(|index: usize| rows[index].bytes("received").is_some());
        assert_eq!(found, expected, "{received:?}: {rows:?}");
    }
}

#[test]
fn restart_keeps_what_was_written() {
    let mut kamailio = Kamailio::builder().start();
    let mut phone = Phone::new(&kamailio, "alice", "acme.example.com");
    phone.register();
    let before = contacts(&kamailio, &[phone.contact_uri()]);
    kamailio.stop();
    kamailio.start();
    assert_eq!(kamailio.lookup("alice@acme.example.com").len(), 1);
    kamailio.kill9();
    kamailio.start();
    assert_eq!(kamailio.contacts_in_memory(), 1);
    let after = kamailio.rows();
    assert_eq!(after[0].bytes("ruid"), before[0].bytes("ruid"));
    phone.register();
    eventually("the refresh is written", PATIENCE, || {
        let rows = kamailio.rows();
        holds(rows[0].integer("cseq") == 2, || format!("{rows:?}"))
    });
}

#[test]
fn removal_by_rpc_reaches_memory_and_table() {
    let kamailio = Kamailio::builder().datagram(true).start();
    assert!(kamailio.datagram_socket().expect("it was built").exists());
    let mut phone = Phone::new(&kamailio, "alice", "acme.example.com");
    phone.register();
    contacts(&kamailio, &[phone.contact_uri()]);
    let answer = kamailio.rpc("ul.rm", &json!(["location", "alice@acme.example.com"]));
    assert_eq!(answer, json!({"jsonrpc": "2.0", "result": {}, "id": 1}));
    assert!(kamailio.lookup("alice@acme.example.com").is_empty());
    contacts(&kamailio, &[]);
}

#[test]
fn expired_rows_go() {
    let kamailio = Kamailio::builder().start();
    let mut phone = Phone::new(&kamailio, "alice", "acme.example.com").expires(2);
    phone.register();
    let rows = contacts(&kamailio, &[phone.contact_uri()]);
    assert_eq!(rows[0].time("expires") - rows[0].time("last_modified"), 2);
    contacts(&kamailio, &[]);
}

#[test]
fn nothing_is_left_behind() {
    let kamailio = Kamailio::builder().start();
    let folder = kamailio
        .database()
        .ancestors()
        .nth(2)
        .expect("it lies in a directory of the lab")
        .to_owned();
    let address = kamailio.address();
    assert!(folder.exists());
    drop(kamailio);
    assert!(!folder.exists());
    assert!(std::net::TcpListener::bind(address).is_ok());
    assert!(std::net::UdpSocket::bind(address).is_ok());
}
