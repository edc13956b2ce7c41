//! `GET /readyz`: why not.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use super::site::{NOW, Site};
use crate::registry::{SourceReport, SourceState};

#[tokio::test]
async fn says_why_it_is_not_ready() {
    let site = Site::new();
    let at = |seconds| Some(Duration::from_secs(NOW - seconds));
    for (state, as_of, word) in [
        (SourceState::Unavailable, None, "have never been read"),
        (SourceState::Stale, at(1), "cannot be read now"),
        (SourceState::CatchingUp, None, "being compared row by row"),
        (
            SourceState::Live,
            at(12),
            "is 12000 ms old; [http] max_lag allows 10000 ms",
        ),
    ] {
        site.registry.report(SourceReport { state, as_of });
        let answer = site.get("/readyz").without("x-auth-token").answer().await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        let body = answer.json();
        assert_eq!(body["status"], "unavailable");
        assert_eq!(body["max_lag_ms"], 10_000);
        let reason = body["reason"].as_str().unwrap();
        assert!(reason.contains(word), "{reason}");
    }
    let (state, as_of) = (SourceState::Live, at(10));
    site.registry.report(SourceReport { state, as_of });
    let answer = site.get("/readyz").answer().await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["reason"], Value::Null);
}

#[tokio::test]
async fn a_source_that_compares_may_be_three_cycles_old() {
    let site = Site::new();
    let (state, as_of) = (SourceState::Live, Some(Duration::from_secs(NOW - 40)));
    site.registry.report(SourceReport { state, as_of });
    for (cycle, status) in [
        (13_000, StatusCode::SERVICE_UNAVAILABLE),
        (14_000, StatusCode::OK),
    ] {
        site.registry.cycle().store(cycle, Ordering::Relaxed);
        let answer = site.get("/readyz").answer().await;
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.json()["max_lag_ms"], cycle * 3);
    }
}
