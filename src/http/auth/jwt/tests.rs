//! What is remembered of a token, and what is asked each time.

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::*;

const PRIVATE: &[u8] = include_bytes!("../../tests/keys/private_for_tests_only.pem");
const PUBLIC: &[u8] = include_bytes!("../../tests/keys/public.pem");
const NOW: i64 = 1_700_000_000;

fn keys(kid: &str) -> Keys {
    Keys::new("kazoo", [(kid, PUBLIC)]).unwrap()
}

fn token(claims: &Value) -> String {
    let mut header = Header::new(Algorithm::RS256);
    header.kid = Some("k1".to_owned());
    let key = EncodingKey::from_rsa_pem(PRIVATE).unwrap();
    encode(&header, claims, &key).unwrap()
}

fn directory(parent: &str) -> Directory {
    let text = format!(
        r#"{{"accounts": [{{"id": "a"}}, {{"id": "other"}}, {{"id": "b", "parent": "{parent}"}}]}}"#
    );
    Directory::parse(&text).unwrap()
}

#[test]
fn a_signature_is_checked_once() {
    let keys = keys("k1");
    let token = token(&json!({"iss": "kazoo", "account_id": "a", "exp": NOW + 60}));
    let own = digest(&token);
    assert!(keys.recent.get(&own).is_none());
    let first = keys.verify(&token, NOW, &directory("a")).unwrap();
    let kept = keys.recent.get(&own).unwrap();
    assert_eq!(kept.account_id, first.account_id);
    let second = keys.verify(&token, NOW, &directory("a")).unwrap();
    assert!(Arc::ptr_eq(&first.account_id, &second.account_id));
}

#[test]
fn a_remembered_token_expires_all_the_same() {
    let keys = keys("k1");
    let token = token(&json!({"iss": "kazoo", "account_id": "a", "exp": NOW + 60}));
    let directory = directory("a");
    assert!(keys.verify(&token, NOW + 59, &directory).is_ok());
    let late = keys.verify(&token, NOW + 60, &directory);
    assert_eq!(late, Err(Refused::Expired));
    assert!(keys.recent.get(&digest(&token)).is_none());
}

#[test]
fn whom_a_remembered_token_acts_for_is_asked_each_time() {
    let keys = keys("k1");
    let claims = json!({
        "iss": "kazoo", "account_id": "a", "exp": NOW + 60, "as": {"account_id": "b"},
    });
    let token = token(&claims);
    let below = keys.verify(&token, NOW, &directory("a")).unwrap();
    assert_eq!(&*below.account_id, "b");
    let moved = keys.verify(&token, NOW, &directory("other"));
    assert_eq!(moved, Err(Refused::NotBelow));
}

#[test]
fn other_keys_remember_nothing() {
    let token = token(&json!({"iss": "kazoo", "account_id": "a", "exp": NOW + 60}));
    assert!(keys("k1").verify(&token, NOW, &directory("a")).is_ok());
    let other = keys("k2").verify(&token, NOW, &directory("a"));
    assert_eq!(other, Err(Refused::Unknown));
}

#[test]
fn what_is_refused_is_not_remembered() {
    let keys = keys("k1");
    let token = token(&json!({"iss": "other", "account_id": "a", "exp": NOW + 60}));
    let refused = keys.verify(&token, NOW, &directory("a"));
    assert_eq!(refused, Err(Refused::NotGood));
    assert!(keys.recent.get(&digest(&token)).is_none());
}
