//! `POST /v2/accounts/{A}/registrations/{USERNAME}/notify` and `…/devices/{DEVICE_ID}/sync`

use http::{Method, StatusCode};

use super::site::{ACME, Answer, Ask, Site, phone};
use crate::notify::Outcome;

const BOB: &str = "/v2/accounts/acme/registrations/bob/notify";
const CHECK_SYNC: &str = r#"{"data": {"event": "check-sync"}}"#;

fn post<'a>(site: &'a Site, uri: &str) -> Ask<'a> {
    site.ask(Method::POST, uri).body(CHECK_SYNC)
}

fn answered(code: u16, reason: &str) -> Outcome {
    let reason = reason.to_owned();
    Outcome::Answered { code, reason }
}

/// The answer for two phones that do this.
async fn answer(outcomes: [Outcome; 2]) -> Answer {
    let site = Site::furnished();
    *site.fake.outcomes.lock().unwrap() = outcomes.to_vec();
    post(&site, BOB).with_token(ACME).answer().await
}

#[tokio::test]
async fn a_phone_that_accepts_makes_it_a_success() {
    let silent = Outcome::Silent { within: None };
    let answer = answer([answered(200, "OK\u{7}"), silent]).await;
    insta::assert_snapshot!(answer.show());
}

#[tokio::test]
async fn silence_and_refusals_are_told_apart() {
    let silent = || Outcome::Silent { within: None };
    let failed = || Outcome::Failed("not sent: because".to_owned());
    for (outcomes, status, message) in [
        ([silent(), silent()], 504, "phone_timeout"),
        ([silent(), answered(486, "Busy Here")], 502, "notify_failed"),
        (
            [answered(302, "Moved"), answered(600, "No")],
            502,
            "notify_failed",
        ),
        ([failed(), silent()], 502, "notify_failed"),
        ([failed(), failed()], 502, "notify_failed"),
    ] {
        let answer = answer(outcomes).await;
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.json()["message"], message);
        assert_eq!(answer.header("x-notified"), Some("0"));
        assert_eq!(answer.data().as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn the_request_says_who_asks_for_what() {
    let site = Site::furnished();
    *site.fake.outcomes.lock().unwrap() = vec![answered(200, "OK")];
    let uri = "/v2/accounts/acme/devices/device-bob/sync?filter_cseq=7&auth_token=x";
    let answer = post(&site, uri)
        .body(r#"{"reboot": true, "ui_metadata": {}}"#)
        .with_token(ACME)
        .answer()
        .await;
    assert_eq!(answer.header("x-notified"), Some("2"));
    let asked = site.fake.notified.lock().unwrap();
    assert_eq!(asked[0].event.to_string(), "check-sync;reboot=true");
    assert_eq!(asked[0].registrations.len(), 2);
    insta::assert_debug_snapshot!(asked[0].actor);
}

#[tokio::test]
async fn a_device_is_known_by_the_directory_or_a_phone() {
    let site = Site::furnished();
    let answer = post(&site, "/v2/accounts/acme/devices/d9/sync")
        .answer()
        .await;
    assert_eq!(answer.header("x-notified"), Some("0"));
    assert_eq!(answer.data(), serde_json::json!([]));
    // Another account's.
    for device in ["device-carol", "nobody"] {
        let uri = format!("/v2/accounts/acme/devices/{device}/sync");
        let answer = post(&site, &uri).answer().await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(answer.data()["cause"], device);
    }
}

#[tokio::test]
async fn nobody_is_asked_in_doubt() {
    let site = Site::furnished();
    site.add([phone("acme", "empty", 9)]);
    for uri in [
        "?dry_run=maybe",
        "?keep_newest=1",
        "?event=resync",
        "?filter_x=1",
    ] {
        let answer = post(&site, &format!("{BOB}{uri}")).answer().await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{uri}");
    }
    let answer = post(&site, &format!("{BOB}?dry_run=true")).answer().await;
    assert_eq!(answer.header("x-would-notify"), Some("2"));
    let answer = post(&site, BOB).with_token("read-token").answer().await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let answer = post(&site, BOB).header("origin", "https://evil.example.net");
    assert_eq!(answer.answer().await.status, StatusCode::FORBIDDEN);
    let answer = site.ask(Method::POST, BOB).body(r#"{"verb": "delete"}"#);
    assert_eq!(answer.answer().await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(site.fake.notified.lock().unwrap().is_empty());
    assert!(site.fake.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_defect_is_a_fault() {
    let site = Site::furnished();
    site.fake
        .panics
        .store(true, std::sync::atomic::Ordering::Relaxed);
    let answer = post(&site, BOB).answer().await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
}
