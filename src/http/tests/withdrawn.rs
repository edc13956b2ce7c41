//! A caller's right is withdrawn during a flush.

use std::sync::Arc;

use super::site::{ACME, Answer, Site, failure};
use crate::accounts::directory::Directory;
use crate::flush::Authorization;
use crate::flush::FailureKind::{Unconfirmed, Withdrawn};
use crate::registration::Text;
use crate::tokens::{self, TokenSet};

const LIST: &str = "/v2/accounts/acme/registrations";
/// A token of the account above `acme`.
const ABOVE: &str = "above-token";

/// A tokens file with both.
fn tokens_file(accounts: &str, rights: &str, expires: &str) -> Arc<TokenSet> {
    let sha256 = tokens::sha256_hex(ACME);
    let above = tokens::sha256_hex(ABOVE);
    let text = format!(
        "[[token]]\nname = \"acme\"\nsha256 = \"{sha256}\"\naccounts = {accounts}\nrights = {rights}\n{expires}\n\
         [[token]]\nname = \"above\"\nsha256 = \"{above}\"\naccounts = [\"top\"]\nrights = [\"flush\"]\n"
    );
    Arc::new(tokens::parse(&text, "tokens").unwrap())
}

fn directory(accounts: &str) -> Arc<Directory> {
    Arc::new(Directory::parse(&format!("{{\"accounts\": {accounts}, \"devices\": []}}")).unwrap())
}

/// What a flush is answered during which `happens`, and by which nothing was removed.
async fn flushed_while(
    site: &Site,
    token: &str,
    happens: impl FnOnce() + Send + 'static,
) -> Answer {
    *site.fake.meanwhile.lock().unwrap() = Some(Box::new(happens));
    *site.fake.failures.lock().unwrap() = vec![failure("bob@acme.example.com", Withdrawn)];
    site.delete(LIST).with_token(token).answer().await
}

/// The right by which the last flush ran.
fn authorization(site: &Site) -> Arc<dyn Authorization> {
    let asked = site.fake.asked.lock().unwrap();
    Arc::clone(&asked.last().unwrap().authorization)
}

#[tokio::test]
async fn where_nothing_was_removed_the_answer_is_that_of_one_who_comes_now() {
    for (name, tokens) in [
        ("revoked", Arc::default()),
        (
            "expired",
            tokens_file(
                "[\"acme\"]",
                "[\"flush\"]",
                "expires = 2023-11-14T22:18:20Z",
            ),
        ),
        ("no_right", tokens_file("[\"acme\"]", "[\"read\"]", "")),
        (
            "other_account",
            tokens_file("[\"other\"]", "[\"read\", \"flush\"]", ""),
        ),
    ] {
        let site = Site::furnished();
        let sender = site.tokens.clone();
        let answer = flushed_while(&site, ACME, move || {
            sender.send_replace(tokens);
        });
        insta::assert_snapshot!(name, answer.await.show());
        assert!(!authorization(&site).holds());
    }
}

#[tokio::test]
async fn so_where_the_account_is_no_longer_below_the_callers() {
    let site = Site::furnished();
    site.tokens
        .send_replace(tokens_file("[\"acme\"]", "[\"flush\"]", ""));
    let sender = site.directory.clone();
    let moved =
        directory("[{\"id\": \"top\"}, {\"id\": \"acme\", \"realm\": \"acme.example.com\"}]");
    let answer = flushed_while(&site, ABOVE, move || {
        sender.send_replace(moved);
    });
    insta::assert_snapshot!("no_longer_below", answer.await.show());
}

#[tokio::test]
async fn what_was_removed_before_is_told() {
    let site = Site::furnished();
    *site.fake.failures.lock().unwrap() = vec![
        failure("alice@acme.example.com", Unconfirmed),
        failure("bob@acme.example.com", Withdrawn),
    ];
    site.fake.meanwhile.lock().unwrap().replace({
        let tokens = site.tokens.clone();
        Box::new(move || drop(tokens.send_replace(Arc::default())))
    });
    let answer = site.delete(LIST).with_token(ACME).answer().await;
    insta::assert_snapshot!("partly", answer.show());
}

#[tokio::test]
async fn a_right_that_is_back_at_the_end_does_not_make_it_complete() {
    let site = Site::furnished();
    let answer = flushed_while(&site, ACME, || {}).await;
    assert_eq!(answer.status, http::StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn the_token_is_what_counts_and_not_its_name() {
    let site = Site::furnished();
    site.delete(LIST).with_token(ACME).answer().await;
    let right = authorization(&site);
    assert!(right.holds());
    assert!(!format!("{right:?}").contains(ACME));
    let (accounts, rights) = ("[\"acme\"]", "[\"flush\"]");
    let same = tokens_file(accounts, rights, "");
    site.tokens.send_replace(Arc::clone(&same));
    assert!(right.holds(), "another version of the file has it as well");
    let renewed = format!(
        "[[token]]\nname = \"acme\"\nsha256 = \"{}\"\naccounts = {accounts}\nrights = {rights}\n",
        tokens::sha256_hex("another")
    );
    let renewed = tokens::parse(&renewed, "tokens").unwrap();
    site.tokens.send_replace(Arc::new(renewed));
    assert!(!right.holds());
    site.tokens.send_replace(same);
    assert!(right.holds());
    site.clock.advance(std::time::Duration::from_secs(10));
    let soon = "expires = 2023-11-14T22:18:31Z";
    site.tokens
        .send_replace(tokens_file(accounts, rights, soon));
    assert!(right.holds());
    site.clock.advance(std::time::Duration::from_secs(1));
    assert!(!right.holds(), "its time is over");
}

#[tokio::test]
async fn a_realm_that_changes_hands_takes_what_has_no_row_with_it() {
    let site = Site::furnished();
    site.delete(LIST).with_token(ACME).answer().await;
    let right = authorization(&site);
    let (ours, other) = (
        Text::from("ACME.example.com"),
        Text::from("other.example.com"),
    );
    let covers = || [Some(&ours), Some(&other), None].map(|domain| right.covers(domain));
    assert_eq!(covers(), [true, true, true]);
    let acme = "{\"id\": \"acme\", \"realm\": \"acme.example.com\"}";
    site.directory.send_replace(directory(&format!("[{acme}]")));
    // Rows without a domain have a realm that is configured elsewhere.
    assert_eq!(covers(), [true, true, false]);
    let sold = "[{\"id\": \"acme\"}, {\"id\": \"other\", \"realm\": \"acme.example.com\"}]";
    site.directory.send_replace(directory(sold));
    assert_eq!(covers(), [false, true, false]);
}
