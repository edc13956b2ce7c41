use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::events::{Gap, Group, Replaces, Stats};
use crate::registration::testing::{binding, registration};
use crate::registration::{Address, Details, SourceAddress, Text};
use crate::sip::SourceFrom;

const START: u64 = 1_780_000_000_000;
const MINUTE: u64 = 60_000;

/// A registration of `user` that comes from `address`.
fn row(user: &str, ruid: &str, address: &str) -> Arc<Registration> {
    let plain = registration(binding(ruid, user, "sip:x@192.0.2.1", 0), Some("acme"));
    let source = SourceAddress {
        address: Address {
            host: address.into(),
            port: Some(5060),
        },
        from: SourceFrom::Received,
    };
    Arc::new(Registration::new(Details {
        source: Some(source),
        ..Details::clone(&plain)
    }))
}

fn event(at: u64, kind: Kind, one: &Arc<Registration>) -> Event {
    let happening = Happening {
        kind,
        audience: Audience::All,
        registration: Arc::clone(one),
        former: None,
        happened_at: None,
        replaces: None,
        flush: None,
        stats: None::<Stats>,
    };
    wrap(at, What::Registration(Box::new(happening)))
}

fn wrap(at: u64, what: What) -> Event {
    Event {
        seq: 1,
        at,
        commit: 1,
        what,
    }
}

fn lost(at: u64, one: &Arc<Registration>) -> Event {
    event(at, Kind::Terminated(Reason::Removed), one)
}

fn back(at: u64, one: &Arc<Registration>) -> Event {
    event(at, Kind::Registered, one)
}

fn moved(at: u64, former: &Arc<Registration>, one: &Arc<Registration>) -> Event {
    let mut event = event(at, Kind::Moved, one);
    if let What::Registration(happening) = &mut event.what {
        happening.former = Some(Arc::clone(former));
    }
    event
}

fn successor(at: u64, of: &Arc<Registration>, one: &Arc<Registration>) -> Event {
    let mut event = back(at, one);
    if let What::Registration(happening) = &mut event.what {
        let ruid: Text = of.binding.key.ruid.0.clone();
        happening.replaces = Some(Replaces { ruid, after: 0 });
    }
    event
}

fn flaps() -> Flaps {
    Flaps::new(config::Flap::default(), config::Burst::default())
}

fn seen(events: &[Event]) -> Flaps {
    let mut flaps = flaps();
    for event in events {
        flaps.see(event);
    }
    flaps
}

/// Losses `gap` minutes apart, each followed by a return half-way: the number of the one that makes the phone flap.
fn flaps_at(gap: u64, losses: u64) -> Option<u64> {
    let one = row("alice", "r1", "198.51.100.7");
    let mut flaps = flaps();
    (1..=losses).find(|number| {
        let at = START + number * gap * MINUTE;
        flaps.see(&lost(at, &one));
        let is_flapping = flaps.of(&one, at).is_some_and(|flap| flap.flapping);
        flaps.see(&back(at + gap * MINUTE / 2, &one));
        is_flapping
    })
}

#[test]
fn losses_that_are_close_make_a_phone_flap() {
    let cases = [
        (1, Some(4)),
        (5, Some(4)),
        (10, Some(5)),
        (15, Some(7)),
        (17, Some(10)),
        (18, None),
        (60, None),
    ];
    for (gap, expected) in cases {
        assert_eq!(flaps_at(gap, 500), expected, "{gap} minutes apart");
    }
}

#[test]
fn a_phone_flaps_until_its_score_is_low() {
    let one = row("alice", "r1", "198.51.100.7");
    let events: Vec<Event> = (0..4)
        .map(|it| lost(START + it * 5 * MINUTE, &one))
        .collect();
    let flaps = seen(&events);
    let last = START + 15 * MINUTE;
    let at = |minutes: u64| flaps.of(&one, last + minutes * MINUTE);
    let shown = |score, flapping| {
        Some(Flap {
            score,
            losses_24h: 4,
            flapping,
        })
    };
    assert_eq!(at(0), shown(3400, true));
    assert_eq!(at(60), shown(800, true));
    assert_eq!(at(66), shown(700, false));
    assert_eq!(at(300), shown(0, false));
    assert_eq!(at(24 * 60 + 60), None);
    assert_eq!(flaps.count(last), (1, 0));
    let listed = flaps.flapping(last);
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].since, last);
    assert_eq!(listed[0].phone.username, "alice");
    assert_eq!(listed[0].phone.addresses, ["198.51.100.7"]);
}

#[test]
fn no_score_is_above_the_ceiling() {
    let one = row("alice", "r1", "198.51.100.7");
    let flaps = seen(&(0..50).map(|it| lost(START + it, &one)).collect::<Vec<_>>());
    let flap = flaps.of(&one, START + 50).unwrap();
    assert_eq!((flap.score, flap.losses_24h), (6000, 50));
}

#[test]
fn each_event_has_its_penalty() {
    let one = row("alice", "r1", "198.51.100.7");
    let port = row("alice", "r1", "198.51.100.7");
    let next = row("alice", "r2", "198.51.100.7");
    let away = row("alice", "r2", "203.0.113.9");
    let ended = |reason| event(START, Kind::Terminated(reason), &one);
    let source = |state| wrap(START, What::Source(state));
    let gap = |cause| wrap(START, What::Gap(Gap { from: 1, cause }));
    let cases: Vec<(&str, Vec<Event>, u32, u32)> = vec![
        ("expired", vec![ended(Reason::Expired)], 1000, 1),
        ("removed", vec![ended(Reason::Removed)], 1000, 1),
        (
            "flushed",
            vec![ended(Reason::Flushed), back(START + 9, &next)],
            0,
            0,
        ),
        ("another owner", vec![ended(Reason::AccountChanged)], 0, 0),
        ("replaced", vec![ended(Reason::Replaced)], 300, 0),
        (
            "replaced, then its successor",
            vec![ended(Reason::Replaced), successor(START, &one, &next)],
            300,
            0,
        ),
        (
            "back at once",
            vec![lost(START, &one), successor(START + 5000, &one, &next)],
            200,
            0,
        ),
        (
            "back late",
            vec![lost(START, &one), back(START + 5001, &next)],
            1000,
            1,
        ),
        (
            "back from elsewhere",
            vec![lost(START, &one), back(START + 9000, &away)],
            1500,
            1,
        ),
        (
            "replaced from elsewhere",
            vec![ended(Reason::Replaced), back(START, &away)],
            800,
            0,
        ),
        (
            "its successor was first, from elsewhere",
            vec![back(START, &away), ended(Reason::Replaced)],
            800,
            0,
        ),
        (
            "flushed, back from elsewhere",
            vec![ended(Reason::Flushed), back(START, &away)],
            500,
            0,
        ),
        ("another address", vec![moved(START, &one, &away)], 500, 0),
        ("another port", vec![moved(START, &one, &port)], 0, 0),
        ("changed", vec![event(START, Kind::Changed, &one)], 0, 0),
        ("refreshed", vec![event(START, Kind::Refreshed, &one)], 0, 0),
        (
            "while stale",
            vec![source(SourceState::Stale), lost(START, &one)],
            0,
            0,
        ),
        (
            "live again",
            vec![
                source(SourceState::Stale),
                source(SourceState::Live),
                lost(START, &one),
            ],
            1000,
            1,
        ),
        (
            "after a gap",
            vec![gap(GapCause::Restored), lost(START, &one)],
            0,
            0,
        ),
        (
            "after what was forgotten",
            vec![gap(GapCause::Forgotten), lost(START, &one)],
            1000,
            1,
        ),
    ];
    for (name, events, score, losses_24h) in cases {
        let now = events.last().unwrap().at;
        let flap = seen(&events).of(&one, now);
        let shown = flap.map_or((0, 0), |flap| (flap.score, flap.losses_24h));
        assert_eq!(shown, (score, losses_24h), "{name}");
    }
}

#[test]
fn losses_around_a_start_of_kamailio_count_nothing() {
    let one = row("alice", "r1", "198.51.100.7");
    for (lost_at, is_told_first, score) in [
        (59, true, 0),
        (61, true, 1000),
        (59, false, 0),
        (61, false, 1000),
    ] {
        let mut flaps = flaps();
        let at = START + lost_at * 1000;
        if is_told_first {
            flaps.kamailio_started(START);
        }
        flaps.see(&lost(at, &one));
        flaps.kamailio_started(START);
        let shown = flaps.of(&one, at).map_or(0, |flap| flap.score);
        assert_eq!(shown, score, "{lost_at} s after the start");
    }
}

#[test]
fn a_loss_of_a_burst_counts_nothing() {
    let one = row("alice", "r1", "198.51.100.7");
    let stranger = row("bob", "r2", "203.0.113.7");
    let burst = Burst {
        account: None,
        group: Group::Source,
        value: "198.51.100.0/24".into(),
        lost: 20,
        of: 40,
        from: START,
        to: START + 1000,
    };
    let mut events = vec![lost(START, &one), lost(START, &stranger)];
    events.push(wrap(START + 1000, What::Burst(burst)));
    // The burst goes on.
    let late = row("carol", "r3", "198.51.100.8");
    events.push(lost(START + 20_000, &late));
    // It is over.
    let later = row("dave", "r4", "198.51.100.9");
    events.push(lost(START + 130_000, &later));
    let flaps = seen(&events);
    let score =
        |one: &Arc<Registration>| flaps.of(one, START + 130_000).map_or(0, |flap| flap.score);
    assert_eq!(
        [&one, &stranger, &late, &later].map(score),
        [0, 1000, 0, 1000]
    );
}

#[test]
fn what_made_a_phone_flap_can_be_taken_back() {
    let one = row("alice", "r1", "198.51.100.7");
    let next = row("alice", "r2", "198.51.100.7");
    let mut flaps = flaps();
    (0..4).for_each(|it| flaps.see(&lost(START + it * 5 * MINUTE, &one)));
    let last = START + 15 * MINUTE;
    assert!(flaps.of(&one, last).unwrap().flapping);
    flaps.see(&successor(last + 2000, &one, &next));
    let flap = flaps.of(&one, last + 2000).unwrap();
    assert!(!flap.flapping, "{flap:?}");
    assert_eq!(flap.losses_24h, 3);
}

#[test]
fn an_instance_is_a_phone_of_its_own() {
    let with = |instance: &str, ruid| {
        let mut plain = binding(ruid, "alice", "sip:x@192.0.2.1", 0);
        plain.instance = (!instance.is_empty()).then(|| instance.into());
        Arc::new(registration(plain, None))
    };
    let (desk, soft) = (with("<urn:uuid:1>", "r1"), with("<urn:uuid:2>", "r2"));
    let (plain, other) = (with("", "r3"), with("", "r4"));
    let flaps = seen(&[lost(START, &desk), lost(START, &plain)]);
    let is_known = |one: &Arc<Registration>| flaps.of(one, START).is_some();
    assert_eq!(
        [&desk, &soft, &plain, &other].map(is_known),
        [true, false, true, true]
    );
}

#[test]
fn what_an_earlier_run_saw_is_added() {
    let one = row("alice", "r1", "198.51.100.7");
    let events: Vec<Event> = (0..8)
        .map(|it| lost(START + it * 17 * MINUTE, &one))
        .collect();
    let whole = seen(&events);
    for cut in 0..=events.len() {
        let (earlier, later) = events.split_at(cut);
        let mut restored = seen(later);
        restored.restore(seen(earlier));
        let now = START + 8 * 17 * MINUTE;
        assert_eq!(restored.of(&one, now), whole.of(&one, now), "{cut}");
    }
}

#[test]
fn at_most_so_many_phones_are_remembered() {
    let mut flaps = flaps();
    let worst = row("worst", "worst", "198.51.100.7");
    (0..3).for_each(|it| flaps.see(&lost(START + it, &worst)));
    for number in 0..PHONES + PHONES / 4 {
        let name = number.to_string();
        // Far apart, so that they are no burst.
        flaps.see(&lost(
            START + 10 + number as u64,
            &row(&name, &name, "198.51.100.7"),
        ));
    }
    assert!(
        flaps.parties.len() <= PHONES + PHONES / 8,
        "{}",
        flaps.parties.len()
    );
    assert!(flaps.of(&worst, START + MINUTE).is_some());
}

proptest! {
    /// However losses and returns come, scores stay within bounds and decay to nothing.
    #[test]
    fn scores_are_within_bounds(steps in prop::collection::vec((0_u64..4_000_000, 0_u8..6), 0..60)) {
        let one = row("alice", "r1", "198.51.100.7");
        let other = row("alice", "r2", "203.0.113.7");
        let mut flaps = flaps();
        let mut at = START;
        for (pause, what) in steps {
            at += pause;
            flaps.see(&match what {
                0 => lost(at, &one),
                1 => event(at, Kind::Terminated(Reason::Replaced), &one),
                2 => back(at, &one),
                3 => successor(at, &one, &other),
                4 => moved(at, &one, &other),
                _ => event(at, Kind::Terminated(Reason::Flushed), &other),
            });
            let flap = flaps.of(&one, at);
            prop_assert!(flap.is_none_or(|flap| flap.score <= 6000));
            prop_assert!(flap.is_none_or(|flap| !flap.flapping || flap.score >= 700));
        }
        let day = u64::try_from(Duration::from_hours(25).as_millis()).unwrap();
        prop_assert_eq!(flaps.of(&one, at + day), None);
        prop_assert!(flaps.flapping(at + day).is_empty());
    }
}
