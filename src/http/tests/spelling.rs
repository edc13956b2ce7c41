//! An account whose id is the domain of its phones is meant by every spelling of the domain (RFC 4343).

use std::sync::Arc;

use serde_json::json;

use super::site::{Site, World, details, settings};
use crate::config::Limits;
use crate::registration::{Common, Registration};

/// A phone of this account, in this realm.
fn phone(account: &str, realm: &str, username: &str, number: u16) -> Registration {
    let mut one = details(account, username, number);
    let mut common = Common::clone(&one.common);
    common.realm = Some(realm.into());
    one.common = Arc::new(common);
    Registration::new(one)
}

/// `acme.test` is a domain; `Mixed` and `hex` are ids that somebody gave, `Named.Test` one of the directory.
fn site() -> Site {
    let mut world = World {
        directory:
            r#"{"accounts": [{"id": "Named.Test"}, {"id": "Twin.test"}, {"id": "twin.TEST"}]}"#
                .to_owned(),
        ..World::default()
    };
    world.add_token(
        "domain-token",
        "domain",
        r#"["Acme.TEST"]"#,
        r#"["read", "flush"]"#,
    );
    world.add_token("hex-token", "hex", r#"["HEX"]"#, r#"["read"]"#);
    let site = Site::of(settings(), &Limits::default(), world);
    site.add([
        phone("acme.test", "acme.test", "bob", 1),
        phone("acme.test", "ACME.test", "alice", 2),
        phone("hex", "elsewhere.test", "carol", 3),
        phone("Mixed", "mixed", "dora", 4),
        phone("Named.Test", "named.test", "emil", 5),
    ]);
    site
}

#[tokio::test]
async fn a_domain_is_found_in_any_case() {
    let site = site();
    for (id, status, count) in [
        ("acme.test", 200, 2),
        ("ACME.Test", 200, 2),
        ("named.test", 200, 1),
        ("NAMED.TEST", 200, 1),
        ("hex", 200, 1),
        ("HEX", 404, 0),
        ("Mixed", 200, 1),
        ("mixed", 404, 0),
        ("TWIN.TEST", 404, 0),
        ("Twin.test", 200, 0),
        ("other.test", 404, 0),
    ] {
        let path = format!("/v2/accounts/{id}/registrations");
        let answer = site.get(&format!("{path}/count")).answer().await;
        assert_eq!(answer.status.as_u16(), status, "{id}");
        if status == 200 {
            assert_eq!(answer.data()["count"], count, "{id}");
        } else {
            assert_eq!(answer.data()["cause"], id);
        }
    }
}

/// Both spellings have one list: revision, cursors and all.
#[tokio::test]
async fn one_account_has_one_list() {
    let site = site();
    let ask = |id: &str, query: &str| {
        let uri = format!("/v2/accounts/{id}/registrations{query}");
        site.get(&uri).answer()
    };
    let (small, large) = (ask("acme.test", "").await, ask("ACME.TEST", "").await);
    assert_eq!(small.json()["data"], large.json()["data"]);
    assert_eq!(small.header("etag"), large.header("etag"));
    let page = ask("acme.test", "?page_size=1").await;
    let key = page.json()["next_start_key"].as_str().unwrap().to_owned();
    let next = ask("ACME.test", &format!("?start_key={key}")).await;
    assert_eq!(next.usernames(), ["bob"]);
    assert_eq!(ask("ACME.test", "/BOB").await.usernames(), ["bob"]);
}

#[tokio::test]
async fn a_token_spells_its_domain_as_it_likes() {
    let site = site();
    for path in [
        "/v2/accounts/acme.test/registrations/count",
        "/v2/accounts/ACME.TEST/registrations/count",
        "/v2/account/registrations/count",
        "/v2/registrations/count",
    ] {
        let answer = site.get(path).with_token("domain-token").answer().await;
        assert_eq!(answer.data(), json!({"count": 2}), "{path}");
    }
    let path = "/v2/registrations/count?accounts=true";
    let answer = site.get(path).with_token("domain-token").answer().await;
    assert_eq!(answer.data()["accounts"][0]["id"], "acme.test");
    // An id that is not a domain is a different one in another case.
    let hex = async |path: &str| {
        site.get(path)
            .with_token("hex-token")
            .answer()
            .await
            .status
            .as_u16()
    };
    assert_eq!(hex("/v2/accounts/hex/registrations").await, 403);
    assert_eq!(hex("/v2/accounts/HEX/registrations").await, 404);
}

#[tokio::test]
async fn the_audit_names_the_account_itself() {
    let site = site();
    let answer = site
        .delete("/v2/accounts/Acme.Test/registrations")
        .with_token("domain-token");
    assert_eq!(answer.answer().await.status.as_u16(), 200);
    let asked = site.fake.asked.lock().unwrap();
    assert_eq!(asked[0].actor.account_id.as_deref(), Some("acme.test"));
    assert_eq!(asked[0].registrations.len(), 2);
}
