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
async fn every_refusal_is_told() {
    let site = Site::furnished();
    for (name, ask) in [
        ("no_token", site.get(COUNT).without("x-auth-token")),
        (
            "forbidden",
            site.get("/v2/accounts/other/registrations/count")
                .with_token(ACME),
        ),
        (
            "unknown_account",
            site.get("/v2/accounts/nowhere/registrations/count"),
        ),
        ("wrong_method", site.delete(COUNT)),
        ("bad_filter", site.get(&format!("{COUNT}?filter_x=1"))),
        ("bad_number", site.get(&format!("{COUNT}?modified_from=x"))),
    ] {
        insta::assert_snapshot!(name, ask.answer().await.show());
    }
}
