//! Single contacts of a user, as filters choose them.

use serde_json::json;

use super::site::{Site, aor, contact, reasons, row};
use crate::registration::{Binding, Number};

const NOT_SINGLY: &str = "bob@acme.example.com: Kamailio cannot remove a single contact of a user (its usrloc has a \
     matching_mode other than 0); flush the whole user";

#[tokio::test]
async fn only_what_was_chosen_goes() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    site.phone("acme", "bob", "b2");
    let outcome = site.flush_exactly(&["b1"]).await;
    assert_eq!((outcome.flushed, reasons(&outcome)), (1, vec![]));
    assert_eq!(site.ruids(), ["b2"]);
    assert_eq!(site.fake.memory().ruids(&aor("bob")), ["b2"]);
    assert!(site.fake.calls(&["ul.rm"]).is_empty());
}

#[tokio::test]
async fn a_kamailio_that_finds_no_single_contact_keeps_all() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    site.phone("acme", "bob", "b2");
    site.fake.memory().finds_singly = false;
    let outcome = site.flush_exactly(&["b1"]).await;
    assert_eq!(
        (outcome.flushed, reasons(&outcome)),
        (0, vec![NOT_SINGLY.to_owned()])
    );
    assert_eq!(site.ruids(), ["b1", "b2"]);
    assert_eq!(site.fake.memory().ruids(&aor("bob")), ["b1", "b2"]);
    assert!(site.hidden().await.is_empty());
}

#[tokio::test]
async fn where_all_were_chosen_the_user_is_removed_at_once() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    site.phone("acme", "bob", "b2");
    site.fake.memory().finds_singly = false;
    let outcome = site.flush_exactly(&["b1", "b2"]).await;
    assert_eq!((outcome.flushed, reasons(&outcome)), (2, vec![]));
    assert!(site.ruids().is_empty());
}

#[tokio::test]
async fn a_contact_that_has_no_row_yet_keeps_the_user_from_being_removed() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    site.fake.memory().finds_singly = false;
    site.fake
        .memory()
        .register(&aor("bob"), "b2", &contact("b2"), 1);
    let outcome = site.flush_exactly(&["b1"]).await;
    assert_eq!(reasons(&outcome), [NOT_SINGLY]);
    assert_eq!(site.fake.memory().ruids(&aor("bob")), ["b1", "b2"]);
}

#[tokio::test]
async fn so_does_one_that_comes_while_the_others_are_tried() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    site.fake.memory().finds_singly = false;
    site.fake.bend(|memory, method, _| {
        if method == "ul.rm_contact" {
            memory.register(&aor("bob"), "b2", &contact("b2"), 1);
        }
        None
    });
    let outcome = site.flush_exactly(&["b1"]).await;
    assert_eq!(reasons(&outcome), [NOT_SINGLY]);
    assert_eq!(site.fake.memory().ruids(&aor("bob")), ["b1", "b2"]);
    assert!(site.fake.calls(&["ul.rm"]).is_empty());
    assert_eq!(site.ruids(), ["b1"]);
}

#[tokio::test]
async fn a_contact_that_kamailio_has_twice_is_removed_twice() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    let twin = Binding {
        contact: contact("b1").as_str().into(),
        last_modified: row("bob", "b2").last_modified - 1,
        ..row("bob", "b2")
    };
    site.put("acme", twin);
    site.fake
        .memory()
        .register(&aor("bob"), "b2", &contact("b1"), 1);
    site.phone("acme", "bob", "b3");
    assert_eq!(site.ruids(), ["b1", "b3"], "twins are listed once");
    let outcome = site.flush_exactly(&["b1"]).await;
    assert_eq!((outcome.flushed, reasons(&outcome)), (1, vec![]));
    assert_eq!(site.fake.memory().ruids(&aor("bob")), ["b3"]);
    assert_eq!(site.ruids(), ["b3"], "the twin does not take its place");
}

#[tokio::test]
async fn what_went_meanwhile_is_not_asked_for() {
    let site = Site::new().await;
    let bob = site.phone("acme", "bob", "b1");
    let picked = site.registry.get(&bob.key).unwrap();
    site.registry
        .apply([crate::registration::Change::Remove(bob.key)]);
    let outcome = site.flush_of("acme", vec![picked], &[], true).await;
    assert_eq!((outcome.flushed, reasons(&outcome)), (0, vec![]));
    assert!(site.fake.calls(&["ul.lookup"]).is_empty());
}

/// Two flows of one phone over one contact URI (RFC 5626), and a third contact of its user's.
async fn flows() -> Site {
    let site = Site::new().await;
    for (ruid, number) in [("f1", 1), ("f2", 2)] {
        let flow = Binding {
            contact: contact("f").as_str().into(),
            instance: Some("<urn:uuid:1>".into()),
            reg_id: Number::new(number),
            ..row("bob", ruid)
        };
        site.put("acme", flow);
        let mut memory = site.fake.memory();
        memory.register(&aor("bob"), ruid, &contact("f"), 1);
    }
    site.phone("acme", "bob", "b3");
    site
}

#[tokio::test]
async fn a_flow_does_not_go_for_another() {
    for ruid in ["f1", "f2"] {
        let site = flows().await;
        let outcome = site.flush_exactly(&[ruid]).await;
        assert_eq!(outcome.flushed, 0);
        assert!(reasons(&outcome)[0].contains("selects by contact URI"));
        assert_eq!(site.fake.memory().ruids(&aor("bob")), ["f1", "f2", "b3"]);
        assert!(site.fake.calls(&["ul.rm", "ul.rm_contact"]).is_empty());
        assert!(site.hidden().await.is_empty());
    }
}

#[tokio::test]
async fn where_both_were_chosen_both_go() {
    let site = flows().await;
    let outcome = site.flush_exactly(&["f1", "f2"]).await;
    assert_eq!((outcome.flushed, reasons(&outcome)), (2, vec![]));
    assert_eq!(site.fake.memory().ruids(&aor("bob")), ["b3"]);
    assert_eq!(site.ruids(), ["b3"]);
}

#[tokio::test]
async fn a_contact_that_has_no_row_yet_does_not_go_for_the_same_one() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    site.fake
        .memory()
        .register(&aor("bob"), "b2", &contact("b1"), 1);
    let outcome = site.flush_exactly(&["b1"]).await;
    assert_eq!((outcome.flushed, outcome.failed.len()), (0, 1));
    assert_eq!(site.fake.memory().ruids(&aor("bob")), ["b1", "b2"]);
}

#[tokio::test]
async fn a_contact_that_a_removed_one_covers_goes_at_the_next_write_back() {
    let site = flows().await;
    let mut calls = 0;
    site.fake.bend(move |memory, method, _| {
        if method != "ul.rm_contact" {
            return None;
        }
        calls += 1;
        let contacts = memory.contacts.get_mut(&aor("bob")).unwrap();
        match calls {
            // Write-back: it is marked, and found again and again.
            1 => contacts[0]["Contact"]["Expires"] = json!("deleted"),
            3 => drop(contacts.drain(..2)),
            _ => {}
        }
        Some(super::fake::Answer::Result(json!({})))
    });
    let outcome = site.flush_exactly(&["f1", "f2"]).await;
    assert_eq!((outcome.flushed, reasons(&outcome)), (2, vec![]));
    assert_eq!(site.fake.memory().ruids(&aor("bob")), ["b3"]);
    assert_eq!(site.ruids(), ["b3"]);
}

#[tokio::test]
async fn one_that_stays_covered_is_said() {
    let site = flows().await;
    site.fake.bend(move |memory, method, _| {
        (method == "ul.rm_contact").then(|| {
            let contacts = memory.contacts.get_mut(&aor("bob")).unwrap();
            contacts[0]["Contact"]["Expires"] = json!("deleted");
            super::fake::Answer::Result(json!({}))
        })
    });
    let outcome = site.flush_exactly(&["f1", "f2"]).await;
    assert_eq!(outcome.flushed, 1);
    assert!(
        reasons(&outcome)[0].contains("next write-back"),
        "{outcome:?}"
    );
    assert_eq!(site.ruids(), ["b3", "f2"]);
}
