//! What is answered before the registry has what an earlier run kept.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};

use super::site::{NOW, Site, World, phone, settings};
use crate::config::Limits;
use crate::registration::{Registration, Tombstone};
use crate::registry::{SourceReport, SourceState};

const LIST: &str = "/v2/accounts/acme/registrations";

fn starting() -> Site {
    Site::starting(settings(), &Limits::default(), World::default())
}

#[tokio::test]
async fn a_request_waits_for_the_view() {
    let site = starting();
    let restore = async {
        let health = site.get("/livez").answer().await;
        assert_eq!(health.status, StatusCode::OK);
        let health = site.get("/readyz").answer().await;
        assert_eq!(health.status, StatusCode::SERVICE_UNAVAILABLE);
        site.restore([phone("acme", "bob", 1), phone("acme", "alice", 2)]);
    };
    let (answer, ()) = tokio::join!(site.get(LIST).answer(), restore);
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["data"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_request_does_not_wait_for_ever() {
    let site = starting();
    let (list, flush) = tokio::join!(
        site.get(LIST).answer(),
        site.ask(Method::DELETE, LIST).answer()
    );
    for answer in [list, flush] {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.json()["message"], "datastore_unreachable");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
}

#[tokio::test]
async fn says_how_far_it_is_until_every_row_has_been_shown() {
    let site = starting();
    let source = |state, as_of| site.registry.report(SourceReport { state, as_of });
    let says = async |read, restored, total, words: &str| {
        let answer = site.get("/readyz").without("x-auth-token").answer().await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        let body = answer.json();
        assert_eq!(body["status"], "starting");
        let numbers = ["read", "restored", "total"].map(|key| body[key].as_u64());
        assert_eq!(numbers, [read, restored, total].map(Some));
        let reason = body["reason"].as_str().unwrap();
        assert!(reason.contains(words), "{reason}");
    };
    says(0, 0, 0, "read 0 rows of Kamailio's tables").await;
    site.registry.restored().expect(1_000_000);
    site.registry.restored().advance(1024);
    says(0, 1024, 1_000_000, "restored 1024 of 1000000 registrations").await;
    site.registry.restored().reach(1_000_000);
    let as_of = Some(Duration::from_secs(NOW - 1));
    source(SourceState::CatchingUp, as_of);
    site.registry.read_rows().reach(70);
    // What came since the previous run ended is not shown yet, however short a time ago that was.
    says(70, 1_000_000, 1_000_000, "compared 70 rows").await;
    source(SourceState::Live, as_of);
    let answer = site.get("/readyz").answer().await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["restored"], serde_json::Value::Null);
    source(SourceState::CatchingUp, as_of);
    assert_eq!(site.get("/readyz").answer().await.status, StatusCode::OK);
}

#[tokio::test]
async fn names_what_keeps_it_from_reading() {
    let site = starting();
    let cause = "the table \"location\" has no column ruid";
    site.registry.report_trouble(Some(cause.to_owned()));
    let as_of = Some(Duration::from_secs(NOW - 1));
    for (state, as_of) in [
        (SourceState::Unavailable, None),
        (SourceState::Stale, as_of),
    ] {
        site.registry.report(SourceReport { state, as_of });
        let answer = site.get("/readyz").answer().await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.json()["status"], "unavailable");
        let reason = answer.json()["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains(cause), "{reason}");
    }
}

/// Says that accounts can be asked for one by one, as of two seconds ago; of `gone` a phone went since.
fn begin_preload(site: &Site) {
    let gone = Tombstone {
        account: Some("gone".into()),
        username: "dave".into(),
        domain: None,
        at: NOW.cast_signed(),
    };
    let source = SourceReport {
        state: SourceState::CatchingUp,
        as_of: Some(Duration::from_secs(NOW - 2)),
    };
    site.registry.begin_preload(vec![gone], Vec::new(), source);
}

/// Brings the account that `site` is asked for; what it has is among `phones`.
async fn bring(site: &Site, phones: &[Registration]) {
    let account = site.registry.wanted().await;
    let is_its = |one: &&Registration| one.account_id.as_ref() == Some(&account);
    let rows = phones.iter().filter(is_its).cloned().map(Arc::new);
    let rows: Vec<_> = rows.collect();
    site.registry.preload(&account, Some(&rows));
}

#[tokio::test]
async fn an_account_is_answered_for_before_all_is_known() {
    let site = starting();
    begin_preload(&site);
    let phones = [phone("acme", "bob", 1), phone("acme", "alice", 2)];
    let (list, ()) = tokio::join!(site.get(LIST).answer(), bring(&site, &phones));
    assert_eq!(list.status, StatusCode::OK);
    assert_eq!(list.json()["data"].as_array().unwrap().len(), 2);
    assert_eq!(list.json()["source"]["state"], "catching_up");
    assert_eq!(list.json()["source"]["lag_ms"], 2000);
    let page = site.get(&format!("{LIST}?page_size=1")).answer().await;
    assert_eq!(page.json()["data"][0]["username"], "alice");
    assert!(page.json()["next_start_key"].is_string());
    let user = site.get(&format!("{LIST}/bob")).answer().await;
    assert_eq!(user.json()["data"][0]["username"], "bob");
    let nobody = site.get(&format!("{LIST}/nobody")).answer().await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
    let count = site.get(&format!("{LIST}/count")).answer().await;
    assert_eq!(count.json()["data"]["count"], 2);
    site.restore(phones);
    let all = site.get(&format!("{LIST}/count")).answer().await;
    assert_eq!(all.json()["revision"], count.json()["revision"]);
}

#[tokio::test]
async fn whether_an_account_is_known_is_told_early_too() {
    let site = starting();
    begin_preload(&site);
    let unknown = site.get("/v2/accounts/nowhere/registrations");
    let (unknown, ()) = tokio::join!(unknown.answer(), bring(&site, &[]));
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let gone = site.get("/v2/accounts/gone/registrations");
    let (gone, ()) = tokio::join!(gone.answer(), bring(&site, &[]));
    assert_eq!(gone.status, StatusCode::OK);
    assert_eq!(gone.json()["data"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn all_accounts_and_flushes_wait_for_all() {
    let site = starting();
    begin_preload(&site);
    let phones = [phone("acme", "bob", 1)];
    let (list, ()) = tokio::join!(site.get(LIST).answer(), bring(&site, &phones));
    assert_eq!(list.status, StatusCode::OK);
    let (all, flush) = tokio::join!(
        site.get("/v2/registrations").answer(),
        site.ask(Method::DELETE, LIST).answer()
    );
    assert_eq!(all.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(flush.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(site.fake.asked.lock().unwrap().is_empty());
    let ready = site.get("/readyz").answer().await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn an_account_that_is_not_brought_early_waits_for_all() {
    let site = starting();
    begin_preload(&site);
    let refuse = async {
        let account = site.registry.wanted().await;
        site.registry.preload(&account, None);
        site.restore([phone("acme", "bob", 1)]);
    };
    let (list, ()) = tokio::join!(site.get(LIST).answer(), refuse);
    assert_eq!(list.json()["data"].as_array().unwrap().len(), 1);
    assert_eq!(list.json()["source"]["state"], "live");
}
