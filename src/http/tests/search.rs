//! `q=`: a search, in lists, counts, flushes and streams.

use std::sync::Arc;

use http::{Method, StatusCode};
use proptest::prelude::*;
use serde_json::Value;

use super::site::{Site, details, phone};
use crate::http::request::filter::Filters;
use crate::http::request::params::Params;
use crate::http::request::reach::Reach;
use crate::registration::item::json::write_item;
use crate::registration::item::{Flap, Item, Wire};
use crate::registration::{
    Address, Binding, Common, Details, Expiry, Registration, SourceAddress, Text,
};
use crate::sip::{SourceFrom, Transport};

const LIST: &str = "/v2/registrations";

/// Percent-encoded.
fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn phone_with(
    (account, user, number): (&str, &str, u16),
    change: impl FnOnce(&mut Details, &mut Binding, &mut Common),
) -> Registration {
    let mut one = details(account, user, number);
    let mut binding = (*one.binding).clone();
    let mut common = (*one.common).clone();
    change(&mut one, &mut binding, &mut common);
    (one.binding, one.common) = (Arc::new(binding), Arc::new(common));
    Registration::new(one)
}

fn source(host: &str, port: u16) -> SourceAddress {
    let address = Address {
        host: host.into(),
        port: Some(port),
    };
    let from = SourceFrom::Received;
    SourceAddress { address, from }
}

/// Phones that differ in all that a search looks at.
fn site() -> Site {
    let site = Site::new();
    site.add([
        phone_with(("acme", "Alice", 1), |one, binding, common| {
            one.source = Some(source("203.0.113.7", 40001));
            binding.user_agent = Some("Yealink SIP-T46S 66.85.0.5".into());
            binding.expiry = Expiry::At(binding.last_modified + 330);
            common.proxy_protocol = Some(Transport::Tls);
        }),
        phone_with(("acme", "bob", 2), |_, binding, _| {
            binding.expiry = Expiry::Permanent;
        }),
        phone_with(("other", "ΣΊΣΥΦΟΣ", 3), |one, binding, common| {
            one.source = Some(source("2001:db8::7", 5060));
            one.contact_address = None;
            binding.contact = "sip:x@phone.invalid;alias=Straße".into();
            common.account_name = Some("Müller & Söhne".into());
            common.proxy_protocol = None;
        }),
        phone_with(("", "stray", 4), |one, binding, common| {
            one.account_id = None;
            common.account_name = None;
            common.realm = None;
            binding.user_agent = None;
        }),
    ]);
    site
}

/// What a search finds, of the users in order.
const FOUND: &[(&str, &[&str])] = &[
    ("", &["Alice", "bob", "stray", "ΣΊΣΥΦΟΣ"]),
    (" ", &["Alice", "bob", "stray", "ΣΊΣΥΦΟΣ"]),
    ("alice", &["Alice"]),
    ("LIC", &["Alice"]),
    ("alice@ACME.example.com", &["Alice"]),
    ("yealink t46s", &["Alice"]),
    ("yealink t38g", &["bob", "ΣΊΣΥΦΟΣ"]),
    ("alice bob", &[]),
    ("203.0.113.7:40001", &["Alice"]),
    ("2001:DB8::7", &["ΣΊΣΥΦΟΣ"]),
    ("[2001:db8::7]:5060", &["ΣΊΣΥΦΟΣ"]),
    ("σίσυφος", &["ΣΊΣΥΦΟΣ"]),
    ("STRASSE", &["ΣΊΣΥΦΟΣ"]),
    ("sip:stray", &["stray"]),
    ("acme", &["Alice", "bob"]),
    ("müller", &[]),
    ("comsip", &[]),
    ("user:alice", &["Alice"]),
    ("USER:ALICE", &["Alice"]),
    ("user:alic", &[]),
    ("user:alic*", &["Alice"]),
    ("user:*", &["Alice", "bob", "stray", "ΣΊΣΥΦΟΣ"]),
    ("user:*ice", &[]),
    ("realm:ACME.example.com", &["Alice", "bob"]),
    ("realm:acme", &[]),
    ("realm:*", &["Alice", "bob", "ΣΊΣΥΦΟΣ"]),
    ("account:OTHER", &["ΣΊΣΥΦΟΣ"]),
    ("account:müller*", &["ΣΊΣΥΦΟΣ"]),
    ("account:müller", &[]),
    ("account:acm* t46s", &["Alice"]),
    ("ua:t46s", &["Alice"]),
    ("ua:alice", &[]),
    ("ip:203.0.113.7", &["Alice"]),
    ("ip:203.0.113.0/24", &["Alice"]),
    ("ip:192.0.2.1", &["Alice"]),
    ("ip:192.0.2.0/30", &["Alice", "bob"]),
    ("ip:2001:db8::/32", &["ΣΊΣΥΦΟΣ"]),
    ("ip:[2001:db8::7]", &["ΣΊΣΥΦΟΣ"]),
    ("ip:::ffff:203.0.113.7", &["Alice"]),
    ("transport:TLS", &["Alice"]),
    ("transport:udp", &["bob", "stray"]),
    ("transport:wss", &[]),
    ("expires:<60", &["Alice"]),
    ("expires:<30", &[]),
    ("expires:<=30", &["Alice"]),
    ("expires:>=30", &["Alice", "stray", "ΣΊΣΥΦΟΣ"]),
    ("expires:>30 expires:<300", &[]),
    ("flapping:yes", &[]),
    ("flapping:no user:bob", &["bob"]),
    ("node:NODE-1 bob", &["bob"]),
    ("node:node* bob", &["bob"]),
    ("node:node-2", &[]),
    ("foo:bar", &[]),
    ("alias:x", &[]),
    ("alias=straße", &["ΣΊΣΥΦΟΣ"]),
];

#[tokio::test]
async fn a_search_finds_the_same_in_every_answer() {
    let site = site();
    for (words, users) in FOUND {
        let (query, total) = (format!("q={}", encoded(words)), users.len().to_string());
        let list = site.get(&format!("{LIST}?{query}")).answer().await;
        assert_eq!(list.usernames(), *users, "{words}");
        assert_eq!(list.header("x-total"), Some(&*total), "{words}");
        let count = site.get(&format!("{LIST}/count?{query}")).answer().await;
        assert_eq!(count.data()["count"], users.len(), "{words}");
        assert_eq!(count.json()["revision"], list.json()["revision"], "{words}");
        let page = format!("{LIST}?{query}&page_size=1&accept=csv");
        let page = site.get(&page).answer().await;
        assert_eq!(page.header("x-total"), Some(&*total), "{words}");
        if !words.trim().is_empty() {
            let dry = format!("{LIST}?{query}&dry_run=true");
            let dry = site.delete(&dry).answer().await;
            assert_eq!(dry.header("x-would-flush"), Some(&*total), "{words}");
        }
    }
}

#[tokio::test]
async fn several_searches_and_filters_must_all_hold() {
    let site = site();
    let of = async |query: &str| {
        site.get(&format!("{LIST}?{query}"))
            .answer()
            .await
            .usernames()
    };
    assert_eq!(of("q=acme&q=user:bob").await, ["bob"]);
    assert_eq!(of("q=acme&filter_username=Alice").await, ["Alice"]);
    assert!(of("q=acme&filter_username=stray").await.is_empty());
    let list = "/v2/accounts/acme/registrations?q=*example*";
    assert!(site.get(list).answer().await.usernames().is_empty());
    let user = "/v2/accounts/acme/registrations/ALICE?q=yealink";
    assert_eq!(site.get(user).answer().await.usernames(), ["Alice"]);
}

#[tokio::test]
async fn what_cannot_be_searched_for_is_refused_everywhere() {
    let site = site();
    for path in [LIST, "/v2/registrations/count"] {
        let answer = site.get(&format!("{path}?q=ip:phone")).answer().await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
    }
    let answer = site.delete(&format!("{LIST}?q=user:")).answer().await;
    insta::assert_snapshot!(answer.show());
    assert!(site.fake.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_stream_follows_all_but_what_moves_by_itself() {
    let site = site();
    for (words, expected) in [
        ("alice ua:yealink transport:tls", StatusCode::OK),
        ("expires:<60", StatusCode::BAD_REQUEST),
        ("flapping:yes", StatusCode::BAD_REQUEST),
    ] {
        let uri = format!("{LIST}?watch=true&q={}", encoded(words));
        let answer = site.ask(Method::HEAD, &uri).answer().await;
        assert_eq!(answer.status, expected, "{words}");
    }
}

#[tokio::test]
async fn ruids_choose_one_by_one() {
    let site = Site::furnished();
    let all = site.get(LIST).answer().await.data();
    let ruid = |at: usize| all[at]["ruid"].as_str().unwrap().to_owned();
    let both = format!("{},gone,{}", ruid(1), ruid(3));
    let answer = site.get(&format!("{LIST}?ruids={both}")).answer().await;
    assert_eq!(answer.usernames(), ["bob", "carol"]);
    assert_eq!(answer.header("x-total"), Some("2"));
    let filtered = format!("{LIST}?ruids={both}&q=carol");
    assert_eq!(site.get(&filtered).answer().await.usernames(), ["carol"]);
    let many = |count: usize| vec!["a"; count].join(",");
    for (ruids, status) in [
        (many(2000), StatusCode::OK),
        (many(2001), StatusCode::BAD_REQUEST),
        (String::new(), StatusCode::BAD_REQUEST),
        ("a,,b".to_owned(), StatusCode::BAD_REQUEST),
        ("a&ruids=b".to_owned(), StatusCode::BAD_REQUEST),
        ("a,b&ruids=b,a".to_owned(), StatusCode::OK),
    ] {
        let answer = site.get(&format!("{LIST}?ruids={ruids}")).answer().await;
        assert_eq!(answer.status, status, "{ruids:.20}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_searches_again_and_again_keeps_nobody_waiting() {
    const MANY: u16 = 20_000;
    let site = Site::new();
    site.add((0..MANY).map(|number| phone("acme", &format!("user{number:05}"), number)));
    let searching: Vec<_> = (0..16)
        .map(|_| {
            site.get("/v2/registrations?q=user1+user19999&page_size=5")
                .response()
        })
        .collect();
    let all = futures_util::future::join_all(searching);
    let other = site
        .get("/v2/registrations?q=user19999")
        .with_token("acme-token")
        .answer();
    let (all, other) = tokio::join!(all, other);
    assert!(all.iter().all(|answer| answer.headers()["x-total"] == "1"));
    assert_eq!(other.usernames(), ["user19999"]);
}

/// What the contract says of a word, told from the item as it is shown.
fn oracle(item: &Value, one: &Details, word: &str) -> bool {
    let fold = |text: &str| text.to_uppercase().to_lowercase();
    let text = |key: &str| item[key].as_str().unwrap_or_default();
    let is = |whole: &str, text: &str| match whole.strip_suffix('*') {
        Some(beginning) => fold(text).starts_with(&fold(beginning)),
        None => fold(text) == fold(whole),
    };
    let contains = |text: &str, part: &str| fold(text).contains(&fold(part));
    match word.split_once(':') {
        Some(("user", value)) => is(value, text("username")),
        Some(("realm", value)) => item.get("realm").is_some() && is(value, text("realm")),
        Some(("account", value)) => {
            one.account_id.as_deref().is_some_and(|id| is(value, id))
                || item.get("account_name").is_some() && is(value, text("account_name"))
        }
        Some(("ua", value)) => {
            item.get("user_agent").is_some() && contains(text("user_agent"), value)
        }
        Some(("ip", value)) => [text("source_ip"), text("contact_ip")].contains(&value),
        Some(("transport", value)) => text("proxy_protocol") == value,
        Some(("expires", value)) => {
            let bound: i64 = value[1..].parse().unwrap();
            item["expires"].as_i64().is_some_and(|own| own < bound)
        }
        Some(("flapping", value)) => {
            (item["flap"]["flapping"] == Value::Bool(true)) == (value == "yes")
        }
        _ => {
            let name = match item.get("realm") {
                Some(_) => format!("{}@{}", text("username"), text("realm")),
                None => text("username").to_owned(),
            };
            let source = format!("{}:{}", text("source_ip"), text("source_port"));
            [&*name, text("contact"), text("user_agent"), &*source]
                .iter()
                .any(|text| contains(text, word))
        }
    }
}

fn any_text() -> impl Strategy<Value = String> {
    "[aAbBéÉßЯя1.@-]{0,4}"
}

fn any_phone() -> impl Strategy<Value = (Details, Option<Flap>)> {
    let texts = (any_text(), any_text(), any_text(), any_text(), any_text());
    let options = (any::<[bool; 4]>(), 1..120_i64, 0..4_u8);
    (texts, options).prop_map(
        |(texts, ([has_realm, has_account, has_end, flaps], left, host))| {
            let (user, realm, contact, agent, account) = texts;
            let mut one = details("x", "y", 1);
            let mut binding = (*one.binding).clone();
            let mut common = (*one.common).clone();
            one.username = user.as_str().into();
            one.source = Some(source(&format!("192.0.2.{host}"), 40 + u16::from(host)));
            one.contact_address = None;
            one.account_id = has_account.then(|| account.as_str().into());
            common.account_name = flaps.then(|| realm.as_str().into());
            common.realm = has_realm.then(|| realm.as_str().into());
            common.proxy_protocol = has_end.then_some(Transport::Tcp);
            binding.contact = contact.as_str().into();
            binding.user_agent = Some(Text::from(agent.as_str())).filter(|agent| !agent.is_empty());
            binding.expiry = if has_end {
                Expiry::At(NOW + left)
            } else {
                Expiry::Permanent
            };
            (one.binding, one.common) = (Arc::new(binding), Arc::new(common));
            let flap = Flap {
                score: 1,
                losses_24h: 1,
                flapping: flaps,
            };
            (one, Some(flap))
        },
    )
}

const NOW: i64 = 1_700_000_000;

fn any_word() -> impl Strategy<Value = String> {
    let value = "[aAbBéÉßЯя1.@-]{1,2}\\*?";
    prop_oneof![
        4 => "[aAbBéÉßЯя1.@:-]{1,3}",
        1 => value.prop_map(|value| format!("user:{value}")),
        1 => value.prop_map(|value| format!("realm:{value}")),
        1 => value.prop_map(|value| format!("account:{value}")),
        1 => "[aAbBéÉ1.]{1,2}".prop_map(|value| format!("ua:{value}")),
        1 => (0..4_u8).prop_map(|host| format!("ip:192.0.2.{host}")),
        1 => Just("transport:tcp".to_owned()),
        1 => (1..120_i64).prop_map(|bound| format!("expires:<{bound}")),
        1 => "flapping:(yes|no)",
    ]
}

proptest! {
    #[test]
    fn a_search_is_what_is_said_of_it(
        (one, flap) in any_phone(),
        words in prop::collection::vec(any_word(), 1..4),
    ) {
        let query = format!("q={}", encoded(&words.join(" ")));
        let filters = Filters::parse(&Params::parse(&query), Reach::Node("node-1")).unwrap();
        let item = Item { registration: &one, wire: Wire::Document, now: NOW, flap };
        let mut shown = Vec::new();
        write_item(&item, &mut shown);
        let shown: Value = serde_json::from_slice(&shown).unwrap();
        let expected = words.iter().all(|word| oracle(&shown, &one, word));
        prop_assert_eq!(filters.match_item(&item, &mut Vec::new()), expected, "{:?} {}", words, shown);
    }
}
