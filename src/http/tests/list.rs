//! `GET /v2/accounts/{A}/registrations`

use std::time::Duration;

use http::{Method, StatusCode};

use super::site::{ACME, Site, phone};
use crate::http::tests::site::settings;
use crate::registration::Expiry;
use crate::registration::item::Wire;

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
async fn kazoos_own_wire_has_integer_ports() {
    let mut settings = settings();
    settings.wire = Wire::Kazoo43;
    let site = Site::with(settings, &crate::config::Limits::default());
    let mut unknown = phone("acme", "alice", 2);
    unknown.network_address = None;
    site.add([unknown]);
    let item = site.get(LIST).answer().await.data()[0].clone();
    assert_eq!(item["contact_port"], 5062);
    assert_eq!(item["proxy_port"], 5060);
    assert_eq!(item.get("network_ip"), None);
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
    let mut changed = phone("acme", "alice", 2);
    changed.owner_id = Some("somebody-else".into());
    site.add([changed]);
    let after = site.get(LIST).answer().await;
    assert_eq!(after.data()[0]["owner_id"], "somebody-else");
    assert_ne!(before.json()["revision"], after.json()["revision"]);
    assert_ne!(before.header("etag"), after.header("etag"));
}

#[tokio::test]
async fn a_permanent_contact_says_so() {
    let site = Site::new();
    let mut permanent = phone("acme", "alice", 2);
    let mut binding = (*permanent.binding).clone();
    binding.expiry = Expiry::Permanent;
    permanent.binding = binding.into();
    site.add([permanent]);
    let item = site.get(LIST).answer().await.data()[0].clone();
    assert_eq!(item["permanent"], true);
    assert!(item.get("expires").is_none() && item.get("expires_at").is_none());
}

#[tokio::test]
async fn not_modified_for_who_holds_the_revision() {
    let site = Site::furnished();
    let answer = site.get(LIST).answer().await;
    let etag = answer.header("etag").unwrap().to_owned();
    assert_eq!(
        etag,
        format!("W/\"{}\"", answer.json()["revision"].as_str().unwrap())
    );
    for tags in [&*etag, "*", &format!("\"x\", {etag}"), &etag[2..]] {
        let answer = site.get(LIST).header("if-none-match", tags).answer().await;
        assert_eq!(answer.status, StatusCode::NOT_MODIFIED, "{tags}");
        assert!(answer.body.is_empty());
        assert_eq!(answer.header("etag"), Some(&*etag));
    }
    let answer = site
        .get(LIST)
        .header("if-none-match", "\"x\"")
        .answer()
        .await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn head_has_the_headers_of_get() {
    let site = Site::furnished();
    let get = site.get(LIST).answer().await;
    let head = site.ask(Method::HEAD, LIST).answer().await;
    assert_eq!(head.status, StatusCode::OK);
    assert!(head.body.is_empty());
    assert_eq!(
        head.header("content-length"),
        Some(&*get.body.len().to_string())
    );
    assert_eq!(head.header("etag"), get.header("etag"));
}
