//! Times of a server's tables: Kamailio's own reading of them is the oracle.

use serde_json::Value;

use crate::oracle::{PATIENCE, list, lists};
use crate::servers::{ALL, ZONE, beside, follows_the_phones_of};
use crate::support::kamailio::Kamailio;
use crate::support::server::{Engine, Server};
use crate::support::{eventually, holds};

/// With `expires_type` 1 the columns hold Unix seconds.
#[test]
fn a_postgresql_with_unix_seconds_shows_what_phones_do() {
    follows_the_phones_of(&Server::start_with_numbers(Engine::Postgres), 1);
}

#[test]
fn a_mariadb_with_unix_seconds_shows_what_phones_do() {
    follows_the_phones_of(&Server::start_with_numbers(Engine::MariaDb), 1);
}

/// A `timestamptz` is text in the zone of Kamailio's session, and that text is Kamailio's local time.
#[test]
fn a_postgresql_with_timestamptz_shows_what_phones_do() {
    follows_the_phones_of(&Server::start_with_zones(), 1);
}

/// The zone of a session may be the database's.
#[test]
fn a_postgresql_with_timestamptz_and_a_zone_of_its_database_shows_what_phones_do() {
    let server = Server::start_with_zones();
    server.query("alter database kamailio set timezone = 'Pacific/Auckland'");
    follows_the_phones_of(&server, 3);
}

/// Expiries beyond both changes of the clock, in the hour that comes twice, and one that is none.
fn reads_expiries_as_kamailio_does(engine: Engine) {
    let server = Server::start(engine);
    let rows = [
        ("summer", "2027-07-01 12:00:00"),
        ("autumn", "2027-10-31 02:30:00"),
        ("winter", "2027-12-01 12:00:00"),
        ("permanent", "1970-01-01 01:00:00"),
    ];
    for (user, expires) in rows {
        server.query(&format!(
            "insert into location (ruid, username, domain, contact, expires, callid, user_agent)
             values ('uloc-1-{user}', '{user}', 'plain.test', 'sip:{user}@192.0.2.1', '{expires}', 'x', 'y')"
        ));
    }
    // Kamailio reads them when it starts.
    let kamailio = Kamailio::builder()
        .server(&server)
        .db_mode(1)
        .timezone("Europe/Berlin")
        .start();
    let daemon = beside(&kamailio)
        .environment("USRLOCD_KAMAILIO__TIMEZONE", "Europe/Berlin")
        .start();
    let contacts = rows.map(|(user, _)| format!("sip:{user}@192.0.2.1").into_bytes());
    lists(&daemon, ALL, &contacts.each_ref().map(Vec::as_slice));
    let of = |item: &Value| item["username"].as_str().expect("a name").to_owned();
    for item in list(&daemon, ALL) {
        let user = of(&item);
        let kept = kamailio.lookup(format!("{user}@plain.test"));
        let says = &kept.first().expect("Kamailio has it")["Expires"];
        if user == "permanent" {
            assert_eq!(
                (&item["permanent"], says),
                (&Value::Bool(true), &Value::from("permanent"))
            );
            continue;
        }
        eventually("both count down alike", PATIENCE, || {
            let kept = kamailio.lookup(format!("{user}@plain.test"));
            let says = kept.first().and_then(|contact| contact["Expires"].as_i64());
            let shown = list(&daemon, ALL);
            let shown = shown.iter().find(|item| of(item) == user);
            let shown = shown.and_then(|item| item["expires"].as_i64());
            let apart = says.zip(shown).map(|(says, shown)| (says - shown).abs());
            holds(apart.is_some_and(|apart| apart <= 1), || {
                format!("{user}: Kamailio {says:?}, shown {shown:?}")
            })
        });
    }
}

#[test]
fn a_postgresql_s_expiries_are_read_as_kamailio_does() {
    reads_expiries_as_kamailio_does(Engine::Postgres);
}

#[test]
fn a_mariadb_s_expiries_are_read_as_kamailio_does() {
    reads_expiries_as_kamailio_does(Engine::MariaDb);
}

/// Values that no type of a time holds cost the row that has them, and no other.
fn bears_what_is_no_time(engine: Engine) {
    let server = Server::start(engine);
    let kamailio = Kamailio::builder()
        .server(&server)
        .db_mode(1)
        .timezone(ZONE)
        .start();
    let daemon = beside(&kamailio).start();
    let no_time = match engine {
        Engine::Postgres => "'infinity'",
        Engine::MariaDb => "0",
    };
    let ends = match engine {
        Engine::Postgres => "(now() at time zone 'Asia/Kolkata') + interval '1 hour'",
        Engine::MariaDb => "utc_timestamp() + interval 390 minute",
    };
    for (user, expires) in [("good", ends), ("bad", no_time)] {
        let lenient = match engine {
            Engine::Postgres => "",
            Engine::MariaDb => "set session sql_mode = '';",
        };
        server.query(&format!(
            "{lenient} insert into location (ruid, username, domain, contact, expires)
             values ('{user}', '{user}', 'plain.test', 'sip:{user}@192.0.2.1', {expires})"
        ));
    }
    lists(&daemon, ALL, &[b"sip:good@192.0.2.1"]);
    eventually("the bad row is counted", PATIENCE, || {
        let metrics = daemon.get("/metrics").text();
        holds(metrics.contains("usrlocd_source_bad_rows 1"), || metrics)
    });
    server.query("delete from location where username = 'bad'");
    lists(&daemon, ALL, &[b"sip:good@192.0.2.1"]);
}

#[test]
fn a_postgresql_with_infinite_times_is_read() {
    bears_what_is_no_time(Engine::Postgres);
}

#[test]
fn a_mariadb_with_zero_dates_is_read() {
    bears_what_is_no_time(Engine::MariaDb);
}
