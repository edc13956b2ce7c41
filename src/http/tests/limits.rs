//! Rates.

use std::time::Duration;

use http::{Method, StatusCode};

use super::site::{ACME, OPS, Site, settings};
use crate::config::{Bucket, Limits};
use crate::http::auth::peer::Peer;

const LIST: &str = "/v2/accounts/acme/registrations";

fn site(requests: u32, deletes: u32, failures: u32) -> Site {
    let bucket = |burst| Bucket {
        burst,
        per_second: 0.5,
    };
    let limits = Limits {
        requests: bucket(requests),
        deletes: bucket(deletes),
        failures: bucket(failures),
        ..Limits::default()
    };
    let site = Site::with(settings(), &limits);
    site.furnish();
    site
}

fn host(last: u8) -> Peer {
    Peer::Host([192, 0, 2, last].into())
}

#[tokio::test]
async fn a_client_that_asks_too_often_is_told_when_to_come_back() {
    let site = site(2, 9, 9);
    for _ in 0..2 {
        assert_eq!(site.get(LIST).answer().await.status, StatusCode::OK);
    }
    let answer = site.get(LIST).answer().await;
    insta::assert_snapshot!(answer.show());
    assert_eq!(site.get("/livez").answer().await.status, StatusCode::OK);
    assert_eq!(site.get("/readyz").answer().await.status, StatusCode::OK);
    site.clock.advance(Duration::from_secs(2));
    assert_eq!(site.get(LIST).answer().await.status, StatusCode::OK);
}

#[tokio::test]
async fn each_pair_of_token_and_client_has_a_bucket() {
    let site = site(2, 1, 9);
    let get = async |token: &str, peer: Peer| {
        let answer = site.get(LIST).with_token(token).coming_from(peer).answer();
        answer.await.status.as_u16()
    };
    let delete = async |token: &str, peer: Peer| {
        let answer = site
            .delete(LIST)
            .with_token(token)
            .coming_from(peer)
            .answer();
        answer.await.status.as_u16()
    };
    for _ in 0..5 {
        get(ACME, host(1)).await;
        delete(ACME, host(1)).await;
    }
    assert_eq!(get(ACME, host(1)).await, 429, "it was busy");
    assert_eq!(delete(ACME, host(1)).await, 429);
    // No other token on that host starves, nor the same token on another one.
    for (token, peer) in [(OPS, host(1)), (ACME, host(2)), (OPS, host(2))] {
        assert_eq!(delete(token, peer).await, 200, "{token} {peer}");
        assert_eq!(get(token, peer).await, 200, "{token} {peer}");
        assert_eq!(get(token, peer).await, 429, "{token} {peer}");
    }
}

/// On the socket the user counts, whatever token is brought; who has no rights there is counted by user and token.
#[tokio::test]
async fn on_the_socket_users_have_buckets() {
    let site = site(1, 9, 9);
    let get = async |uid, trusted, token: Option<&str>| {
        let ask = site.get(LIST).coming_from(Peer::Process { uid, trusted });
        let ask = match token {
            Some(token) => ask.with_token(token),
            None => ask.without("x-auth-token"),
        };
        ask.answer().await.status.as_u16()
    };
    assert_eq!(get(0, true, None).await, 200);
    assert_eq!(get(0, true, None).await, 429);
    assert_eq!(
        get(0, true, Some(ACME)).await,
        429,
        "a token makes no new one"
    );
    assert_eq!(get(7, true, None).await, 200);
    for uid in [8, 9] {
        for token in [ACME, OPS] {
            assert_eq!(get(uid, false, Some(token)).await, 200);
            assert_eq!(get(uid, false, Some(token)).await, 429);
        }
    }
}

#[tokio::test]
async fn refused_tokens_never_hurt_a_good_one() {
    let site = site(1000, 9, 2);
    let bad = async || site.get(LIST).with_token("wrong").answer().await;
    assert_eq!(bad().await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(bad().await.status, StatusCode::UNAUTHORIZED);
    let answer = bad().await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.header("retry-after"), Some("2"));
    assert_eq!(site.get(LIST).answer().await.status, StatusCode::OK);
    let answer = site
        .get(LIST)
        .with_token("wrong")
        .coming_from(host(9))
        .answer()
        .await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn flushes_have_a_bucket_and_dry_runs_are_free() {
    let site = site(1000, 1, 9);
    for _ in 0..5 {
        let answer = site.delete(&format!("{LIST}?dry_run=true")).answer().await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    assert_eq!(site.delete(LIST).answer().await.status, StatusCode::OK);
    let answer = site.delete(LIST).answer().await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(site.get(LIST).answer().await.status, StatusCode::OK);
    assert_eq!(site.fake.asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn those_without_a_good_token_take_nothing_from_those_with_one() {
    let site = site(2, 1, 1);
    let mut refused = 0;
    for _ in 0..50 {
        for ask in [
            site.delete(LIST).without("x-auth-token"),
            site.delete(LIST).with_token("wrong"),
            site.get(LIST).without("x-auth-token"),
            site.ask(Method::OPTIONS, LIST).without("x-auth-token"),
            site.get("/nothing"),
        ] {
            let status = ask.answer().await.status;
            refused += usize::from(status == StatusCode::TOO_MANY_REQUESTS);
        }
    }
    assert_eq!(refused, 250 - 2, "they have a limit of their own");
    assert_eq!(site.get(LIST).answer().await.status, StatusCode::OK);
    assert_eq!(site.delete(LIST).answer().await.status, StatusCode::OK);
    let answer = site.get(LIST).answer().await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn every_bucket_that_is_empty_says_so() {
    let deletes = site(9, 1, 9);
    deletes.delete(LIST).answer().await;
    let failures = site(9, 9, 1);
    failures.get(LIST).with_token("wrong").answer().await;
    let strangers = site(1, 9, 9);
    strangers.get(LIST).without("x-auth-token").answer().await;
    for (name, ask) in [
        ("deletes", deletes.delete(LIST)),
        ("failures", failures.get(LIST).with_token("wrong")),
        ("strangers", strangers.get(LIST).without("x-auth-token")),
    ] {
        insta::assert_snapshot!(name, ask.answer().await.show());
    }
}
