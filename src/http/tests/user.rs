//! `GET /v2/accounts/{A}/registrations/{USERNAME}`

use http::StatusCode;

use super::site::Site;

#[tokio::test]
async fn lists_one_user_in_any_case() {
    let site = Site::furnished();
    let answer = site
        .get("/v2/accounts/acme/registrations/BoB")
        .answer()
        .await;
    assert_eq!(answer.usernames(), ["bob", "bob"]);
    assert_eq!(answer.json()["page_size"], 2);
}

#[tokio::test]
async fn a_device_that_is_offline_has_an_empty_list() {
    let site = Site::furnished();
    let answer = site
        .get("/v2/accounts/acme/registrations/offline")
        .answer()
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.usernames().is_empty());
}

#[tokio::test]
async fn an_unknown_user_is_not_found() {
    let site = Site::furnished();
    let answer = site
        .get("/v2/accounts/acme/registrations/Gh%6fst")
        .answer()
        .await;
    insta::assert_snapshot!(answer.show());
    // Of another account only.
    let answer = site
        .get("/v2/accounts/acme/registrations/carol")
        .answer()
        .await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn bytes_that_are_no_text_are_a_name_as_well() {
    let site = Site::furnished();
    let answer = site
        .get("/v2/accounts/acme/registrations/%ff%00")
        .answer()
        .await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}
