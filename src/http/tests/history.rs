//! `GET …/history`, `…/flapping`, `…/why`, and the items' `flap`.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::site::{ACME, NOW, OPS, Site, World, details, phone, settings};
use crate::clock::ManualClock;
use crate::config;
use crate::event_log::{History, Options};
use crate::events::{Audience, Burst, Event, Group, Happening, Kind, Reason, Stats, What};
use crate::http::auth::peer::Peer;
use crate::registration::Registration;
use crate::registry::SourceState;

const LIST: &str = "/v2/accounts/acme/registrations";
const EVENTS: &str = "/v2/accounts/acme/history";

/// A second of the past, in milliseconds.
fn ago(seconds: u64) -> u64 {
    (NOW - seconds) * 1000
}

fn happened(at: u64, kind: Kind, one: &Registration) -> What {
    let lasted = matches!(kind, Kind::Terminated(_)).then(|| Stats {
        registered_at: i64::try_from(at / 1000).unwrap() - 600,
        last_refresh_at: None,
        lasted: 600,
        refreshes: 0,
        granted_expires: Some(600),
    });
    What::Registration(Box::new(Happening {
        kind,
        audience: Audience::All,
        registration: Arc::new(one.clone()),
        former: None,
        happened_at: None,
        replaces: None,
        flush: None,
        stats: lasted,
    }))
}

fn numbered(events: Vec<(u64, What)>) -> Vec<Arc<Event>> {
    let event = |(seq, (at, what)): (u64, (u64, What))| Event {
        seq,
        at,
        commit: seq,
        what,
    };
    (1..).zip(events).map(|it| Arc::new(event(it))).collect()
}

/// An API with this history, and the folder that it is in.
async fn site(events: Vec<(u64, What)>) -> (Site, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        path: folder.path().join("history.db"),
        keep: Duration::from_hours(24),
        size: 1 << 30,
    };
    let clock = Arc::new(ManualClock::at(NOW));
    let history = Arc::new(History::open(options, clock).await.unwrap());
    let events = numbered(events);
    history.append(&events).await.unwrap();
    let world = World {
        history: Some(history),
        ..World::default()
    };
    let site = Site::of(settings(), &config::Limits::default(), world);
    let mut observer = site.flaps.observer();
    for event in &events {
        observer.see(event);
    }
    (site, folder)
}

/// Alice of acme came and expired, carol of other was removed.
fn some() -> Vec<(u64, What)> {
    let (alice, carol) = (phone("acme", "alice", 1), phone("other", "carol", 2));
    vec![
        (ago(600), happened(ago(600), Kind::Registered, &alice)),
        (
            ago(300),
            happened(ago(300), Kind::Terminated(Reason::Removed), &carol),
        ),
        (
            ago(200),
            happened(ago(200), Kind::Terminated(Reason::Expired), &alice),
        ),
    ]
}

fn told(data: &Value) -> Vec<String> {
    let event = |event: &Value| {
        let text = |key: &str| event[key].as_str().unwrap_or("-").to_owned();
        format!("{} {} {}", text("username"), text("type"), text("reason"))
    };
    data.as_array().unwrap().iter().map(event).collect()
}

#[tokio::test]
async fn tells_what_happened_newest_first() {
    let (site, _folder) = site(some()).await;
    let answer = site.get(EVENTS).with_token(ACME).answer().await;
    assert_eq!(
        told(&answer.data()),
        ["alice terminated expired", "alice registered -"]
    );
    let envelope = answer.json();
    assert_eq!(envelope["page_size"], 2);
    assert_eq!(envelope["oldest"], "2023-11-14T22:08:20.000Z");
    let event = &envelope["data"][0];
    assert!(event["id"].as_str().unwrap().ends_with("-3"), "{event}");
    assert_eq!(event["stats"]["lasted"], 600);
    assert_eq!(event["registration"]["username"], "alice");
    assert_eq!(event["registration"]["expires"], Value::Null);
    let all = site.get("/v2/history").answer().await;
    assert_eq!(told(&all.data()).len(), 3);
    let of_user = site.get(&format!("{LIST}/ALICE/history")).answer().await;
    assert_eq!(told(&of_user.data()).len(), 2);
    let own = site
        .get("/v2/account/history")
        .with_token(ACME)
        .answer()
        .await;
    assert_eq!(told(&own.data()).len(), 2);
}

#[tokio::test]
async fn an_unchanged_history_is_304() {
    let (site, _folder) = site(some()).await;
    let answer = site.get(EVENTS).answer().await;
    let etag = answer.header("etag").unwrap().to_owned();
    let again = site
        .get(EVENTS)
        .header("if-none-match", &etag)
        .answer()
        .await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn pages_lead_to_all_events() {
    let (site, _folder) = site(some()).await;
    let first = site.get("/v2/history?page_size=2").answer().await;
    assert_eq!(told(&first.data()).len(), 2);
    let key = first.json()["next_start_key"].as_str().unwrap().to_owned();
    let next = format!("/v2/history?page_size=2&start_key={key}");
    let last = site.get(&next).answer().await;
    assert_eq!(told(&last.data()), ["alice registered -"]);
    assert_eq!(last.json()["next_start_key"], Value::Null);
    let foreign = site
        .get(&format!("{EVENTS}?start_key={key}"))
        .answer()
        .await;
    assert_eq!(
        foreign.status,
        StatusCode::BAD_REQUEST,
        "it is another list's"
    );
}

#[tokio::test]
async fn events_are_chosen() {
    let (site, _folder) = site(some()).await;
    for (query, count) in [
        ("events=terminated", 2),
        ("events=registered,moved", 1),
        ("reason=removed", 1),
        ("reason=expired&reason=removed", 2),
        (&*format!("from={}", NOW - 300), 2),
        (&*format!("to={}", NOW - 300), 2),
        (&*format!("from={}&to={}", NOW - 300, NOW - 300), 1),
        ("from=2023-11-14T22:13:20Z", 2),
        ("from=2023-11-14T22:13:20.001Z", 1),
    ] {
        let answer = site.get(&format!("/v2/history?{query}")).answer().await;
        assert_eq!(told(&answer.data()).len(), count, "{query}");
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_the_reason() {
    let (site, _folder) = site(some()).await;
    for (query, name) in [
        ("from=yesterday", "from"),
        ("to=-1", "to"),
        ("events=lost", "events"),
        ("reason=gone", "reason"),
        ("group=account", "group"),
        ("page_size=1001", "page_size"),
        ("page_size=0", "page_size"),
        ("start_key=x", "start_key"),
    ] {
        let answer = site.get(&format!("{EVENTS}?{query}")).answer().await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(
            answer.data()[name].is_object(),
            "{query}: {}",
            answer.text()
        );
    }
    let why = format!("{LIST}/alice/why?at=then");
    let answer = site.get(&why).answer().await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn events_are_counted_by_what_they_have_in_common() {
    let (site, _folder) = site(some()).await;
    let count = |by: &str| format!("/v2/history?events=terminated&group={by}");
    let answer = site.get(&count("source")).answer().await;
    assert_eq!(
        answer.data(),
        json!([{"value": "192.0.2.0/24", "count": 2}])
    );
    let answer = site.get(&count("proxy")).answer().await;
    assert_eq!(
        answer.data(),
        json!([{"value": "udp:203.0.113.5:5060", "count": 2}])
    );
    let answer = site.get(&count("user_agent")).answer().await;
    assert_eq!(answer.data()[0]["count"], 2);
}

#[tokio::test]
async fn csv_and_lines_are_other_forms_of_it() {
    let (site, _folder) = site(some()).await;
    let csv = site
        .get("/v2/history?accept=csv&page_size=2")
        .answer()
        .await;
    let mut reader = csv::Reader::from_reader(csv.text().as_bytes());
    let names: Vec<String> = reader
        .headers()
        .unwrap()
        .iter()
        .map(str::to_owned)
        .collect();
    assert_eq!(names[..5], ["id", "at", "type", "reason", "username"]);
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let first: Vec<&str> = rows[0].iter().skip(2).take(3).collect();
    assert_eq!(first, ["terminated", "expired", "alice"]);
    assert_eq!(rows.len(), 2);
    assert!(csv.header("x-next-start-key").is_some());
    let lines = site
        .get("/v2/history")
        .header("accept", "application/x-ndjson")
        .answer()
        .await;
    assert_eq!(lines.header("content-type"), Some("application/x-ndjson"));
    let events: Vec<Value> = lines
        .text()
        .lines()
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    assert_eq!(told(&json!(events)).len(), 3);
    assert_eq!(lines.header("x-next-start-key"), None);
}

#[tokio::test]
async fn each_sees_the_events_of_his_accounts() {
    let (site, _folder) = site(some()).await;
    let two = site
        .get("/v2/history")
        .with_token("two-token")
        .answer()
        .await;
    assert_eq!(told(&two.data()).len(), 3);
    let one = site.get("/v2/history").with_token(ACME).answer().await;
    assert_eq!(told(&one.data()).len(), 2);
    let other = site
        .get("/v2/accounts/other/history")
        .with_token(ACME)
        .answer()
        .await;
    assert_eq!(other.status, StatusCode::FORBIDDEN);
    let flusher = site.get(EVENTS).with_token("flush-token").answer().await;
    assert_eq!(flusher.status, StatusCode::FORBIDDEN);
    let nobody = site.get(EVENTS).without("x-auth-token").answer().await;
    assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
    let deleted = site.delete(EVENTS).answer().await;
    assert_eq!(deleted.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_user_is_forgotten_over_the_socket_alone() {
    let (site, _folder) = site(some()).await;
    let path = format!("{LIST}/alice/history");
    let answer = site.delete(&path).answer().await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "a token cannot");
    let root = Peer::Process {
        uid: 0,
        trusted: true,
    };
    let over_socket = |path: &str| site.delete(path).without("x-auth-token").coming_from(root);
    let mistyped = over_socket(&format!("{path}?dry_run=true")).answer().await;
    assert_eq!(mistyped.status, StatusCode::BAD_REQUEST);
    let answer = over_socket(&path).answer().await;
    assert_eq!(answer.data(), json!({"forgotten": 2}));
    let left = site.get("/v2/history").answer().await;
    assert_eq!(told(&left.data()), ["carol terminated removed"]);
    let again = over_socket(&path).answer().await;
    assert_eq!(
        again.status,
        StatusCode::NOT_FOUND,
        "nobody knows her any more"
    );
}

#[tokio::test]
async fn whoever_has_events_is_known() {
    let mut events = some();
    // What is told to all makes nobody known.
    events.push((NOW * 1000, What::Source(SourceState::Live)));
    let (site, _folder) = site(events).await;
    for (path, status) in [
        ("/v2/accounts/other/history", StatusCode::OK),
        (
            "/v2/accounts/other/registrations/carol/history",
            StatusCode::OK,
        ),
        ("/v2/accounts/other/registrations/carol/why", StatusCode::OK),
        (
            "/v2/accounts/acme/registrations/offline/why",
            StatusCode::OK,
        ),
        ("/v2/accounts/nobody/history", StatusCode::NOT_FOUND),
        (
            "/v2/accounts/acme/registrations/carol/history",
            StatusCode::NOT_FOUND,
        ),
        (
            "/v2/accounts/acme/registrations/carol/why",
            StatusCode::NOT_FOUND,
        ),
        ("/v2/accounts/other/registrations", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(site.get(path).answer().await.status, status, "{path}");
    }
}

/// The page asks for it where nothing else knows the account any more.
#[tokio::test]
async fn the_owner_of_a_user_that_has_gone_is_found() {
    let carol = |account, number| phone(account, "carol", number);
    let mut events = some();
    events.push((
        ago(100),
        happened(ago(100), Kind::Registered, &carol("late", 9)),
    ));
    let (site, _folder) = site(events).await;
    for (asked, token, owner) in [
        (
            "username=CAROL&realm=Other.example.com",
            OPS,
            json!("other"),
        ),
        ("username=carol&realm=late.example.com", OPS, json!("late")),
        ("username=carol", OPS, json!("late")),
        ("username=carol", "two-token", json!("other")),
        ("username=carol", ACME, Value::Null),
        ("username=carol&realm=acme.example.com", OPS, Value::Null),
        ("username=nobody", OPS, Value::Null),
        ("", OPS, Value::Null),
    ] {
        let answer = site.get(&format!("/ui/data/owner?{asked}"));
        let answer = answer.with_token(token).answer().await;
        assert_eq!(
            answer.data(),
            json!({"account_id": owner}),
            "{asked} {token}"
        );
    }
}

#[tokio::test]
async fn without_a_history_that_is_said() {
    let site = Site::furnished();
    for path in [EVENTS, &format!("{LIST}/alice/why")] {
        let answer = site.get(path).answer().await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.json()["message"], "history_unavailable");
    }
    let owner = site.get("/ui/data/owner?username=alice").answer().await;
    assert_eq!(owner.data(), json!({"account_id": null}));
    let flapping = site.get("/v2/flapping").answer().await;
    assert_eq!(flapping.data(), json!([]), "this needs none");
}

/// Alice's phone is lost four times, five minutes apart.
fn flapping() -> Vec<(u64, What)> {
    let alice = phone("acme", "alice", 1);
    let lost = |number: u64| {
        let at = ago(1000 - number * 300);
        [
            (at, happened(at, Kind::Terminated(Reason::Removed), &alice)),
            (at + 60_000, happened(at + 60_000, Kind::Registered, &alice)),
        ]
    };
    (0..4).flat_map(lost).collect()
}

#[tokio::test]
async fn phones_that_flap_are_listed() {
    let (site, _folder) = site(flapping()).await;
    let answer = site
        .get("/v2/accounts/acme/flapping")
        .with_token(ACME)
        .answer()
        .await;
    let found = &answer.data()[0];
    assert_eq!(found["username"], "alice");
    assert_eq!(found["account_id"], "acme");
    assert_eq!(found["losses_24h"], 4);
    assert_eq!(found["score"], 3300);
    assert_eq!(found["addresses"], json!(["192.0.2.1"]));
    assert_eq!(found["proxies"], json!(["udp:203.0.113.5:5060"]));
    assert_eq!(answer.json()["page_size"], 1);
    assert!(found["since"].as_str().unwrap().ends_with('Z'));
    let all = site.get("/v2/flapping").answer().await;
    assert_eq!(all.data().as_array().unwrap().len(), 1);
    site.add([phone("other", "carol", 2)]);
    let other = site.get("/v2/accounts/other/flapping").answer().await;
    assert_eq!(other.data(), json!([]));
}

#[tokio::test]
async fn items_say_how_much_a_phone_flaps() {
    let (site, _folder) = site(flapping()).await;
    site.add([phone("acme", "alice", 1), phone("acme", "bob", 2)]);
    let expected = json!({"score": 3300, "losses_24h": 4, "flapping": true});
    for query in ["", "?page_size=9", "?filter_realm=acme.example.com"] {
        let answer = site.get(&format!("{LIST}{query}")).answer().await;
        assert_eq!(answer.data()[0]["flap"], expected, "{query}");
        assert_eq!(answer.data()[1]["flap"], Value::Null, "{query}");
    }
    let csv = site.get(&format!("{LIST}?accept=csv")).answer().await;
    assert!(
        csv.text().contains("\"\"flapping\"\":true"),
        "{}",
        csv.text()
    );
    for (query, names) in [("has_key=flap", ["alice"]), ("key_missing=flap", ["bob"])] {
        let answer = site.get(&format!("{LIST}?{query}")).answer().await;
        assert_eq!(answer.usernames(), names, "{query}");
        let count = site.get(&format!("{LIST}/count?{query}")).answer().await;
        assert_eq!(count.data()["count"], 1, "{query}");
    }
}

#[tokio::test]
async fn how_much_a_phone_flaps_is_no_part_of_the_revision() {
    let (site, _folder) = site(Vec::new()).await;
    site.add([phone("acme", "alice", 1)]);
    let calm = site.get(LIST).answer().await;
    assert_eq!(calm.data()[0]["flap"], Value::Null);
    let mut observer = site.flaps.observer();
    for event in numbered(flapping()) {
        observer.see(&event);
    }
    // Lists of one second are alike.
    site.clock.advance(Duration::from_secs(1));
    let flapping = site.get(LIST).answer().await;
    assert_eq!(flapping.data()[0]["flap"]["flapping"], true);
    assert_eq!(calm.json()["revision"], flapping.json()["revision"]);
    site.clock.advance(Duration::from_hours(3));
    let later = site.get(LIST).answer().await;
    assert_eq!(
        later.data()[0]["flap"]["flapping"],
        Value::Null,
        "it expired"
    );
}

#[tokio::test]
async fn says_why_a_phone_was_away() {
    let (site, _folder) = site(some()).await;
    let why = |query: &str| format!("{LIST}/alice/why{query}");
    let answer = site.get(&why("")).with_token(ACME).answer().await;
    let data = answer.data();
    let sentence = data["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("It expired at"), "{data:#}");
    assert_eq!(data["loss"]["reason"], "expired");
    assert_eq!(data["others"]["source"]["lost"], 0);
    assert!(data["facts"].as_array().unwrap().len() >= 2, "{data:#}");
    // It was there then.
    let at = format!("?at={}", NOW - 400);
    let then = site.get(&why(&at)).answer().await;
    assert_eq!(then.data()["sentence"], "It was registered then.");
    let long_ago = site.get(&why("?at=2023-11-14T10:00:00Z")).answer().await;
    let sentence = long_ago.data()["sentence"].as_str().unwrap().to_owned();
    assert!(
        sentence.starts_with("The history begins later"),
        "{sentence}"
    );
    // Known by the directory alone.
    let never = site.get(&format!("{LIST}/offline/why")).answer().await;
    assert_eq!(
        never.data()["sentence"],
        "No registration of this user has ever been seen."
    );
}

#[tokio::test]
async fn a_phone_that_went_with_others_is_told_so() {
    let mut events: Vec<(u64, What)> = (0..30)
        .map(|number| {
            let mut one = details("acme", &format!("seat{number}"), 1);
            one.binding = Arc::new({
                let mut binding = (*one.binding).clone();
                binding.contact = format!("sip:seat{number}@192.0.2.1").as_str().into();
                binding.key.ruid = (&*format!("ruid-{number}")).into();
                binding
            });
            let at = ago(100) + number * 1000;
            let one = Registration::new(one);
            (at, happened(at, Kind::Terminated(Reason::Expired), &one))
        })
        .collect();
    for account in [None, Some(Arc::from("acme"))] {
        let burst = Burst {
            account,
            group: Group::Source,
            value: "192.0.2.0/24".into(),
            lost: 20,
            of: 30,
            from: ago(100),
            to: ago(100) + 19_000,
        };
        events.insert(20, (ago(100) + 19_000, What::Burst(burst)));
    }
    let (site, _folder) = site(events).await;
    let expected = "30 of 30 phones behind 192.0.2.0/24 went within 29 s.";
    for token in [ACME, super::site::OPS] {
        for seat in ["seat0", "seat25"] {
            let answer = site
                .get(&format!("{LIST}/{seat}/why"))
                .with_token(token)
                .answer()
                .await;
            assert_eq!(answer.data()["sentence"], expected, "{seat}");
            assert_eq!(answer.data()["others"]["source"]["lost"], 29, "{seat}");
        }
    }
}
