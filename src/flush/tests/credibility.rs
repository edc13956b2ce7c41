//! When "not found" is believed.

use serde_json::json;

use super::fake::Answer;
use super::site::{NOW, Site, aor, contact, reasons, row};
use crate::registration::Binding;
use crate::registration::Change;

fn fresh(user: &str, ruid: &str) -> Binding {
    Binding {
        last_modified: NOW - 60,
        ..row(user, ruid)
    }
}

#[tokio::test]
async fn a_leftover_row_is_flushed_where_kamailio_knows_others() {
    let site = Site::new().await;
    site.put("acme", row("bob", "b1"));
    site.phone("globex", "eve", "e1");
    let outcome = site.flush().await;
    assert_eq!((outcome.flushed, reasons(&outcome)), (1, vec![]));
    assert_eq!(site.ruids(), ["e1"]);
}

#[tokio::test]
async fn a_young_kamailio_may_still_be_loading() {
    let site = Site::new().await;
    site.put("acme", row("bob", "b1"));
    site.phone("acme", "carol", "c1");
    site.fake.memory().uptime = 29;
    let outcome = site.flush().await;
    assert_eq!(
        outcome.flushed, 1,
        "what it had and has let go of is certain"
    );
    assert_eq!(
        reasons(&outcome),
        [format!(
            "{}: Kamailio does not know the contact but has just started and may still be loading",
            aor("bob")
        )]
    );
    assert_eq!(site.ruids(), ["b1"]);
    site.fake.memory().uptime = 30;
    site.phone("globex", "eve", "e1");
    assert_eq!(site.flush().await.flushed, 1);
}

#[tokio::test]
async fn one_that_does_not_say_since_when_it_is_up_is_not_believed() {
    let site = Site::new().await;
    site.put("acme", row("bob", "b1"));
    site.phone("acme", "carol", "c1");
    site.fake
        .answers("core.uptime", || Answer::Error(500, "Method Not Found"));
    let outcome = site.flush().await;
    assert_eq!(outcome.flushed, 1);
    assert!(reasons(&outcome)[0].contains("does not report its uptime"));
    assert_eq!(site.ruids(), ["b1"]);
}

#[tokio::test]
async fn another_kamailio_is_not_believed() {
    let site = Site::new().await;
    site.put("acme", row("bob", "b1"));
    site.put("globex", row("eve", "e1"));
    site.fake
        .memory()
        .register("x@elsewhere", "x1", "sip:x@192.0.2.9", 1);
    let outcome = site.flush().await;
    assert_eq!(outcome.flushed, 0);
    assert!(
        reasons(&outcome)[0].contains("does [kamailio] jsonrpc point to a different Kamailio?")
    );
    assert_eq!(site.ruids(), ["b1", "e1"]);
}

#[tokio::test]
async fn an_empty_memory_beside_old_rows_is_believed() {
    let site = Site::new().await;
    site.put("acme", row("bob", "b1"));
    site.put("acme", row("carol", "c1"));
    assert_eq!(site.flush().await.flushed, 2);
    assert!(site.ruids().is_empty());
}

#[tokio::test]
async fn and_beside_others_that_are_left_over_as_well() {
    let site = Site::new().await;
    site.put("acme", row("bob", "b1"));
    site.put("globex", row("eve", "e1"));
    assert_eq!(site.flush().await.flushed, 1);
    assert_eq!(site.ruids(), ["e1"]);
}

#[tokio::test]
async fn an_empty_memory_beside_several_fresh_rows_is_not() {
    let site = Site::new().await;
    site.put("acme", fresh("bob", "b1"));
    site.put("acme", fresh("carol", "c1"));
    let outcome = site.flush().await;
    assert_eq!((outcome.flushed, outcome.failed.len()), (0, 2));
    assert!(reasons(&outcome)[0].contains("a different Kamailio"));
    assert_eq!(site.ruids(), ["b1", "c1"]);
}

#[tokio::test]
async fn one_fresh_row_may_have_lost_its_contact() {
    let site = Site::new().await;
    site.put("acme", fresh("bob", "b1"));
    assert_eq!(site.flush().await.flushed, 1);
}

#[tokio::test]
async fn one_that_does_not_count_is_not_believed() {
    for answer in [
        || Answer::Error(500, "Method Not Found"),
        || Answer::Result(json!({})),
        || Answer::Result(json!({"usrloc.location_contacts": "none"})),
        || Answer::Result(json!({"usrloc.location_contacts": 3})),
    ] {
        let site = Site::new().await;
        site.put("acme", row("bob", "b1"));
        site.fake.answers("stats.fetchn", answer);
        let outcome = site.flush().await;
        assert_eq!(outcome.flushed, 0, "{:?}", answer());
        assert_eq!(site.ruids(), ["b1"]);
    }
}

#[tokio::test]
async fn a_refusal_about_others_is_no_belief() {
    let site = Site::new().await;
    site.put("acme", row("bob", "b1"));
    site.put("globex", row("eve", "e1"));
    site.fake.bend(|_, method, params| {
        let eves = method == "ul.lookup" && params[1] == aor("eve");
        eves.then_some(Answer::Error(500, "out of memory"))
    });
    assert_eq!(site.flush().await.flushed, 0);
    assert_eq!(site.ruids(), ["b1", "e1"]);
}

#[tokio::test]
async fn a_row_that_goes_meanwhile_needs_no_belief() {
    let site = Site::new().await;
    let bob = row("bob", "b1");
    site.put("acme", bob.clone());
    site.fake.memory().uptime = 1;
    let registry = std::sync::Arc::clone(&site.registry);
    site.fake.bend(move |_, method, _| {
        if method == "ul.rm" {
            registry.apply([Change::Remove(bob.key.clone())]);
        }
        None
    });
    let outcome = site.flush().await;
    assert_eq!((outcome.flushed, reasons(&outcome)), (0, vec![]));
    assert!(site.ruids().is_empty());
    assert!(site.hidden().await.is_empty());
}

#[tokio::test]
async fn what_appears_unheard_of_is_not_taken_for_a_new_register() {
    let site = Site::new().await;
    site.put("acme", row("bob", "b1"));
    site.phone("globex", "eve", "e1");
    site.fake.bend(|memory, method, _| {
        (method == "ul.rm").then(|| {
            memory.register(&aor("bob"), "b1", &contact("b1"), 1);
            Answer::Result(json!({}))
        })
    });
    let outcome = site.flush().await;
    assert_eq!(outcome.flushed, 0);
    assert!(reasons(&outcome)[0].contains("appeared while it was being flushed"));
    assert_eq!(site.ruids(), ["b1", "e1"]);
}

#[tokio::test]
async fn a_removed_contact_that_registers_again_is_back() {
    let site = Site::new().await;
    site.put("acme", row("bob", "b1"));
    site.fake.memory().contacts.insert(aor("bob"), Vec::new());
    site.fake.bend(|memory, method, _| {
        (method == "ul.rm").then(|| {
            memory.register(&aor("bob"), "b1", &contact("b1"), 2);
            Answer::Result(json!({}))
        })
    });
    let outcome = site.flush().await;
    assert_eq!((outcome.flushed, reasons(&outcome)), (1, vec![]));
    assert_eq!(site.ruids(), ["b1"]);
}

#[tokio::test]
async fn a_kamailio_that_starts_anew_in_the_middle_confirms_nothing() {
    let site = Site::new().await;
    site.phone("acme", "alice", "a1");
    site.phone("acme", "bob", "b1");
    let mut lookups = 0;
    site.fake.bend(move |memory, method, _| {
        lookups += usize::from(method == "ul.lookup");
        if lookups == 4 {
            memory.since = "Tue Nov 14 22:13:19 2023".to_owned();
            memory.uptime = 0;
            // Its row was still there, so that it was loaded again.
            memory.register(&aor("alice"), "a1", &contact("a1"), 1);
        }
        None
    });
    let outcome = site.flush().await;
    assert_eq!(outcome.flushed, 0);
    let mut said = reasons(&outcome);
    said.sort();
    assert_eq!(said.len(), 2);
    assert!(said[0].starts_with("alice@acme.example.com: Kamailio was restarted"));
    assert!(said[1].starts_with("bob@acme.example.com: Kamailio was restarted"));
    assert_eq!(site.ruids(), ["a1"], "the new Kamailio has it");
    assert_eq!(site.hidden().await.len(), 1, "the new Kamailio removed it");
}

#[tokio::test]
async fn the_first_second_of_a_kamailio_is_waited_out() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    let mut asked = 0;
    site.fake.bend(move |memory, method, _| {
        asked += u64::from(method == "core.uptime");
        memory.uptime = asked / 3;
        None
    });
    assert_eq!(site.flush().await.flushed, 1);
    assert_eq!(site.fake.memory().calls[..3], ["core.uptime"; 3]);
}

#[tokio::test]
async fn one_that_falls_silent_before_the_end_is_not_sure() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    let mut asked = 0;
    site.fake.bend(move |_, method, _| {
        asked += usize::from(method == "core.uptime");
        (asked == 2).then_some(Answer::Silence)
    });
    let outcome = site.flush().await;
    assert_eq!(outcome.flushed, 0);
    assert!(reasons(&outcome)[0].contains("stopped answering before it was certain"));
    assert_eq!(site.ruids(), ["b1"]);
    assert!(site.hidden().await.is_empty());
}
