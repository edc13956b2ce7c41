//! The look for hidden rows that are back.

use super::fake::Answer;
use super::site::{Site, aor, contact};
use crate::rate_limited::RateLimited;

async fn flushed() -> Site {
    let site = Site::new().await;
    for (user, ruid) in [("alice", "a1"), ("bob", "b1"), ("carol", "c1")] {
        site.phone("acme", user, ruid);
    }
    assert_eq!(site.flush().await.flushed, 3);
    assert!(site.ruids().is_empty());
    site
}

#[tokio::test]
async fn what_kamailio_has_is_listed_again_and_nothing_else() {
    let site = flushed().await;
    let mut trouble = RateLimited::default();
    site.flusher.recheck_once(&mut trouble).await;
    assert!(site.ruids().is_empty());
    site.fake
        .memory()
        .register(&aor("bob"), "b1", &contact("b1"), 2);
    site.flusher.recheck_once(&mut trouble).await;
    assert_eq!(site.ruids(), ["b1"]);
    assert_eq!(site.hidden().await, ["a1", "c1"], "also after a restart");
}

#[tokio::test]
async fn a_new_ruid_does_not_bring_the_old_row_back() {
    let site = flushed().await;
    site.fake
        .memory()
        .register(&aor("bob"), "b2", &contact("b1"), 2);
    site.flusher.recheck_once(&mut RateLimited::default()).await;
    assert!(site.ruids().is_empty());
}

#[tokio::test]
async fn a_lasting_fault_of_one_does_not_keep_the_others_back() {
    for answer in [|| Answer::Cut, || Answer::Error(500, "no")] {
        let site = flushed().await;
        site.fake
            .memory()
            .register(&aor("carol"), "c1", &contact("c1"), 2);
        site.fake
            .bend(move |_, _, params| (params[1] == aor("alice")).then(answer));
        let mut trouble = RateLimited::default();
        site.flusher.recheck_once(&mut trouble).await;
        assert_eq!(site.ruids(), ["c1"], "{:?}", answer());
        assert!(trouble.is_failing());
        site.fake.bend(|_, _, _| None);
        site.flusher.recheck_once(&mut trouble).await;
        assert!(!trouble.is_failing());
    }
}

#[tokio::test]
async fn a_silent_kamailio_is_asked_once_a_round() {
    let site = flushed().await;
    let before = site.fake.calls(&["ul.lookup"]).len();
    site.fake.answers("ul.lookup", || Answer::Silence);
    site.flusher.recheck_once(&mut RateLimited::default()).await;
    assert_eq!(site.fake.calls(&["ul.lookup"]).len(), before + 1);
    assert!(site.ruids().is_empty(), "silence shows nothing");
}

#[tokio::test]
async fn what_never_gets_a_row_is_forgotten_in_a_minute() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    site.fake
        .memory()
        .register(&aor("bob"), "b2", &contact("b2"), 1);
    site.flush().await;
    assert_eq!(site.hidden().await, ["b1", "b2"]);
    site.flusher.recheck_once(&mut RateLimited::default()).await;
    assert_eq!(site.hidden().await, ["b1", "b2"]);
    site.clock.advance(std::time::Duration::from_secs(61));
    site.flusher.recheck_once(&mut RateLimited::default()).await;
    assert_eq!(site.hidden().await, ["b1"]);
}

#[tokio::test]
async fn what_was_not_read_yet_is_not_forgotten() {
    let site = Site::new().await;
    let bob = site.phone("acme", "bob", "b1");
    site.flush().await;
    let store = site.copy_of_store();
    let site = site.starting_from(store).await;
    site.clock.advance(std::time::Duration::from_secs(61));
    site.flusher.recheck_once(&mut RateLimited::default()).await;
    site.put("acme", bob);
    assert!(site.ruids().is_empty());
    assert_eq!(site.hidden().await, ["b1"]);
}
