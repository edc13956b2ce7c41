//! `/ui/data/…`: what the page shows beside lists and streams, and to whom.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::site::{ACME, Answer, NOW, OPS, Site, World, details, phone, settings};
use crate::config::Limits;
use crate::consumers::store::AuditRecord;
use crate::events::{Audience, Burst, Event, Group, Happening, Kind, Reason, What};
use crate::flush::AuditLine;
use crate::http::KamailioState;
use crate::http::auth::peer::Peer;
use crate::registration::{Binding, Details, Expiry, Registration};
use crate::tokens;

const READER: &str = "read-token";
const TRUSTED: Peer = Peer::Process {
    uid: 0,
    trusted: true,
};

async fn get(site: &Site, what: &str, token: &str) -> Answer {
    let path = format!("/ui/data/{what}");
    site.get(&path).with_token(token).answer().await
}

async fn data(site: &Site, what: &str, token: &str) -> Value {
    let answer = get(site, what, token).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.show());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let json = answer.json();
    assert_eq!(json["status"], "success");
    assert_eq!(json["request_id"], "request-1");
    assert_eq!(json.get("auth_token"), None);
    answer.data()
}

#[tokio::test]
async fn nobody_sees_anything_without_the_right_to_read() {
    let site = Site::furnished();
    for what in [
        "session", "overview", "accounts", "owner", "flushes", "health",
    ] {
        let path = format!("/ui/data/{what}");
        let bare = site.get(&path).without("x-auth-token").answer().await;
        assert_eq!(bare.status, StatusCode::UNAUTHORIZED, "{what}");
        let flusher = get(&site, what, "flush-token").await.status;
        let expected = if what == "session" { 200 } else { 403 };
        assert_eq!(flusher.as_u16(), expected, "{what}");
        let posted = site.ask(Method::POST, &path).answer().await;
        assert_eq!(posted.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(posted.header("allow"), Some("GET, HEAD, OPTIONS"));
        let options = site.ask(Method::OPTIONS, &path).without("x-auth-token");
        assert_eq!(options.answer().await.status, StatusCode::NO_CONTENT);
        let head = site.ask(Method::HEAD, &path).answer().await;
        assert_eq!(head.status, StatusCode::OK);
        assert!(head.body.is_empty());
    }
    assert_eq!(get(&site, "nothing", OPS).await.status, 404);
    assert_eq!(get(&site, "", OPS).await.status, 404);
}

#[tokio::test]
async fn the_session_says_who_is_there() {
    let site = Site::furnished();
    assert_eq!(
        data(&site, "session", "two-token").await,
        json!({
            "name": "two",
            "rights": ["read"],
            "all_accounts": false,
            "accounts": [{"id": "acme", "name": "Acme"}, {"id": "other", "name": "other"}],
            "node": "node-1",
            "version": "1.2.3",
            "expires_at": null,
            "via": "token",
            "commands": ["sudo usrlocd doctor"],
            "fleet": null,
            "notify_events": ["check-sync"],
        })
    );
    let above = data(&site, "session", "top-token").await;
    let ids = [&above["accounts"][0]["id"], &above["accounts"][1]["id"]];
    assert_eq!(ids, ["acme", "top"], "those below it too");
    let all = data(&site, "session", OPS).await;
    assert_eq!(all["all_accounts"], true);
    assert_eq!(all["accounts"], json!([]));
}

fn permanent(account: &str, name: &str, number: u16) -> Registration {
    let plain = details(account, name, number);
    let binding = Binding {
        expiry: Expiry::Permanent,
        ..Binding::clone(&plain.binding)
    };
    Registration::new(Details {
        binding: binding.into(),
        ..plain
    })
}

fn ending(account: &str, name: &str, number: u16, seconds: i64) -> Registration {
    let plain = details(account, name, number);
    let binding = Binding {
        expiry: Expiry::At(i64::try_from(NOW).unwrap() + seconds),
        ..Binding::clone(&plain.binding)
    };
    Registration::new(Details {
        binding: binding.into(),
        ..plain
    })
}

#[tokio::test]
async fn the_overview_counts_what_its_reader_may_see() {
    let site = Site::furnished();
    site.add([
        permanent("acme", "door", 10),
        ending("acme", "dave", 11, 60),
        ending("other", "eve", 12, 61),
        ending("other", "frank", 13, 1),
    ]);
    let all = data(&site, "overview", OPS).await;
    assert_eq!(all["total"], 8);
    assert_eq!(all["account_count"], 2);
    let accounts = all["accounts"].as_array().unwrap();
    let shown: Vec<_> = accounts
        .iter()
        .map(|it| (it["id"].as_str().unwrap(), it["count"].as_u64().unwrap()))
        .collect();
    assert_eq!(shown, [("acme", 5), ("other", 3)]);
    assert_eq!(accounts[0]["name"], "Acme");
    assert_eq!(accounts[0]["realm"], "acme.example.com");
    assert_eq!(all["transports"], json!([{"value": "udp", "count": 8}]));
    assert_eq!(
        all["states"],
        json!({"expiring": 2, "permanent": 1, "flapping": 0, "unstable": 0})
    );
    assert_eq!(all["source"]["state"], "live");
    assert_eq!(all["history_oldest"], Value::Null);
    let own = data(&site, "overview", READER).await;
    assert_eq!(own["total"], 5);
    assert_eq!(own["account_count"], 1);
    assert_eq!(own["accounts"].as_array().unwrap().len(), 1);
    assert_eq!(own["transports"], json!([{"value": "udp", "count": 5}]));
    assert_eq!(own["states"]["expiring"], 1);
    let none = data(&site, "overview", "top-token").await;
    assert_eq!(none["total"], 5, "what is below is seen too");
}

fn told(at: u64, what: What) -> Event {
    Event {
        seq: 1,
        at,
        commit: 1,
        what,
    }
}

fn happened(at: u64, kind: Kind, one: Registration) -> Event {
    told(
        at,
        What::Registration(Box::new(Happening {
            kind,
            audience: Audience::All,
            registration: one.into(),
            former: None,
            happened_at: None,
            replaces: None,
            flush: None,
            stats: None,
        })),
    )
}

/// Losses and returns of two accounts, one of which flaps; and a burst of each.
fn unrest(site: &Site) {
    let mut observer = site.flaps.observer();
    let lost = Kind::Terminated(Reason::Removed);
    for minutes in [40, 30, 20, 10] {
        let at = (NOW - minutes * 60) * 1000;
        observer.see(&happened(at, lost, phone("acme", "bob", 1)));
        observer.see(&happened(
            at + 6000,
            Kind::Registered,
            phone("acme", "bob", 1),
        ));
    }
    let yesterday = (NOW - 25 * 3600) * 1000;
    observer.see(&happened(yesterday, lost, phone("acme", "bob", 1)));
    observer.see(&happened(NOW * 1000, lost, phone("other", "carol", 4)));
    for account in [None, Some("acme"), Some("other")] {
        let burst = Burst {
            account: account.map(Into::into),
            group: Group::Source,
            value: "192.0.2.0/24".into(),
            lost: 20,
            of: 21,
            from: NOW * 1000 - 2000,
            to: NOW * 1000 - 1000,
        };
        observer.see(&told(NOW * 1000, What::Burst(burst)));
    }
}

/// Losses and returns of a plot, in all.
fn sums(overview: &Value) -> (u64, u64) {
    let plot = overview["plot"].as_array().unwrap();
    assert_eq!(plot.len(), 96);
    let first = plot[0]["at"].as_u64().unwrap();
    assert!(first.is_multiple_of(900));
    assert_eq!(plot[95]["at"].as_u64().unwrap(), first + 95 * 900);
    assert!((first + 95 * 900..first + 96 * 900).contains(&NOW));
    let sum = |key: &str| plot.iter().filter_map(|it| it[key].as_u64()).sum();
    (sum("losses"), sum("returns"))
}

#[tokio::test]
async fn the_overview_shows_the_last_day() {
    let site = Site::furnished();
    unrest(&site);
    let all = data(&site, "overview", OPS).await;
    assert_eq!(sums(&all), (6, 4));
    assert_eq!(all["bursts"].as_array().unwrap().len(), 1);
    assert_eq!(all["bursts"][0]["account_id"], Value::Null);
    assert_eq!(all["bursts"][0]["value"], "192.0.2.0/24");
    assert_eq!(all["bursts"][0]["lost"], 20);
    assert_eq!(all["bursts"][0]["group"], "source");
    let own = data(&site, "overview", READER).await;
    assert_eq!(sums(&own), (5, 4));
    let bursts = own["bursts"].as_array().unwrap();
    assert_eq!(bursts.len(), 1);
    assert_eq!(bursts[0]["account_id"], "acme");
}

#[tokio::test]
async fn a_burst_of_an_account_has_its_name() {
    let site = Site::furnished();
    let burst = Burst {
        account: None,
        group: Group::Account,
        value: "acme".into(),
        lost: 20,
        of: 21,
        from: NOW * 1000 - 2000,
        to: NOW * 1000 - 1000,
    };
    site.flaps
        .observer()
        .see(&told(NOW * 1000, What::Burst(burst)));
    let overview = data(&site, "overview", OPS).await;
    let accounts = overview["accounts"].as_array().unwrap();
    let acme = accounts.iter().find(|it| it["id"] == "acme").unwrap();
    assert_ne!(acme["name"], "acme");
    assert_eq!(overview["bursts"][0]["account_name"], acme["name"]);
}

#[tokio::test]
async fn figures_are_counted_once_in_two_seconds_for_each_set_of_accounts() {
    let site = Site::furnished();
    let total = async |token: &str| data(&site, "overview", token).await["total"].clone();
    assert_eq!(total(OPS).await, 4);
    site.add([phone("acme", "new", 20)]);
    assert_eq!(total(OPS).await, 4);
    assert_eq!(total(ACME).await, 4);
    assert_eq!(
        total(READER).await,
        4,
        "the same accounts, the same figures"
    );
    site.clock.advance(Duration::from_millis(1999));
    assert_eq!(total(OPS).await, 4);
    site.clock.advance(Duration::from_millis(1));
    assert_eq!(total(OPS).await, 5);
}

#[tokio::test]
async fn kamailio_answers_or_not() {
    let site = Site::furnished();
    let state = async |token: &str| {
        site.clock.advance(Duration::from_secs(3));
        data(&site, "overview", token).await["kamailio"].clone()
    };
    assert_eq!(state(OPS).await["state"], "unknown");
    site.kamailio.send_replace(KamailioState::Answers);
    assert_eq!(state(OPS).await["state"], "ok");
    let why = "http://127.0.0.1:5060/RPC: refused";
    site.kamailio
        .send_replace(KamailioState::Unreachable(why.into()));
    let all = state(OPS).await;
    assert_eq!(all["state"], "unreachable");
    assert!(all["text"].as_str().unwrap().contains(why));
    let own = state(READER).await;
    assert_eq!(own["state"], "unreachable");
    assert!(!own["text"].as_str().unwrap().contains("127.0.0.1"));
}

#[tokio::test]
async fn before_the_first_rows_the_overview_says_so() {
    let site = Site::starting(settings(), &Limits::default(), World::default());
    let overview = data(&site, "overview", OPS).await;
    assert_eq!(overview["total"], 0);
    assert_eq!(overview["source"]["state"], "unavailable");
}

#[tokio::test]
async fn accounts_are_listed_by_size_and_those_without_phones_too() {
    let site = Site::furnished();
    unrest(&site);
    let list = async |token: &str| {
        let data = data(&site, "accounts", token).await;
        let accounts = data.as_array().unwrap().clone();
        let shown = |it: &Value| {
            let number = |key: &str| it[key].as_u64().unwrap();
            let id = it["id"].as_str().unwrap().to_owned();
            (
                id,
                number("count"),
                number("flapping"),
                number("losses_24h"),
            )
        };
        accounts.iter().map(shown).collect::<Vec<_>>()
    };
    let row = |id: &str, count, flapping, losses| (id.to_owned(), count, flapping, losses);
    assert_eq!(
        list(OPS).await,
        [
            row("acme", 3, 1, 5),
            row("other", 1, 0, 1),
            row("empty", 0, 0, 0),
            row("top", 0, 0, 0)
        ]
    );
    assert_eq!(list(READER).await, [row("acme", 3, 1, 5)]);
    assert_eq!(
        list("top-token").await,
        [row("acme", 3, 1, 5), row("top", 0, 0, 0)]
    );
    let named = data(&site, "accounts", OPS).await;
    assert_eq!(named[0]["name"], "Acme");
    assert_eq!(named[2]["realm"], "empty.example.com");
    assert_eq!(named[3]["name"], "top");
}

fn line(number: u64, account: Option<&str>, ended: Option<i64>, went: (u64, u64)) -> AuditLine {
    AuditLine {
        number,
        record: AuditRecord {
            at: 1_700_000_000 + i64::try_from(number).unwrap(),
            token: "ops".to_owned(),
            client: "192.0.2.7".to_owned(),
            request_id: format!("request-{number}"),
            account: account.map(str::to_owned),
            username: Some("bob".to_owned()),
            filters: String::new(),
            event: None,
            done: went.0,
            failed: went.1,
            ended,
        },
    }
}

#[tokio::test]
async fn the_audit_has_ones_own_flushes_the_latest_first() {
    let site = Site::furnished();
    *site.fake.audit.lock().unwrap() = vec![
        line(1, Some("acme"), Some(1), (3, 0)),
        line(2, Some("other"), Some(1), (0, 2)),
        line(3, Some("acme"), Some(1), (1, 1)),
        line(4, None, Some(1), (1, 0)),
        line(5, Some("acme"), None, (0, 0)),
    ];
    let shown = |data: &Value| -> Vec<(u64, String)> {
        let of = |it: &Value| {
            let outcome = it["outcome"].as_str().unwrap().to_owned();
            (it["at"].as_u64().unwrap() - 1_700_000_000, outcome)
        };
        data.as_array().unwrap().iter().map(of).collect()
    };
    let is = |number: u64, outcome: &str| (number, outcome.to_owned());
    let all = data(&site, "flushes", OPS).await;
    assert_eq!(
        shown(&all),
        [
            is(5, "unfinished"),
            is(4, "flushed"),
            is(3, "incomplete"),
            is(2, "failed"),
            is(1, "flushed")
        ]
    );
    assert_eq!(
        all[4],
        json!({
            "at": 1_700_000_001, "actor": "ops", "account_id": "acme", "account_name": "Acme",
            "username": "bob", "filters": "", "request_id": "request-1", "flushed": 3, "failed": 0,
            "outcome": "flushed", "remote": "192.0.2.7",
        })
    );
    let own = data(&site, "flushes", READER).await;
    assert_eq!(
        shown(&own),
        [is(5, "unfinished"), is(3, "incomplete"), is(1, "flushed")]
    );
    let first = get(&site, "flushes?page_size=2", READER).await.json();
    assert_eq!(first["page_size"], 2);
    assert_eq!(first["data"].as_array().unwrap().len(), 2);
    let key = first["next_start_key"].as_str().unwrap();
    let path = format!("flushes?page_size=2&start_key={key}");
    let last = get(&site, &path, READER).await.json();
    assert_eq!(shown(&last["data"]), [is(1, "flushed")]);
    assert_eq!(last.get("next_start_key"), None);
    assert_eq!(last["start_key"], *key);
    for bad in ["page_size=0", "page_size=1001", "start_key=x"] {
        let answer = get(&site, &format!("flushes?{bad}"), OPS).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
    }
}

#[tokio::test]
async fn the_details_of_health_are_for_those_who_see_all() {
    let site = Site::furnished();
    let all = data(&site, "health", OPS).await;
    assert_eq!(
        all,
        json!({"details": true, "findings": [
            {"name": "store", "state": "ok", "text": "The store /secret/place can be written.", "advice": null},
            {"name": "tokens", "state": "warning", "text": "No token.", "advice": "usrlocd token new\nagain"},
        ]})
    );
    let own = get(&site, "health", READER).await;
    assert_eq!(
        own.data(),
        json!({"details": false, "findings": [
            {"name": "store", "state": "ok"}, {"name": "tokens", "state": "warning"},
        ]})
    );
    assert!(!own.text().contains("secret"));
    let socket = site.get("/ui/data/health").without("x-auth-token");
    let socket = socket.coming_from(TRUSTED).answer().await;
    assert_eq!(socket.data()["details"], true);
    let examined = || site.examined.load(Ordering::Relaxed);
    assert_eq!(examined(), 1);
    site.clock.advance(Duration::from_secs(9));
    data(&site, "health", OPS).await;
    assert_eq!(examined(), 1);
    site.clock.advance(Duration::from_secs(1));
    data(&site, "health", READER).await;
    assert_eq!(examined(), 2);
}

#[tokio::test]
async fn a_token_that_loses_its_accounts_sees_nothing_of_them() {
    let site = Site::furnished();
    assert_eq!(data(&site, "overview", ACME).await["total"], 3);
    let sha256 = tokens::sha256_hex(ACME);
    let text = format!(
        "[[token]]\nname = \"acme\"\nsha256 = \"{sha256}\"\naccounts = [\"empty\"]\nrights = [\"read\"]\n"
    );
    let tokens = tokens::parse(&text, "tokens").unwrap();
    site.tokens.send_replace(tokens.into());
    assert_eq!(data(&site, "overview", ACME).await["total"], 0);
}
