//! What a flush leaves in the store, and what a start makes of it after a crash in the middle.

use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::fake::Answer;
use super::site::{NOW, Site, actor, aor, contact, copy, hidden_in, intents_in, row};
use crate::consumers::store::Store;
use crate::flush::Request;
use crate::registry::SourceState;

/// Takes a copy of the store at the moment at which bob is about to be removed.
fn crash_at_bob(site: &Site) -> Arc<Mutex<Option<TempDir>>> {
    let crashed = Arc::new(Mutex::new(None));
    let (put, folder) = (Arc::clone(&crashed), site.store_folder());
    site.fake.bend(move |_, method, params| {
        if method == "ul.rm" && params[1] == aor("bob") {
            *put.lock().unwrap() = Some(copy(&folder));
        }
        None
    });
    crashed
}

#[tokio::test]
async fn rows_are_noted_in_the_store_before_they_are_removed() {
    let site = Site::new().await;
    site.phone("acme", "alice", "a1");
    site.phone("acme", "bob", "b1");
    let crashed = crash_at_bob(&site);
    assert_eq!(site.flush().await.flushed, 2);
    let crashed = crashed.lock().unwrap().take().unwrap();
    assert_eq!(intents_in(&crashed).await, ["a1", "b1"]);
    assert!(
        hidden_in(&crashed).await.is_empty(),
        "nobody was told that they went"
    );
    assert_eq!(site.hidden().await, ["a1", "b1"]);
}

#[tokio::test]
async fn a_start_after_a_crash_shows_what_kamailio_still_has_and_no_more() {
    let site = Site::new().await;
    let alice = site.phone("acme", "alice", "a1");
    let bob = site.phone("acme", "bob", "b1");
    // Bob's removal is as far as it gets: at that moment the program is killed.
    site.fake.bend(|_, method, params| {
        (method == "ul.rm" && params[1] == aor("bob")).then_some(Answer::Silence)
    });
    let request = Request {
        registrations: site.listed(crate::registry::Scope::System),
        further: Vec::new(),
        exactly: false,
        actor: actor("acme"),
        authorization: std::sync::Arc::clone(&site.right) as _,
    };
    let flush = site.flusher.flush(request);
    let is_asked = async {
        while site.fake.calls(&["ul.rm"]).len() < 2 || !site.registry.is_hidden(&alice.key) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        outcome = flush => panic!("it ended: {outcome:?}"),
        () = is_asked => {}
    }
    site.fake.bend(|_, _, _| None);
    let site = site.restarted(&[("acme", alice), ("acme", bob)]).await;
    assert!(site.ruids().is_empty(), "either may be gone");
    assert!(site.registry.has_intents(), "and that is not live");
    let mut intents = site.overlay.intents();
    site.flusher.resolve_intents(&mut intents).await;
    assert_eq!((site.ruids(), intents), (vec!["b1".to_owned()], vec![]));
    assert!(!site.registry.has_intents());
    assert_eq!(site.hidden().await, ["a1"]);
    assert!(intents_in(&site.copy_of_store()).await.is_empty());
    let [line] = site.store.flushes(9).await.unwrap().try_into().unwrap();
    assert_eq!((line.ended, line.done, line.failed), (None, 0, 0));
}

#[tokio::test]
async fn while_kamailio_does_not_answer_what_may_be_gone_is_listed() {
    let site = Site::new().await;
    let alice = site.phone("acme", "alice", "a1");
    let bob = site.phone("acme", "bob", "b1");
    let crashed = crash_at_bob(&site);
    assert_eq!(site.flush().await.flushed, 2);
    let crashed = crashed.lock().unwrap().take().unwrap();
    let site = site
        .started_from(crashed, &[("acme", alice), ("acme", bob)])
        .await;
    site.fake.bend(|_, _, _| Some(Answer::Silence));
    let mut intents = site.overlay.intents();
    site.flusher.resolve_intents(&mut intents).await;
    assert_eq!(site.ruids(), ["a1", "b1"]);
    assert!(!site.registry.has_intents());
    assert_eq!(intents.len(), 2, "they are asked about again");
    assert_eq!(intents_in(&site.copy_of_store()).await, ["a1", "b1"]);
    // Bob has registered again, and alice is gone.
    site.fake.bend(|_, _, _| None);
    site.fake
        .memory()
        .register(&aor("bob"), "b1", &contact("b1"), 1);
    site.flusher.resolve_intents(&mut intents).await;
    assert_eq!((site.ruids(), intents), (vec!["b1".to_owned()], vec![]));
    assert_eq!(site.hidden().await, ["a1"]);
}

#[tokio::test]
async fn a_row_that_the_store_did_not_have_yet_is_asked_about_once_it_is_read() {
    let site = Site::new().await;
    let alice = site.phone("acme", "alice", "a1");
    let bob = site.phone("acme", "bob", "b1");
    let crashed = crash_at_bob(&site);
    assert_eq!(site.flush().await.flushed, 2);
    let crashed = crashed.lock().unwrap().take().unwrap();
    let site = site.starting_from(crashed).await;
    let mut intents = site.overlay.intents();
    for answer in [|| None, || Some(Answer::Silence)] {
        site.fake.bend(move |_, _, _| answer());
        site.flusher.resolve_intents(&mut intents).await;
        assert_eq!(intents.len(), 2);
        assert!(site.registry.has_intents(), "so it is not live");
    }
    site.fake.bend(|_, _, _| None);
    site.put("acme", alice);
    site.put("acme", bob);
    assert!(site.ruids().is_empty(), "either may be gone");
    site.reads(SourceState::Live);
    site.flusher.resolve_intents(&mut intents).await;
    assert!(site.ruids().is_empty() && intents.is_empty());
    assert!(!site.registry.has_intents());
    assert_eq!(site.hidden().await, ["a1", "b1"]);
}

#[tokio::test]
async fn what_fails_is_not_hidden_by_the_next_start() {
    let site = Site::new().await;
    site.phone("acme", "alice", "a1");
    site.phone("acme", "bob", "b1");
    site.fake.bend(|_, method, params| {
        (method == "ul.rm" && params[1] == aor("bob")).then_some(Answer::Cut)
    });
    site.flush().await;
    assert_eq!(site.hidden().await, ["a1"]);
}

#[tokio::test]
async fn the_audit_has_a_line_from_beginning_to_end() {
    let site = Site::new().await;
    site.phone("acme", "alice", "a1");
    site.phone("acme", "bob", "b1");
    let crashed = crash_at_bob(&site);
    site.flush().await;
    let crashed = crashed.lock().unwrap().take().unwrap();
    let store = Store::open(&crashed.path().join("usrlocd.db"), NOW)
        .await
        .unwrap();
    let begun = store.flushes(9).await.unwrap();
    assert_eq!((begun.len(), begun[0].ended), (1, None));
    let ended = site.store.flushes(9).await.unwrap();
    assert_eq!(ended.len(), 1);
    assert_eq!(
        (ended[0].ended, ended[0].done, ended[0].failed),
        (Some(NOW), 2, 0)
    );
    assert_eq!(ended[0].account.as_deref(), Some("acme"));
}

#[tokio::test]
async fn a_row_that_another_flush_hides_stays_hidden_whoever_ends_last() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    let (one, other) = tokio::join!(site.flush(), site.flush());
    assert_eq!(one.flushed + other.flushed, 1);
    assert_eq!(site.hidden().await, ["b1"]);
    let site = site.restarted(&[("acme", row("bob", "b1"))]).await;
    assert!(site.ruids().is_empty());
}
