//! `GET /v2/registrations` and `/v2/registrations/count`

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::json;

use super::site::{ACME, Site, details};
use crate::registration::{Common, Registration};

#[tokio::test]
async fn lists_everybody() {
    let site = Site::furnished();
    let mut stray = details("nobody", "zoe", 9);
    stray.account_id = None;
    site.add([Registration::new(stray)]);
    let answer = site.get("/v2/registrations").answer().await;
    assert_eq!(answer.usernames(), ["alice", "bob", "bob", "carol", "zoe"]);
    let answer = site.get("/v1/registrations/count/").answer().await;
    assert_eq!(answer.data()["count"], 5);
}

#[tokio::test]
async fn only_for_who_sees_all() {
    let site = Site::furnished();
    for path in ["/v2/registrations", "/v2/registrations/count"] {
        let answer = site.get(path).with_token(ACME).answer().await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn cannot_be_deleted() {
    let site = Site::furnished();
    let answer = site.delete("/v2/registrations").answer().await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(site.fake.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn accounts_are_named_by_the_directory_or_by_their_rows() {
    let site = Site::furnished();
    let said = |username: &str, number: u16, name: Option<&str>, realm: Option<&str>| {
        let mut one = details("kazoo", username, number);
        let mut common = Common::clone(&one.common);
        common.account_name = name.map(Into::into);
        common.account_realm = realm.map(Into::into);
        one.common = Arc::new(common);
        Registration::new(one)
    };
    // "top" is in the directory without a name, "acme" with a name that its rows do not say.
    let mut of_top = details("acme", "dora", 20);
    of_top.account_id = Some("top".into());
    let mut stray = details("acme", "zoe", 21);
    stray.account_id = None;
    site.add([
        said("zac", 9, Some("Later"), Some("later.example.com")),
        said("bea", 10, Some("First"), None),
        said("ann", 11, None, Some("first.example.com")),
        Registration::new(of_top),
        Registration::new(stray),
    ]);
    let answer = site.get("/v2/registrations/count?accounts=true").answer();
    assert_eq!(
        answer.await.data()["accounts"],
        json!([
            {"id": "acme", "name": "Acme", "realm": "acme.example.com", "count": 3},
            {"id": "kazoo", "name": "First", "realm": "first.example.com", "count": 3},
            {"id": "other", "name": "OTHER", "realm": "other.example.com", "count": 1},
            {"id": "top", "name": "ACME", "realm": "acme.example.com", "count": 1},
        ])
    );
}

#[tokio::test]
async fn every_answer_is_shown() {
    let site = Site::furnished();
    for (name, ask) in [
        (
            "list",
            site.get("/v2/registrations?filter_not_username=bob"),
        ),
        ("count", site.get("/v2/registrations/count")),
        (
            "count_with_accounts",
            site.get("/v2/registrations/count?accounts=true"),
        ),
        (
            "no_token",
            site.get("/v2/registrations").without("x-auth-token"),
        ),
        ("forbidden", site.get("/v2/registrations").with_token(ACME)),
        (
            "count_forbidden",
            site.get("/v2/registrations/count").with_token(ACME),
        ),
        ("wrong_method", site.ask(Method::PUT, "/v2/registrations")),
        ("not_found", site.get("/v2/registrations/alice")),
        ("bad_filter", site.get("/v2/registrations?has_key=x")),
    ] {
        insta::assert_snapshot!(name, ask.answer().await.show());
    }
}
