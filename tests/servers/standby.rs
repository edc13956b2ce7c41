//! A standby in the place of the server that Kamailio writes to.

use crate::oracle::{PATIENCE, agree, lists, shows_round};
use crate::servers::{ALL, ZONE, beside, readyz};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::relay::Relay;
use crate::support::server::{Engine, Server};
use crate::support::{eventually, holds};

/// Waits until the age of what is served, in milliseconds, is as it is to be.
#[track_caller]
fn lags(daemon: &Daemon, what: &str, is_so: impl Fn(u64) -> bool) {
    eventually(what, PATIENCE, || {
        let source = daemon.get(ALL).json()["source"].clone();
        let lag = source["lag_ms"].as_u64();
        holds(lag.is_some_and(&is_so), || source.to_string())
    });
}

/// It is followed as its primary would be, which is not asked; how far it is behind is told; and it may take over.
#[test]
fn a_standby_is_followed_and_what_it_lacks_is_told() {
    let server = Server::start(Engine::Postgres);
    let kamailio = Kamailio::builder()
        .server(&server)
        .db_mode(1)
        .timezone(ZONE)
        .start();
    let standby = server.standby();
    let daemon = beside(&kamailio)
        .database(standby.url().as_ref())
        .environment("USRLOCD_HTTP__MAX_LAG", "4s")
        .start();
    let mut alice = Phone::new(&kamailio, "alice", "plain.test");
    let mut bob = Phone::new(&kamailio, "bob", "plain.test");
    alice.register();
    bob.register();
    lists(&daemon, ALL, &[alice.contact_uri(), bob.contact_uri()]);
    alice.register();
    shows_round(&daemon, 1, 2);
    agree(&kamailio, &daemon);

    standby.query("select pg_wal_replay_pause()");
    bob.unregister();
    readyz(&daemon, 503, "");
    lags(&daemon, "what it lacks makes it older", |lag| lag > 4000);
    lists(&daemon, ALL, &[alice.contact_uri(), bob.contact_uri()]);
    standby.query("select pg_wal_replay_resume()");
    lists(&daemon, ALL, &[alice.contact_uri()]);
    lags(&daemon, "it has everything", |lag| lag < 4000);
    readyz(&daemon, 200, "");
    assert_eq!(server.only_reads(), 0, "the primary is not asked");

    // It cannot know what happens there.
    server.stop();
    readyz(&daemon, 503, "");
    lists(&daemon, ALL, &[alice.contact_uri()]);
    standby.query("select pg_promote()");
    readyz(&daemon, 200, "");
    lists(&daemon, ALL, &[alice.contact_uri()]);
    assert!(standby.only_reads() > 10, "{}", standby.log());
}

/// Another server takes the place of one that is lost, at the same address; what is there counts from then on.
#[test]
fn a_server_that_fails_over_is_followed_at_its_address() {
    let server = Server::start(Engine::Postgres);
    let kamailio = Kamailio::builder()
        .server(&server)
        .db_mode(1)
        .timezone(ZONE)
        .start();
    let standby = server.standby();
    let relay = Relay::to(server.port());
    let daemon = beside(&kamailio)
        .database(server.url_at(relay.port()).as_ref())
        .start();
    let mut phones = ["alice", "bob"].map(|user| Phone::new(&kamailio, user, "plain.test"));
    for phone in &mut phones {
        phone.register();
    }
    let contacts = phones.each_ref().map(Phone::contact_uri);
    lists(&daemon, ALL, &contacts);
    eventually("the standby has them", PATIENCE, || {
        let count = standby.query("select count(*) from location");
        holds(count.trim() == "2", || count)
    });

    server.stop();
    readyz(&daemon, 503, "database server");
    lists(&daemon, ALL, &contacts);
    standby.query("select pg_promote()");
    relay.lead_to(standby.port());
    readyz(&daemon, 200, "");
    lists(&daemon, ALL, &contacts);
    standby.query("delete from location where username = 'bob'");
    lists(&daemon, ALL, &contacts[..1]);
}
