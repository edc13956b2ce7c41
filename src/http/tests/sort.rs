//! `sort=`, `fields=` and `X-Total`.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use http::{Method, StatusCode};
use proptest::prelude::*;
use serde_json::Value;

use super::site::{Answer, NOW, Site, details, phone};
use crate::registration::{Change, Expiry, Registration};

const LIST: &str = "/v2/accounts/acme/registrations";

/// Phones whose keys are equal, different in case alone, or absent.
fn site() -> Site {
    let site = Site::new();
    site.add((0..40_u16).map(|number| {
        let name = format!("{}{number:02}", if number % 2 == 0 { "u" } else { "U" });
        let mut one = details("acme", &name, number);
        let mut binding = (*one.binding).clone();
        binding.user_agent = match number % 5 {
            0 => None,
            1 => Some("zeta".into()),
            2 => Some("Alpha".into()),
            3 => Some("alpha".into()),
            _ => Some("École".into()),
        };
        binding.expiry = match number % 7 {
            0 => Expiry::Permanent,
            rest => Expiry::At(site.now() + i64::from(rest) * 99),
        };
        binding.q = (number % 3 > 0).then(|| f64::from(number % 3) * 0.5 - 0.75);
        if number % 4 == 0 {
            one.source = None;
        }
        one.binding = binding.into();
        Registration::new(one)
    }));
    site
}

/// The order of items by a key, as the contract says it.
fn by(key: &str, one: &Value, other: &Value) -> Ordering {
    let (key, is_descending) = match key.strip_prefix('-') {
        Some(key) => (key, true),
        None => (key, false),
    };
    let known = |item: &Value| {
        item.get(key)
            .filter(|value| **value != "undefined")
            .cloned()
    };
    let order = match (known(one), known(other)) {
        (None, None) => return Ordering::Equal,
        (Some(_), None) => return Ordering::Less,
        (None, Some(_)) => return Ordering::Greater,
        (Some(Value::String(one)), Some(Value::String(other))) if key.ends_with("_port") => {
            let number = |text: String| text.parse::<u16>().unwrap();
            number(one).cmp(&number(other))
        }
        (Some(Value::String(one)), Some(Value::String(other))) => {
            one.to_lowercase().cmp(&other.to_lowercase())
        }
        (Some(Value::Bool(one)), Some(Value::Bool(other))) => one.cmp(&other),
        (Some(one), Some(other)) => one.as_f64().unwrap().total_cmp(&other.as_f64().unwrap()),
    };
    if is_descending {
        order.reverse()
    } else {
        order
    }
}

fn items(answer: &Answer) -> Vec<Value> {
    answer.data().as_array().unwrap().clone()
}

const KEYS: [&str; 12] = [
    "username",
    "-username",
    "user_agent",
    "-user_agent",
    "expires",
    "-expires",
    "q",
    "-q",
    "source_port",
    "-network_ip",
    "permanent",
    "event_timestamp",
];

#[tokio::test]
async fn items_are_in_the_order_of_a_key() {
    let site = site();
    let usual = items(&site.get(LIST).answer().await);
    for key in KEYS {
        let mut expected = usual.clone();
        expected.sort_by(|one, other| by(key, one, other));
        let list = site.get(&format!("{LIST}?sort={key}")).answer().await;
        assert_eq!(items(&list), expected, "{key}");
        assert_eq!(list.header("x-total"), Some("40"));
        for size in [1, 7, 39, 40, 41] {
            let query = format!("{LIST}?sort={key}&page_size={size}");
            let (mut walked, mut next) = (Vec::new(), String::new());
            loop {
                let page = site.get(&format!("{query}{next}")).answer().await;
                assert_eq!(page.header("x-total"), Some("40"));
                walked.extend(items(&page));
                match page.json()["next_start_key"].as_str() {
                    Some(key) => next = format!("&start_key={key}"),
                    None => break,
                }
            }
            assert_eq!(walked, expected, "{key} {size}");
        }
        let lines = site
            .get(&format!("{LIST}?sort={key}"))
            .header("accept", "application/x-ndjson");
        let lines = lines.answer().await;
        let parsed = lines.text().lines().map(serde_json::from_str);
        let parsed: Vec<Value> = parsed.collect::<Result<_, _>>().unwrap();
        assert_eq!(parsed, expected, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn very_many_are_sorted_on_every_core() {
    const MANY: u16 = 20_000;
    let site = Site::new();
    let user = |number: u16| format!("user{number:05}");
    site.add((0..MANY).map(|number| phone("acme", &user(number), number)));
    let mut walked = Vec::new();
    let mut next = String::new();
    for _ in 0..3 {
        let query = format!("{LIST}?sort=-username&page_size=900{next}");
        let page = site.get(&query).answer().await;
        walked.extend(page.usernames());
        next = format!(
            "&start_key={}",
            page.json()["next_start_key"].as_str().unwrap()
        );
    }
    let expected: Vec<_> = (0..MANY).rev().map(user).take(2700).collect();
    assert_eq!(walked, expected);
    let all = site.get(&format!("{LIST}?sort=-username")).answer().await;
    assert_eq!(all.usernames().len(), usize::from(MANY));
    assert_eq!(all.usernames()[..2700], expected);
}

#[tokio::test]
async fn what_is_no_order_is_refused() {
    let site = Site::furnished();
    for query in [
        "sort=",
        "sort=x",
        "sort=--q",
        "sort=q&sort=-q",
        "fields=",
        "fields=x,ruid",
    ] {
        let answer = site.get(&format!("{LIST}?{query}")).answer().await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
    }
    for query in ["sort=ruid", "fields=ruid", "page_size=1"] {
        let answer = site.delete(&format!("{LIST}?{query}")).answer().await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
    }
    let page = site
        .get(&format!("{LIST}?sort=ruid&page_size=1"))
        .answer()
        .await;
    let key = page.json()["next_start_key"].as_str().unwrap().to_owned();
    for (query, status) in [
        ("sort=ruid", StatusCode::OK),
        ("sort=-ruid", StatusCode::BAD_REQUEST),
        ("sort=username", StatusCode::BAD_REQUEST),
        ("x=", StatusCode::BAD_REQUEST),
    ] {
        let query = format!("{LIST}?{query}&start_key={key}");
        assert_eq!(site.get(&query).answer().await.status, status, "{query}");
    }
}

#[tokio::test]
async fn fields_are_shown_in_their_order_in_every_format() {
    let site = Site::furnished();
    let query = format!("{LIST}?fields=contact,username,q,contact&sort=-username");
    let json = site.get(&query).answer().await;
    let start = "{\"auth_token\":\"ops-token\",\"data\":[{\"contact\":\"sip:bob@192.0.2.1:5061\",\"username\":\"bob\"},{";
    assert!(json.text().starts_with(start), "{}", json.text());
    let csv = site.get(&format!("{query}&accept=csv")).answer().await;
    assert_eq!(
        csv.text().lines().collect::<Vec<_>>(),
        [
            "contact,username,q",
            "sip:bob@192.0.2.1:5061,bob,",
            "sip:bob@192.0.2.3:5063,bob,",
            "sip:alice@192.0.2.2:5062,alice,",
        ]
    );
    let lines = site.get(&query).header("accept", "application/x-ndjson");
    let lines = lines.answer().await;
    let first = "{\"contact\":\"sip:bob@192.0.2.1:5061\",\"username\":\"bob\"}";
    assert_eq!(lines.text().lines().next(), Some(first));
    let nothing = site
        .get(&format!("{LIST}?fields=q&page_size=1"))
        .answer()
        .await;
    assert_eq!(nothing.data(), serde_json::json!([{}]));
}

#[tokio::test]
async fn the_accounts_id_is_shown_where_it_is_named_and_not_otherwise() {
    let site = Site::furnished();
    let mut stray = details("nobody", "stray", 20);
    stray.account_id = None;
    site.add([Registration::new(stray)]);
    let query = "/v2/registrations?fields=username,account_id";
    let named = site.get(query).answer().await;
    let expected = serde_json::json!([
        {"username": "alice", "account_id": "acme"},
        {"username": "bob", "account_id": "acme"},
        {"username": "bob", "account_id": "acme"},
        {"username": "carol", "account_id": "other"},
        {"username": "stray"},
    ]);
    assert_eq!(named.data(), expected);
    let csv = site.get(&format!("{query}&accept=csv")).answer().await;
    assert!(csv.text().starts_with("username,account_id\r\nalice,acme"));
    for format in ["application/json", "text/csv", "application/x-ndjson"] {
        let usual = site.get("/v2/registrations").header("accept", format);
        let usual = usual.answer().await;
        let keys = usual.text().replace("auth_token", "");
        assert!(!keys.contains("account_id"), "{keys}");
    }
    let own = site.get("/v2/registrations?filter_account_id=other");
    assert_eq!(own.answer().await.data()[0]["username"], "carol");
}

#[tokio::test]
async fn every_list_says_how_many_there_are() {
    let site = Site::furnished();
    for (path, token, total) in [
        (LIST, "ops-token", "3"),
        ("/v2/accounts/acme/registrations/bob", "ops-token", "2"),
        ("/v2/accounts/empty/registrations", "ops-token", "0"),
        ("/v2/registrations", "ops-token", "4"),
        ("/v2/registrations", "two-token", "4"),
        ("/v2/registrations", "acme-token", "3"),
    ] {
        for query in [
            "",
            "?accept=csv",
            "?page_size=1",
            "?page_size=1&sort=q",
            "?fields=ruid",
        ] {
            for method in [Method::GET, Method::HEAD] {
                let ask = site
                    .ask(method, &format!("{path}{query}"))
                    .with_token(token);
                let answer = ask.answer().await;
                assert_eq!(answer.header("x-total"), Some(total), "{path}{query}");
                let etag = answer.header("etag").unwrap().to_owned();
                let ask = site.get(&format!("{path}{query}")).with_token(token);
                let answer = ask.header("if-none-match", &etag).answer().await;
                assert_eq!(answer.status, StatusCode::NOT_MODIFIED, "{path}{query}");
                assert_eq!(answer.header("x-total"), Some(total), "{path}{query}");
            }
        }
    }
}

#[tokio::test]
async fn a_revision_is_that_of_what_is_shown() {
    let site = site();
    let revision = async |query: &str| {
        let answer = site.get(&format!("{LIST}?{query}")).answer().await;
        answer.json()["revision"].clone()
    };
    let queries = [
        "fields=username",
        "fields=expires",
        "fields=username&sort=-expires",
        "sort=username&page_size=3",
        "fields=username&page_size=3",
    ];
    let mut before = BTreeMap::new();
    for query in queries {
        before.insert(query, revision(query).await);
    }
    // The countdown changes nothing.
    site.clock.advance(std::time::Duration::from_secs(5));
    for query in queries {
        assert_eq!(revision(query).await, before[query], "{query}");
    }
    // A new deadline for one in the middle of the list.
    let mut one = details("acme", "u20", 20);
    let mut binding = (*one.binding).clone();
    binding.expiry = Expiry::At(i64::try_from(NOW).unwrap() + 5000);
    one.binding = binding.into();
    site.add([Registration::new(one)]);
    for (query, changes) in queries.into_iter().zip([false, true, true, false, false]) {
        assert_eq!(revision(query).await != before[query], changes, "{query}");
    }
}

/// What happens to the list between two pages.
#[derive(Clone, Debug)]
enum Step {
    Add(u16),
    Remove(u16),
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Who is there all the while is on one page, once; whoever comes or goes is on one at most.
    #[test]
    fn pages_show_each_once_while_others_come_and_go(
        key in prop::sample::select(&KEYS[..]),
        size in 1..9_usize,
        steps in prop::collection::vec(
            prop_oneof![(100..160_u16).prop_map(Step::Add), (0..40_u16).prop_map(Step::Remove)],
            0..40,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let site = site();
            let mut staying: Vec<u16> = (0..40).collect();
            let mut seen: BTreeMap<String, usize> = BTreeMap::new();
            let (mut steps, mut next) = (steps.into_iter(), String::new());
            loop {
                let query = format!("{LIST}?sort={key}&page_size={size}{next}");
                let page = site.get(&query).answer().await;
                for item in items(&page) {
                    *seen.entry(item["ruid"].as_str().unwrap().to_owned()).or_default() += 1;
                }
                let Some(key) = page.json()["next_start_key"].as_str().map(str::to_owned) else {
                    break;
                };
                next = format!("&start_key={key}");
                for step in steps.by_ref().take(3) {
                    match step {
                        Step::Add(number) => {
                            site.add([phone("acme", &format!("u{:02}x", number % 40), number)]);
                        }
                        Step::Remove(number) => {
                            staying.retain(|one| *one != number);
                            let gone = phone("acme", "u", number).binding.key.clone();
                            site.registry.apply([Change::Remove(gone)]);
                        }
                    }
                }
            }
            for number in staying {
                prop_assert_eq!(seen.get(&format!("uloc-{number}")), Some(&1), "{}", number);
            }
            prop_assert!(seen.values().all(|times| *times == 1));
            Ok(())
        })?;
    }
}
