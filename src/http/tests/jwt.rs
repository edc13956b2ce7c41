//! Kazoo's tokens.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::site::{NOW, Site, settings};
use crate::config::{Bucket, Limits};
use crate::http::Keys;
use crate::http::auth::peer::Peer;

const PRIVATE: &[u8] = include_bytes!("keys/private_for_tests_only.pem");
const PUBLIC: &[u8] = include_bytes!("keys/public.pem");
const LIST: &str = "/v2/accounts/acme/registrations";

fn site() -> Site {
    limited(&Limits::default())
}

fn limited(limits: &Limits) -> Site {
    let site = Site::with_keys(settings(), limits, keys());
    site.furnish();
    site
}

/// A token of Kazoo's for this account, acting for another one where that is named.
pub(super) fn token_of(account: &str, acting: Option<&str>) -> String {
    let mut changes = json!({"account_id": account});
    if let Some(other) = acting {
        changes["as"] = json!({"account_id": other, "owner_id": "x"});
    }
    signed(Algorithm::RS256, "k1", &claims(&changes))
}

/// The key by which those are good.
pub(super) fn keys() -> Keys {
    Keys::new("kazoo", [("k1", PUBLIC)]).unwrap()
}

fn signed(algorithm: Algorithm, kid: &str, claims: &Value) -> String {
    let mut header = Header::new(algorithm);
    header.kid = Some(kid.to_owned());
    encode(
        &header,
        claims,
        &EncodingKey::from_rsa_pem(PRIVATE).unwrap(),
    )
    .unwrap()
}

fn claims(changes: &Value) -> Value {
    let mut claims =
        json!({"iss": "kazoo", "account_id": "acme", "exp": NOW + 60, "identity_sig": "x"});
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

async fn status(site: &Site, path: &str, token: &str) -> u16 {
    site.get(path)
        .with_token(token)
        .answer()
        .await
        .status
        .as_u16()
}

#[tokio::test]
async fn a_good_token_sees_its_account_and_those_below() {
    let site = site();
    for algorithm in [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512] {
        let own = signed(algorithm, "k1", &claims(&json!({})));
        assert_eq!(status(&site, LIST, &own).await, 200);
        assert_eq!(status(&site, "/v2/account/registrations", &own).await, 200);
        assert_eq!(
            status(&site, "/v2/accounts/other/registrations", &own).await,
            403
        );
        assert_eq!(status(&site, "/v2/registrations", &own).await, 200);
    }
    let above = signed(
        Algorithm::RS256,
        "k1",
        &claims(&json!({"account_id": "top"})),
    );
    assert_eq!(status(&site, LIST, &above).await, 200);
    let answer = site.delete(LIST).with_token(&above).answer().await;
    assert_eq!(answer.status, 200);
    assert_eq!(site.fake.asked.lock().unwrap()[0].actor.token, "jwt:top");
}

#[tokio::test]
async fn acting_for_another_is_for_those_below_only() {
    let site = site();
    let acting = |own: &str, other: &str| {
        let changes = json!({"account_id": own, "as": {"account_id": other, "owner_id": "x"}});
        signed(Algorithm::RS256, "k1", &claims(&changes))
    };
    assert_eq!(status(&site, LIST, &acting("top", "acme")).await, 200);
    assert_eq!(
        status(
            &site,
            "/v2/accounts/top/registrations",
            &acting("top", "acme")
        )
        .await,
        403
    );
    assert_eq!(status(&site, LIST, &acting("acme", "top")).await, 401);
    assert_eq!(status(&site, LIST, &acting("acme", "other")).await, 401);
}

#[tokio::test]
async fn every_other_token_is_refused() {
    let good = signed(Algorithm::RS256, "k1", &claims(&json!({})));
    let (rest, signature) = good.rsplit_once('.').unwrap();
    let mut unsigned = claims(&json!({}));
    unsigned.as_object_mut().unwrap().remove("exp");
    let secret = EncodingKey::from_secret(PUBLIC);
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("k1".to_owned());
    for token in [
        signed(Algorithm::RS256, "k2", &claims(&json!({}))),
        signed(Algorithm::PS256, "k1", &claims(&json!({}))),
        signed(Algorithm::RS256, "k1", &claims(&json!({"exp": NOW}))),
        signed(Algorithm::RS256, "k1", &claims(&json!({"iss": "other"}))),
        signed(Algorithm::RS256, "k1", &claims(&json!({"account_id": 7}))),
        signed(Algorithm::RS256, "k1", &unsigned),
        encode(&header, &claims(&json!({})), &secret).unwrap(),
        format!("{rest}.{}", signature.replace(['A', 'B'], "C")),
        format!("{rest}."),
        "a.b.c".to_owned(),
        "x".repeat(10_000),
    ] {
        // A site for each, because refusals are counted.
        assert_eq!(status(&site(), LIST, &token).await, 401, "{token}");
    }
    assert_eq!(status(&Site::furnished(), LIST, &good).await, 401);
}

#[test]
fn a_key_that_is_none_is_named() {
    let error = Keys::new("kazoo", [("k7", b"nonsense".as_slice())]).unwrap_err();
    assert!(error.to_string().contains("k7"));
    let keys = Keys::new("kazoo", [("k1", PUBLIC)]).unwrap();
    assert_eq!(
        format!("{keys:?}"),
        r#"Keys { issuer: "kazoo", kids: ["k1"], .. }"#
    );
}

#[tokio::test]
async fn two_tokens_of_one_account_have_a_bucket_each() {
    let site = limited(&Limits {
        requests: Bucket {
            burst: 1,
            per_second: 0.5,
        },
        ..Limits::default()
    });
    let other = signed(
        Algorithm::RS256,
        "k1",
        &claims(&json!({"owner_id": "somebody else"})),
    );
    let answer = async |token: &str, last: u8| {
        let ask = site.get(LIST).with_token(token);
        let host = Peer::Host([192, 0, 2, last].into());
        ask.coming_from(host).answer().await.status.as_u16()
    };
    let first = token_of("acme", None);
    assert_eq!(answer(&first, 1).await, 200);
    assert_eq!(answer(&first, 1).await, 429);
    assert_eq!(answer(&other, 1).await, 200);
}
