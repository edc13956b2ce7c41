//! `GET /v2/registrations` and `/v2/registrations/count`

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::json;

use super::site::{ACME, Site, details, phone};
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

/// Phones of more accounts than one, and one of none.
fn of_many_accounts() -> Site {
    let site = Site::furnished();
    let mut stray = details("nobody", "zoe", 9);
    stray.account_id = None;
    let mut top = details("acme", "Bob", 10);
    top.account_id = Some("top".into());
    site.add([Registration::new(stray), Registration::new(top)]);
    site
}

/// A token with a list of accounts sees those and the ones below them, and never what is in no account.
#[tokio::test]
async fn a_token_sees_what_its_accounts_have() {
    let site = of_many_accounts();
    for (token, expected) in [
        (ACME, &["alice", "bob", "bob"][..]),
        ("two-token", &["alice", "bob", "bob", "carol"]),
        ("top-token", &["alice", "bob", "bob", "Bob"]),
    ] {
        let ask = |path: &str| site.get(path).with_token(token).answer();
        let list = ask("/v2/registrations").await;
        let mut names = list.usernames();
        assert_eq!(names.len(), expected.len(), "{token}");
        for name in expected {
            let at = names.iter().position(|own| own == name);
            names.remove(at.unwrap_or_else(|| panic!("{token}: no {name}")));
        }
        let count = ask("/v2/registrations/count").await;
        assert_eq!(count.data()["count"], expected.len());
        assert_eq!(count.json()["revision"], list.json()["revision"], "{token}");
        let filtered = ask("/v2/registrations?filter_username=bob").await;
        assert_eq!(filtered.usernames(), ["bob", "bob"]);
        let count = ask("/v2/registrations/count?filter_username=bob").await;
        assert_eq!(count.data()["count"], 2);
        let csv = ask("/v2/registrations?accept=csv").await;
        assert_eq!(csv.text().lines().count(), 1 + expected.len());
    }
}

#[tokio::test]
async fn who_may_read_nothing_may_not_ask() {
    let site = of_many_accounts();
    for path in ["/v2/registrations", "/v2/registrations/count"] {
        let answer = site.get(path).with_token("flush-token").answer().await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
    }
}

/// The pages of several accounts' list are those of the whole list, in its order, at every size.
#[tokio::test]
async fn pages_go_over_all_accounts_in_one_order() {
    let site = Site::new();
    let account = |number: u16| {
        if number.is_multiple_of(3) {
            "acme"
        } else {
            "other"
        }
    };
    let name = |number: u16| format!("u{:02}", number * 7 % 40);
    site.add((0..60).map(|number| {
        let mut one = details(account(number), &name(number), number);
        if number.is_multiple_of(5) {
            one.account_id = Some("hidden".into());
        }
        Registration::new(one)
    }));
    let ask = |query: &str| {
        let ask = site.get(&format!("/v2/registrations{query}"));
        ask.with_token("two-token").answer()
    };
    let whole = ask("").await;
    let contacts = |answer: &super::site::Answer| {
        let data = answer.data();
        let items = data.as_array().unwrap().iter();
        items
            .map(|item| item["contact"].clone())
            .collect::<Vec<_>>()
    };
    let expected = contacts(&whole);
    assert_eq!(expected.len(), 48);
    let names = whole.usernames();
    assert!(names.is_sorted(), "{names:?}");
    for size in [1, 2, 7, 9, 47, 48, 100] {
        for filter in ["", "&filter_not_username=u07"] {
            let (mut found, mut start) = (Vec::new(), String::new());
            loop {
                let page = ask(&format!("?page_size={size}{filter}{start}")).await;
                found.extend(contacts(&page));
                match page.json()["next_start_key"].as_str() {
                    Some(key) => start = format!("&start_key={key}"),
                    None => break,
                }
            }
            let all = contacts(&ask(&format!("?x=1{filter}")).await);
            assert_eq!(found, all, "{size}{filter}");
        }
    }
}

#[tokio::test]
async fn a_list_of_many_accounts_has_a_revision() {
    let site = of_many_accounts();
    let ask = || site.get("/v2/registrations").with_token("two-token");
    let answer = ask().answer().await;
    let etag = answer.header("etag").unwrap().to_owned();
    let again = async || ask().header("if-none-match", &etag).answer().await.status;
    assert_eq!(again().await, StatusCode::NOT_MODIFIED);
    site.add([phone("top", "dora", 30)]);
    assert_eq!(again().await, StatusCode::NOT_MODIFIED, "it is another's");
    site.add([phone("other", "dora", 31)]);
    assert_eq!(again().await, StatusCode::OK);
}

#[tokio::test]
async fn accounts_are_those_that_the_token_sees() {
    let site = of_many_accounts();
    for (token, expected) in [
        (ACME, json!([["acme", 3]])),
        ("two-token", json!([["acme", 3], ["other", 1]])),
        ("top-token", json!([["acme", 3], ["top", 1]])),
    ] {
        let path = "/v2/registrations/count?accounts=true";
        let answer = site.get(path).with_token(token).answer().await;
        let data = answer.data();
        let accounts = data["accounts"].as_array().unwrap().iter();
        let shown: Vec<_> = accounts.map(|it| json!([it["id"], it["count"]])).collect();
        assert_eq!(json!(shown), expected, "{token}");
    }
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
        (
            "forbidden",
            site.get("/v2/registrations").with_token("flush-token"),
        ),
        (
            "count_forbidden",
            site.get("/v2/registrations/count")
                .with_token("flush-token"),
        ),
        ("wrong_method", site.ask(Method::PUT, "/v2/registrations")),
        ("not_found", site.get("/v2/registrations/alice")),
        ("bad_filter", site.get("/v2/registrations?has_key=x")),
    ] {
        insta::assert_snapshot!(name, ask.answer().await.show());
    }
}
