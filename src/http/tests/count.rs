//! `GET /v2/accounts/{A}/registrations/count`

use http::StatusCode;

use super::site::{ACME, Site};

const COUNT: &str = "/v2/accounts/acme/registrations/count";

#[tokio::test]
async fn counts() {
    let site = Site::furnished();
    let answer = site.get(COUNT).with_token(ACME).answer().await;
    insta::assert_snapshot!(answer.show());
}

#[tokio::test]
async fn an_empty_account_has_none() {
    let site = Site::furnished();
    let answer = site
        .get("/v2/accounts/empty/registrations/count/")
        .answer()
        .await;
    assert_eq!(answer.data()["count"], 0);
}

#[tokio::test]
async fn cannot_be_deleted() {
    let site = Site::furnished();
    let answer = site.delete(COUNT).answer().await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.header("allow"), Some("GET, HEAD, OPTIONS"));
    assert!(site.fake.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn not_modified_for_who_holds_the_revision() {
    let site = Site::furnished();
    let answer = site.get(COUNT).answer().await;
    let etag = answer.header("etag").unwrap();
    let answer = site.get(COUNT).header("if-none-match", etag).answer().await;
    assert_eq!(answer.status, StatusCode::NOT_MODIFIED);
}
