//! `DELETE /v2/registrations`

use http::{Method, StatusCode};
use serde_json::json;

use super::site::{Site, World, details, failure, settings};
use crate::config;
use crate::flush::FailureKind::{Unconfirmed, Unreachable};
use crate::registration::Registration;

const LIST: &str = "/v2/registrations";

/// Sees and flushes two accounts.
const BOTH: &str = "both-token";

/// Phones of two accounts, and one of none.
fn site() -> Site {
    let mut world = World::default();
    world.add_token(BOTH, "both", r#"["acme", "other"]"#, r#"["read", "flush"]"#);
    let site = Site::of(settings(), &config::Limits::default(), world);
    site.furnish();
    let mut stray = details("nobody", "zoe", 9);
    stray.account_id = None;
    site.add([Registration::new(stray)]);
    site
}

/// What was asked to be flushed: accounts, and how many registrations of each.
fn asked(site: &Site) -> Vec<(Option<String>, usize)> {
    let asked = site.fake.asked.lock().unwrap();
    let part = |request: &crate::flush::Request| {
        let account = request.actor.account_id.clone();
        (account, request.registrations.len())
    };
    assert!(
        asked
            .iter()
            .all(|request| request.exactly && request.further.is_empty())
    );
    asked.iter().map(part).collect()
}

#[tokio::test]
async fn each_account_is_flushed_by_itself() {
    let site = site();
    let dry = site
        .delete(&format!("{LIST}?q=sip:&dry_run=true"))
        .answer()
        .await;
    assert_eq!(dry.header("x-would-flush"), Some("5"));
    assert!(asked(&site).is_empty());
    let answer = site.delete(&format!("{LIST}?q=sip:")).answer().await;
    assert_eq!(answer.header("x-flushed"), Some("5"));
    let own = |id: &str| Some(id.to_owned());
    assert_eq!(
        asked(&site),
        [(None, 1), (own("acme"), 3), (own("other"), 1)]
    );
    for request in &*site.fake.asked.lock().unwrap() {
        assert_eq!(request.actor.filters, "q=sip:");
        assert_eq!(request.actor.request_id, "request-1");
    }
}

#[tokio::test]
async fn a_caller_reaches_what_its_list_shows() {
    let site = site();
    for (token, status, expected) in [
        (
            BOTH,
            StatusCode::OK,
            vec![(Some("acme"), 3), (Some("other"), 1)],
        ),
        ("acme-token", StatusCode::OK, vec![(Some("acme"), 3)]),
        ("read-token", StatusCode::FORBIDDEN, vec![]),
        ("top-token", StatusCode::FORBIDDEN, vec![]),
    ] {
        site.fake.asked.lock().unwrap().clear();
        let ask = site.delete(&format!("{LIST}?q=sip:")).with_token(token);
        assert_eq!(ask.answer().await.status, status, "{token}");
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(id, number): (Option<&str>, _)| (id.map(str::to_owned), number))
            .collect();
        assert_eq!(asked(&site), expected, "{token}");
    }
}

#[tokio::test]
async fn nobody_flushes_everything_by_a_slip() {
    let site = site();
    for query in ["", "?dry_run=true", "?q=", "?q=+", "?pretty_print=true"] {
        let answer = site.delete(&format!("{LIST}{query}")).answer().await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
    }
    let answer = site.delete(LIST).answer().await;
    insta::assert_snapshot!(answer.show());
    for query in [
        "?keep_newest=1",
        "?q=a&sort=ruid",
        "?Q=a",
        "?q=ip:a",
        "?ruids=",
    ] {
        let answer = site.delete(&format!("{LIST}{query}")).answer().await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
    }
    assert!(asked(&site).is_empty());
    let nobody = site
        .delete(&format!("{LIST}?q=nobody@nowhere"))
        .answer()
        .await;
    assert_eq!(nobody.header("x-flushed"), Some("0"));
    assert_eq!(asked(&site), [(None, 0)], "the audit has it all the same");
    let nobody = site
        .delete(&format!("{LIST}?q=nobody@nowhere"))
        .with_token(BOTH);
    assert_eq!(nobody.answer().await.status, StatusCode::OK);
}

#[tokio::test]
async fn ruids_choose_in_query_and_body() {
    let site = site();
    let all = site.get(LIST).answer().await.data();
    let ruid = |at: usize| all[at]["ruid"].as_str().unwrap().to_owned();
    let (alice, zoe) = (ruid(0), ruid(4));
    let query = format!("{LIST}?ruids={alice},gone,{zoe}");
    let answer = site.delete(&query).answer().await;
    assert_eq!(answer.header("x-flushed"), Some("2"));
    let body = json!({"data": {"ruids": [zoe, "gone"]}}).to_string();
    let answer = site.delete(LIST).body(body).answer().await;
    assert_eq!(answer.header("x-flushed"), Some("1"));
    let body = json!({"verb": "delete", "ruids": [zoe, alice]}).to_string();
    let tunnel = site
        .ask(Method::POST, &format!("{LIST}?ruids={zoe}"))
        .body(body);
    assert_eq!(
        tunnel.answer().await.header("x-flushed"),
        Some("1"),
        "both must hold"
    );
    let filters: Vec<_> = site
        .fake
        .asked
        .lock()
        .unwrap()
        .iter()
        .map(|one| one.actor.filters.clone())
        .collect();
    assert_eq!(
        filters,
        ["ruids=3", "ruids=3", "ruids=2", "ruids=1&ruids=2"]
    );
}

#[tokio::test]
async fn what_failed_of_any_account_is_told() {
    let site = site();
    for (kind, status) in [(Unconfirmed, 502), (Unreachable, 503)] {
        *site.fake.failures.lock().unwrap() = vec![failure("bob@acme.example.com", kind)];
        let answer = site.delete(&format!("{LIST}?q=sip:")).answer().await;
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.data()["failed_total"], 3, "of each of the three");
    }
}

#[tokio::test]
async fn the_order_of_checks_is_the_same() {
    let site = site();
    for (token, query, status) in [
        ("no-token", "", 401),
        ("read-token", "", 403),
        ("ops-token", "", 400),
    ] {
        let answer = site.delete(&format!("{LIST}{query}")).with_token(token);
        assert_eq!(answer.answer().await.status.as_u16(), status, "{token}");
    }
    let count = site.delete(&format!("{LIST}/count?q=a")).answer().await;
    assert_eq!(count.status, StatusCode::METHOD_NOT_ALLOWED);
}
