//! Calls from browsers.

use http::{Method, StatusCode};

use super::site::{Site, settings};
use crate::config::Limits;

const LIST: &str = "/v2/accounts/acme/registrations";
const ALLOWED: &str = "access-control-allow-origin";

fn site(origins: &[&str]) -> Site {
    let mut settings = settings();
    settings.cors_origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
    let site = Site::with(settings, &Limits::default());
    site.furnish();
    site
}

#[tokio::test]
async fn off_by_default() {
    let site = site(&[]);
    let answer = site
        .get(LIST)
        .header("origin", "https://a.example")
        .answer()
        .await;
    assert_eq!(answer.header(ALLOWED), None);
}

#[tokio::test]
async fn configured_origins_may_call() {
    let site = site(&["https://a.example"]);
    let answer = site
        .get(LIST)
        .header("origin", "https://a.example")
        .answer()
        .await;
    assert_eq!(answer.header(ALLOWED), Some("https://a.example"));
    let answer = site
        .get(LIST)
        .header("origin", "https://b.example")
        .answer()
        .await;
    assert_eq!(answer.header(ALLOWED), None);
    assert!(
        answer
            .headers
            .get_all("vary")
            .iter()
            .any(|vary| vary == "origin")
    );
    // An error too says so, or the browser hides it.
    let answer = site
        .get(LIST)
        .without("x-auth-token")
        .header("origin", "https://a.example")
        .answer()
        .await;
    assert_eq!(
        (answer.status, answer.header(ALLOWED)),
        (StatusCode::UNAUTHORIZED, Some("https://a.example"))
    );
}

#[tokio::test]
async fn a_preflight_needs_no_token() {
    let site = site(&["*"]);
    let ask = site.ask(Method::OPTIONS, LIST).without("x-auth-token");
    let answer = ask
        .header("origin", "https://any.example")
        .header("access-control-request-method", "DELETE")
        .answer()
        .await;
    insta::assert_snapshot!(answer.show());
}
