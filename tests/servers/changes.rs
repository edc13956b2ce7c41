//! Changes that are hard to see.

use crate::oracle::{PATIENCE, lists};
use crate::servers::{ALL, ZONE, beside};
use crate::support::kamailio::Kamailio;
use crate::support::server::{Engine, Server};
use crate::support::{eventually, holds};

/// Contacts and sources of two states of a row whose CRC32 is the same.
const TWINS: [[&str; 2]; 2] = [
    ["sip:8dd1a527@192.0.2.1", "sip:10.170.178.195:38680"],
    ["sip:4eb8a80d@192.0.2.1", "sip:10.139.254.185:34780"],
];

/// A change that leaves the CRC32 of the row as it was.
#[test]
fn a_mariadb_s_change_that_a_checksum_misses_is_seen() {
    let server = Server::start(Engine::MariaDb);
    let kamailio = Kamailio::builder()
        .server(&server)
        .db_mode(3)
        .timezone(ZONE)
        .start();
    let daemon = beside(&kamailio).start();
    let [[contact, received], [other_contact, other_received]] = TWINS;
    server.query(&format!(
        "insert into location (ruid, username, domain, contact, received, expires)
         values ('r', 'u', 'plain.test', '{contact}', '{received}', utc_timestamp() + interval 390 minute)"
    ));
    lists(&daemon, ALL, &[contact.as_bytes()]);
    let checksum = || {
        server.query("select crc32(concat_ws(',', contact, '', expires, '', domain, '', received, '')) from location")
    };
    let before = checksum();
    server.query(&format!(
        "update location set contact = '{other_contact}', received = '{other_received}'"
    ));
    assert_eq!(checksum(), before);
    lists(&daemon, ALL, &[other_contact.as_bytes()]);
}

/// With an index on `last_modified` ids are read between comparisons: what is new, changed or gone is seen, and a table
/// that is empty for a moment is not believed.
fn follows_by_the_index(engine: Engine) {
    let server = Server::start(engine);
    server.query("create index location_last_modified_idx on location (last_modified)");
    let kamailio = Kamailio::builder().server(&server).timezone(ZONE).start();
    let daemon = beside(&kamailio).start();
    let (numbers, now) = match engine {
        Engine::Postgres => (
            "generate_series(1, 30000) as seq",
            "(now() at time zone 'Asia/Kolkata')",
        ),
        Engine::MariaDb => ("seq_1_to_30000", "(utc_timestamp() + interval 330 minute)"),
    };
    server.query(&format!(
        "insert into location (ruid, username, domain, contact, expires, last_modified, user_agent)
         select concat('r', seq), concat('u', seq), 'plain.test', concat('sip:u', seq, '@192.0.2.1'),
         {now} + interval {}, {now}, 'Old' from {numbers}",
        match engine {
            Engine::Postgres => "'1 hour'",
            Engine::MariaDb => "1 hour",
        }
    ));
    let counts = |filter: &str, expected: i64| {
        eventually("they are counted", PATIENCE, || {
            let answer = daemon.get(&format!("{ALL}/count{filter}")).json();
            let count = answer["data"]["count"].as_i64();
            holds(count == Some(expected), || format!("{filter} {answer}"))
        });
    };
    counts("", 30_000);
    for round in 1..6 {
        server.query(&format!(
            "update location set user_agent = 'New', last_modified = {now} where id % 7 = {round};
             delete from location where ruid = 'r{round}000'"
        ));
        counts("", 30_000 - round);
    }
    let changed = "select count(*) from location where user_agent = 'New'";
    let changed = server.query(changed).trim().parse().expect("a number");
    counts("?filter_user_agent=New", changed);
    server.query("create table aside as select * from location; delete from location");
    server.query("insert into location select * from aside");
    counts("", 29_995);
    server.query("delete from location");
    counts("", 0);
}

#[test]
fn a_postgresql_with_an_index_is_followed() {
    follows_by_the_index(Engine::Postgres);
}

#[test]
fn a_mariadb_with_an_index_is_followed() {
    follows_by_the_index(Engine::MariaDb);
}
