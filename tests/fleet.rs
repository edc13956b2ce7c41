//! A node publishes what it lists to the fleet's database, whatever becomes of the node and of the database.

mod portable;
mod published;

use std::fs;
use std::process::Command;
use std::sync::Arc;

use serde_json::Value;

use crate::oracle::{PATIENCE, list, lists, of};
use crate::servers::ALL;
use crate::support::account::Account;
use crate::support::daemon::{self, Daemon};
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::relay::{Relay, Way};
use crate::support::server::Server;
use crate::support::{eventually, holds, tools};
use published::is_published;

/// A usrlocd that publishes to the database at `url` as `name`.
pub(crate) fn node(kamailio: &Kamailio, url: &str, name: &str) -> daemon::Builder {
    let section = format!("[fleet]\nurl = \"{url}\"\nnode = \"{name}\"\n");
    Daemon::builder(kamailio).sections(&section)
}

/// Creates the tables as their owner, and lets nodes write to them.
pub(crate) fn migrate(server: &Server) -> String {
    let mut command = Command::new(tools::usrlocd());
    let output = command
        .args(["fleet", "migrate", "--url", &server.owner_url()])
        .output()
        .expect("it can be started");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
    server.query("GRANT USAGE ON SCHEMA usrlocd TO usrlocd; GRANT SELECT ON usrlocd.migration TO usrlocd; GRANT SELECT, INSERT, UPDATE, DELETE ON usrlocd.node, usrlocd.row, usrlocd.block, usrlocd.intent, usrlocd.log, usrlocd.event, usrlocd.flapping TO usrlocd;");
    said
}

/// A server with the tables of a fleet, and a Kamailio.
fn prepared() -> (Arc<Server>, Kamailio) {
    let server = Server::for_fleet();
    let kamailio = Kamailio::builder().start();
    migrate(&server);
    (server, kamailio)
}

#[track_caller]
fn logs(daemon: &Daemon, words: &str) {
    eventually("it is logged", PATIENCE, || {
        let log = daemon.log();
        holds(log.contains(words), || log)
    });
}

/// It is ready all the same, and says why it does not publish; so does the doctor, with these words.
#[track_caller]
fn tells(daemon: &Daemon, kind: &str, words: &[&str]) {
    eventually("it says why it does not publish", PATIENCE, || {
        let answer = daemon.get("/readyz?verbose");
        let fleet = &answer.json()["fleet"];
        let is_told = answer.status == 200
            && fleet["state"] == "failing"
            && fleet["kind"] == kind
            && fleet["since"].as_u64().is_some_and(|since| since > 0)
            && fleet["reason"]
                .as_str()
                .is_some_and(|it| it.contains("not publishing"));
        holds(is_told, || answer.text())
    });
    let doctor = daemon.command("doctor").output().expect("usrlocd runs");
    let told = String::from_utf8_lossy(&doctor.stdout);
    assert_eq!(doctor.status.code(), Some(1), "{told}");
    for word in words {
        assert!(told.contains(word), "{word}: {told}");
    }
}

#[track_caller]
fn node_says(server: &Server, name: &str, sql: &str, expected: &str) {
    eventually("the node says so", PATIENCE, || {
        let said = server.query(&format!(
            "SELECT {sql} FROM usrlocd.node WHERE name = '{name}'"
        ));
        holds(said.trim() == expected, || format!("{sql}: {said}"))
    });
}

#[test]
fn a_node_publishes_what_it_lists() {
    let server = Server::for_fleet();
    let kamailio = Kamailio::builder().start();
    let mut daemon = node(&kamailio, &server.url(), "k1").start();
    logs(&daemon, "run `usrlocd fleet migrate`");
    assert!(migrate(&server).contains("from version 0 to 1"));
    assert!(migrate(&server).contains("up to date"));

    let acme = Account::new("ac", "Acme", "acme.example.com");
    let mut phones = vec![
        Phone::new(&kamailio, "User0", "plain.test").expires(600),
        Phone::of(&kamailio, &acme.device("carol", 1)),
        Phone::new(&kamailio, "User2", "plain.test").q("0.5"),
    ];
    for phone in &mut phones {
        phone.register();
    }
    let contacts = |phones: &[Phone]| -> Vec<Vec<u8>> {
        let contacts = phones.iter().map(|phone| phone.contact_uri().to_vec());
        contacts.collect()
    };
    let lists_all = |daemon: &Daemon, phones: &[Phone]| {
        let contacts = contacts(phones);
        let contacts: Vec<&[u8]> = contacts.iter().map(Vec::as_slice).collect();
        lists(daemon, ALL, &contacts);
    };
    lists_all(&daemon, &phones);
    is_published(&server, "k1", &daemon);
    node_says(
        &server,
        "k1",
        "epoch || ' ' || synced_epoch || ' ' || rows || ' ' || source_state",
        "1 1 3 live",
    );
    let columns =
        server.query("SELECT DISTINCT username, realm FROM usrlocd.row WHERE username = 'user2'");
    assert_eq!(columns.trim(), "user2|plain.test");

    // A refresh goes into the block, and writes no row.
    let written = "SELECT max(seq) FROM usrlocd.row";
    let before = server.query(written);
    for phone in &mut phones {
        phone.register();
    }
    eventually("the refresh shows", PATIENCE, || {
        let items = list(&daemon, ALL);
        holds(items.iter().all(|item| item["cseq"] == 2), || {
            format!("{items:?}")
        })
    });
    is_published(&server, "k1", &daemon);
    assert_eq!(server.query(written), before);

    phones.pop().expect("there are three").unregister();
    lists_all(&daemon, &phones);
    is_published(&server, "k1", &daemon);
    let flushed = phones.pop().expect("there are two");
    let user = format!("{}/carol", of(&acme));
    assert_eq!(daemon.delete(&user).status, 200, "{flushed:?}");
    lists_all(&daemon, &phones);
    is_published(&server, "k1", &daemon);

    // Another process of the node: the slots stay, and so do rows that did not change.
    let before = server.query("SELECT slot, seq FROM usrlocd.row");
    daemon.kill9();
    let mut late = Phone::new(&kamailio, "late", "plain.test").user_agent("Late 1.0");
    late.register();
    daemon.start();
    phones.push(late);
    lists_all(&daemon, &phones);
    is_published(&server, "k1", &daemon);
    node_says(&server, "k1", "epoch || ' ' || synced_epoch", "2 2");
    let after = server.query("SELECT slot, seq FROM usrlocd.row");
    assert!(after.contains(before.trim()), "{before} {after}");

    assert!(daemon.stop().success());
    node_says(&server, "k1", "stopped_at IS NOT NULL", "t");
}

/// A database that stops, stalls, is cut off in the middle or restored from an older copy: the node serves itself, and
/// afterwards the database has what is listed.
#[test]
fn whatever_becomes_of_the_database() {
    let (server, kamailio) = prepared();
    let relay = Relay::to(server.port());
    let daemon = node(&kamailio, &server.url_at(relay.port()), "k1").start();
    let mut phones: Vec<Phone> = (0..20)
        .map(|n| Phone::new(&kamailio, format!("user{n}"), "plain.test"))
        .collect();
    let register = |phones: &mut [Phone]| phones.iter_mut().for_each(Phone::register);
    let lists_some = |count: usize| {
        eventually("the list has them", PATIENCE, || {
            let found = list(&daemon, ALL).len();
            holds(found == count, || format!("{found}"))
        });
    };
    register(&mut phones[..10]);
    lists_some(10);
    is_published(&server, "k1", &daemon);
    server.query("CREATE TABLE old_row AS SELECT * FROM usrlocd.row; CREATE TABLE old_block AS SELECT * FROM usrlocd.block; CREATE TABLE old_node AS SELECT * FROM usrlocd.node;");

    server.stop();
    register(&mut phones[10..14]);
    phones[0].unregister();
    lists_some(13);
    logs(&daemon, "cannot publish to the fleet");
    server.resume();
    is_published(&server, "k1", &daemon);

    relay.set(Way::Stalled);
    register(&mut phones[14..16]);
    lists_some(15);
    eventually("publishing fails", PATIENCE, || {
        let metrics = daemon.get("/metrics").text();
        holds(metrics.contains("\nusrlocd_fleet_publishing 0\n"), || {
            metrics
        })
    });
    relay.set(Way::Open);
    is_published(&server, "k1", &daemon);

    // The login takes less than that: a transaction ends in the middle.
    relay.set(Way::CutAfter(1500));
    relay.cut();
    register(&mut phones[16..18]);
    phones[1].unregister();
    lists_some(16);
    relay.set(Way::Open);
    relay.cut();
    is_published(&server, "k1", &daemon);

    server.query("BEGIN; DELETE FROM usrlocd.row; INSERT INTO usrlocd.row SELECT * FROM old_row; DELETE FROM usrlocd.block; INSERT INTO usrlocd.block SELECT * FROM old_block; DELETE FROM usrlocd.node; INSERT INTO usrlocd.node SELECT * FROM old_node; COMMIT;");
    relay.cut();
    logs(&daemon, "the fleet's database has lost changes");
    is_published(&server, "k1", &daemon);
    register(&mut phones[18..]);
    lists_some(18);
    is_published(&server, "k1", &daemon);
    node_says(
        &server,
        "k1",
        "epoch || ' ' || synced_epoch || ' ' || rows",
        "1 1 18",
    );
}

/// A copy of the machine takes the node's place; another machine cannot have its name.
#[test]
fn one_process_is_a_node_and_one_node_has_a_name() {
    let (server, kamailio) = prepared();
    let mut phone = Phone::new(&kamailio, "bob", "plain.test");
    phone.register();
    let first = node(&kamailio, &server.url(), "k1").start();
    lists(&first, ALL, &[phone.contact_uri()]);
    is_published(&server, "k1", &first);

    let mut copy = node(&kamailio, &server.url(), "k1").prepare();
    let id = |daemon: &Daemon| daemon.store().with_file_name("fleet-id");
    let folder = copy.store();
    fs::create_dir_all(folder.parent().expect("it is in a folder")).expect("it can be made");
    fs::copy(id(&first), id(&copy)).expect("the node has an identity");
    copy.start();
    logs(&first, "has started with the identity of this node");
    let metrics = first.get("/metrics").text();
    assert!(metrics.contains("\nusrlocd_fleet_fenced 1\n"), "{metrics}");
    is_published(&server, "k1", &copy);
    tells(&first, "fenced", &["copied", "fleet-id", "systemctl start"]);
    let well = copy.get("/readyz?verbose").json();
    assert_eq!(well["fleet"]["state"], "publishing", "{well}");
    assert_eq!(copy.get("/readyz").json()["fleet"], Value::Null);
    node_says(&server, "k1", "epoch || ' ' || synced_epoch", "2 2");
    lists(&first, ALL, &[phone.contact_uri()]);

    let other = node(&kamailio, &server.url(), "k1").start();
    logs(&other, "another node already has the name k1");
    tells(&other, "name_taken", &["is called k1", "node = "]);
    assert_eq!(
        server.query("SELECT count(*) FROM usrlocd.node").trim(),
        "1"
    );
    is_published(&server, "k1", &copy);
}
