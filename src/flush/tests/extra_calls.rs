//! Further calls.

use super::fake::Answer;
use super::site::{Site, reasons};
use crate::config::{AlsoCall, Param};

fn call(method: &str, params: &[&str]) -> AlsoCall {
    AlsoCall {
        method: method.to_owned(),
        params: params
            .iter()
            .map(|text| Param::Text((*text).to_owned()))
            .collect(),
    }
}

async fn site() -> Site {
    let also = vec![
        call("htable.delete", &["auth_cache", "{aor}"]),
        call("user.forget", &["{username}"]),
        call("realm.forget", &["x-{realm}"]),
        call("htable.reload", &["all"]),
    ];
    let site = Site::with(also).await;
    for (user, ruid) in [("alice", "a1"), ("alice", "a2"), ("bob", "b1")] {
        site.phone("acme", user, ruid);
    }
    site
}

const METHODS: [&str; 4] = [
    "htable.delete",
    "user.forget",
    "realm.forget",
    "htable.reload",
];

#[tokio::test]
async fn each_is_made_once_and_those_of_all_at_the_end() {
    let site = site().await;
    site.fake.bend(|_, method, _| {
        let ours = METHODS.contains(&method);
        ours.then(|| Answer::Result(serde_json::json!({})))
    });
    let outcome = site.flush().await;
    assert_eq!((outcome.flushed, reasons(&outcome)), (3, vec![]));
    let mut calls = site.fake.calls(&METHODS);
    calls[..4].sort();
    assert_eq!(
        calls,
        [
            "htable.delete auth_cache alice@acme.example.com",
            "htable.delete auth_cache bob@acme.example.com",
            "user.forget alice",
            "user.forget bob",
            "realm.forget x-acme.example.com",
            "htable.reload all",
        ]
    );
    let all = site.fake.memory().calls.clone();
    let place = |call: &str| all.iter().rposition(|one| one.starts_with(call)).unwrap();
    assert!(place("realm.forget") > place("ul.rm"));
}

#[tokio::test]
async fn a_refusal_is_no_failure() {
    let site = site().await;
    let outcome = site.flush().await;
    assert_eq!((outcome.flushed, reasons(&outcome)), (3, vec![]));
    assert_eq!(site.fake.calls(&METHODS).len(), 6);
}

#[tokio::test]
async fn a_fault_is_said_and_what_is_gone_stays_hidden() {
    let site = site().await;
    site.fake.bend(|_, method, params| {
        let cut = method == "realm.forget" || (method == "user.forget" && params[0] == "bob");
        cut.then_some(Answer::Cut)
    });
    let outcome = site.flush().await;
    assert_eq!(outcome.flushed, 3);
    let mut said = reasons(&outcome);
    said.sort();
    assert_eq!(
        said,
        [
            "alice@acme.example.com: removed, but the extra call realm.forget failed: Kamailio's answer cannot be parsed",
            "bob@acme.example.com: removed, but the extra call user.forget failed: Kamailio's answer cannot be parsed",
        ]
    );
    assert!(site.ruids().is_empty());
}

#[tokio::test]
async fn none_is_made_for_what_is_another_accounts() {
    let site = site().await;
    let bob = site.registry.get(&super::site::key("b1")).unwrap();
    site.put("globex", (*bob.binding).clone());
    let outcome = site.flush_user("acme", "bob").await;
    assert_eq!(outcome.flushed, 0);
    assert!(site.fake.calls(&METHODS).is_empty());
}

#[tokio::test]
async fn none_is_made_where_nothing_was_removed() {
    let site = site().await;
    site.fake.answers("ul.rm", || Answer::Error(500, "no"));
    assert_eq!(site.flush().await.flushed, 0);
    assert!(site.fake.calls(&METHODS).is_empty());
}
