//! Each binding's own way: the socket, the source behind NAT, the Path, TCP, TLS.

use super::{
    CHECK_SYNC, FR_TIMER, acme, beside, failed, header, notified, only, path, post, statuses,
};
use crate::oracle::{PATIENCE, lists, of};
use crate::support::daemon::Daemon;
use crate::support::edge::{Edge, Note};
use crate::support::kamailio::{Kamailio, Received};
use crate::support::phone::{Phone, Transport};
use crate::support::{eventually, holds};

/// A contact that cannot be reached by itself.
const PRIVATE: &str = "sip:alice@192.0.2.77:5060";

/// Registers the phone, and has it asked: what it hears, where it answers.
#[track_caller]
fn asked(daemon: &Daemon, phone: &mut Phone) -> String {
    phone.register();
    lists(daemon, &of(&acme()), &[phone.contact_uri()]);
    let answering = phone.answering(Some("200 OK"));
    notified(&post(daemon, &path("alice"), CHECK_SYNC), 1);
    only(&answering)
}

#[test]
fn a_phone_without_nat_is_asked_at_its_contact() {
    let kamailio = Kamailio::builder()
        .tm(FR_TIMER)
        .received(Received::Never)
        .start();
    let daemon = beside(&kamailio).start();
    let mut phone = Phone::of(&kamailio, &acme().device("alice", 1));
    let request = asked(&daemon, &mut phone);
    let via = format!("SIP/2.0/UDP {};", kamailio.address());
    assert!(header(&request, "Via").starts_with(&via), "{request}");
}

#[test]
fn a_phone_behind_nat_is_asked_at_its_source() {
    let kamailio = Kamailio::builder().tm(FR_TIMER).start();
    let daemon = beside(&kamailio).start();
    let mut phone = Phone::of(&kamailio, &acme().device("alice", 1)).contact(PRIVATE);
    let request = asked(&daemon, &mut phone);
    assert!(
        request.starts_with(&format!("NOTIFY {PRIVATE} ")),
        "{request}"
    );
}

#[test]
fn a_phone_behind_nat_is_asked_where_its_alias_says() {
    let kamailio = Kamailio::builder()
        .tm(FR_TIMER)
        .received(Received::Never)
        .start();
    let daemon = beside(&kamailio).start();
    let phone = Phone::of(&kamailio, &acme().device("alice", 1));
    let source = phone.source();
    let alias = format!("{PRIVATE};alias={}~{}~1", source.ip(), source.port());
    let request = asked(&daemon, &mut phone.contact(&alias));
    assert!(
        request.starts_with(&format!("NOTIFY {alias} ")),
        "{request}"
    );
}

#[test]
fn a_phone_on_tcp_is_asked_over_its_connection() {
    // One worker reads both the call and the phone's answer.
    let kamailio = Kamailio::builder().tm(FR_TIMER).children(1).start();
    let daemon = beside(&kamailio).start();
    let phone = Phone::tcp(&kamailio, "alice", "acme.example.com");
    let device = acme().device("alice", 1);
    let mut phone = phone
        .attributes(&device)
        .contact(format!("{PRIVATE};transport=tcp"));
    let request = asked(&daemon, &mut phone);
    let via = format!("SIP/2.0/TCP {};", kamailio.address());
    assert!(header(&request, "Via").starts_with(&via), "{request}");
    let own = format!("<sip:{};transport=tcp>", kamailio.address());
    assert_eq!(header(&request, "Contact"), own);
}

#[test]
fn a_phone_on_tls_is_asked_over_its_connection() {
    let kamailio = Kamailio::builder().tm(FR_TIMER).children(1).tls().start();
    let daemon = beside(&kamailio).start();
    let phone = Phone::tls(&kamailio, "alice", "acme.example.com");
    let mut phone = phone
        .attributes(&acme().device("alice", 1))
        .contact(format!("{PRIVATE};transport=tls"));
    let request = asked(&daemon, &mut phone);
    let via = format!("SIP/2.0/TLS {};", kamailio.address_tls());
    assert!(header(&request, "Via").starts_with(&via), "{request}");
    let own = format!("<sip:{};transport=tls>", kamailio.address_tls());
    assert_eq!(header(&request, "Contact"), own);
    let item = daemon.get(&of(&acme())).json()["data"][0].clone();
    assert_eq!(item["proxy_protocol"], "tls");
    assert_eq!(item["source_port"], phone.source().port().to_string());

    // A phone may do without `transport` where its URI says so.
    let phone = Phone::tls(&kamailio, "bob", "acme.example.com");
    let mut phone = phone
        .attributes(&acme().device("bob", 2))
        .contact("sips:bob@192.0.2.77");
    phone.register();
    eventually("both are listed", PATIENCE, || {
        let count = daemon.get(&of(&acme())).json()["data"]
            .as_array()
            .map(Vec::len);
        holds(count == Some(2), || format!("{count:?}"))
    });
    let answering = phone.answering(Some("486 Busy Here"));
    let answer = post(&daemon, &path("bob"), CHECK_SYNC);
    failed(&answer, 502, "notify_failed");
    assert_eq!(statuses(&answer), [486]);
    let request = only(&answering);
    assert!(
        request.starts_with("NOTIFY sips:bob@192.0.2.77 "),
        "{request}"
    );
}

#[test]
fn a_phone_on_ipv6_is_asked_there() {
    let kamailio = Kamailio::builder().tm(FR_TIMER).ipv6(true).start();
    let daemon = beside(&kamailio).start();
    let phone = Phone::with(
        kamailio.address_v6(),
        Transport::Udp,
        "alice",
        "acme.example.com",
    );
    let mut phone = phone.attributes(&acme().device("alice", 1));
    let request = asked(&daemon, &mut phone);
    let own = format!("<sip:{}>", kamailio.address_v6());
    assert_eq!(header(&request, "Contact"), own);
}

#[test]
fn a_phone_behind_an_edge_is_asked_along_its_path() {
    for note in [Note::Path, Note::CompactPath, Note::Alias, Note::Nothing] {
        let kamailio = Kamailio::builder().tm(FR_TIMER).start();
        let daemon = beside(&kamailio).start();
        let edge = Edge::start(kamailio.address(), note);
        let phone = Phone::with(edge.address(), Transport::Udp, "alice", "acme.example.com");
        let mut phone = phone.attributes(&acme().device("alice", 1));
        if note != Note::Nothing {
            phone = phone.contact(PRIVATE);
        }
        phone.register();
        eventually("the phone is listed", PATIENCE, || {
            let listed = daemon.get(&of(&acme())).json();
            let number = listed["data"].as_array().map_or(0, Vec::len);
            holds(number == 1, || listed.to_string())
        });
        let answering = phone.answering(Some("200 OK"));
        notified(&post(&daemon, &path("alice"), CHECK_SYNC), 1);
        let request = only(&answering);
        let edges = format!("SIP/2.0/UDP {};", edge.address());
        assert!(
            request.contains(&format!("Via: {edges}")),
            "{note:?}: {request}"
        );
    }
}

#[test]
fn phones_are_asked_over_datagrams() {
    let kamailio = Kamailio::builder().tm(FR_TIMER).datagram(true).start();
    let socket = kamailio.datagram_socket().expect("it was built so");
    let address = format!("unixgram:{}", socket.display());
    let daemon = beside(&kamailio).rpc(&address).start();
    let mut phone = Phone::of(&kamailio, &acme().device("alice", 1)).contact(PRIVATE);
    asked(&daemon, &mut phone);
}
