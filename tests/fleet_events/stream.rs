//! The stream of a fleet: what happens on its nodes, in order, also over a restart of who tells it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};

use serde_json::Value;

use super::{PLAIN, database, fleet, history, lists_some, node, of_node};
use crate::oracle::{PATIENCE, list};
use crate::servers::ALL;
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::stream::{Stream, type_of};
use crate::support::{eventually, holds};

/// A client that keeps a list by events alone.
#[derive(Default)]
struct Client {
    list: BTreeMap<String, Value>,
    last: Option<String>,
    seen: BTreeSet<String>,
    told: Vec<Value>,
}

impl Client {
    fn open(&self, daemon: &Daemon) -> Stream {
        let from = match &self.last {
            Some(last) => format!("since={last}"),
            None => "initial=true".to_owned(),
        };
        Stream::open(daemon, &format!("{ALL}?watch=true&{from}"))
    }

    /// Reads on until its list is that of the fleet.
    #[track_caller]
    fn follows(&mut self, stream: &mut Stream, daemon: &Daemon) {
        eventually("the list that is kept is the fleet's", PATIENCE, || {
            while let Some(frame) = stream.at_once() {
                self.apply(frame);
            }
            let ruid = |one: &Value| one["ruid"].as_str().expect("a ruid").to_owned();
            let listed: BTreeSet<String> = list(daemon, ALL).iter().map(ruid).collect();
            let kept: BTreeSet<String> = self.list.keys().cloned().collect();
            holds(kept == listed, || format!("{kept:?} beside {listed:?}"))
        });
    }

    fn apply(&mut self, frame: Value) {
        if let Some(id) = frame["id"].as_str() {
            if !["synced", "mark"].contains(&type_of(&frame)) {
                assert!(self.seen.insert(id.to_owned()), "twice: {frame}");
            }
            self.last = Some(id.to_owned());
        }
        let ruid = frame["ruid"].as_str().unwrap_or_default().to_owned();
        match type_of(&frame) {
            "present" | "registered" => {
                let former = self.list.insert(ruid, frame.clone());
                assert!(former.is_none(), "it was there: {frame}");
            }
            "moved" | "changed" => {}
            "terminated" => {
                let former = self.list.remove(&ruid);
                assert!(former.is_some(), "it was not there: {frame}");
            }
            "gap" => assert_eq!(frame["cause"], "restored", "{frame}"),
            "hello" | "synced" | "mark" | "source" | "bye" => return,
            other => panic!("{other}: {frame}"),
        }
        self.told.push(frame);
    }

    /// Node, type and user of what was told since the rows of the beginning, in order.
    fn events(&self, node: &str) -> Vec<String> {
        let told = self.told.iter().filter(|frame| type_of(frame) != "present");
        told.filter(|frame| frame["node"] == node)
            .map(name)
            .collect()
    }
}

fn name(event: &Value) -> String {
    let text = |key: &str| event[key].as_str().unwrap_or("-").to_owned();
    format!("{} {} {}", text("type"), text("ruid"), text("at"))
}

/// What is told live, after a resume and after a restart is together what the history has, in each node's order.
#[test]
fn a_stream_over_two_nodes_goes_on_without_hole_or_double() {
    let server = database();
    let kamailios = [Kamailio::builder().start(), Kamailio::builder().start()];
    let [first, second] = &kamailios;
    let mut one = node(first, &server.url(), "k1");
    let two = node(second, &server.url(), "k2");
    let mut fleet = fleet(&server);
    let mut phones: Vec<Phone> = (0..10)
        .map(|n| Phone::new(&kamailios[n % 2], format!("user{n}"), "plain.test"))
        .collect();
    phones[..4].iter_mut().for_each(Phone::register);
    lists_some(&fleet, 4);
    super::agree(&fleet, &[("k1", &one), ("k2", &two)]);
    let before = history(&fleet, "/v2/history").len();

    let mut client = Client::default();
    let mut stream = client.open(&fleet);
    let hello = stream.next();
    assert_eq!(type_of(&hello), "hello", "{hello}");
    assert_eq!(hello["source"]["nodes"][1]["name"], "k2", "{hello}");
    client.follows(&mut stream, &fleet);
    assert_eq!(client.told.len(), 4, "{:?}", client.told);
    phones[4..].iter_mut().for_each(Phone::register);
    lists_some(&fleet, 10);
    client.follows(&mut stream, &fleet);
    drop(stream);

    // While nobody reads, with a node that is killed, and another process that tells.
    phones[0].unregister();
    one.kill9();
    phones[2].unregister();
    phones[1].unregister();
    assert!(fleet.stop().success());
    one.start();
    fleet.start();
    lists_some(&fleet, 7);
    let mut stream = client.open(&fleet);
    client.follows(&mut stream, &fleet);
    phones[0].register();
    phones[1].register();
    lists_some(&fleet, 9);
    client.follows(&mut stream, &fleet);

    super::agree(&fleet, &[("k1", &one), ("k2", &two)]);
    let all = history(&fleet, "/v2/history");
    let since = &all[..all.len() - before];
    for node in ["k1", "k2"] {
        let mut kept = of_node(since, node);
        kept.retain(|event| event["type"] != "source");
        let kept: Vec<String> = kept.iter().rev().map(name).collect();
        assert_eq!(client.events(node), kept);
    }
}

/// As on a node: an id that is none, another log, the caller's accounts, filters, frames of server-sent events.
#[test]
fn a_stream_of_the_fleet_is_asked_for_as_that_of_a_node() {
    let server = database();
    let kamailio = Kamailio::builder().db_mode(1).start();
    let one = node(&kamailio, &server.url(), "k1");
    let fleet = fleet(&server);
    let mut bob = Phone::new(&kamailio, "bob", "plain.test");
    let mut dave = Phone::new(&kamailio, "dave", "other.test");
    bob.register();
    lists_some(&fleet, 1);
    super::agree(&fleet, &[("k1", &one)]);
    assert_eq!(fleet.get(&format!("{ALL}?watch=true&since=x")).status, 400);
    let none = fleet.get("/v2/registrations/count?watch=true");
    assert_eq!(none.status, 400, "{}", none.text());

    let token = ("X-Auth-Token", "plain-token-0123456789ab");
    let mut own = Stream::with(&fleet, &format!("{ALL}?watch=true"), &[token]);
    let mut filtered = Stream::open(&one, &format!("{ALL}?watch=true&scope=fleet&q=user:bob"));
    let sse = [
        ("X-Auth-Token", Daemon::TOKEN),
        ("Accept", "text/event-stream"),
    ];
    let mut frames = Stream::with(&fleet, PLAIN, &sse);
    for stream in [&mut own, &mut filtered] {
        assert_eq!(type_of(&stream.next()), "hello");
    }
    while !frames.line().expect("a line").is_empty() {}
    let told = File::create(fleet.file("watched")).expect("it is ours");
    let mut command = fleet.command("watch");
    let command = command
        .args(["plain.test", "--initial", "-o", "ndjson"])
        .stdout(told);
    let mut watch = command.spawn().expect("usrlocd runs");
    let watched = || fs::read_to_string(fleet.file("watched")).expect("it is ours");
    eventually("the command line lists what is there", PATIENCE, || {
        holds(watched().contains("bob"), watched)
    });
    dave.register();
    bob.unregister();
    for stream in [&mut own, &mut filtered] {
        let event = stream.event();
        assert_eq!(event["username"], "bob", "{event}");
        assert_eq!(
            (type_of(&event), &event["node"]),
            ("terminated", &"k1".into())
        );
    }
    assert_eq!(frames.line().as_deref(), Some("event: terminated"));
    let id = frames.line().expect("an id");
    let data = frames.line().expect("data");
    let data: Value = serde_json::from_str(&data[6..]).expect("JSON");
    assert_eq!(id, format!("id: {}", data["id"].as_str().expect("an id")));

    eventually("the command line tells it", PATIENCE, || {
        let told = watched();
        holds(told.lines().count() == 2 && !told.contains("dave"), || told)
    });
    watch.kill().expect("it runs");
    watch.wait().expect("it ends");

    let of_node = "0123456789abcdef-7";
    let target = format!("{ALL}?watch=true&initial=true");
    let last = [("X-Auth-Token", Daemon::TOKEN), ("Last-Event-ID", of_node)];
    let mut gap = Stream::with(&fleet, &target, &last);
    let frame = gap.next_of("gap");
    assert_eq!(frame["cause"], "other_log", "{frame}");
    assert_eq!(gap.next_of("present")["username"], "dave");
    gap.next_of("synced");

    // Events that are not kept any more.
    server.query("UPDATE usrlocd.log SET pruned = newest; DELETE FROM usrlocd.event;");
    let oldest = id.trim_start_matches("id: ");
    dave.unregister();
    lists_some(&fleet, 0);
    eventually("the events are there", PATIENCE, || {
        let all = history(&fleet, "/v2/history");
        holds(!all.is_empty(), || format!("{all:?}"))
    });
    server.query("UPDATE usrlocd.log SET pruned = newest;");
    let mut stream = Stream::open(&fleet, &format!("{ALL}?watch=true&since={oldest}"));
    assert_eq!(stream.next_of("gap")["cause"], "too_old");
    fleet.replace_tokens(&[]);
    assert_eq!(stream.next_of("bye")["reason"], "token_revoked");
}
