//! `GET /v2/accounts/{A}/registrations/{USERNAME}`

use http::{Method, StatusCode};

use super::site::{ACME, Site};

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

#[tokio::test]
async fn every_answer_is_shown() {
    let site = Site::furnished();
    let path = "/v2/accounts/acme/registrations/bob";
    for (name, ask) in [
        ("found", site.get(path).with_token(ACME)),
        ("page", site.get(&format!("{path}?page_size=1"))),
        (
            "offline",
            site.get("/v2/accounts/acme/registrations/offline"),
        ),
        ("no_token", site.get(path).without("x-auth-token")),
        (
            "forbidden",
            site.get("/v2/accounts/other/registrations/carol")
                .with_token(ACME),
        ),
        (
            "unknown_account",
            site.get("/v2/accounts/nowhere/registrations/bob"),
        ),
        ("wrong_method", site.ask(Method::PUT, path)),
        ("bad_page_size", site.get(&format!("{path}?page_size=0"))),
        ("bad_start_key", site.get(&format!("{path}?start_key=x"))),
    ] {
        insta::assert_snapshot!(name, ask.answer().await.show());
    }
}
