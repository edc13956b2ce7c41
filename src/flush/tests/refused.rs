//! Removals that Kamailio refuses.

use super::fake::Answer;
use super::site::{Site, reasons};

/// A Kamailio that refuses the first `times` removals.
fn refuses(site: &Site, times: usize) {
    let mut done = 0;
    site.fake.bend(move |_, method, _| {
        let is_refused = method.starts_with("ul.rm") && done < times;
        done += usize::from(is_refused);
        is_refused.then_some(Answer::Error(500, "Failed to delete AOR"))
    });
}

#[tokio::test]
async fn it_is_asked_again() {
    let site = Site::new().await;
    site.phone("acme", "alice", "a1");
    refuses(&site, 2);
    let outcome = site.flush().await;
    assert_eq!((outcome.flushed, outcome.failed.len()), (1, 0));
    assert_eq!(site.fake.calls(&["ul.rm"]).len(), 3);
}

#[tokio::test]
async fn one_contact_too() {
    let site = Site::new().await;
    site.phone("acme", "alice", "a1");
    refuses(&site, 1);
    assert_eq!(site.flush_exactly(&["a1"]).await.flushed, 1);
    assert_eq!(site.fake.calls(&["ul.rm_contact"]).len(), 2);
}

#[tokio::test]
async fn not_for_ever() {
    let site = Site::new().await;
    for number in 0..10 {
        site.phone("acme", &format!("u{number}"), &format!("r{number}"));
    }
    refuses(&site, usize::MAX);
    let outcome = site.flush().await;
    assert_eq!(reasons(&outcome).len(), 10);
    assert_eq!(site.ruids().len(), 10);
    let calls = site.fake.calls(&["ul.rm"]).len();
    assert!((10..=26).contains(&calls), "{calls}");
}

/// What no retry can help is asked once, and the reason says what does.
#[tokio::test]
async fn what_lasts_is_not_asked_again() {
    for (message, method, words) in [
        ("Method Not Found", "ul.rm", "loads the module usrloc"),
        ("Domain table not found", "ul.rm", "[kamailio] table"),
        ("Method Not Found", "ul.lookup", "loads the module usrloc"),
        ("Domain table not found", "ul.lookup", "[kamailio] table"),
    ] {
        let site = Site::new().await;
        site.phone("acme", "alice", "a1");
        site.fake
            .bend(move |_, asked, _| (asked == method).then_some(Answer::Error(500, message)));
        let outcome = site.flush().await;
        let reasons = reasons(&outcome);
        assert!(reasons[0].contains(words), "{reasons:?}");
        assert!(!reasons[0].contains("ry again"), "{reasons:?}");
        assert_eq!(site.fake.calls(&[method]).len(), 1, "{method}: {message}");
        assert_eq!(site.ruids().len(), 1);
    }
}
