//! Rows that stay in the table.

use std::time::Duration;

use super::fake::Answer;
use super::site::{NOW, Site, reasons};
use crate::metrics::{Figures, Format};
use crate::rate_limited::RateLimited;
use crate::registration::Change;
use crate::registry::SourceState;

/// What is counted of rows that stay: how many, and until when.
fn counted(site: &Site) -> (String, String) {
    let metrics = &site.flusher.parts.metrics;
    let text = metrics.text(Format::Prometheus, &Figures::default());
    let value = |name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name));
        found.unwrap().trim().to_owned()
    };
    (
        value("usrlocd_flush_leftover_rows "),
        value("usrlocd_flush_leftover_until_timestamp_seconds "),
    )
}

async fn look(site: &Site) {
    site.flusher.recheck_once(&mut RateLimited::default()).await;
}

/// A Kamailio that forgets an address of record with its last contact, as one that writes through does.
fn writes_through(site: &Site) {
    site.fake.bend(|memory, method, params| {
        (method == "ul.rm").then(|| {
            memory.forget(params[1].as_str().unwrap());
            Answer::Result(serde_json::json!({}))
        })
    });
}

#[tokio::test]
async fn write_back_has_time_and_is_watched() {
    let site = Site::new().await;
    let row = site.phone("acme", "alice", "a1");
    assert_eq!(site.flush().await.flushed, 1);
    look(&site).await;
    assert_eq!(counted(&site).0, "0");
    site.clock.advance(Duration::from_secs(91));
    look(&site).await;
    assert_eq!(counted(&site), ("1".to_owned(), (NOW + 600).to_string()));
    assert!(site.ruids().is_empty(), "it stays hidden");
    // Also after a restart.
    let site = site.restarted(&[("acme", row)]).await;
    site.clock.advance(Duration::from_secs(91));
    look(&site).await;
    assert_eq!(counted(&site).0, "1");
    site.registry
        .apply([Change::Remove(super::site::key("a1"))]);
    look(&site).await;
    assert_eq!(counted(&site), ("0".to_owned(), "0".to_owned()));
}

#[tokio::test]
async fn write_through_fails_for_it() {
    let site = Site::new().await;
    site.phone("acme", "alice", "a1");
    site.phone("acme", "bob", "b1");
    writes_through(&site);
    let outcome = site.flush().await;
    assert_eq!(outcome.flushed, 0);
    let reasons = reasons(&outcome);
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    let reason = "alice@acme.example.com: Kamailio has removed the contact, but its row is still in the table; a restart of Kamailio before 2023-11-14T22:23:20Z would restore it";
    assert_eq!(reasons[0], reason);
    assert_eq!(site.ruids(), ["a1", "b1"]);
    assert!(site.hidden().await.is_empty(), "also after a restart");
    look(&site).await;
    assert_eq!(counted(&site).0, "2");
    site.clock.advance(Duration::from_mins(10));
    look(&site).await;
    assert_eq!(counted(&site).0, "0", "nobody loads what has expired");
}

#[tokio::test]
async fn a_table_that_cannot_be_read_proves_nothing() {
    let site = Site::new().await;
    site.phone("acme", "alice", "a1");
    writes_through(&site);
    site.reads(SourceState::Stale);
    assert_eq!(site.flush().await.flushed, 1);
    assert!(site.ruids().is_empty());
}
