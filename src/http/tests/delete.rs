//! `DELETE /v2/accounts/{A}/registrations` and `…/{USERNAME}`

use http::StatusCode;

use super::site::{ACME, Site, details, failure, phone};
use crate::flush::FailureKind::{self, Timeout, Unconfirmed, Unreachable};
use crate::registration::Registration;

const LIST: &str = "/v2/accounts/acme/registrations";

fn picked(site: &Site) -> Vec<String> {
    let asked = site.fake.asked.lock().unwrap();
    let request = asked.last().unwrap();
    let aor = |one: &std::sync::Arc<crate::registration::Registration>| {
        one.binding.address_of_record().name().lossy().into_owned()
    };
    request.registrations.iter().map(aor).collect()
}

#[tokio::test]
async fn flushes_an_account() {
    let site = Site::furnished();
    let answer = site.delete(LIST).with_token(ACME).answer().await;
    insta::assert_snapshot!(answer.show());
    assert_eq!(
        picked(&site),
        [
            "alice@acme.example.com",
            "bob@acme.example.com",
            "bob@acme.example.com"
        ]
    );
    let asked = site.fake.asked.lock().unwrap();
    assert!(asked[0].further.is_empty());
    insta::assert_debug_snapshot!(asked[0].actor);
}

#[tokio::test]
async fn flushes_a_user_and_asks_for_what_has_no_row_yet() {
    let site = Site::furnished();
    let answer = site.delete(&format!("{LIST}/BOB")).answer().await;
    assert_eq!(answer.header("x-flushed"), Some("2"));
    assert_eq!(
        picked(&site),
        ["bob@acme.example.com", "bob@acme.example.com"]
    );
    assert_eq!(
        site.fake.asked.lock().unwrap()[0].further,
        [("bob".into(), Some("acme.example.com".into()))],
        "in other tables it may be on its way"
    );

    let answer = site.delete(&format!("{LIST}/Offline")).answer().await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("x-flushed"), Some("0"));
    let asked = site.fake.asked.lock().unwrap();
    assert_eq!(
        asked[1].further,
        [("Offline".into(), Some("acme.example.com".into()))],
        "as the directory has it; Kamailio may be case-sensitive"
    );
    assert_eq!(asked[1].actor.username.as_deref(), Some("Offline"));
}

#[tokio::test]
async fn a_user_with_addresses_in_two_domains_is_flushed_from_both() {
    let site = Site::furnished();
    let mut elsewhere = details("acme", "bob", 7);
    let mut binding = (*elsewhere.binding).clone();
    binding.domain = Some("pbx.acme.example.com".into());
    elsewhere.binding = binding.into();
    site.add([Registration::new(elsewhere)]);
    site.registry.apply([crate::registration::Change::Remove(
        phone("acme", "bob", 7).binding.key.clone(),
    )]);
    site.delete(&format!("{LIST}/bob")).answer().await;
    assert_eq!(
        site.fake.asked.lock().unwrap()[0].further,
        ["acme.example.com", "pbx.acme.example.com"]
            .map(|domain| ("bob".into(), Some(domain.into())))
    );
}

#[tokio::test]
async fn an_unknown_user_is_not_found() {
    let site = Site::furnished();
    let answer = site.delete(&format!("{LIST}/ghost")).answer().await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.data(), serde_json::json!(["ghost"]));
    assert!(site.fake.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_empty_account_is_flushed_of_nothing() {
    let site = Site::furnished();
    let answer = site
        .delete("/v2/accounts/empty/registrations")
        .answer()
        .await;
    assert_eq!(answer.data(), "ok");
    assert_eq!(answer.header("x-flushed"), Some("0"));
}

#[tokio::test]
async fn failures_are_told() {
    let site = Site::furnished();
    for (kinds, name) in [
        (vec![Unreachable, Unreachable], "unreachable"),
        (vec![Timeout, Timeout], "timeout"),
        (vec![Unconfirmed, Timeout], "incomplete"),
    ] {
        let failures = kinds
            .into_iter()
            .map(|kind| failure("bob@acme.example.com", kind));
        *site.fake.failures.lock().unwrap() = failures.collect();
        insta::assert_snapshot!(name, site.delete(LIST).answer().await.show());
    }
}

#[tokio::test]
async fn a_hundred_failures_are_named() {
    let site = Site::furnished();
    let failures = (0..250).map(|n| failure(&format!("u{n}"), FailureKind::Unconfirmed));
    *site.fake.failures.lock().unwrap() = failures.collect();
    let data = site.delete(LIST).answer().await.data();
    assert_eq!(data["failed"].as_array().unwrap().len(), 100);
    assert_eq!(data["failed_total"], 250);
}

#[tokio::test]
async fn nothing_doubtful_flushes() {
    let site = Site::furnished();
    for query in [
        "x=1",
        "page_size=1",
        "start_key=x",
        "filter_x=1",
        "filter=1",
        "Filter_username=bob",
        "dry_run",
        "dry_run=1",
        "dry_run=True",
        "dry_run=true&dry_run=false",
        "verb=get",
        "modified_from=x",
        "has_key=nothing",
        "user_agent=x",
    ] {
        for path in [LIST, "/v2/accounts/acme/registrations/bob"] {
            let answer = site.delete(&format!("{path}?{query}")).answer().await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
            assert_eq!(answer.json()["message"], "validation error");
        }
    }
    for body in [
        r#"{"dry_run": true}"#,
        r#"{"data": {"filter_username": "bob"}}"#,
        "[1]",
        "{",
    ] {
        let answer = site.delete(LIST).body(body.to_owned()).answer().await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
    }
    assert!(site.fake.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_flush_that_panics_is_a_fault_with_an_id() {
    let site = Site::furnished();
    site.fake
        .panics
        .store(true, std::sync::atomic::Ordering::Relaxed);
    let answer = site.delete(LIST).answer().await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.json()["message"], "unspecified_fault");
    assert_eq!(answer.header("x-request-id"), Some("request-1"));
}

#[tokio::test]
async fn every_answer_is_shown() {
    let site = Site::furnished();
    let user = format!("{LIST}/bob");
    for (name, ask) in [
        ("user", site.delete(&user)),
        ("dry_run", site.delete(&format!("{LIST}?dry_run=true"))),
        ("user_dry_run", site.delete(&format!("{user}?dry_run=true"))),
        (
            "filtered",
            site.delete(&format!("{LIST}?filter_username=bob")),
        ),
        ("no_token", site.delete(&user).without("x-auth-token")),
        ("forbidden", site.delete(&user).with_token("read-token")),
        (
            "unknown_account",
            site.delete("/v2/accounts/nowhere/registrations/bob"),
        ),
        ("unknown_user", site.delete(&format!("{LIST}/ghost"))),
        ("bad_dry_run", site.delete(&format!("{user}?dry_run=1"))),
        (
            "contradiction",
            site.delete(&format!("{LIST}?dry_run=true&dry_run=false")),
        ),
        ("bad_filter", site.delete(&format!("{user}?filter_x=1"))),
        (
            "filter_in_body",
            site.delete(LIST)
                .body(r#"{"data": {"filter_username": "bob"}}"#),
        ),
        ("bad_body", site.delete(&user).body("{")),
        (
            "token_in_body",
            site.delete(LIST)
                .without("x-auth-token")
                .body(r#"{"data": {"auth_token": "acme-token"}}"#),
        ),
    ] {
        insta::assert_snapshot!(name, ask.answer().await.show());
    }
    site.fake
        .panics
        .store(true, std::sync::atomic::Ordering::Relaxed);
    insta::assert_snapshot!("fault", site.delete(&user).answer().await.show());
}

/// How many a dry run would flush with this body, or what is refused.
async fn would_flush(site: &Site, target: &str, body: &str) -> Result<String, String> {
    let answer = site
        .delete(&format!("{target}?dry_run=true"))
        .body(body.to_owned())
        .answer()
        .await;
    match answer.header("x-would-flush") {
        Some(number) => Ok(number.to_owned()),
        None => Err(answer.json()["error"].to_string()),
    }
}

#[tokio::test]
async fn ruids_in_the_body_choose_among_what_the_query_selects() {
    let site = Site::furnished();
    let items = site.get(LIST).answer().await.json();
    let ruid = |number: usize| items["data"][number]["ruid"].as_str().unwrap().to_owned();
    let one = format!(r#"{{"data": {{"ruids": ["{}", "of-nobody"]}}}}"#, ruid(1));
    assert_eq!(would_flush(&site, LIST, &one).await.as_deref(), Ok("1"));
    assert_eq!(
        would_flush(&site, &format!("{LIST}/alice"), &one)
            .await
            .as_deref(),
        Ok("0")
    );
    assert_eq!(
        would_flush(&site, &format!("{LIST}/bob"), &one)
            .await
            .as_deref(),
        Ok("1")
    );
    let answer = site
        .delete(&format!("{LIST}?filter_username=bob"))
        .body(one.clone())
        .answer()
        .await;
    assert_eq!(answer.header("x-flushed"), Some("1"));
    let asked = site.fake.asked.lock().unwrap();
    let request = asked.last().unwrap();
    assert!(request.exactly && request.further.is_empty());
    assert_eq!(request.registrations[0].binding.key.ruid.0.lossy(), ruid(1));
    assert_eq!(request.actor.filters, "filter_username=bob&ruids=2");
}

#[tokio::test]
async fn a_body_that_may_be_meant_to_narrow_a_flush_is_refused() {
    let site = Site::furnished();
    for body in [
        r#"{"data": {"ruids": []}}"#,
        r#"{"data": {"ruids": "x"}}"#,
        r#"{"data": {"ruid": "x"}}"#,
        r#"{"data": {"username": "bob"}}"#,
        r#"{"q": "bob"}"#,
        r#"{"foo": 1}"#,
        r#"{"data": []}"#,
    ] {
        for target in [LIST.to_owned(), format!("{LIST}/bob")] {
            let refused = would_flush(&site, &target, body).await;
            assert_eq!(refused, Err("\"400\"".to_owned()), "{body}");
        }
        let tunnel = body.replacen('{', r#"{"verb": "delete", "#, 1);
        let answer = site
            .ask(http::Method::POST, LIST)
            .body(tunnel.clone())
            .answer()
            .await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{tunnel}");
    }
    assert!(site.fake.asked.lock().unwrap().is_empty());
}
