//! `GET /v2/accounts/{A}/registrations`

use std::time::Duration;

use super::site::{ACME, Site, details};
use crate::registration::{Expiry, Registration};

const LIST: &str = "/v2/accounts/acme/registrations";

#[tokio::test]
async fn lists_in_order_with_every_key() {
    let site = Site::furnished();
    let answer = site.get(LIST).with_token(ACME).answer().await;
    assert_eq!(answer.usernames(), ["alice", "bob", "bob"]);
    insta::assert_snapshot!(answer.show());
}

#[tokio::test]
async fn a_known_account_without_registrations_has_an_empty_list() {
    let site = Site::furnished();
    let answer = site.get("/v2/accounts/empty/registrations").answer().await;
    insta::assert_snapshot!(answer.show());
}

#[tokio::test]
async fn the_account_of_the_token_is_named_by_nobody() {
    let site = Site::furnished();
    for (name, path) in [
        (
            "own_list",
            "/v2/account/registrations?filter_username=alice",
        ),
        ("own_count", "/v2/account/registrations/count"),
        ("own_user", "/v2/account/registrations/alice"),
    ] {
        let answer = site.get(path).with_token(ACME).answer().await;
        insta::assert_snapshot!(name, answer.show());
    }
    let answer = site
        .delete("/v2/account/registrations")
        .with_token(ACME)
        .answer()
        .await;
    insta::assert_snapshot!("own_flush", answer.show());
}

#[tokio::test]
async fn every_spelling_of_the_path_is_the_same_list() {
    let site = Site::furnished();
    let expected = site.get(LIST).with_token(ACME).answer().await.data();
    for path in [
        "/v1/accounts/acme/registrations",
        "/v2/accounts/acme/registrations/",
        "/v2/account/registrations",
        "/v2/accounts/%61cme/registrations/",
    ] {
        let answer = site.get(path).with_token(ACME).answer().await;
        assert_eq!(answer.data(), expected, "{path}");
    }
}

#[tokio::test]
async fn expires_counts_down_while_the_revision_stays() {
    let site = Site::furnished();
    let before = site.get(LIST).answer().await;
    site.clock.advance(Duration::from_secs(1));
    let after = site.get(LIST).answer().await;
    assert_eq!(before.data()[0]["expires"], 300);
    assert_eq!(after.data()[0]["expires"], 299);
    assert_eq!(before.json()["revision"], after.json()["revision"]);
    site.clock.advance(Duration::from_secs(299));
    let gone = site.get(LIST).answer().await;
    assert_eq!(gone.data().as_array().unwrap().len(), 0);
    assert_ne!(before.json()["revision"], gone.json()["revision"]);
}

#[tokio::test]
async fn a_changed_row_shows_at_once() {
    let site = Site::furnished();
    let before = site.get(LIST).answer().await;
    let mut changed = details("acme", "alice", 2);
    changed.owner_id = Some("somebody-else".into());
    site.add([Registration::new(changed)]);
    let after = site.get(LIST).answer().await;
    assert_eq!(after.data()[0]["owner_id"], "somebody-else");
    assert_ne!(before.json()["revision"], after.json()["revision"]);
    assert_ne!(before.header("etag"), after.header("etag"));
}

#[tokio::test]
async fn a_permanent_contact_says_so() {
    let site = Site::new();
    let mut permanent = details("acme", "alice", 2);
    let mut binding = (*permanent.binding).clone();
    binding.expiry = Expiry::Permanent;
    permanent.binding = binding.into();
    site.add([Registration::new(permanent)]);
    let item = site.get(LIST).answer().await.data()[0].clone();
    assert_eq!(item["permanent"], true);
    assert!(item.get("expires").is_none() && item.get("expires_at").is_none());
}
