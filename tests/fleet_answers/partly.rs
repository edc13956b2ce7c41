//! Answers that lack something, and what Prometheus is told of the nodes.

use serde_json::Value;
use usrlocd::fleet::record;

use super::{ACME, Site, of_acme};
use crate::oracle::PATIENCE;
use crate::support::{eventually, holds};

/// What a newer usrlocd wrote and this one cannot read is missing from lists, which say so.
#[test]
fn rows_that_cannot_be_read_make_the_answer_partial() {
    let site = Site::new();
    for name in ["k1", "k2"] {
        site.node(name, 0);
        site.set(name, "beat_at = now() + interval '1 hour'");
    }
    site.publish("k1", &of_acme("bob", "sip:bob@192.0.2.1", "u1"));
    let alice = of_acme("alice", "sip:alice@192.0.2.2", "u2");
    let mut newer = record::encode(&alice);
    newer[0] += 1;
    site.publish_as("k2", &alice, &newer);
    let daemon = site.fleet();
    for query in ["", "?page_size=5", "?q=ip:192.0.2.0/24"] {
        let answer = daemon.get(&format!("{ACME}{query}"));
        assert_eq!(answer.json()["page_size"], 1, "{query}: {}", answer.text());
        assert_eq!(answer.header("x-partial"), Some("k2"), "{query}");
        let source = &answer.json()["source"];
        assert_eq!(source["state"], "partial", "{query}");
        assert_eq!(source["nodes"][1]["unreadable"], true, "{query}");
        assert_eq!(source["nodes"][0]["unreadable"], Value::Null, "{query}");
    }
    let bob = daemon.get(&format!("{ACME}/bob"));
    assert_eq!(bob.header("x-partial"), None, "it lacks nothing");
    let log = daemon.log();
    assert_eq!(
        log.matches("cannot be read, and answers lack them").count(),
        1,
        "{log}"
    );
    let metrics = daemon.get("/metrics").text();
    assert!(
        metrics.contains("\nusrlocd_fleet_rows_unreadable_total 3\n"),
        "{metrics}"
    );
}

/// `usrlocd fleet` counts its nodes for Prometheus.
#[test]
fn the_fleet_has_metrics_by_node() {
    let site = Site::new();
    for (name, silent) in [("k1", 0), ("k2", 0), ("k3", 0), ("k\"9", 200)] {
        site.node(name, silent);
    }
    site.set("k1", "beat_at = now() + interval '1 hour'");
    for name in ["k2", "k3"] {
        site.set(name, "beat_at = now() - interval '20 seconds'");
    }
    site.publish("k1", &of_acme("bob", "sip:bob@192.0.2.1", "u1"));
    let daemon = site.fleet();
    let has = |what: &str, lines: &[&str]| {
        eventually(what, PATIENCE, || {
            let metrics = daemon.get("/metrics").text();
            let missing = lines
                .iter()
                .find(|line| !metrics.contains(&format!("\n{line}\n")));
            holds(missing.is_none(), || format!("{missing:?}: {metrics}"))
        });
    };
    has(
        "the nodes are told",
        &[
            "usrlocd_fleet_nodes{state=\"live\"} 1",
            "usrlocd_fleet_nodes{state=\"stale\"} 2",
            "usrlocd_fleet_nodes{state=\"lost\"} 1",
            "usrlocd_fleet_node_live{node=\"k1\"} 1",
            "usrlocd_fleet_node_live{node=\"k\\\"9\"} 0",
            "usrlocd_fleet_node_registrations{node=\"k1\"} 1",
            "usrlocd_fleet_reachable 1",
            "usrlocd_fleet_suspect 1",
        ],
    );
    site.server.stop();
    has("the database is away", &["usrlocd_fleet_reachable 0"]);
    let metrics = daemon.get("/metrics").text();
    assert!(
        !metrics.contains("usrlocd_fleet_read_failures_total 0\n"),
        "{metrics}"
    );
}
