//! Two Kamailios with phones, each with its usrlocd: the fleet's answer is what their own answers are together.

use serde_json::{Map, Value, json};

use super::{ALL, Site, data};
use crate::oracle::{PATIENCE, list, lists, of};
use crate::support::account::Account;
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::{eventually, holds};

/// What a mere refresh moves, and what counts down.
const MOVING: [&str; 6] = [
    "cseq",
    "event_timestamp",
    "expires",
    "expires_at",
    "granted_expires",
    "last_registration",
];

fn node(site: &Site, kamailio: &Kamailio, name: &str) -> Daemon {
    let url = site.server.url();
    let fleet = format!("[fleet]\nurl = \"{url}\"\nnode = \"{name}\"\n");
    Daemon::builder(kamailio).sections(&fleet).start()
}

/// Items without what may be a minute old, each as text, sorted.
fn settled(items: &[Value]) -> Vec<String> {
    let settled = |item: &Value| {
        let item = item.as_object().expect("an item").iter();
        let left = item.filter(|(key, _)| !MOVING.contains(&key.as_str()));
        let left: Map<String, Value> = left
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        Value::Object(left).to_string()
    };
    let mut all: Vec<_> = items.iter().map(settled).collect();
    all.sort();
    all
}

/// Waits until the fleet lists what the nodes list together.
#[track_caller]
fn agree(fleet: &Daemon, nodes: &[(&str, &str, &Daemon)]) {
    let own = nodes.iter().flat_map(|(name, state, daemon)| {
        let mut items = list(daemon, ALL);
        for item in &mut items {
            item["node"] = json!(name);
            item["node_state"] = json!(state);
        }
        items
    });
    let own = settled(&own.collect::<Vec<_>>());
    eventually("the fleet lists what the nodes do", PATIENCE, || {
        let answer = fleet.get(ALL);
        let body = answer.json();
        let items = body["data"].as_array().cloned().unwrap_or_default();
        holds(answer.status == 200 && settled(&items) == own, || {
            format!("{own:#?}\n{}", answer.text())
        })
    });
}

#[test]
fn the_fleet_lists_what_its_nodes_do() {
    let site = Site::new();
    let kamailios = [Kamailio::builder().start(), Kamailio::builder().start()];
    let [first, second] = &kamailios;
    let one = node(&site, first, "k1");
    let mut two = node(&site, second, "k2");
    let fleet = site.fleet();
    let acme = Account::new("ac", "Acme", "acme.example.com");
    let mut desk = Phone::of(first, &acme.device("alice", 1));
    let mut plain = Phone::new(first, "bob", "plain.test").q("0.7");
    let mut tcp = Phone::tcp(second, "carol", "plain.test").user_agent("Téléphone \"№ 7\" \\ 📞");
    for phone in [&mut desk, &mut plain, &mut tcp] {
        phone.register();
    }
    lists(&one, ALL, &[desk.contact_uri(), plain.contact_uri()]);
    lists(&two, ALL, &[tcp.contact_uri()]);
    agree(&fleet, &[("k1", "live", &one), ("k2", "live", &two)]);
    assert_eq!(data(&fleet, &format!("{}/count", of(&acme)))["count"], 1);
    // A node answers for the fleet as well, and for itself as ever.
    let scoped = one.get(&format!("{ALL}?scope=fleet&page_size=2"));
    assert_eq!(scoped.header("x-total"), Some("3"), "{}", scoped.text());
    assert_eq!(one.get(ALL).json()["page_size"], 2);
    assert_eq!(one.get("/v2/nodes").json()["data"][1]["name"], "k2");

    plain.unregister();
    tcp.register();
    lists(&one, ALL, &[desk.contact_uri()]);
    agree(&fleet, &[("k1", "live", &one), ("k2", "live", &two)]);

    two.kill9();
    let marked = eventually("a dead node is marked", PATIENCE, || {
        let answer = fleet.get(ALL);
        holds(answer.header("x-partial") == Some("k2"), || answer.text()).map(|()| answer.json())
    });
    let carol = &marked["data"][1];
    assert_eq!(carol["username"], "carol");
    assert_ne!(carol["node_state"], "live", "{carol}");
    assert_eq!(
        data(&fleet, "/v2/registrations/count"),
        json!({"count": 2, "stale": 1})
    );
    two.start();
    agree(&fleet, &[("k1", "live", &one), ("k2", "live", &two)]);
    two.stop();
    eventually("a node that was stopped says so", PATIENCE, || {
        let nodes = data(&fleet, "/v2/nodes");
        holds(nodes[1]["state"] == "stopped", || nodes.to_string())
    });
}
