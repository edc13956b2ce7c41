//! `GET /livez`, `/readyz`, `/metrics`

use std::time::Duration;

use http::{Method, StatusCode};

use super::site::{NOW, Site};
use crate::registry::{SourceReport, SourceState};

#[tokio::test]
async fn lives_without_a_token() {
    let site = Site::new();
    let answer = site.get("/livez").without("x-auth-token").answer().await;
    assert_eq!(
        (answer.status, answer.text()),
        (StatusCode::OK, r#"{"status":"ok"}"#)
    );
}

#[tokio::test]
async fn is_ready_while_the_view_follows() {
    let site = Site::new();
    let answer = site.get("/readyz").without("x-auth-token").answer().await;
    insta::assert_snapshot!(answer.show());
    let as_of = Some(Duration::from_secs(NOW));
    for (state, as_of, status) in [
        (SourceState::CatchingUp, as_of, StatusCode::OK),
        (
            SourceState::CatchingUp,
            None,
            StatusCode::SERVICE_UNAVAILABLE,
        ),
        (SourceState::Stale, as_of, StatusCode::SERVICE_UNAVAILABLE),
        (
            SourceState::Unavailable,
            None,
            StatusCode::SERVICE_UNAVAILABLE,
        ),
        (
            SourceState::Live,
            Some(Duration::from_secs(NOW - 11)),
            StatusCode::SERVICE_UNAVAILABLE,
        ),
    ] {
        site.registry.report(SourceReport { state, as_of });
        let answer = site.get("/readyz").answer().await;
        assert_eq!(answer.status, status, "{state:?}");
        assert_eq!(answer.json()["source"]["state"], state.as_str());
    }
}

#[tokio::test]
async fn metrics_are_text() {
    let site = Site::new();
    let answer = site.get("/metrics").without("x-auth-token").answer().await;
    let line = "usrlocd_source_state{state=\"live\"} 1";
    assert!(answer.text().lines().any(|own| own == line));
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let open = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    let answer = site.get("/metrics").header("accept", open).answer().await;
    assert!(answer.text().ends_with("# EOF\n"));
    assert_eq!(
        answer.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
}

#[tokio::test]
async fn can_only_be_got() {
    let site = Site::new();
    for path in ["/livez", "/readyz", "/metrics", "/openapi.json"] {
        for path in [path.to_owned(), format!("{path}/")] {
            let bare = |method| site.ask(method, &path).without("x-auth-token");
            let get = bare(Method::GET).answer().await;
            assert_eq!(get.status, StatusCode::OK, "{path}");
            let head = bare(Method::HEAD).answer().await;
            assert_eq!(head.status, StatusCode::OK);
            assert!(head.body.is_empty());
            assert_eq!(head.header("content-type"), get.header("content-type"));
            let options = bare(Method::OPTIONS).answer().await;
            assert_eq!(options.status, StatusCode::NO_CONTENT);
            let answer = bare(Method::POST).answer().await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(answer.json()["message"], "invalid_method");
            for answer in [options, answer] {
                assert_eq!(answer.header("allow"), Some("GET, HEAD, OPTIONS"));
                assert_eq!(answer.header("x-request-id"), Some("request-1"));
            }
        }
    }
    let answer = site.ask(Method::DELETE, "/readyz").answer().await;
    insta::assert_snapshot!(answer.show());
}
