//! What happened on the nodes of a fleet: published by each, kept when a node is lost, told for all of them.

mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Arc;

use serde_json::Value;

use crate::oracle::PATIENCE;
use crate::servers::ALL;
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::relay::{Relay, Way};
use crate::support::server::Server;
use crate::support::{eventually, holds, tools};

const PLAIN: &str = "/v2/accounts/plain.test/registrations";

/// A database with the fleet's tables, where nodes may write.
fn database() -> Arc<Server> {
    let server = Server::for_fleet();
    let output = Command::new(tools::usrlocd())
        .args(["fleet", "migrate", "--url", &server.owner_url()])
        .output()
        .expect("usrlocd runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    server.query("GRANT USAGE ON SCHEMA usrlocd TO usrlocd; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA usrlocd TO usrlocd;");
    server
}

fn node(kamailio: &Kamailio, url: &str, name: &str) -> Daemon {
    let section = format!("[fleet]\nurl = \"{url}\"\nnode = \"{name}\"\n");
    Daemon::builder(kamailio).sections(&section).start()
}

fn fleet(server: &Server) -> Daemon {
    let builder = Daemon::fleet(&server.url());
    let builder = builder.token(
        "plain",
        "plain-token-0123456789ab",
        &["plain.test"],
        &["read"],
    );
    builder.start()
}

/// Standard output of a command that succeeds.
fn run(daemon: &Daemon, args: &[&str]) -> String {
    let mut command = Command::new(tools::usrlocd());
    let command = command.args(args).arg("--config");
    let output = command.arg(daemon.config_file()).output();
    let output = output.expect("usrlocd runs");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {err}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// All events of a history, page by page, the newest first.
fn history(daemon: &Daemon, target: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut key = String::new();
    loop {
        let mark = if target.contains('?') { '&' } else { '?' };
        let answer = daemon.get(&format!("{target}{mark}page_size=7{key}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let body = answer.json();
        all.extend(body["data"].as_array().expect("an array").clone());
        match body["next_start_key"].as_str() {
            Some(next) => key = format!("&start_key={next}"),
            None => return all,
        }
    }
}

/// What of an event is the same wherever it is read.
fn settled(events: &[Value], node: &str) -> BTreeMap<String, String> {
    let of_node = events.iter().map(|event| {
        let mut event = event.clone();
        event["node"] = node.into();
        (
            event["id"].as_str().expect("an id").to_owned(),
            event.to_string(),
        )
    });
    of_node.collect()
}

fn of_node(events: &[Value], node: &str) -> Vec<Value> {
    events
        .iter()
        .filter(|event| event["node"] == node)
        .cloned()
        .collect()
}

/// Waits until the fleet's history of a node is the node's own, with each event once.
#[track_caller]
fn agree(fleet: &Daemon, nodes: &[(&str, &Daemon)]) {
    eventually("the fleet's history is that of its nodes", PATIENCE, || {
        let all = history(fleet, "/v2/history");
        let ids: BTreeSet<&str> = all
            .iter()
            .filter_map(|event| event["id"].as_str())
            .collect();
        assert_eq!(ids.len(), all.len(), "none is told twice");
        for (name, daemon) in nodes {
            let own = settled(&history(daemon, "/v2/history"), name);
            let told = settled(&of_node(&all, name), name);
            if own != told || own.is_empty() {
                return Err(format!("{name}: {own:#?}\n{told:#?}\n{}", daemon.log()));
            }
        }
        Ok(())
    });
}

fn lists_some(daemon: &Daemon, count: usize) {
    eventually("the list has them", PATIENCE, || {
        let found = crate::oracle::list(daemon, ALL).len();
        holds(found == count, || format!("{found}"))
    });
}

#[test]
fn the_history_of_the_fleet_is_that_of_its_nodes() {
    let server = database();
    // A phone that unregisters is gone from the table at once.
    let kamailios = [1, 1].map(|mode| Kamailio::builder().db_mode(mode).start());
    let [first, second] = &kamailios;
    let one = node(first, &server.url(), "k1");
    let mut two = node(second, &server.url(), "k2");
    let fleet = fleet(&server);
    let mut bob = Phone::new(first, "bob", "plain.test");
    let mut carol = Phone::new(second, "carol", "plain.test");
    let mut other = Phone::new(second, "dave", "other.test");
    for phone in [&mut bob, &mut carol, &mut other] {
        phone.register();
    }
    lists_some(&one, 1);
    lists_some(&two, 2);
    agree(&fleet, &[("k1", &one), ("k2", &two)]);
    other.unregister();
    bob.unregister();
    lists_some(&one, 0);
    lists_some(&two, 1);
    agree(&fleet, &[("k1", &one), ("k2", &two)]);

    // The same filters, with the node as one more.
    let told = |target: &str| {
        let events = history(&fleet, target);
        let told = events.iter().map(|event| {
            let text = |key: &str| event[key].as_str().unwrap_or("-").to_owned();
            format!("{} {} {}", text("node"), text("type"), text("username"))
        });
        told.collect::<Vec<_>>()
    };
    let of_bob = format!("{PLAIN}/BOB/history");
    eventually("the losses are told", PATIENCE, || {
        let told = told("/v2/history?events=terminated");
        holds(told.len() == 2, || format!("{told:?}"))
    });
    assert_eq!(told(&of_bob), ["k1 terminated bob", "k1 registered bob"]);
    let mut of_two = told("/v2/history?events=registered&node=k2");
    of_two.sort();
    assert_eq!(of_two, ["k2 registered carol", "k2 registered dave"]);
    assert_eq!(
        told("/v2/accounts/other.test/history?reason=removed"),
        ["k2 terminated dave"]
    );
    let csv = fleet.get(&format!("{of_bob}?accept=csv")).text();
    assert!(csv.starts_with("id,at,type,reason,username,node,"), "{csv}");
    assert!(csv.contains(",terminated,removed,bob,k1,"), "{csv}");
    let scoped = one.get("/v2/history?scope=fleet&node=k2&events=registered");
    assert_eq!(scoped.json()["page_size"], 2, "{}", scoped.text());
    let groups = fleet
        .get("/v2/history?group=proxy&events=registered")
        .json();
    let counts: Vec<_> = groups["data"]
        .as_array()
        .expect("an array")
        .iter()
        .collect();
    assert_eq!(counts.len(), 2, "{groups}");

    // Why, by the node where the phone was.
    let why = fleet.get(&format!("{PLAIN}/bob/why")).json();
    let sentence = why["data"]["sentence"].as_str().expect("a sentence");
    assert!(sentence.starts_with("It was removed at "), "{why}");
    assert_eq!(why["data"]["loss"]["node"], "k1", "{why}");

    // The command line asks `usrlocd fleet` as it asks a node.
    let run = |args: &[&str]| run(&fleet, args);
    let shown = run(&["history", "bob@plain.test", "-o", "wide"]);
    assert!(shown.contains("k1") && shown.contains("removed"), "{shown}");
    let shown = run(&["why", "bob@plain.test"]);
    assert!(shown.starts_with("It was removed at "), "{shown}");
    assert_eq!(run(&["flaps", "-o", "json"]).trim(), "[]");

    // Rights are those of lists.
    let limited = [("X-Auth-Token", "plain-token-0123456789ab")];
    let get = |target: &str| fleet.request("GET", target, &limited, b"");
    let seen = get("/v2/history?events=registered,terminated").json();
    let users: BTreeSet<_> = seen["data"]
        .as_array()
        .expect("an array")
        .iter()
        .map(|event| event["username"].as_str().expect("a user").to_owned())
        .collect();
    assert_eq!(
        users,
        ["bob".to_owned(), "carol".to_owned()].into(),
        "{seen}"
    );
    assert_eq!(get("/v2/accounts/other.test/history").status, 403);
    assert_eq!(one.get("/v2/history?node=k1").status, 400);
    assert_eq!(fleet.get("/v2/accounts/none.test/history").status, 404);
    assert_eq!(fleet.get(&format!("{PLAIN}/nobody/history")).status, 404);

    // What is deleted of a user in the database is gone there.
    assert_eq!(
        run(&["history", "forget", "dave@other.test"]),
        "{\"forgotten\":2}\n"
    );
    assert_eq!(
        told("/v2/history?events=registered&node=k2"),
        ["k2 registered carol"]
    );

    // A lost node's events stay.
    let of_carol = format!("{PLAIN}/carol/history");
    let own = settled(&history(&two, &of_carol), "k2");
    two.kill9();
    assert_eq!(settled(&history(&fleet, &of_carol), "k2"), own);
    assert_eq!(own.len(), 1);
}

/// Killed again and again under traffic, and with the database away for a while: afterwards the database has each event of
/// the node once.
#[test]
fn nothing_is_missed_and_nothing_told_twice() {
    let server = database();
    let kamailio = Kamailio::builder().start();
    let relay = Relay::to(server.port());
    let mut one = node(&kamailio, &server.url_at(relay.port()), "k1");
    let fleet = fleet(&server);
    let mut phones: Vec<Phone> = (0..12)
        .map(|number| Phone::new(&kamailio, format!("user{number}"), "plain.test"))
        .collect();
    phones.iter_mut().for_each(Phone::register);
    lists_some(&one, 12);
    agree(&fleet, &[("k1", &one)]);
    for round in 0..3 {
        phones
            .iter_mut()
            .skip(round)
            .step_by(2)
            .for_each(Phone::unregister);
        one.kill9();
        phones
            .iter_mut()
            .skip(round)
            .step_by(2)
            .for_each(Phone::register);
        one.start();
        phones[round].unregister();
        phones[round].register();
    }
    lists_some(&one, 12);
    agree(&fleet, &[("k1", &one)]);

    relay.set(Way::Stalled);
    phones.iter_mut().for_each(Phone::unregister);
    lists_some(&one, 0);
    phones.iter_mut().for_each(Phone::register);
    lists_some(&one, 12);
    eventually("publishing fails", PATIENCE, || {
        let metrics = one.get("/metrics").text();
        holds(metrics.contains("\nusrlocd_fleet_publishing 0\n"), || {
            metrics
        })
    });
    relay.set(Way::Open);
    agree(&fleet, &[("k1", &one)]);

    // From a copy that lacks the latest.
    server.query("DELETE FROM usrlocd.event WHERE seq > 20; UPDATE usrlocd.log SET newest = 20;");
    relay.cut();
    agree(&fleet, &[("k1", &one)]);
    let counted = one.get("/metrics").text();
    assert!(
        counted.contains("\nusrlocd_fleet_events_waiting 0\n"),
        "{counted}"
    );
}

/// Each node says which of its phones flap; that of a node which is lost stays, marked.
#[test]
fn who_flaps_on_which_node() {
    let server = database();
    let kamailio = Kamailio::builder().start();
    let rules = "[history.flap]\nloss = 4000\n";
    let section = format!(
        "[fleet]\nurl = \"{}\"\nnode = \"k1\"\n{rules}",
        server.url()
    );
    // Losses soon after a start of Kamailio say nothing about phones; here that start is not known.
    let builder = Daemon::builder(&kamailio).rpc("http://127.0.0.1:9/RPC");
    let mut one = builder.sections(&section).start();
    let fleet = fleet(&server);
    let mut phones = [
        Phone::new(&kamailio, "bob", "plain.test"),
        Phone::new(&kamailio, "dave", "other.test"),
    ];
    phones.iter_mut().for_each(Phone::register);
    lists_some(&one, 2);
    assert_eq!(
        fleet.get("/v2/flapping").json()["data"],
        serde_json::json!([])
    );
    phones.iter_mut().for_each(Phone::unregister);
    let flapping = |target: &str, token: &str| {
        let answer = fleet.request("GET", target, &[("X-Auth-Token", token)], b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let phones = answer.json()["data"].as_array().expect("an array").clone();
        let told = phones.iter().map(|phone| {
            let text = |key: &str| phone[key].as_str().unwrap_or("-").to_owned();
            format!(
                "{} {} {} {}",
                text("node"),
                text("node_state"),
                text("username"),
                phone["score"]
            )
        });
        let mut told: Vec<String> = told.collect();
        told.sort();
        told
    };
    eventually("both flap", PATIENCE, || {
        let told = flapping("/v2/flapping", Daemon::TOKEN);
        holds(told == ["k1 live bob 4000", "k1 live dave 4000"], || {
            format!("{told:?}")
        })
    });
    let own = flapping("/v2/flapping?node=k1", "plain-token-0123456789ab");
    assert_eq!(own, ["k1 live bob 4000"]);
    let of_other = flapping("/v2/accounts/other.test/flapping", Daemon::TOKEN);
    assert_eq!(of_other, ["k1 live dave 4000"]);
    assert_eq!(flapping("/v2/flapping?node=k2", Daemon::TOKEN), [""; 0]);
    one.kill9();
    eventually("the node is marked", PATIENCE, || {
        let told = flapping("/v2/flapping", Daemon::TOKEN);
        holds(told[0].starts_with("k1 stale bob"), || format!("{told:?}"))
    });
}

/// Old events are deleted by their node, and those of a lost node by another one.
#[test]
fn old_events_are_deleted() {
    let server = database();
    let kamailios = [Kamailio::builder().start(), Kamailio::builder().start()];
    let [first, second] = &kamailios;
    let section = format!(
        "[fleet]\nurl = \"{}\"\nnode = \"k1\"\nhistory = \"6s\"\n",
        server.url()
    );
    let mut two = node(second, &server.url(), "k2");
    let mut carol = Phone::new(second, "carol", "plain.test");
    carol.register();
    lists_some(&two, 1);
    let count = |name: &str| {
        let sql = format!(
            "SELECT count(*) FROM usrlocd.event WHERE node = (SELECT id FROM usrlocd.node WHERE name = '{name}')"
        );
        server.query(&sql).trim().to_owned()
    };
    let has = |name: &str, expected: &dyn Fn(&str) -> bool| {
        eventually("the events are as many", 3 * PATIENCE, || {
            let found = count(name);
            holds(expected(&found), || format!("{name}: {found}"))
        });
    };
    has("k2", &|found| found != "0");
    let one = Daemon::builder(first).sections(&section).start();
    let mut bob = Phone::new(first, "bob", "plain.test");
    bob.register();
    lists_some(&one, 1);
    has("k1", &|found| found != "0");
    has("k1", &|found| found == "0");
    assert_ne!(count("k2"), "0", "k2 keeps its own for longer");
    two.kill9();
    server.query("UPDATE usrlocd.node SET beat_at = now() - interval '2 hours' WHERE name = 'k2'");
    has("k2", &|found| found == "0");
    // A client that has read as far as here is told what it lacks.
    let pruned = server.query("SELECT count(*) FROM usrlocd.log WHERE pruned = 0");
    assert_eq!(pruned.trim(), "0");
}

/// Without a history of its own a node publishes no events, and says so; its rows are published as ever.
#[test]
fn a_node_without_a_history_publishes_none() {
    let server = database();
    let kamailio = Kamailio::builder().start();
    let section = format!(
        "[fleet]\nurl = \"{}\"\n[history]\nenabled = false\n",
        server.url()
    );
    let one = Daemon::builder(&kamailio).sections(&section).start();
    let fleet = fleet(&server);
    let mut bob = Phone::new(&kamailio, "bob", "plain.test");
    bob.register();
    lists_some(&fleet, 1);
    let log = one.log();
    assert!(log.contains("not publishing events to the fleet"), "{log}");
    bob.unregister();
    lists_some(&fleet, 0);
    let events = server.query("SELECT count(*) FROM usrlocd.event");
    assert_eq!(events.trim(), "0");
}
