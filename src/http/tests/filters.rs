//! Filters, on lists, counts and flushes alike.

use http::StatusCode;

use super::site::{NOW, Site, details, phone};
use crate::registration::Registration;

const LIST: &str = "/v2/accounts/acme/registrations";

/// The filters, and the users of `acme` (two bobs and alice) that they leave.
fn cases() -> Vec<(String, &'static [&'static str])> {
    let modified = i64::try_from(NOW).unwrap() - 300 + crate::clock::GREGORIAN_EPOCH;
    let created = modified - 600;
    let fixed: [(&str, &'static [&'static str]); 13] = [
        ("filter_username=alice", &["alice"]),
        ("filter_username=Alice", &[]),
        ("filter_not_username=alice", &["bob", "bob"]),
        ("filter_contact_port=5061", &["bob"]),
        ("filter_username=bob&filter_contact_port=5061", &["bob"]),
        ("filter_username=bob&filter_username=alice", &[]),
        (
            "filter_user_agent=Yealink%20SIP-T38G+38.0.0.115",
            &["alice", "bob", "bob"],
        ),
        (
            "filter_suppress_unregister_notify=true&filter_cseq=7",
            &["alice", "bob", "bob"],
        ),
        ("has_key=path", &["alice"]),
        ("key_missing=path", &["bob", "bob"]),
        ("has_value=path", &["alice"]),
        ("missing_value=path", &["bob", "bob"]),
        ("filter_not_path=x", &["alice", "bob", "bob"]),
    ];
    let mut cases: Vec<_> = fixed.map(|(query, users)| (query.to_owned(), users)).into();
    for (name, bound) in [("modified", modified), ("created", created)] {
        cases.push((
            format!("{name}_from={bound}&{name}_to={bound}"),
            &["alice", "bob", "bob"],
        ));
        cases.push((format!("{name}_from={}", bound + 1), &[]));
        cases.push((format!("{name}_to={}", bound - 1), &[]));
    }
    cases
}

fn site() -> Site {
    let site = Site::furnished();
    let mut alice = details("acme", "alice", 2);
    let mut binding = (*alice.binding).clone();
    binding.path = Some("<sip:edge.example.com;lr>".into());
    alice.binding = binding.into();
    site.add([Registration::new(alice)]);
    site
}

#[tokio::test]
async fn list_count_and_flush_agree() {
    let site = site();
    for (query, users) in cases() {
        let answer = site.get(&format!("{LIST}?{query}")).answer().await;
        assert_eq!(answer.usernames(), users, "{query}");
        assert_eq!(answer.json()["page_size"], users.len());
        let answer = site.get(&format!("{LIST}/count?{query}")).answer().await;
        assert_eq!(answer.data()["count"], users.len(), "{query}");
        let answer = site
            .delete(&format!("{LIST}?{query}&dry_run=true"))
            .answer()
            .await;
        assert_eq!(
            answer.header("x-would-flush"),
            Some(&*users.len().to_string())
        );
        assert!(site.fake.asked.lock().unwrap().is_empty());
        let answer = site.delete(&format!("{LIST}?{query}")).answer().await;
        assert_eq!(answer.header("x-flushed"), Some(&*users.len().to_string()));
        let request = site.fake.asked.lock().unwrap().pop().unwrap();
        assert_eq!(request.registrations.len(), users.len());
        assert_eq!(request.actor.filters, query);
    }
}

#[tokio::test]
async fn a_flush_of_a_user_with_filters_asks_for_nothing_further() {
    let site = site();
    let path = format!("{LIST}/bob?filter_contact_port=5061&auth_token=ops-token");
    let answer = site.delete(&path).answer().await;
    assert_eq!(answer.header("x-flushed"), Some("1"));
    let request = site.fake.asked.lock().unwrap().pop().unwrap();
    assert!(request.further.is_empty());
    assert_eq!(request.actor.filters, "filter_contact_port=5061");
}

#[tokio::test]
async fn what_is_no_filter_is_refused() {
    let site = site();
    for query in [
        "filter_x=1",
        "filter_=1",
        "filter_not_x=1",
        "has_key=x",
        "key_missing=",
        "has_value=Username",
        "missing_value=x",
        "modified_from=",
        "modified_to=1.5",
        "created_from=x",
        "created_to=99999999999999999999",
    ] {
        for path in [
            LIST.to_owned(),
            format!("{LIST}/count"),
            format!("{LIST}/bob"),
            "/v2/registrations".to_owned(),
        ] {
            let answer = site.get(&format!("{path}?{query}")).answer().await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}?{query}");
        }
    }
    let answer = site.get(&format!("{LIST}?filter_x=1")).answer().await;
    insta::assert_snapshot!(answer.show());
    let answer = site.get(&format!("{LIST}?unknown=1")).answer().await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn the_revision_is_that_of_the_rows_that_are_left() {
    let site = site();
    let revision = async || {
        let answer = site
            .get(&format!("{LIST}?filter_username=alice"))
            .answer()
            .await;
        answer.json()["revision"].clone()
    };
    let before = revision().await;
    site.add([phone("acme", "dave", 8)]);
    assert_eq!(revision().await, before);
    site.add([phone("acme", "alice", 9)]);
    assert_ne!(revision().await, before);
}

#[tokio::test]
async fn numbers_are_compared_by_their_worth() {
    let site = Site::new();
    let mut one = details("acme", "alice", 2);
    let mut binding = (*one.binding).clone();
    binding.q = Some(1.0);
    one.binding = binding.into();
    site.add([Registration::new(one), phone("acme", "bob", 3)]);
    for (query, users) in [
        ("filter_q=1.0", &["alice"][..]),
        ("filter_q=1", &["alice"]),
        ("filter_q=1.00", &["alice"]),
        ("filter_q=0.5", &[]),
        ("filter_q=one", &[]),
        ("filter_not_q=1.0", &["bob"]),
        ("filter_cseq=7.0", &["alice", "bob"]),
        ("filter_cseq=7.5", &[]),
        ("filter_contact_port=5062.0", &[]),
    ] {
        let answer = site.get(&format!("{LIST}?{query}")).answer().await;
        assert_eq!(answer.usernames(), users, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn very_many_are_looked_through_in_order() {
    const MANY: u16 = 20_000;
    let site = Site::new();
    let user = |number: u16| format!("user{number:05}");
    site.add((0..MANY).map(|number| phone("acme", &user(number), number)));
    let query = format!("{LIST}?filter_not_username={}", user(9_000));
    let answer = site.get(&query).answer().await;
    let left: Vec<String> = (0..MANY)
        .filter(|number| *number != 9_000)
        .map(user)
        .collect();
    assert_eq!(answer.usernames(), left);
    // The revision is that of these rows, however they were found.
    let all = site
        .get(&format!("{LIST}?has_value=username"))
        .answer()
        .await;
    let plain = site.get(LIST).answer().await;
    assert_eq!(all.json()["revision"], plain.json()["revision"]);
    assert_ne!(answer.json()["revision"], plain.json()["revision"]);
}
