//! By which name we may be called, and what a page of another site may do: nothing that changes anything.

use http::{HeaderMap, Method, StatusCode};

use super::site::{ACME, Answer, Ask, Site, settings};
use crate::config::Limits;
use crate::http::auth::peer::Peer;
use crate::http::{Hosts, Settings};

const LIST: &str = "/v2/accounts/acme/registrations";
const TRUSTED: Peer = Peer::Process {
    uid: 0,
    trusted: true,
};

/// Every path, with what it answers when all is well.
const PATHS: [(&str, u16); 8] = [
    (LIST, 200),
    ("/v2/accounts/acme/registrations/bob", 200),
    ("/v2/registrations/count", 200),
    ("/livez", 200),
    ("/readyz", 200),
    ("/metrics", 200),
    ("/openapi.json", 200),
    ("/nothing", 404),
];

fn site(settings: Settings) -> Site {
    let site = Site::with(settings, &Limits::default());
    site.furnish();
    site
}

fn named() -> Site {
    let names = ["panel.example.com".to_owned()];
    site(Settings {
        hosts: Hosts::new("node-1", &names, Some("https://sip.example.com")),
        ..settings()
    })
}

/// Where `https://panel.example.com` is let in.
fn open() -> Site {
    site(Settings {
        cors_origins: vec!["https://panel.example.com".to_owned()],
        ..settings()
    })
}

async fn status(ask: Ask<'_>) -> u16 {
    ask.answer().await.status.as_u16()
}

fn flushes(site: &Site) -> usize {
    site.fake.asked.lock().unwrap().len()
}

#[tokio::test]
async fn another_host_is_misdirected_on_every_path_and_on_the_socket() {
    let site = named();
    for (path, good) in PATHS {
        for peer in [Peer::Host([127, 0, 0, 1].into()), TRUSTED] {
            let ask = |host| site.get(path).header("host", host).coming_from(peer);
            for host in [
                "localhost:8000",
                "127.0.0.1",
                "NODE-1.",
                "panel.example.com:1",
                "Sip.Example.com",
            ] {
                assert_eq!(status(ask(host)).await, good, "{host} {path}");
            }
            for host in [
                "evil.example",
                "evil.example:8000",
                "example.com",
                "",
                "localhost@evil.example",
            ] {
                let answer = ask(host).answer().await;
                assert_eq!(answer.status.as_u16(), 421, "{host} {path}");
                assert_eq!(answer.json()["error"], "421");
            }
        }
    }
    let answer = site.get(LIST).header("host", "evil.example").answer();
    insta::assert_snapshot!("misdirected", answer.await.show());
}

/// Before a bad body, rate, token, access and method; and before the rule on other sites.
#[tokio::test]
async fn the_host_comes_first() {
    let site = Site::furnished();
    for ask in [
        site.delete(LIST).body("{"),
        site.get(LIST).with_token("wrong"),
        site.get("/v2/accounts/other/registrations")
            .with_token(ACME),
        site.ask(Method::PUT, LIST),
        site.ask(Method::OPTIONS, LIST),
        site.ask(Method::POST, "/livez"),
        site.delete(LIST).header("sec-fetch-site", "cross-site"),
    ] {
        assert_eq!(status(ask.header("host", "evil.example")).await, 421);
    }
    assert_eq!(flushes(&site), 0);
}

#[tokio::test]
async fn where_the_target_names_a_host_it_counts_as_well() {
    let site = Site::furnished();
    for (target, host, expected) in [
        ("http://localhost/livez", "localhost", 200),
        ("http://evil.example/livez", "localhost", 421),
        ("http://localhost/livez", "evil.example", 421),
        ("http://user@localhost/livez", "localhost", 421),
    ] {
        let ask = site.get(target).header("host", host);
        assert_eq!(status(ask).await, expected, "{target} {host}");
    }
}

#[tokio::test]
async fn a_host_is_given_once() {
    let site = Site::furnished();
    let answer = site.get("/livez").without("host").answer().await;
    insta::assert_snapshot!("no_host", answer.show());
    let twice = |second: &str| site.get("/livez").further("host", second);
    assert_eq!(status(twice("localhost")).await, 400);
    assert_eq!(status(twice("evil.example")).await, 421);
}

/// What a browser sends with a request of another site's page.
const FROM_ELSEWHERE: [&[(&str, &str)]; 11] = [
    &[("sec-fetch-site", "cross-site")],
    &[("sec-fetch-site", "same-site")],
    &[("sec-fetch-site", "")],
    &[("sec-fetch-site", "nonsense")],
    &[("origin", "https://evil.example")],
    &[("origin", "null")],
    &[("origin", "")],
    &[("origin", "http://localhost:8001")],
    &[
        ("origin", "http://localhost:8000"),
        ("sec-fetch-site", "same-site"),
    ],
    &[
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "same-origin"),
    ],
    &[("origin", "null"), ("sec-fetch-site", "none")],
];

/// What it sends otherwise, and what scripts send.
const FROM_HERE: [&[(&str, &str)]; 5] = [
    &[],
    &[("sec-fetch-site", "same-origin")],
    &[("sec-fetch-site", "none")],
    &[("origin", "http://localhost:8000")],
    &[
        ("origin", "http://localhost:8000"),
        ("sec-fetch-site", "same-origin"),
    ],
];

fn with<'a>(ask: Ask<'a>, headers: &'static [(&'static str, &'static str)]) -> Ask<'a> {
    let ask = ask.header("host", "localhost:8000");
    headers
        .iter()
        .fold(ask, |ask, (name, value)| ask.header(name, value))
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let site = Site::furnished();
    let asks = || {
        [
            site.delete(LIST),
            site.delete(&format!("{LIST}/bob?dry_run=true")),
            site.ask(Method::POST, &format!("{LIST}?verb=delete")),
            site.ask(Method::POST, &format!("{LIST}?verb=DELETE"))
                .body("nonsense"),
            site.ask(Method::POST, LIST).body(r#"{"verb": "delete"}"#),
            site.ask(Method::POST, LIST)
                .body(r#"{"data": {"verb": "delete"}}"#),
            site.get(&format!("{LIST}?verb=delete")),
            site.get(LIST).body(r#"{"verb": "delete"}"#),
            site.ask(Method::PUT, LIST),
            site.ask(Method::PATCH, "/livez"),
            site.ask(Method::POST, "/nothing"),
        ]
    };
    for headers in FROM_ELSEWHERE {
        for peer in [Peer::Host([127, 0, 0, 1].into()), TRUSTED] {
            for ask in asks() {
                let answer = with(ask, headers).coming_from(peer).answer().await;
                assert_eq!(answer.status, StatusCode::FORBIDDEN, "{headers:?}");
            }
        }
    }
    assert_eq!(flushes(&site), 0);
    let ask = with(site.delete(LIST), FROM_ELSEWHERE[0]);
    insta::assert_snapshot!("cross_site", ask.answer().await.show());
}

/// Reading is another matter: the browser keeps the answer from the page.
#[tokio::test]
async fn it_may_ask_for_what_it_cannot_read() {
    let site = Site::furnished();
    for headers in FROM_ELSEWHERE {
        for (path, good) in PATHS {
            assert_eq!(
                status(with(site.get(path), headers)).await,
                good,
                "{headers:?}"
            );
        }
        let ask = site.ask(Method::OPTIONS, LIST).without("x-auth-token");
        assert_eq!(status(with(ask, headers)).await, 204);
    }
}

#[tokio::test]
async fn a_page_of_our_own_and_a_script_may_flush() {
    let site = Site::furnished();
    for (number, headers) in FROM_HERE.into_iter().enumerate() {
        for peer in [Peer::Host([127, 0, 0, 1].into()), TRUSTED] {
            let ask = with(site.delete(LIST), headers).coming_from(peer);
            assert_eq!(status(ask).await, 200, "{headers:?}");
        }
        assert_eq!(flushes(&site), 2 * number + 2);
    }
}

#[tokio::test]
async fn the_rule_on_other_sites_comes_before_all_but_the_host() {
    let site = Site::furnished();
    for ask in [
        site.delete(LIST).body("{"),
        site.delete(LIST).with_token("wrong"),
        site.delete("/v2/accounts/other/registrations")
            .with_token(ACME),
        site.delete("/v2/accounts/nowhere/registrations"),
        site.ask(Method::PUT, LIST),
        site.delete(&format!("{LIST}?nonsense=1")),
    ] {
        let answer = ask.header("origin", "null").answer().await;
        assert_eq!(answer.status.as_u16(), 403);
        let message = "the request comes from a page of another site";
        assert_eq!(answer.data()["message"], message);
    }
}

fn invited(ask: Ask<'_>) -> Ask<'_> {
    ask.header("origin", "https://panel.example.com")
        .header("sec-fetch-site", "cross-site")
}

#[tokio::test]
async fn an_origin_that_is_let_in_may_flush_with_a_token_and_without_a_cookie() {
    let site = open();
    let bare = || invited(site.delete(LIST)).without("x-auth-token");
    for ask in [
        invited(site.delete(LIST)),
        bare().header("authorization", "Bearer ops-token"),
        bare().body(r#"{"auth_token": "ops-token"}"#),
        bare().body(r#"{"data": {"auth_token": "ops-token"}}"#),
    ] {
        assert_eq!(status(ask).await, 200);
    }
    assert_eq!(flushes(&site), 4);
    let in_query = format!("{LIST}?auth_token=ops-token");
    for ask in [
        bare(),
        bare().body("{}"),
        bare().body("{"),
        bare().body(r#"{"auth_token": 7}"#),
        bare().header("authorization", "Basic ops-token"),
        invited(site.delete(&in_query)).without("x-auth-token"),
        invited(site.delete(LIST)).header("cookie", "usrlocd-session-1=x"),
        invited(site.delete(LIST)).coming_from(TRUSTED),
        bare()
            .body(r#"{"auth_token": "ops-token"}"#)
            .coming_from(TRUSTED),
        invited(site.delete(LIST)).header("origin", "https://evil.example"),
        invited(site.delete(LIST)).header("origin", "null"),
        invited(site.delete(LIST)).without("origin"),
        invited(site.delete(LIST)).further("origin", "https://evil.example"),
    ] {
        assert_eq!(status(ask).await, 403);
    }
    assert_eq!(flushes(&site), 4);
    // The token is looked at only now.
    assert_eq!(
        status(invited(site.delete(LIST)).with_token("wrong")).await,
        401
    );
}

fn is_nosniff(headers: &HeaderMap) -> bool {
    let all: Vec<_> = headers.get_all("x-content-type-options").iter().collect();
    all == ["nosniff"]
}

#[tokio::test]
async fn no_answer_is_taken_for_something_else() {
    let site = Site::furnished();
    let answer: Answer = site.get(LIST).answer().await;
    let etag = answer.header("etag").unwrap().to_owned();
    for (path, _) in PATHS {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST] {
            let answer = site.ask(method, path).answer().await;
            assert!(is_nosniff(&answer.headers), "{path}: {}", answer.show());
        }
    }
    for ask in [
        site.get(LIST).header("if-none-match", &etag),
        site.get(LIST).header("accept", "text/csv"),
        site.get(LIST).header("accept-encoding", "gzip"),
        site.get(LIST).header("host", "evil.example"),
        site.get(LIST).with_token("wrong"),
        site.delete(LIST).header("origin", "null"),
        site.delete(LIST).body("{"),
    ] {
        let answer = ask.answer().await;
        assert!(is_nosniff(&answer.headers), "{}", answer.status);
    }
    site.fake
        .panics
        .store(true, std::sync::atomic::Ordering::Relaxed);
    let answer = site.delete(LIST).answer().await;
    assert_eq!(answer.status.as_u16(), 500);
    assert!(is_nosniff(&answer.headers));
}
