//! How a session ends: by itself, with its token, and by logging out.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::BodyExt;

use super::super::backing::Kept;
use super::super::jwt::{keys, token_of};
use super::super::site::{ACME, OPS, Site, World, settings};
use super::{DATA, LIST, SESSION, ask, cookie, cookie_of, is_in, log_in, status};
use crate::config::Limits;
use crate::http::{Keys, Settings};
use crate::tokens::{self, TokenSet};

fn tokens_file(text: &str) -> Arc<TokenSet> {
    Arc::new(tokens::parse(text, "tokens").unwrap())
}

fn stanza(token: &str, accounts: &str, rights: &str, more: &str) -> String {
    let sha256 = tokens::sha256_hex(token);
    format!(
        "[[token]]\nname = \"acme\"\nsha256 = \"{sha256}\"\naccounts = {accounts}\nrights = {rights}\n{more}\n"
    )
}

#[tokio::test]
async fn logging_out_ends_it_for_good() {
    let site = Site::furnished();
    let (one, other) = (cookie(&site, ACME).await, cookie(&site, ACME).await);
    let answer = ask(&site, Method::DELETE, SESSION, &one).answer().await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let gone = answer.header("set-cookie").unwrap();
    assert_eq!(
        gone,
        "usrlocd-session-node=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0"
    );
    assert!(!is_in(&site, &one).await);
    assert!(is_in(&site, &other).await);
    assert_eq!(site.kept.records().len(), 1);
    // Once more does no harm.
    assert_eq!(status(&site, Method::DELETE, SESSION, &one).await, 204);
    let tunnelled = format!("{SESSION}?verb=delete");
    assert_eq!(status(&site, Method::POST, &tunnelled, &other).await, 204);
    assert!(!is_in(&site, &other).await);
}

#[tokio::test]
async fn logging_in_again_takes_the_place_of_the_former_session() {
    let site = Site::furnished();
    let former = cookie(&site, ACME).await;
    let again = log_in(&site, OPS).header("cookie", &former).answer().await;
    let now = cookie_of(&again);
    assert_ne!(now, former);
    assert!(!is_in(&site, &former).await);
    assert!(is_in(&site, &now).await);
    assert_eq!(site.kept.records().len(), 1);
}

#[tokio::test]
async fn it_survives_a_restart_and_nothing_else_does() {
    let site = Site::furnished();
    let (kept, gone) = (cookie(&site, ACME).await, cookie(&site, ACME).await);
    status(&site, Method::DELETE, SESSION, &gone).await;
    let world = || World {
        kept: Arc::clone(&site.kept),
        ..World::default()
    };
    let next = Site::of(settings(), &Limits::default(), world());
    assert!(is_in(&next, &kept).await);
    assert!(!is_in(&next, &gone).await);
    let fresh = World {
        kept: Arc::new(Kept::default()),
        ..World::default()
    };
    let other = Site::of(settings(), &Limits::default(), fresh);
    assert!(!is_in(&other, &kept).await);
    let without = Settings {
        ui: false,
        ..settings()
    };
    let closed = Site::of(without, &Limits::default(), world());
    assert_eq!(status(&closed, Method::GET, LIST, &kept).await, 401);
}

#[tokio::test]
async fn it_ends_by_itself() {
    let site = Site::furnished();
    let cookie = cookie(&site, ACME).await;
    site.clock.advance(Duration::from_secs(3599));
    assert!(is_in(&site, &cookie).await);
    site.clock.advance(Duration::from_hours(1));
    assert!(!is_in(&site, &cookie).await);
    let busy = self::cookie(&site, ACME).await;
    for _ in 0..23 {
        site.clock.advance(Duration::from_mins(30));
        assert!(is_in(&site, &busy).await);
        assert!(is_in(&site, &busy).await);
    }
    site.clock.advance(Duration::from_mins(30));
    assert!(!is_in(&site, &busy).await);
}

#[tokio::test]
async fn it_follows_its_token_and_ends_with_it() {
    let site = Site::furnished();
    let cookie = cookie(&site, ACME).await;
    let all = "[\"acme\"]";
    let both = "[\"read\", \"flush\"]";
    site.tokens
        .send_replace(tokens_file(&stanza(ACME, all, "[\"read\"]", "")));
    assert_eq!(status(&site, Method::GET, LIST, &cookie).await, 200);
    assert_eq!(status(&site, Method::DELETE, LIST, &cookie).await, 403);
    site.tokens
        .send_replace(tokens_file(&stanza(ACME, "[\"other\"]", both, "")));
    assert_eq!(status(&site, Method::GET, LIST, &cookie).await, 403);
    let other = "/v2/accounts/other/registrations";
    assert_eq!(status(&site, Method::GET, other, &cookie).await, 200);
    // A new one of the same name is another one.
    site.tokens
        .send_replace(tokens_file(&stanza("another", all, both, "")));
    assert_eq!(status(&site, Method::GET, LIST, &cookie).await, 401);
    assert!(!is_in(&site, &cookie).await);
    // And one that is back does not bring it back.
    site.tokens
        .send_replace(tokens_file(&stanza(ACME, all, both, "")));
    assert!(!is_in(&site, &cookie).await);
    let until = self::cookie(&site, ACME).await;
    let expires = "expires = 2023-11-14T22:18:30Z";
    site.tokens
        .send_replace(tokens_file(&stanza(ACME, all, both, expires)));
    let told = ask(&site, Method::GET, DATA, &until).answer().await;
    assert_eq!(told.data()["expires_at"], 1_700_000_310);
    site.clock.advance(Duration::from_secs(9));
    assert!(is_in(&site, &until).await);
    site.clock.advance(Duration::from_secs(1));
    assert!(!is_in(&site, &until).await);
}

/// A flush that runs stops when its session ends, as it does when its token goes.
#[tokio::test]
async fn a_flush_ends_with_its_session() {
    let site = Site::furnished();
    let cookie = cookie(&site, ACME).await;
    assert_eq!(status(&site, Method::DELETE, LIST, &cookie).await, 200);
    let authorization = Arc::clone(&site.fake.asked.lock().unwrap()[0].authorization);
    assert!(authorization.holds());
    status(&site, Method::DELETE, SESSION, &cookie).await;
    assert!(!authorization.holds());
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_use_and_ends_with_its_session() {
    let site = Site::furnished();
    let cookie = cookie(&site, ACME).await;
    let ask = ask(&site, Method::GET, LIST, &cookie).header("accept", "text/event-stream");
    let mut stream = ask.response().await.into_body();
    let mut next = async || {
        let frame = stream.frame().await.unwrap().unwrap();
        String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
    };
    assert!(next().await.contains("event: hello"));
    for _ in 0..4 {
        site.clock.advance(Duration::from_mins(40));
        // A mark comes every 15 s; the right is looked at more often.
        assert!(next().await.contains("event: mark"));
    }
    assert!(is_in(&site, &cookie).await);
    let before = tokio::time::Instant::now();
    status(&site, Method::DELETE, SESSION, &cookie).await;
    assert!(next().await.contains("token_revoked"));
    assert!(before.elapsed() <= Duration::from_secs(5));
}

#[tokio::test]
async fn kazoos_tokens_log_in_too() {
    let site = Site::with_keys(settings(), &Limits::default(), keys());
    site.furnish();
    let token = token_of("top", Some("acme"));
    let answer = log_in(&site, &token).answer().await;
    let cookie = cookie_of(&answer);
    assert_eq!(answer.data()["name"], "jwt:acme");
    assert_eq!(answer.data()["expires_at"], 1_700_000_360);
    assert!(!format!("{:?}", site.kept.records()).contains(&token));
    assert_eq!(status(&site, Method::DELETE, LIST, &cookie).await, 200);
    let other = "/v2/accounts/other/registrations";
    assert_eq!(status(&site, Method::GET, other, &cookie).await, 403);
    site.clock.advance(Duration::from_mins(1));
    assert!(!is_in(&site, &cookie).await);
}

#[tokio::test]
async fn a_session_of_kazoos_ends_with_its_key() {
    let site = Site::with_keys(settings(), &Limits::default(), keys());
    let cookie = cookie(&site, &token_of("acme", None)).await;
    site.keys.send_replace(Arc::new(keys()));
    assert!(is_in(&site, &cookie).await);
    site.keys.send_replace(Arc::new(Keys::default()));
    assert!(!is_in(&site, &cookie).await);
}

#[tokio::test]
async fn a_session_of_kazoos_ends_where_its_account_is_no_longer_below() {
    let site = Site::with_keys(settings(), &Limits::default(), keys());
    let cookie = cookie(&site, &token_of("top", Some("acme"))).await;
    assert!(is_in(&site, &cookie).await);
    site.directory.send_replace(Arc::default());
    assert!(!is_in(&site, &cookie).await);
}
