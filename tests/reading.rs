//! What phones and proxies really send, and what the API makes of it: names with an `@`, contacts that no RFC knows,
//! the phone's own address behind edge proxies, cells that cannot be read.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::oracle::{PATIENCE, agree, list, lists};
use crate::support::daemon::Daemon;
use crate::support::edge::{Edge, Note};
use crate::support::kamailio::{Kamailio, Received};
use crate::support::phone::{Phone, Transport};
use crate::support::table::Table;
use crate::support::{eventually, holds, tools};

const ALL: &str = "/v2/registrations";

fn values<'a>(items: &'a [Value], key: &str) -> Vec<&'a str> {
    let text = |item: &'a Value| item[key].as_str().unwrap_or("(absent)");
    items.iter().map(text).collect()
}

#[test]
fn mail_addresses_are_users_of_the_realm_behind_the_last_at() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    let plain = "/v2/accounts/plain.test/registrations";
    let users = ["user%40example.com", "user", "a%40b%40c", "zoe"];
    let mut phones = users.map(|user| Phone::new(&kamailio, user, "plain.test"));
    for phone in &mut phones {
        phone.register();
    }
    let contacts: Vec<_> = phones.iter().map(Phone::contact_uri).collect();
    let items = lists(&daemon, plain, &contacts);
    let shown = ["a@b@c", "user", "user@example.com", "zoe"];
    for key in ["username", "from_user", "to_user"] {
        assert_eq!(values(&items, key), shown, "{key}");
    }
    for key in ["realm", "from_host", "to_host", "account_realm"] {
        assert_eq!(values(&items, key), ["plain.test"; 4], "{key}");
    }
    agree(&kamailio, &daemon);

    // By name, in any spelling; by filter, in pages, in CSV; and no account more.
    for name in ["user@example.com", "user%40example.com", "USER@Example.COM"] {
        let found = list(&daemon, &format!("{plain}/{name}"));
        assert_eq!(values(&found, "username"), ["user@example.com"], "{name}");
    }
    assert_eq!(
        values(&list(&daemon, &format!("{plain}/user")), "username"),
        ["user"]
    );
    let filtered = list(
        &daemon,
        &format!("{ALL}?filter_username=a@b@c&filter_realm=plain.test"),
    );
    assert_eq!(filtered.len(), 1, "{filtered:?}");
    let csv = daemon
        .get(&format!("{plain}/user@example.com?accept=csv"))
        .text();
    assert!(
        csv.contains("\nuser@example.com,user@example.com,user@example.com,plain.test,"),
        "{csv}"
    );
    let accounts = &daemon.get(&format!("{ALL}/count?accounts=true")).json()["data"]["accounts"];
    assert_eq!(
        *accounts,
        json!([{"count": 4, "id": "plain.test", "realm": "plain.test"}])
    );
    let mut walked = Vec::new();
    let mut key = String::new();
    while walked.len() < shown.len() {
        let page = daemon.get(&format!("{plain}?page_size=2{key}")).json();
        let data = page["data"].as_array().expect("a page").clone();
        walked.extend(values(&data, "username").into_iter().map(str::to_owned));
        let next = page["next_start_key"].as_str().unwrap_or_default();
        key = format!("&start_key={next}");
    }
    assert_eq!(walked, shown);

    // On the command line.
    for (asked, expected) in [
        ("user@example.com@plain.test", "user@example.com"),
        ("user@plain.test", "user"),
        ("user@example.com", "user@example.com"),
        ("A@b@c", "a@b@c"),
    ] {
        let output = daemon.command("show").args([asked, "-o", "json"]).output();
        let output = output.expect("usrlocd can be run");
        let found: Vec<Value> = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{asked}: {error}: {output:?}"));
        assert_eq!(values(&found, "username"), [expected], "{asked}");
    }

    // A flush asks for the bytes of the table, and takes nobody else.
    let answer = daemon.delete(&format!("{plain}/user@example.com"));
    assert_eq!(
        (answer.status, answer.header("X-Flushed")),
        (200, Some("1")),
        "{}",
        answer.text()
    );
    assert!(kamailio.lookup("user@example.com@plain.test").is_empty());
    assert_eq!(kamailio.lookup("user@plain.test").len(), 1);
    let left = list(&daemon, plain);
    assert_eq!(values(&left, "username"), ["a@b@c", "user", "zoe"]);
    let answer = daemon.delete(plain);
    assert_eq!(
        (answer.status, answer.header("X-Flushed")),
        (200, Some("3")),
        "{}",
        answer.text()
    );
    // Known for an hour, though nothing is left.
    assert_eq!(daemon.delete(&format!("{plain}/A@B@C")).status, 200);
    for user in ["user", "a@b@c", "zoe"] {
        assert!(
            kamailio.lookup(format!("{user}@plain.test")).is_empty(),
            "{user}"
        );
    }
}

#[test]
fn mail_addresses_have_their_account_device_and_default_realm() {
    let folder = TempDir::with_prefix("usrlocd-reading-").expect("a temporary directory");
    let file = folder.path().join("directory.json");
    let directory = json!({
        "accounts": [{"id": "plain", "name": "Plain", "realm": "Plain.Test"}],
        "devices": [{"id": "d1", "account_id": "plain", "username": "User@Example.com", "owner_id": "u1"}],
    });
    fs::write(&file, directory.to_string()).expect("an own directory is writable");
    let kamailio = Kamailio::builder().start();
    let sections = format!("[directory]\nfile = {:?}\n", file.display().to_string());
    let daemon = Daemon::builder(&kamailio).sections(&sections).start();
    let mut phone = Phone::new(&kamailio, "user%40example.com", "plain.test");
    phone.register();
    let plain = "/v2/accounts/plain/registrations";
    let item = lists(&daemon, plain, &[phone.contact_uri()]).remove(0);
    assert_eq!(
        (&item["authorizing_id"], &item["owner_id"]),
        (&json!("d1"), &json!("u1"))
    );
    assert_eq!(
        (&item["username"], &item["account_name"]),
        (&json!("user@example.com"), &json!("Plain"))
    );
    let answer = daemon.delete(&format!("{plain}/USER@example.com"));
    assert_eq!(
        (answer.status, answer.header("X-Flushed")),
        (200, Some("1")),
        "{}",
        answer.text()
    );
    assert!(kamailio.lookup("user@example.com@plain.test").is_empty());

    // Without a domain in the table nothing tells that a name has one.
    let kamailio = Kamailio::builder().use_domain(false).start();
    let daemon = Daemon::builder(&kamailio)
        .environment("USRLOCD_KAMAILIO__DEFAULT_REALM", "r.test")
        .start();
    let mut phone = Phone::new(&kamailio, "user%40example.com", "r.test");
    phone.register();
    let item = lists(
        &daemon,
        "/v2/accounts/r.test/registrations",
        &[phone.contact_uri()],
    )
    .remove(0);
    assert_eq!(
        (&item["username"], &item["realm"]),
        (&json!("user@example.com"), &json!("r.test"))
    );
}

#[test]
fn contacts_tell_their_host_whatever_else_they_have() {
    let cases = [
        ("sip:100@voip_client_1:5062", "voip_client_1", "5062"),
        (
            "sip:100@long_duration.example.com;timeout=60",
            "long_duration.example.com",
            "5060",
        ),
        (
            "sip:192.0.2.11:443;transport=wss;thinfo=\"VG8+PoIUYHSD/sWAZZw/BCEaSdGA=\"",
            "192.0.2.11",
            "443",
        ),
        (
            "sip:100@192.0.2.30:5060;thinfo=VG8+PoIU==",
            "192.0.2.30",
            "5060",
        ),
        (
            "sip:u@10.9.8.7:5066;pn-type=firebase;pn-tok=dR3x:APA91bH==",
            "10.9.8.7",
            "5066",
        ),
        ("sip:user@example.com@192.0.2.28:5060", "192.0.2.28", "5060"),
        ("sip:alice@192.0.2.10:5060transport=udp", "192.0.2.10", "-"),
        ("sip:alice@192.0.2.50:99999", "192.0.2.50", "-"),
        ("sip:u@10.9.8.7:5066;rinstance={0a-1b}", "10.9.8.7", "5066"),
        ("SIP:A@Host.Example", "Host.Example", "5060"),
        ("sip:alice@192.0.2.51:65536", "192.0.2.51", "-"),
        ("sip:alice@192.0.2.52:", "192.0.2.52", "-"),
        ("sip:u:p@ss;word@192.0.2.53:5070", "192.0.2.53", "5070"),
        ("sip:u?x@192.0.2.54:5070", "192.0.2.54", "5070"),
        ("sip:u@[fe80::1%25eth0]:5070", "[fe80::1%25eth0]", "5070"),
        ("sip:u@host.example.;transport=TLS", "host.example.", "5061"),
        ("SIPS:u@Phone_7.example", "Phone_7.example", "5061"),
        (
            "sip:u@192.0.2.55:5070;x=a@b;y=\"c;d@e\"",
            "192.0.2.55",
            "5070",
        ),
        (
            "sip:u@192.0.2.56;gr=urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
            "192.0.2.56",
            "5060",
        ),
        ("tel:+15550100", "-", "-"),
    ];
    let kamailio = Kamailio::builder().received(Received::Never).start();
    let daemon = Daemon::builder(&kamailio).start();
    for (number, (contact, ..)) in cases.iter().enumerate() {
        Phone::new(&kamailio, format!("user{number:02}"), "acme.example.com")
            .contact(contact)
            .register();
    }
    let contacts: Vec<_> = cases
        .iter()
        .map(|(contact, ..)| contact.as_bytes())
        .collect();
    let items = lists(
        &daemon,
        "/v2/accounts/acme.example.com/registrations",
        &contacts,
    );
    for (item, (contact, host, port)) in items.iter().zip(cases) {
        let told = |key: &str| {
            item.get(key)
                .map_or("-", |value| value.as_str().expect("a text"))
        };
        assert_eq!(item["contact"], contact);
        assert_eq!(
            (told("contact_ip"), told("contact_port")),
            (host, port),
            "{contact}"
        );
    }
    let count = |query: &str| {
        let answer = daemon.get(&format!("{ALL}/count?{query}"));
        answer.json()["data"]["count"].clone()
    };
    assert_eq!(count("filter_contact_ip=Host.Example"), 1);
    assert_eq!(count("key_missing=contact_port"), 5);
    assert_eq!(count("key_missing=contact_ip"), 1);
    let csv = daemon
        .get(&format!("{ALL}?accept=csv&filter_username=user06"))
        .text();
    assert!(
        csv.contains(",192.0.2.10,,undefined,undefined,,,,"),
        "{csv}"
    );
}

/// A phone behind proxies, and what the registrar's neighbour is.
fn source_of(daemon: &Daemon, phone: &mut Phone) -> [String; 5] {
    phone.register();
    let contact = phone.source().to_string();
    let item = eventually("the phone shows", PATIENCE, || {
        let items = list(daemon, ALL);
        let own = items.into_iter().find(|item| {
            let uri = item["contact"].as_str().expect("a contact");
            uri.contains(&contact)
        });
        own.ok_or("not yet")
    });
    [
        "network_ip",
        "network_port",
        "source_ip",
        "source_port",
        "source_from",
    ]
    .map(|key| item[key].as_str().unwrap_or("(absent)").to_owned())
}

#[test]
fn the_phones_own_source_behind_edge_proxies() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    let told = |phone: &Phone, from: &str| {
        let port = phone.source().port().to_string();
        ["127.0.0.1", &port, "127.0.0.1", &port, from].map(str::to_owned)
    };
    // One proxy that notes the source, in both spellings, over UDP and TCP.
    for note in [Note::Path, Note::CompactPath] {
        let edge = Edge::start(kamailio.address(), note);
        for transport in [Transport::Udp, Transport::Tcp] {
            let mut phone = Phone::with(edge.address(), transport, "edge", "acme.example.com");
            assert_eq!(
                source_of(&daemon, &mut phone),
                told(&phone, "path"),
                "{note:?} {transport:?}"
            );
        }
    }
    // The word of the proxy next to the phone counts, not that of one further away.
    let far = Edge::start(kamailio.address(), Note::Path);
    let near = Edge::start(far.address(), Note::Path);
    let mut phone = Phone::with(near.address(), Transport::Udp, "two", "acme.example.com");
    assert_eq!(source_of(&daemon, &mut phone), told(&phone, "path"));
    // One that says nothing: the column names the registrar's neighbour.
    let mute = Edge::start(far.address(), Note::Nothing);
    let mut phone = Phone::with(mute.address(), Transport::Udp, "mute", "acme.example.com");
    let source = source_of(&daemon, &mut phone);
    assert_eq!(source[1], far.address().port().to_string());
    assert_eq!(source[4], "received");
    let mut direct = Phone::new(&kamailio, "direct", "acme.example.com");
    assert_eq!(source_of(&daemon, &mut direct), told(&direct, "received"));
    let count = daemon
        .get(&format!("{ALL}/count?filter_source_from=path"))
        .json();
    assert_eq!(count["data"]["count"], 5);
    let csv = daemon
        .get(&format!("{ALL}?accept=csv&filter_username=direct"))
        .text();
    assert!(
        csv.contains(",source_ip,source_port,source_from,proxy_ip,"),
        "{csv}"
    );
}

#[test]
fn the_phones_own_source_in_an_alias() {
    let kamailio = Kamailio::builder().received(Received::Never).start();
    let daemon = Daemon::builder(&kamailio).start();
    let edge = Edge::start(kamailio.address(), Note::Alias);
    // An alias is put where the contact is not the source.
    let mut phone = Phone::with(edge.address(), Transport::Udp, "nat", "acme.example.com")
        .contact("sip:nat@10.0.0.7:5060");
    phone.register();
    let port = phone.source().port().to_string();
    let item = eventually("the phone shows", PATIENCE, || {
        let item = list(&daemon, ALL).pop();
        item.ok_or("not yet")
    });
    assert_eq!(
        item["contact"],
        format!("sip:nat@10.0.0.7:5060;alias=127.0.0.1~{port}~1")
    );
    for (ip, port_key) in [("network_ip", "network_port"), ("source_ip", "source_port")] {
        assert_eq!(
            (&item[ip], &item[port_key]),
            (&json!("127.0.0.1"), &json!(port))
        );
    }
    assert_eq!(
        (&item["source_from"], &item["contact_ip"]),
        (&json!("alias"), &json!("10.0.0.7"))
    );
}

/// A table that something else than Kamailio writes: a converter, an operator.
#[test]
fn text_times_are_read_and_bad_cells_are_reported_once() {
    let kamailio = Kamailio::builder().start();
    let folder = TempDir::with_prefix("usrlocd-reading-").expect("a temporary directory");
    let path = folder.path().join("kamailio.sqlite");
    let table = Table::at(&path);
    for script in ["standard-create.sql", "usrloc-create.sql"] {
        table.query(&fs::read_to_string(tools::schema(script)).expect("a schema is text"));
    }
    let insert = |id: u32, values: &str| {
        table.query(&format!(
            "insert into location (id, ruid, username, domain, contact, expires, last_modified, q, cseq) \
             values ({id}, 'uloc-{id}', {values})"
        ));
    };
    let end = "'2126-11-30T01:02:03Z'";
    insert(
        1,
        &format!("'z', 'acme.test', 'sip:z@192.0.2.1', {end}, '2026-11-30T01:00:00Z', 0.5, 7"),
    );
    insert(
        2,
        "'offset', 'acme.test', 'sip:o@192.0.2.1', '2126-11-30 03:02:03+0200', '2026-11-30T03:00:00.5+02:00', -1, 7",
    );
    insert(
        3,
        "'never', 'acme.test', 'sip:n@192.0.2.1', '1970-01-01T00:00:00Z', 'lately', 'high', 'x'",
    );
    insert(
        4,
        &format!("'lost', 'acme.test', 'sip:l@192.0.2.1', 'in a year', {end}, 0.5, 7"),
    );
    insert(
        5,
        &format!("'lost', 'acme.test', 'sip:l@192.0.2.1', 'tomorrow', {end}, 0.5, 7"),
    );
    let daemon = Daemon::builder(&kamailio).database(&path).start();

    let acme = "/v2/accounts/acme.test/registrations";
    let items = list(&daemon, acme);
    assert_eq!(values(&items, "username"), ["never", "offset", "z"]);
    let time = 1_796_000_400_i64 + 62_167_219_200;
    for item in &items[1..] {
        assert_eq!(item["expires_at"], 4_951_674_123_i64, "{item}");
        assert_eq!(item["event_timestamp"], time, "{item}");
    }
    assert_eq!(items[0]["permanent"], true);
    for key in [
        "event_timestamp",
        "last_registration",
        "initial_registration",
        "q",
        "cseq",
    ] {
        assert_eq!(items[0].get(key), None, "{key} of {}", items[0]);
    }

    let log = eventually("the bad cells are reported", PATIENCE, || {
        let log = daemon.log();
        holds(log.contains("expires is not a time"), || log.clone()).map(|()| log)
    });
    let lines = |words: &[&str]| {
        let found = |line: &&str| words.iter().all(|word| line.contains(word));
        log.lines().filter(found).count()
    };
    let lost = "a row of Kamailio's table cannot be read and is not listed";
    assert_eq!(lines(&[lost]), 1, "{log}");
    assert_eq!(
        lines(&[lost, "uloc-4", "rowid=4", "in a year", "more=1"]),
        1,
        "{log}"
    );
    for reason in [
        "reason=\"last_modified is not a time",
        "reason=\"q is not a number",
        "reason=\"cseq is not a number",
    ] {
        assert_eq!(
            lines(&[reason, "uloc-3", "rowid=3", "its row is listed without it"]),
            1,
            "{log}"
        );
    }
    let metrics = String::from_utf8_lossy(&daemon.get("/metrics").body).into_owned();
    assert!(
        metrics.contains("\nusrlocd_source_bad_rows 2\n"),
        "{metrics}"
    );
}
