//! A Kamailio that does not answer, or not in time.

use std::sync::Arc;

use super::confirm::nth;
use super::fake::Answer;
use super::site::{Site, reasons};
use crate::flush::{FailureKind, Options};

#[tokio::test]
async fn silence_is_a_timeout_and_the_rest_is_not_asked() {
    let site = Site::new().await;
    for number in 0..12 {
        site.phone("acme", &format!("u{number:02}"), &format!("r{number:02}"));
    }
    site.fake.answers("ul.lookup", || Answer::Silence);
    let outcome = site.flush().await;
    assert_eq!((outcome.flushed, outcome.failed.len()), (0, 12));
    let timeouts = outcome
        .failed
        .iter()
        .filter(|one| one.kind == FailureKind::Timeout);
    assert_eq!(timeouts.count(), 12);
    let asked = site.fake.calls(&["ul.lookup"]).len();
    assert!(asked <= 3, "{asked} were asked");
    assert_eq!(site.ruids().len(), 12);
    assert!(site.hidden().await.is_empty());
}

/// One lost answer is not yet a Kamailio that does not answer, even where flushes ask about one at a time.
#[tokio::test]
async fn one_unanswered_question_leaves_the_others_to_be_asked() {
    let mut site = Site::new().await;
    let one_at_a_time = Options {
        concurrency: 1,
        ..(*site.flusher.options).clone()
    };
    site.flusher.options = Arc::new(one_at_a_time);
    for name in ["alice", "bob", "carol"] {
        site.phone("acme", name, name);
    }
    let mut first = nth("ul.lookup", 1);
    site.fake
        .bend(move |_, method, _| first(method).then_some(Answer::Silence));
    let outcome = site.flush().await;
    assert_eq!(
        (outcome.flushed, reasons(&outcome)),
        (
            2,
            vec!["alice@acme.example.com: Kamailio did not answer in time".to_owned()]
        )
    );
}

#[tokio::test]
async fn one_that_does_not_answer_at_all_is_asked_once() {
    let site = Site::new().await;
    site.phone("acme", "alice", "a1");
    site.phone("acme", "bob", "b1");
    site.fake.bend(|_, _, _| Some(Answer::Silence));
    let outcome = site.flush().await;
    assert_eq!(outcome.failed.len(), 2);
    assert!(
        outcome
            .failed
            .iter()
            .all(|one| one.kind == FailureKind::Timeout)
    );
    assert_eq!(site.fake.memory().calls, ["core.uptime"]);
    assert_eq!(site.ruids(), ["a1", "b1"]);
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let site = Site::alone().await;
    site.phone("acme", "alice", "a1");
    site.phone("acme", "bob", "b1");
    let outcome = site.flush().await;
    assert_eq!(outcome.flushed, 0);
    let kinds = outcome.failed.iter().map(|one| one.kind);
    assert_eq!(kinds.collect::<Vec<_>>(), [FailureKind::Unreachable; 2]);
    assert_eq!(site.ruids(), ["a1", "b1"]);
}

#[tokio::test]
async fn an_answer_that_fails_after_the_removal_confirms_nothing() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    let (mut after, mut again) = (nth("ul.lookup", 2), nth("ul.lookup", 3));
    site.fake.bend(move |_, method, _| {
        let (after, again) = (after(method), again(method));
        (after || again).then_some(Answer::Silence)
    });
    let outcome = site.flush().await;
    assert_eq!(outcome.flushed, 0);
    assert_eq!(
        reasons(&outcome),
        ["bob@acme.example.com: Kamailio did not answer in time"]
    );
    assert_eq!(site.ruids(), ["b1"]);
    // It is gone nevertheless, which the next flush finds.
    site.fake.bend(|_, _, _| None);
    assert_eq!(site.flush().await.flushed, 1);
    assert!(site.ruids().is_empty());
}

/// One of Kamailio's workers may wait for a lock on its database for longer than usrlocd waits for an answer.
#[tokio::test]
async fn what_is_done_without_an_answer_in_time_is_seen_by_the_next_look() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    let mut look = nth("ul.lookup", 2);
    site.fake.bend(move |memory, method, params| {
        if method == "ul.rm" {
            let contacts = memory.contacts.get_mut(params[1].as_str().unwrap());
            contacts.unwrap().clear();
            return Some(Answer::Silence);
        }
        look(method).then_some(Answer::Silence)
    });
    let outcome = site.flush().await;
    assert_eq!((outcome.flushed, reasons(&outcome)), (1, vec![]));
    assert!(site.ruids().is_empty());
}

/// The same for one contact of several.
#[tokio::test]
async fn nor_is_one_contact_that_went_without_an_answer_a_failure() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    site.phone("acme", "bob", "b2");
    site.fake.bend(move |memory, method, params| {
        if method != "ul.rm_contact" {
            return None;
        }
        let contacts = memory.contacts.get_mut(params[1].as_str().unwrap())?;
        contacts.retain(|one| one["Contact"]["Address"] != params[2]);
        Some(Answer::Silence)
    });
    let outcome = site.flush_exactly(&["b1"]).await;
    assert_eq!((outcome.flushed, reasons(&outcome)), (1, vec![]));
    assert_eq!(site.ruids(), ["b2"]);
}

/// What was not done and not answered is a timeout, and not a refusal.
#[tokio::test]
async fn what_is_not_done_and_not_answered_is_a_timeout() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    site.fake.answers("ul.rm", || Answer::Silence);
    let outcome = site.flush().await;
    assert_eq!(
        (outcome.flushed, reasons(&outcome)),
        (
            0,
            vec!["bob@acme.example.com: Kamailio did not answer in time".to_owned()]
        )
    );
    assert_eq!(outcome.failed[0].kind, FailureKind::Timeout);
    assert_eq!(site.ruids(), ["b1"]);
}

/// An unanswered removal may still be under way: nothing more is removed before a look shows that it is over.
#[tokio::test]
async fn a_removal_that_is_not_answered_and_not_done_is_the_last() {
    let site = Site::new().await;
    for ruid in ["b1", "b2", "b3"] {
        site.phone("acme", "bob", ruid);
    }
    site.fake.answers("ul.rm_contact", || Answer::Silence);
    let outcome = site.flush_exactly(&["b1", "b2"]).await;
    assert_eq!(
        (outcome.flushed, reasons(&outcome)),
        (
            0,
            vec!["bob@acme.example.com: Kamailio did not answer in time".to_owned()]
        )
    );
    assert_eq!(outcome.failed[0].kind, FailureKind::Timeout);
    assert_eq!(site.fake.calls(&["ul.rm_contact"]).len(), 1);
    assert_eq!(site.ruids(), ["b1", "b2", "b3"]);
}
