//! What every route refuses, and in which order.

use http::{Method, StatusCode};

use super::site::{ACME, OPS, Site};
use crate::http::auth::peer::Peer;
use crate::registry::SourceReport;

const LIST: &str = "/v2/accounts/acme/registrations";

#[tokio::test]
async fn every_refusal_is_spelled_as_kazoo_does() {
    let site = Site::furnished();
    let put = site.ask(Method::PUT, LIST);
    for (name, ask) in [
        ("no_token", site.get(LIST).without("x-auth-token")),
        ("bad_token", site.get(LIST).with_token("wrong")),
        (
            "forbidden",
            site.get("/v2/accounts/other/registrations")
                .with_token(ACME),
        ),
        (
            "unknown_account",
            site.get("/v2/accounts/nowhere/registrations"),
        ),
        ("wrong_method", put),
        ("not_found", site.get("/v2/accounts/acme/devices")),
        ("bad_json", site.delete(LIST).body("{\"a\":\n nope}")),
        ("large_body", site.delete(LIST).body(" ".repeat(1025))),
        (
            "unknown_parameter",
            site.delete(&format!("{LIST}?fliter_username=bob")),
        ),
        (
            "ambiguous_account",
            site.get("/v2/account/registrations")
                .with_token("two-token"),
        ),
    ] {
        insta::assert_snapshot!(name, ask.answer().await.show());
    }
    site.registry.report(SourceReport::default());
    insta::assert_snapshot!("unavailable", site.get(LIST).answer().await.show());
}

#[tokio::test]
async fn the_first_that_fails_is_the_answer() {
    let site = Site::furnished();
    let unknown = "/v2/accounts/nowhere/registrations";
    let status = async |ask: super::site::Ask<'_>| ask.answer().await.status.as_u16();
    // Body before token; token before account and method; access before account; account before method.
    assert_eq!(
        status(site.get(LIST).with_token("wrong").body("{")).await,
        400
    );
    assert_eq!(status(site.get(unknown).with_token("wrong")).await, 401);
    assert_eq!(
        status(site.ask(Method::PUT, LIST).with_token("wrong")).await,
        401
    );
    assert_eq!(status(site.get(unknown).with_token(ACME)).await, 403);
    assert_eq!(status(site.ask(Method::PUT, unknown)).await, 404);
    // Method before user; user before query.
    let ghost = format!("{LIST}/ghost?page_size=0&x=1");
    assert_eq!(status(site.ask(Method::PUT, &ghost)).await, 405);
    assert_eq!(status(site.get(&ghost)).await, 404);
    assert_eq!(status(site.delete(&ghost)).await, 404);
    assert_eq!(
        status(site.get(&format!("{LIST}/bob?page_size=0"))).await,
        400
    );
}

#[tokio::test]
async fn rights_decide() {
    let site = Site::furnished();
    for (token, get, delete) in [
        ("read-token", 200, 403),
        ("flush-token", 403, 200),
        (ACME, 200, 200),
        (OPS, 200, 200),
        ("old-token", 401, 401),
        ("top-token", 200, 403),
    ] {
        let answer = site.get(LIST).with_token(token).answer().await;
        assert_eq!(answer.status.as_u16(), get, "{token}");
        let answer = site.delete(LIST).with_token(token).answer().await;
        assert_eq!(answer.status.as_u16(), delete, "{token}");
    }
}

#[tokio::test]
async fn a_token_may_stand_in_many_places() {
    let site = Site::furnished();
    let bare = || site.ask(Method::GET, LIST).without("x-auth-token");
    for ask in [
        bare().header("authorization", "Bearer ops-token"),
        bare().header("authorization", "bearer  ops-token"),
        bare().body(r#"{"auth_token": "ops-token"}"#),
        bare().body(r#"{"data": {"auth_token": "ops-token"}}"#),
        site.get(&format!("{LIST}?auth_token=ops-token"))
            .without("x-auth-token"),
    ] {
        let answer = ask.answer().await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.json()["auth_token"], "ops-token");
    }
    let answer = bare()
        .header("authorization", "Basic ops-token")
        .answer()
        .await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn over_the_unix_socket_the_user_decides() {
    let site = Site::furnished();
    let ask = |trusted| {
        let ask = site.get(LIST).without("x-auth-token");
        ask.coming_from(Peer::Process { uid: 7, trusted })
    };
    let answer = ask(true).answer().await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json().get("auth_token"), None);
    assert_eq!(ask(false).answer().await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn options_needs_no_token() {
    let site = Site::furnished();
    let answer = site
        .ask(Method::OPTIONS, LIST)
        .without("x-auth-token")
        .answer()
        .await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(
        answer.header("allow"),
        Some("GET, HEAD, DELETE, POST, OPTIONS")
    );
}

#[tokio::test]
async fn the_request_id_is_the_callers_or_a_fresh_one() {
    let site = Site::furnished();
    let answer = site.get(LIST).answer().await;
    assert_eq!(answer.header("x-request-id"), Some("request-1"));
    let answer = site.get(LIST).without("x-request-id").answer().await;
    let id = answer.header("x-request-id").unwrap();
    assert!(id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()));
    assert_eq!(answer.json()["request_id"], id);
    let again = site.get(LIST).without("x-request-id").answer().await;
    assert_ne!(again.header("x-request-id"), Some(id));
}
