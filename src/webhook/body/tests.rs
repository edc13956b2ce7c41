use serde_json::{Value, json};

use super::*;
use crate::config::Config;
use crate::events::{Audience, Gap, GapCause, Happening, Kind, Reason};
use crate::registration::testing::{binding, registration};

const LOG: LogId = LogId(0x0123_4567_89ab_cdef);

fn hook(more: &str) -> Webhook {
    let text = format!(
        "[[webhook]]\nname = \"crm\"\nurl = \"https://crm.example.com/x\"\nsecret_file = \"/s\"\n{more}"
    );
    Config::parse(&text, "f").unwrap().webhooks.remove(0)
}

fn registered(seq: u64, username: &str, account: &str) -> Event {
    happened(seq, username, account, Kind::Registered)
}

fn happened(seq: u64, username: &str, account: &str, kind: Kind) -> Event {
    let contact = format!("sip:{username}@192.0.2.1");
    let binding = binding(&format!("ruid-{seq}"), username, &contact, 1_800_000_600);
    Event {
        seq,
        at: 1_800_000_000_123,
        commit: seq,
        what: What::Registration(Box::new(Happening {
            kind,
            audience: Audience::All,
            registration: registration(binding, Some(account)).into(),
            former: None,
            happened_at: Some(1_800_000_000),
            replaces: None,
            flush: None,
            stats: None,
        })),
    }
}

fn gap(seq: u64) -> Event {
    let cause = GapCause::Restored;
    Event {
        seq,
        at: 0,
        commit: 0,
        what: What::Gap(Gap { from: 1, cause }),
    }
}

fn messages(hook: &Webhook, events: &[Event]) -> Vec<Message> {
    messages_for(hook, None, events)
}

fn messages_for(hook: &Webhook, accounts: Option<&[String]>, events: &[Event]) -> Vec<Message> {
    let writer = Writer {
        hook,
        accounts,
        wire: Wire::Document,
        node: "k 1",
        log: LOG,
        now: 1_800_000_001,
    };
    writer.messages(events)
}

fn body(message: &Message) -> Value {
    serde_json::from_slice(&message.body).unwrap()
}

/// The ids of the messages.
fn ids(messages: &[Message]) -> Vec<&str> {
    messages
        .iter()
        .map(|it| it.id.strip_prefix("0123456789abcdef-").unwrap())
        .collect()
}

#[test]
fn an_event_is_a_cloud_event() {
    let messages = messages(&hook(""), &[registered(7, "alice", "acme")]);
    let [message] = messages.as_slice() else {
        panic!("{messages:?}")
    };
    assert_eq!(message.id, "0123456789abcdef-7");
    assert_eq!(message.content_type, "application/cloudevents+json");
    assert_eq!((message.last, message.since), (7, 1_800_000_000_123));
    let mut event = body(message);
    let data = event.as_object_mut().unwrap().remove("data").unwrap();
    assert_eq!(
        event,
        json!({
            "specversion": "1.0",
            "id": "0123456789abcdef-7",
            "source": "/usrlocd/k%201",
            "type": "org.usrlocd.registration.registered.v1",
            "subject": "alice@acme.example.com",
            "time": "2027-01-15T08:00:00.123Z",
            "datacontenttype": "application/json",
        })
    );
    assert_eq!(data["type"], "registered");
    assert_eq!(data["id"], "0123456789abcdef-7");
    assert_eq!(data["registration"]["contact"], "sip:alice@192.0.2.1");
    assert_eq!(data["account_id"], "acme");
}

#[test]
fn other_events_have_no_subject() {
    let source = Event {
        what: What::Source(crate::registry::SourceState::Stale),
        ..gap(8)
    };
    let messages = messages(&hook(""), &[gap(7), source]);
    let bodies: Vec<Value> = messages.iter().map(body).collect();
    assert_eq!(bodies[0]["type"], "org.usrlocd.gap.v1");
    assert_eq!(bodies[0]["data"]["cause"], "restored");
    assert_eq!(bodies[1]["type"], "org.usrlocd.source.v1");
    assert!(bodies.iter().all(|it| it.get("subject").is_none()));
}

#[test]
fn a_batch_is_an_array_and_its_id_names_both_ends() {
    let events: Vec<Event> = (1..=5)
        .map(|seq| registered(seq, "alice", "acme"))
        .collect();
    let messages = messages(&hook("batch = 2"), &events);
    assert_eq!(ids(&messages), ["1-2", "3-4", "5"]);
    let batch = "application/cloudevents-batch+json";
    assert!(messages.iter().all(|it| it.content_type == batch));
    let lengths = messages.iter().map(|it| body(it).as_array().map(Vec::len));
    assert_eq!(lengths.collect::<Vec<_>>(), [Some(2), Some(2), Some(1)]);
    assert_eq!(body(&messages[2])[0]["id"], "0123456789abcdef-5");
}

#[test]
fn only_chosen_types_and_gaps_are_sent() {
    let gone = happened(3, "alice", "acme", Kind::Terminated(Reason::Expired));
    let refreshed = happened(0, "alice", "acme", Kind::Refreshed);
    let events = [registered(1, "alice", "acme"), refreshed, gone, gap(4)];
    assert_eq!(ids(&messages(&hook(""), &events)), ["1", "3", "4"]);
    let chosen = hook("events = [\"terminated\"]");
    assert_eq!(ids(&messages(&chosen, &events)), ["3", "4"]);
}

#[test]
fn only_the_accounts_are_sent() {
    let events = [
        registered(1, "alice", "acme"),
        registered(2, "bob", "other"),
        gap(3),
    ];
    let accounts = ["other".to_owned()];
    assert_eq!(
        ids(&messages_for(&hook(""), Some(&accounts), &events)),
        ["2", "3"]
    );
}

#[test]
fn filters_hold_before_or_after() {
    let hook = hook("filters = { username = \"alice\", cseq = 1 }");
    let mut events = [registered(1, "alice", "acme"), registered(2, "bob", "acme")];
    assert_eq!(ids(&messages(&hook, &events)), ["1"]);
    let was_alice = registered(0, "alice", "acme");
    let (What::Registration(was_alice), What::Registration(bob)) =
        (was_alice.what, &mut events[1].what)
    else {
        panic!("registrations")
    };
    bob.kind = Kind::Changed;
    bob.former = Some(was_alice.registration);
    assert_eq!(ids(&messages(&hook, &events)), ["1", "2"]);
}

#[test]
fn kazoo_gets_what_its_webhooks_have() {
    let hook = hook("format = \"kazoo\"");
    let moved = happened(2, "alice", "acme", Kind::Moved);
    let gone = happened(3, "alice", "acme", Kind::Terminated(Reason::Removed));
    let messages = messages(
        &hook,
        &[registered(1, "alice", "acme"), moved, gone, gap(4)],
    );
    assert_eq!(ids(&messages), ["1", "3"]);
    assert!(
        messages
            .iter()
            .all(|it| it.content_type == "application/json")
    );
    let expected = json!({
        "account_id": "acme",
        "app_name": "usrlocd",
        "app_version": env!("CARGO_PKG_VERSION"),
        "call_id": "call@192.0.2.1",
        "contact": "sip:alice@192.0.2.1",
        "event_category": "notification",
        "event_name": "register",
        "event_timestamp": 1_800_000_000_i64 + crate::clock::GREGORIAN_EPOCH,
        "expires": 600,
        "from_host": "acme.example.com",
        "from_user": "alice",
        "msg_id": "0123456789abcdef-1",
        "network_ip": "undefined",
        "network_port": "undefined",
        "node": "k 1",
        "realm": "acme.example.com",
        "suppress_unregister_notify": true,
        "to_host": "acme.example.com",
        "to_user": "alice",
        "user_agent": "Phone 1.0",
        "username": "alice",
    });
    assert_eq!(body(&messages[0]), expected);
    assert_eq!(body(&messages[1])["event_name"], "deregister");
}

#[test]
fn a_test_says_that_it_is_one() {
    for (format, key, value) in [
        ("standard", "type", "org.usrlocd.test.v1"),
        ("kazoo", "event_name", "test"),
    ] {
        let hook = hook(&format!("format = \"{format}\""));
        let writer = Writer {
            hook: &hook,
            accounts: None,
            wire: Wire::Document,
            node: "k1",
            log: LOG,
            now: 1_800_000_000,
        };
        let message = writer.test("test-1".to_owned());
        assert_eq!(
            (&*message.id, &body(&message)[key]),
            ("test-1", &json!(value))
        );
    }
}
