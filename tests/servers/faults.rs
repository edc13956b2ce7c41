//! What befalls the way to a server: lines that end, stall or delay, certificates, and a server that has no room.

use std::sync::Arc;
use std::time::Duration;

use crate::oracle::{PATIENCE, agree, lists};
use crate::servers::{ALL, ZONE, beside, readyz};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::relay::{Relay, Way};
use crate::support::server::{Engine, PASSWORD, Server};
use crate::support::{eventually, holds};

/// A Kamailio with forty phones that are registered.
fn registered(server: &Arc<Server>) -> (Kamailio, Vec<Phone>) {
    let kamailio = Kamailio::builder()
        .server(server)
        .db_mode(1)
        .timezone(ZONE)
        .start();
    let mut phones: Vec<Phone> = (0..40)
        .map(|n| Phone::new(&kamailio, format!("user{n}"), "plain.test"))
        .collect();
    for phone in &mut phones {
        phone.register();
    }
    (kamailio, phones)
}

fn follow_at(kamailio: &Kamailio, url: &str) -> Daemon {
    beside(kamailio).database(url.as_ref()).start()
}

/// A line that ends, in the middle of an answer or between two, that stalls or delays, costs no row.
fn bears_a_bad_line(engine: Engine) {
    let server = Server::start(engine);
    let relay = Relay::to(server.port());
    let (kamailio, mut phones) = registered(&server);
    let daemon = follow_at(&kamailio, &server.url_at(relay.port()));
    let contacts = |phones: &[Phone]| -> Vec<Vec<u8>> {
        let contacts = phones.iter().map(|phone| phone.contact_uri().to_vec());
        contacts.collect()
    };
    let lists_all = |phones: &[Phone]| {
        let contacts = contacts(phones);
        let contacts: Vec<&[u8]> = contacts.iter().map(Vec::as_slice).collect();
        lists(&daemon, ALL, &contacts);
    };
    lists_all(&phones);

    relay.set(Way::Stalled);
    readyz(&daemon, 503, "did not answer");
    assert_eq!(daemon.get(ALL).json()["source"]["state"], "stale");
    lists_all(&phones);
    relay.set(Way::Open);
    readyz(&daemon, 200, "");

    // The login takes less than that; the answer with all rows ends in the middle.
    relay.set(Way::CutAfter(3000));
    relay.cut();
    readyz(&daemon, 503, "database server");
    lists_all(&phones);
    relay.set(Way::Open);
    readyz(&daemon, 200, "");

    relay.cut();
    relay.set(Way::Slow(Duration::from_millis(50)));
    let mut late = Phone::new(&kamailio, "late", "plain.test");
    late.register();
    phones.push(late);
    lists_all(&phones);
    readyz(&daemon, 200, "");
    relay.set(Way::Open);
    agree(&kamailio, &daemon);
    assert!(!daemon.log().contains(PASSWORD), "{}", daemon.log());
}

#[test]
fn a_postgresql_behind_a_bad_line_costs_no_row() {
    bears_a_bad_line(Engine::Postgres);
}

#[test]
fn a_mariadb_behind_a_bad_line_costs_no_row() {
    bears_a_bad_line(Engine::MariaDb);
}

/// With TLS a certificate that is trusted is needed, and nothing is sent past one that is not.
fn checks_certificates(engine: Engine) {
    let server = Server::start_with_tls(engine);
    let (kamailio, phones) = registered(&server);
    let contacts: Vec<&[u8]> = phones.iter().map(Phone::contact_uri).collect();
    let daemon = follow_at(&kamailio, &server.url_with_tls("ca.pem"));
    lists(&daemon, ALL, &contacts);
    agree(&kamailio, &daemon);

    let mut wary = beside(&kamailio)
        .database(server.url_with_tls("other-ca.pem").as_ref())
        .prepare();
    wary.start_unready();
    readyz(&wary, 503, "TLS to the database server failed");
    assert!(!wary.log().contains(PASSWORD), "{}", wary.log());
    // It was asked to speak TLS, and had a server without it.
    server.without_tls();
    readyz(&daemon, 503, "database server");
    lists(&daemon, ALL, &contacts);
}

#[test]
fn a_postgresql_is_asked_over_tls() {
    checks_certificates(Engine::Postgres);
}

#[test]
fn a_mariadb_is_asked_over_tls() {
    checks_certificates(Engine::MariaDb);
}

/// A user who may not connect once more is told that, and a password that changed; both are tried again.
fn is_let_in_again(engine: Engine) {
    let server = Server::start(engine);
    let (kamailio, phones) = registered(&server);
    let contacts: Vec<&[u8]> = phones.iter().map(Phone::contact_uri).collect();
    let daemon = follow_at(&kamailio, &server.url());
    lists(&daemon, ALL, &contacts);

    server.allow_connections(false);
    eventually("it is let in no more", PATIENCE, || {
        server.end_connections();
        let said = daemon.get("/readyz").text();
        holds(said.contains("accepts no more connections"), || said)
    });
    lists(&daemon, ALL, &contacts);
    server.allow_connections(true);
    readyz(&daemon, 200, "");

    server.set_password("another");
    server.end_connections();
    readyz(&daemon, 503, "refused the login");
    lists(&daemon, ALL, &contacts);
    server.set_password(PASSWORD);
    readyz(&daemon, 200, "");
    agree(&kamailio, &daemon);

    let metrics = daemon.get("/metrics").text();
    for kind in ["unreachable", "login"] {
        let counted = format!("usrlocd_source_errors_total{{kind=\"{kind}\"}}");
        assert!(metrics.contains(&counted), "{metrics}");
    }
    for said in [daemon.log(), metrics] {
        assert!(!said.contains(PASSWORD), "{said}");
    }
}

#[test]
fn a_postgresql_that_lets_nobody_in_is_told() {
    is_let_in_again(Engine::Postgres);
}

#[test]
fn a_mariadb_that_lets_nobody_in_is_told() {
    is_let_in_again(Engine::MariaDb);
}
