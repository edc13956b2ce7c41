//! Remove and confirm.

use serde_json::{Value, json};

use super::fake::{Answer, Memory};
use super::site::{NOW, Site, aor, contact, key, reasons, row};
use crate::flush::FailureKind;
use crate::registration::{Binding, Number};

/// Whether this is the `nth` call of `method`, which the closure counts.
pub(super) fn nth(method: &'static str, nth: usize) -> impl FnMut(&str) -> bool {
    let mut seen = 0;
    move |called| {
        seen += usize::from(called == method);
        called == method && seen == nth
    }
}

#[tokio::test]
async fn removes_confirms_and_hides() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    site.phone("acme", "bob", "b2");
    site.phone("globex", "eve", "e1");
    let outcome = site.flush().await;
    assert_eq!((outcome.flushed, reasons(&outcome)), (2, vec![]));
    assert_eq!(site.ruids(), ["e1"]);
    assert_eq!(site.hidden().await, ["b1", "b2"]);
    assert_eq!(
        site.fake.memory().calls,
        [
            "core.uptime",
            "ul.lookup location bob@acme.example.com",
            "ul.rm location bob@acme.example.com",
            "ul.lookup location bob@acme.example.com",
            "core.uptime",
        ]
    );
    // Again: there is nothing left to ask about.
    assert_eq!(site.flush().await.flushed, 0);
    assert_eq!(site.fake.memory().calls.len(), 5);
}

/// A clock that was set back, or a machine that was resumed, leaves such rows.
#[tokio::test]
async fn a_row_of_a_time_that_is_still_to_come_is_hidden_too() {
    let site = Site::new().await;
    let later = |ruid: &str, by: i64| Binding {
        last_modified: NOW + by,
        ..row("bob", ruid)
    };
    for (ruid, by) in [("b1", 3), ("b2", 60), ("b3", -5)] {
        let binding = later(ruid, by);
        site.fake
            .memory()
            .register(&aor("bob"), ruid, &contact(ruid), 1);
        site.put("acme", binding);
    }
    let outcome = site.flush().await;
    assert_eq!((outcome.flushed, reasons(&outcome)), (3, vec![]));
    assert!(site.ruids().is_empty());
    assert_eq!(site.hidden().await, ["b1", "b2", "b3"]);
    // The same rows once more, as after a restart or from another look at the table.
    site.put("acme", later("b2", 60));
    assert!(site.ruids().is_empty());
    site.put("acme", later("b2", 61));
    assert_eq!(site.ruids(), ["b2"], "it has registered again");
}

#[tokio::test]
async fn an_ok_of_kamailios_proves_nothing() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    site.fake.answers("ul.rm", || Answer::Result(json!({})));
    let outcome = site.flush().await;
    assert_eq!(outcome.flushed, 0);
    assert_eq!(
        reasons(&outcome),
        ["bob@acme.example.com: Kamailio still has the contact after removing it"]
    );
    assert_eq!(outcome.failed[0].kind, FailureKind::Unconfirmed);
    assert_eq!(site.ruids(), ["b1"]);
    assert!(site.hidden().await.is_empty());
}

#[tokio::test]
async fn a_phone_that_registers_in_between_is_flushed_and_stays_listed() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    let mut after = nth("ul.lookup", 2);
    site.fake.bend(move |memory, method, _| {
        if after(method) {
            // Write-back: the removed contact comes back to life, with its ruid.
            memory.register(&aor("bob"), "b1", &contact("b1"), 2);
        }
        None
    });
    let outcome = site.flush().await;
    assert_eq!((outcome.flushed, reasons(&outcome)), (1, vec![]));
    assert_eq!(site.ruids(), ["b1"]);
    assert!(site.hidden().await.is_empty());
}

#[tokio::test]
async fn a_row_of_a_register_in_between_is_not_hidden() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    let fresh = Binding {
        contact: contact("b1").as_str().into(),
        last_modified: NOW,
        ..row("bob", "b2")
    };
    let registry = std::sync::Arc::clone(&site.registry);
    let mut after = nth("ul.lookup", 2);
    let registered = fresh.clone();
    site.fake.bend(move |memory, method, _| {
        if after(method) {
            // Write-through: a new ruid, and the tables have its row before the flush is over.
            memory.register(&aor("bob"), "b2", &contact("b1"), 2);
            let row = crate::registration::testing::registration(registered.clone(), Some("acme"));
            registry.apply([crate::registration::Change::Upsert(row.into())]);
        }
        None
    });
    let outcome = site.flush().await;
    assert_eq!((outcome.flushed, reasons(&outcome)), (1, vec![]));
    assert_eq!(site.ruids(), ["b2"]);
    assert!(!site.registry.is_hidden(&fresh.key));
}

#[tokio::test]
async fn a_row_that_comes_with_the_last_answer_is_not_hidden_either() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    let registry = std::sync::Arc::clone(&site.registry);
    let mut end = nth("core.uptime", 2);
    site.fake.bend(move |memory, method, _| {
        if end(method) {
            memory.register(&aor("bob"), "b2", &contact("b1"), 2);
            let row = Binding {
                contact: contact("b1").as_str().into(),
                last_modified: NOW,
                ..row("bob", "b2")
            };
            let row = crate::registration::testing::registration(row, Some("acme"));
            registry.apply([crate::registration::Change::Upsert(row.into())]);
        }
        None
    });
    assert_eq!(site.flush().await.flushed, 1);
    assert_eq!(site.ruids(), ["b2"]);
}

#[tokio::test]
async fn what_kamailio_loads_again_is_no_new_register() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    site.fake
        .memory()
        .register(&aor("bob"), "b1", &contact("b1"), 7);
    let mut after = nth("ul.lookup", 2);
    site.fake.bend(move |memory, method, _| {
        if after(method) {
            memory.register(&aor("bob"), "b1", &contact("b1"), 1);
        }
        None
    });
    let outcome = site.flush().await;
    assert_eq!(outcome.flushed, 0);
    assert!(reasons(&outcome)[0].contains("still has the contact"));
    assert_eq!(site.ruids(), ["b1"]);
}

#[tokio::test]
async fn a_contact_without_a_row_goes_too_and_its_row_is_hidden_when_it_comes() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    site.fake
        .memory()
        .register(&aor("bob"), "b2", &contact("b2"), 1);
    let outcome = site.flush().await;
    assert_eq!(outcome.flushed, 1, "what nobody has seen is not counted");
    assert!(site.fake.memory().ruids(&aor("bob")).is_empty());
    site.put("acme", row("bob", "b2"));
    assert!(site.ruids().is_empty(), "its row was on its way");
}

#[tokio::test]
async fn a_contact_without_a_row_that_stays_is_said() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    site.fake
        .memory()
        .register(&aor("bob"), "b2", &contact("b2"), 1);
    let keep_second = |memory: &mut Memory, method: &str, _: &[Value]| {
        (method == "ul.rm").then(|| {
            memory.contacts.get_mut(&aor("bob")).unwrap().remove(0);
            Answer::Result(json!({}))
        })
    };
    site.fake.bend(keep_second);
    let outcome = site.flush().await;
    assert_eq!(outcome.flushed, 1);
    assert!(reasons(&outcome)[0].contains("still has the contact"));
    assert_eq!(
        site.ruids(),
        Vec::<String>::new(),
        "what went is hidden even so"
    );
}

#[tokio::test]
async fn no_word_of_kamailios_reaches_the_caller() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    site.fake
        .answers("ul.rm", || Answer::Error(500, "secret /etc/kamailio words"));
    let outcome = site.flush().await;
    assert_eq!(
        reasons(&outcome),
        [
            "bob@acme.example.com: Kamailio refused; usrlocd's log has its error message at level notice. Try again"
        ]
    );
    assert_eq!(site.ruids(), ["b1"]);
    assert!(site.hidden().await.is_empty());
}

#[tokio::test]
async fn a_partial_failure_names_what_failed_and_lists_it() {
    let site = Site::new().await;
    site.phone("acme", "alice", "a1");
    site.phone("acme", "bob", "b1");
    site.phone("acme", "carol", "c1");
    site.fake.bend(|_, method, params| {
        let is_bob = method == "ul.rm" && params[1] == aor("bob");
        is_bob.then_some(Answer::Cut)
    });
    let outcome = site.flush().await;
    assert_eq!(outcome.flushed, 2);
    assert_eq!(
        reasons(&outcome),
        ["bob@acme.example.com: Kamailio's answer cannot be parsed"]
    );
    assert_eq!(site.ruids(), ["b1"]);
    assert_eq!(site.hidden().await, ["a1", "c1"]);
    site.fake.bend(|_, _, _| None);
    assert_eq!(site.flush().await.flushed, 1, "asking again is safe");
}

#[tokio::test]
async fn two_flushes_at_once_count_each_contact_once() {
    let site = Site::new().await;
    for number in 0..30 {
        site.phone("acme", &format!("u{number:02}"), &format!("r{number:02}"));
    }
    let (one, other) = tokio::join!(site.flush(), site.flush());
    assert_eq!(one.flushed + other.flushed, 30);
    assert_eq!((reasons(&one), reasons(&other)), (vec![], vec![]));
    assert!(site.ruids().is_empty());
    assert_eq!(site.hidden().await.len(), 30, "and both leave it hidden");
}

#[tokio::test]
async fn what_changed_in_the_second_of_its_removal_is_asked_about() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    let registry = std::sync::Arc::clone(&site.registry);
    let mut after = nth("ul.lookup", 2);
    site.fake.bend(move |_, method, _| {
        if after(method) {
            let row = Binding {
                last_modified: NOW,
                cseq: Number::new(2),
                ..row("bob", "b1")
            };
            let row = crate::registration::testing::registration(row, Some("acme"));
            registry.apply([crate::registration::Change::Upsert(row.into())]);
        }
        None
    });
    assert_eq!(site.flush().await.flushed, 1);
    assert!(site.registry.is_hidden(&key("b1")));
    let doubt = site.doubts.notified();
    assert!(futures_util::FutureExt::now_or_never(doubt).is_some());
}
