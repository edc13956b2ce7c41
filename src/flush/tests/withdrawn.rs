//! The caller's right is withdrawn while a flush runs: from then on nothing is removed, and that is said.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::site::{Site, aor, reasons};
use crate::flush::FailureKind;

const WITHDRAWN: &str = "bob@acme.example.com: not removed: the caller's permission to flush the account was withdrawn \
     meanwhile";

/// Withdraws the right at the `number`th call of this method.
fn withdraw_at(site: &Site, method: &'static str, number: usize) {
    let (right, mut asked) = (Arc::clone(&site.right), 0);
    site.fake.bend(move |_, called, _| {
        asked += usize::from(called == method);
        if asked == number {
            right.holds.store(false, Ordering::SeqCst);
        }
        None
    });
}

#[tokio::test]
async fn nothing_goes_that_has_not_gone() {
    for method in ["core.uptime", "ul.lookup"] {
        let site = Site::new().await;
        site.phone("acme", "bob", "b1");
        withdraw_at(&site, method, 1);
        let outcome = site.flush().await;
        assert_eq!(
            (outcome.flushed, reasons(&outcome)),
            (0, vec![WITHDRAWN.to_owned()])
        );
        assert_eq!(outcome.failed[0].kind, FailureKind::Withdrawn);
        assert!(site.fake.calls(&["ul.rm", "ul.rm_contact"]).is_empty());
        assert_eq!(site.ruids(), ["b1"]);
        assert!(site.hidden().await.is_empty());
    }
}

#[tokio::test]
async fn what_has_gone_is_counted_and_hidden() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    site.phone("acme", "bob", "b2");
    withdraw_at(&site, "ul.rm_contact", 1);
    let outcome = site.flush_exactly(&["b1", "b2"]).await;
    assert_eq!(
        (outcome.flushed, reasons(&outcome)),
        (1, vec![WITHDRAWN.to_owned()])
    );
    assert_eq!(site.fake.memory().ruids(&aor("bob")), ["b2"]);
    assert_eq!(site.ruids(), ["b2"]);
    assert_eq!(site.hidden().await, ["b1"]);
}

#[tokio::test]
async fn nor_does_the_user_go_where_kamailio_finds_no_single_contact() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    site.fake.memory().finds_singly = false;
    // The second look is the one that finds it to be all.
    withdraw_at(&site, "ul.lookup", 2);
    let outcome = site.flush_exactly(&["b1"]).await;
    assert_eq!(
        (outcome.flushed, reasons(&outcome)),
        (0, vec![WITHDRAWN.to_owned()])
    );
    assert!(site.fake.calls(&["ul.rm"]).is_empty());
    assert_eq!(site.ruids(), ["b1"]);
}

#[tokio::test]
async fn a_leftover_row_is_neither_counted_nor_hidden() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    site.fake.memory().contacts.clear();
    withdraw_at(&site, "ul.lookup", 1);
    let outcome = site.flush_exactly(&["b1"]).await;
    assert_eq!(
        (outcome.flushed, reasons(&outcome)),
        (0, vec![WITHDRAWN.to_owned()])
    );
    assert_eq!(site.ruids(), ["b1"]);
}

#[tokio::test]
async fn many_that_wait_are_not_asked_about() {
    let site = Site::new().await;
    for number in 0..40 {
        site.phone("acme", &format!("u{number}"), &format!("r{number}"));
    }
    withdraw_at(&site, "ul.rm", 1);
    let outcome = site.flush().await;
    // Two are worked on at once.
    assert!((1..=2).contains(&outcome.flushed), "{outcome:?}");
    assert_eq!(outcome.flushed + outcome.failed.len() as u64, 40);
    assert_eq!(site.ruids().len(), outcome.failed.len());
    assert_eq!(site.hidden().await.len() as u64, outcome.flushed);
    let asked = site.fake.calls(&["ul.lookup"]).len();
    assert!(asked <= 5, "{asked}");
}
