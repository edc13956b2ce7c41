//! Logging in, and what a session may do.

mod ends;

use http::{Method, StatusCode};
use serde_json::json;

use super::site::{ACME, Answer, Ask, OPS, Site, settings};
use crate::config::{Bucket, Limits};
use crate::http::Settings;
use crate::http::auth::peer::Peer;

const LIST: &str = "/v2/accounts/acme/registrations";
const SESSION: &str = "/ui/session";
const DATA: &str = "/ui/data/session";
const TRUSTED: Peer = Peer::Process {
    uid: 0,
    trusted: true,
};

fn log_in<'a>(site: &'a Site, token: &str) -> Ask<'a> {
    site.ask(Method::POST, SESSION)
        .without("x-auth-token")
        .body(json!({"data": {"auth_token": token}}).to_string())
}

/// The cookie that an answer sets, as a browser sends it back.
fn cookie_of(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie").unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

async fn cookie(site: &Site, token: &str) -> String {
    let answer = log_in(site, token).answer().await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.show());
    cookie_of(&answer)
}

/// A request as the page makes it.
fn ask<'a>(site: &'a Site, method: Method, path: &str, cookie: &str) -> Ask<'a> {
    site.ask(method, path)
        .without("x-auth-token")
        .header("cookie", cookie)
        .header("host", "localhost:8000")
        .header("origin", "http://localhost:8000")
        .header("sec-fetch-site", "same-origin")
}

async fn status(site: &Site, method: Method, path: &str, cookie: &str) -> u16 {
    let answer = ask(site, method, path, cookie).answer().await;
    answer.status.as_u16()
}

async fn is_in(site: &Site, cookie: &str) -> bool {
    status(site, Method::GET, DATA, cookie).await == 200
}

#[tokio::test]
async fn a_token_is_exchanged_for_a_cookie() {
    let site = Site::furnished();
    for body in [
        json!({"auth_token": ACME}),
        json!({"data": {"auth_token": ACME}}),
    ] {
        let ask = site.ask(Method::POST, SESSION).without("x-auth-token");
        let answer = ask.body(body.to_string()).answer().await;
        assert_eq!(answer.status, StatusCode::OK);
        let set = answer.header("set-cookie").unwrap();
        let value = set.strip_prefix("usrlocd-session-node=").unwrap();
        let (value, attributes) = value.split_once("; ").unwrap();
        assert_eq!(value.len(), 64);
        assert!(value.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(attributes, "HttpOnly; SameSite=Strict; Path=/");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(!answer.text().contains(ACME));
        assert!(!answer.text().contains(value));
        assert_eq!(answer.data()["name"], "acme");
    }
    // Only hashes are kept.
    let kept = site.kept.records();
    assert_eq!(kept.len(), 2);
    assert_ne!(kept[0].id, kept[1].id);
    assert!(!format!("{kept:?}").contains(ACME));
}

#[tokio::test]
async fn the_cookie_is_for_tls_alone_where_the_page_is_behind_it() {
    let settings = Settings {
        https: true,
        ..settings()
    };
    let site = Site::with(settings, &Limits::default());
    let answer = log_in(&site, OPS).answer().await;
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.ends_with("; HttpOnly; SameSite=Strict; Path=/; Secure"));
    let out = ask(&site, Method::DELETE, SESSION, &cookie_of(&answer));
    let gone = out.answer().await;
    let gone = gone.header("set-cookie").unwrap();
    assert!(gone.ends_with("=; HttpOnly; SameSite=Strict; Path=/; Secure; Max-Age=0"));
}

#[tokio::test]
async fn with_it_the_api_is_used_like_with_its_token() {
    let site = Site::furnished();
    let cookie = cookie(&site, ACME).await;
    let list = ask(&site, Method::GET, LIST, &cookie).answer().await;
    assert_eq!(list.status, StatusCode::OK);
    assert_eq!(list.usernames().len(), 3);
    assert!(list.json().get("auth_token").is_none());
    let other = "/v2/accounts/other/registrations";
    assert_eq!(status(&site, Method::GET, other, &cookie).await, 403);
    assert_eq!(status(&site, Method::DELETE, LIST, &cookie).await, 200);
    let asked = site.fake.asked.lock().unwrap();
    assert_eq!(asked[0].actor.token, "acme");
    assert!(asked[0].authorization.holds());
}

#[tokio::test]
async fn among_others_and_twice_it_is_still_found() {
    let site = Site::furnished();
    let cookie = cookie(&site, ACME).await;
    let name = cookie.split('=').next().unwrap();
    for sent in [
        format!("a=b; {cookie}; c=d"),
        format!("{name}=x; {cookie}"),
        format!("  {cookie} ;"),
    ] {
        assert!(is_in(&site, &sent).await, "{sent}");
    }
    let value = cookie.split('=').nth(1).unwrap();
    for sent in [
        format!("usrlocd-session-other={value}"),
        format!("x{cookie}"),
        format!("{cookie}x"),
        name.to_owned(),
        String::new(),
    ] {
        assert!(!is_in(&site, &sent).await, "{sent}");
    }
}

#[tokio::test]
async fn a_reader_flushes_nothing() {
    let site = Site::furnished();
    let cookie = cookie(&site, "read-token").await;
    assert_eq!(status(&site, Method::GET, LIST, &cookie).await, 200);
    for path in [LIST, "/v2/accounts/acme/registrations/bob?dry_run=true"] {
        assert_eq!(status(&site, Method::DELETE, path, &cookie).await, 403);
    }
    assert!(site.fake.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_token_in_the_request_beats_the_cookie() {
    let site = Site::furnished();
    let cookie = cookie(&site, OPS).await;
    let other = "/v2/accounts/other/registrations";
    let get = || ask(&site, Method::GET, other, &cookie);
    assert_eq!(get().answer().await.status, 200);
    for with in [
        get().header("x-auth-token", ACME),
        get().header("authorization", &format!("Bearer {ACME}")),
        ask(
            &site,
            Method::GET,
            &format!("{other}?auth_token={ACME}"),
            &cookie,
        ),
        get().body(json!({"auth_token": ACME}).to_string()),
    ] {
        assert_eq!(with.answer().await.status, 403);
    }
    let wrong = get().header("x-auth-token", "wrong").answer().await;
    assert_eq!(wrong.status, 401);
    let own = ask(&site, Method::GET, LIST, &cookie).header("x-auth-token", ACME);
    assert_eq!(own.answer().await.json()["auth_token"], ACME);
    // A cookie is no token to log in with.
    let again = ask(&site, Method::POST, SESSION, &cookie).answer().await;
    assert_eq!(again.status, 401);
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_counted() {
    let limits = Limits {
        failures: Bucket {
            burst: 3,
            per_second: 0.1,
        },
        ..Limits::default()
    };
    let site = Site::with(settings(), &limits);
    for expected in [401, 401, 401, 429] {
        let answer = log_in(&site, "wrong").answer().await;
        assert_eq!(answer.status.as_u16(), expected);
        assert_eq!(answer.header("set-cookie"), None);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    // A good one is never refused because of that, nor is a page whose session is over counted as a guess.
    let cookie = cookie(&site, OPS).await;
    assert!(is_in(&site, &cookie).await);
    for _ in 0..3 {
        assert_eq!(
            status(&site, Method::GET, DATA, "usrlocd-session-node=x").await,
            401
        );
    }
    for body in ["{", "[]", "{}", r#"{"auth_token": 7}"#] {
        let ask = site.ask(Method::POST, SESSION).without("x-auth-token");
        let answer = ask.body(body).answer().await;
        assert!(matches!(answer.status.as_u16(), 400 | 401), "{body}");
        assert_eq!(answer.header("set-cookie"), None);
    }
}

#[tokio::test]
async fn on_the_socket_nobody_logs_in() {
    let site = Site::furnished();
    let bare = |method, path| site.ask(method, path).without("x-auth-token");
    for (method, path) in [(Method::GET, DATA), (Method::POST, SESSION)] {
        let answer = bare(method, path).coming_from(TRUSTED).answer().await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("set-cookie"), None);
        let data = answer.data();
        assert_eq!(data["via"], "socket");
        assert_eq!(data["name"], "unix:0");
        assert_eq!(data["all_accounts"], true);
        assert_eq!(data["rights"], json!(["read", "flush"]));
        assert_eq!(data["expires_at"], json!(null));
    }
    assert_eq!(site.kept.records(), []);
    let stranger = Peer::Process {
        uid: 7,
        trusted: false,
    };
    let answer = bare(Method::GET, DATA).coming_from(stranger).answer();
    assert_eq!(answer.await.status, 401);
}

/// What a browser says of a page that is not ours.
const FROM_ELSEWHERE: &[&[(&str, &str)]] = &[
    &[("sec-fetch-site", "cross-site")],
    &[("sec-fetch-site", "same-site")],
    &[
        ("sec-fetch-site", "same-origin"),
        ("origin", "http://localhost:9999"),
    ],
    &[("origin", "https://evil.example")],
    &[("origin", "null")],
];

#[tokio::test]
async fn a_page_of_another_site_cannot_use_the_cookie() {
    let site = Site::furnished();
    let cookie = cookie(&site, OPS).await;
    for headers in FROM_ELSEWHERE {
        for (method, path) in [
            (Method::DELETE, LIST.to_owned()),
            (Method::DELETE, format!("{LIST}/bob?dry_run=true")),
            (Method::POST, format!("{LIST}?verb=delete")),
            (Method::GET, format!("{LIST}?verb=delete")),
            (Method::DELETE, SESSION.to_owned()),
            (Method::POST, SESSION.to_owned()),
            (Method::POST, format!("{SESSION}?verb=delete")),
        ] {
            let bare = site.ask(method.clone(), &path).without("x-auth-token");
            let bare = bare.header("cookie", &cookie);
            let bare = bare.header("host", "localhost:8000");
            let ask = headers
                .iter()
                .fold(bare, |ask, (name, value)| ask.header(name, value));
            let answer = ask.answer().await;
            assert_eq!(answer.status, 403, "{method} {path} {headers:?}");
            assert_eq!(answer.header("set-cookie"), None);
        }
    }
    assert!(site.fake.asked.lock().unwrap().is_empty());
    assert!(is_in(&site, &cookie).await);
    // Without what a browser says, it is no browser: a script that has the cookie has it by its owner's will.
    let script = site.delete(LIST).without("x-auth-token");
    let answer = script.header("cookie", &cookie).answer().await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn an_origin_that_may_use_the_api_may_not_log_in() {
    let settings = Settings {
        cors_origins: vec!["https://panel.example.com".to_owned()],
        ..settings()
    };
    let site = Site::with(settings, &Limits::default());
    let answer = log_in(&site, OPS)
        .header("origin", "https://panel.example.com")
        .header("sec-fetch-site", "cross-site")
        .answer()
        .await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.header("set-cookie"), None);
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn a_session_shares_the_bucket_of_its_token() {
    let limits = Limits {
        requests: Bucket {
            burst: 4,
            per_second: 0.1,
        },
        ..Limits::default()
    };
    let site = Site::with(settings(), &limits);
    site.furnish();
    let (one, other) = (cookie(&site, ACME).await, cookie(&site, ACME).await);
    assert_eq!(status(&site, Method::GET, LIST, &one).await, 200);
    assert_eq!(status(&site, Method::GET, LIST, &other).await, 200);
    assert_eq!(status(&site, Method::GET, LIST, &one).await, 429);
    let direct = site.get(LIST).with_token(ACME).answer().await;
    assert_eq!(direct.status, 429);
    assert_eq!(site.get(LIST).answer().await.status, 200);
}

#[tokio::test]
async fn other_methods_are_named() {
    let site = Site::new();
    let got = site.get(SESSION).answer().await;
    assert_eq!(got.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(got.header("allow"), Some("POST, DELETE, OPTIONS"));
    let options = site.ask(Method::OPTIONS, SESSION).without("x-auth-token");
    assert_eq!(options.answer().await.status, StatusCode::NO_CONTENT);
}
