//! Rows that Kamailio knows nothing of.

use std::time::Duration;

use serde_json::json;

use super::{acme, flushed, refused};
use crate::oracle::{PATIENCE, list, lists, of, shows_round};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::{eventually, holds, unix_now};

/// A Kamailio is believed after 30 s; some more for a busy machine.
const BELIEVED: Duration = Duration::from_mins(1);

/// Puts a row without a domain into the table: Kamailio does not load it and leaves it alone.
fn leave_a_row(kamailio: &Kamailio, number: u32) {
    let now = unix_now();
    let day = |at: i64| format!("(({at} - 0.5) / 86400 + 2440587.5)");
    kamailio.sql(&format!(
        "insert into location (ruid, username, domain, contact, callid, expires, last_modified, user_agent) values \
         ('uloc-left-{number}', 'left{number}', '', 'sip:left@192.0.2.{number}', 'c{number}@lab', {}, {}, 'Left 1.0');
         insert into location_attrs (ruid, username, domain, aname, atype, avalue) values \
         ('uloc-left-{number}', 'left{number}', '', 'token', 0, 'device@left{number}.example.com')",
        day(now + 3600),
        day(now - 7200),
    ));
}

#[test]
fn they_are_flushed_once_kamailio_can_be_believed() {
    let mut kamailio = Kamailio::builder().start();
    kamailio.stop();
    leave_a_row(&kamailio, 1);
    leave_a_row(&kamailio, 2);
    kamailio.start();
    let daemon = Daemon::builder(&kamailio).start();
    let mut alice = Phone::of(&kamailio, &acme().device("alice", 1));
    alice.register();
    let left = |number: u32| format!("/v2/accounts/left{number}.example.com/registrations");
    let contact = |number: u32| format!("sip:left@192.0.2.{number}");
    lists(&daemon, &of(&acme()), &[alice.contact_uri()]);
    lists(&daemon, &left(1), &[contact(1).as_bytes()]);

    let early = daemon.delete(&left(1));
    refused(&early, 502, "flush_incomplete");
    assert!(
        early.text().contains("has just started"),
        "{}",
        early.text()
    );
    lists(&daemon, &left(1), &[contact(1).as_bytes()]);

    eventually("Kamailio has been up for long enough", BELIEVED, || {
        let uptime = kamailio.rpc("core.uptime", &json!([]));
        let seconds = uptime["result"]["uptime"].as_u64().unwrap_or_default();
        holds(seconds >= 30, || uptime.to_string())
    });
    // It knows alice.
    flushed(&daemon.delete(&left(1)), 1);
    assert!(list(&daemon, &left(1)).is_empty());
    lists(&daemon, &left(2), &[contact(2).as_bytes()]);
    // It knows nobody, and no row says that it should.
    alice.unregister();
    eventually("alice is gone", PATIENCE, || {
        let items = list(&daemon, &of(&acme()));
        let memory = kamailio.contacts_in_memory();
        holds(items.is_empty() && memory == 0, || {
            format!("{items:?}, {memory} in memory")
        })
    });
    flushed(&daemon.delete(&left(2)), 1);
    assert!(list(&daemon, &left(2)).is_empty());
    assert_eq!(kamailio.rows().len(), 2, "the rows are there for ever");
}

#[test]
fn those_of_another_kamailio_are_not_hidden() {
    let kamailio = Kamailio::builder().start();
    let other = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).rpc(&other.rpc_url()).start();
    let mut phones = [1, 2].map(|n| Phone::of(&kamailio, &acme().device(&format!("u{n}"), n)));
    phones.iter_mut().for_each(Phone::register);
    shows_round(&daemon, 2, 1);
    eventually("the other one could be believed", BELIEVED, || {
        let uptime = other.rpc("core.uptime", &json!([]));
        let seconds = uptime["result"]["uptime"].as_u64().unwrap_or_default();
        holds(seconds >= 31, || uptime.to_string())
    });
    phones.iter_mut().for_each(Phone::register);
    shows_round(&daemon, 2, 2);
    let answer = daemon.delete(&of(&acme()));
    refused(&answer, 502, "flush_incomplete");
    assert!(
        answer.text().contains("a different Kamailio"),
        "{}",
        answer.text()
    );
    shows_round(&daemon, 2, 2);
}
