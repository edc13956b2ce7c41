use super::*;
use crate::events::{Audience, Burst, Group, Replaces, Stats};
use crate::registration::testing::{binding, registration};
use crate::registration::{Address, Details, SourceAddress};
use crate::registry::{FlushedBy, SourceState};
use crate::sip::SourceFrom;

/// 2025-11-30 15:00:00 UTC.
const THREE: u64 = 1_764_514_800_000;

/// A registration that ends ten minutes after three.
fn row(user: &str, ruid: &str, call_id: &str, address: &str) -> Arc<Registration> {
    let end = i64::try_from(THREE / 1000).unwrap() + 600;
    let mut plain = binding(ruid, user, &format!("sip:{user}@192.0.2.1"), end);
    plain.call_id = Some(call_id.into());
    let plain = registration(plain, Some("acme"));
    Arc::new(Registration::new(Details {
        source: Some(SourceAddress {
            address: Address {
                host: address.into(),
                port: Some(5060),
            },
            from: SourceFrom::Received,
        }),
        ..Details::clone(&plain)
    }))
}

fn happening(kind: Kind, one: &Arc<Registration>) -> Happening {
    Happening {
        kind,
        audience: Audience::All,
        registration: Arc::clone(one),
        former: None,
        happened_at: None,
        replaces: None,
        flush: None,
        stats: None,
    }
}

fn event(seq: u64, at: u64, what: What) -> Event {
    Event {
        seq,
        at,
        commit: seq,
        what,
    }
}

fn of(seq: u64, at: u64, happening: Happening) -> Event {
    event(seq, at, What::Registration(Box::new(happening)))
}

fn lost(seq: u64, at: u64, reason: Reason, one: &Arc<Registration>) -> Event {
    let mut it = happening(Kind::Terminated(reason), one);
    let three = i64::try_from(THREE / 1000).unwrap();
    it.stats = Some(Stats {
        registered_at: three - 7200,
        last_refresh_at: Some(three - 600),
        lasted: 7200,
        refreshes: 11,
        granted_expires: Some(600),
    });
    of(seq, at, it)
}

fn back(seq: u64, at: u64, one: &Arc<Registration>) -> Event {
    of(seq, at, happening(Kind::Registered, one))
}

/// The explanation of `events[loss]` to somebody who sees all.
fn explained(events: &[Event], loss: usize, kamailio_start: Option<u64>) -> Explanation {
    let user = |event: &Event| match &event.what {
        What::Registration(it) => it.registration.username.lossy().into_owned(),
        _ => String::new(),
    };
    let own = user(&events[loss]);
    let after: Vec<Event> = events[loss + 1..]
        .iter()
        .filter(|event| user(event) == own)
        .cloned()
        .collect();
    let around = Surroundings {
        events,
        kamailio_start,
        burst: &config::Burst::default(),
        back_within: 5000,
    };
    explain(&events[loss], &after, Viewer::System, &around).unwrap()
}

fn alice() -> (Arc<Registration>, Arc<Registration>) {
    (
        row("alice", "uloc-6905a1b2-1-1", "old@phone", "198.51.100.7"),
        row("alice", "uloc-6905a1b2-1-2", "new@phone", "198.51.100.7"),
    )
}

#[test]
fn flushed_by_a_token() {
    let (old, new) = alice();
    let mut it = happening(Kind::Terminated(Reason::Flushed), &old);
    it.flush = Some(Arc::new(FlushedBy {
        request_id: "4711".to_owned(),
        actor: "ops".to_owned(),
    }));
    let events = [of(1, THREE, it), back(2, THREE + 2000, &new)];
    let told = explained(&events, 0, Some(THREE));
    assert_eq!(told.sentence, "Flushed by ops at 2025-11-30 15:00:00 UTC.");
    assert!(
        told.facts
            .contains(&"Request id in the audit: 4711.".to_owned())
    );
}

#[test]
fn kamailio_was_restarted() {
    let (old, new) = alice();
    let events = [
        lost(1, THREE, Reason::Removed, &old),
        back(2, THREE + 90_000, &new),
    ];
    let told = explained(&events, 0, Some(THREE - 3000));
    assert_eq!(
        told.sentence,
        "Kamailio was restarted at 2025-11-30 14:59:57 UTC."
    );
    // Yesterday's restarts are known by the ruids that were given after them.
    let hex = format!("uloc-{:x}-9-1", THREE / 1000 + 20);
    let other = row("bob", &hex, "b@phone", "203.0.113.1");
    let events = [
        lost(1, THREE, Reason::Removed, &old),
        back(2, THREE + 30_000, &other),
    ];
    let told = explained(&events, 0, None);
    assert_eq!(
        told.sentence,
        "Kamailio was restarted at 2025-11-30 15:00:20 UTC."
    );
    let told = explained(&events, 0, Some(THREE - 61_000));
    assert_eq!(
        told.sentence,
        "Kamailio was restarted at 2025-11-30 15:00:20 UTC."
    );
}

#[test]
fn its_table_was_replaced() {
    let (old, _) = alice();
    let source = |seq, at, state| event(seq, at, What::Source(state));
    let events = [
        source(1, THREE - 20_000, SourceState::Stale),
        lost(2, THREE, Reason::Removed, &old),
        source(3, THREE, SourceState::Live),
    ];
    let told = explained(&events, 1, None);
    assert_eq!(
        told.sentence,
        "Kamailio's table was replaced or could not be read at 2025-11-30 14:59:40 UTC."
    );
    let events = [
        source(1, THREE - 200_000, SourceState::Stale),
        source(2, THREE - 100_000, SourceState::Live),
        lost(3, THREE, Reason::Removed, &old),
    ];
    assert!(
        explained(&events, 2, None)
            .sentence
            .starts_with("It was removed at")
    );
}

#[test]
fn forty_phones_behind_one_address() {
    let phones: Vec<_> = (0..40)
        .map(|number| {
            row(
                &format!("seat{number}"),
                &format!("r{number}"),
                "c",
                "198.51.100.7",
            )
        })
        .collect();
    let stranger = row("home", "r99", "c", "203.0.113.7");
    let mut events: Vec<Event> = (0..)
        .zip(&phones)
        .map(|(number, one)| lost(number + 1, THREE + number * 1000, Reason::Expired, one))
        .collect();
    let burst = Burst {
        account: None,
        group: Group::Source,
        value: "198.51.100.0/24".into(),
        lost: 20,
        of: 41,
        from: THREE,
        to: THREE + 19_000,
    };
    events.insert(20, event(50, THREE + 19_000, What::Burst(burst)));
    events.push(lost(60, THREE + 40_000, Reason::Expired, &stranger));
    // When many rows go at once, the tables are compared again.
    let comparing = What::Source(SourceState::CatchingUp);
    events.insert(0, event(70, THREE - 1000, comparing));
    let live = What::Source(SourceState::Live);
    events.insert(1, event(71, THREE - 500, live));
    for loss in [2, 21, 23, 42] {
        let told = explained(&events, loss, None);
        assert_eq!(
            told.sentence, "40 of 41 phones behind 198.51.100.0/24 went within 39 s.",
            "{loss}"
        );
    }
    let source = |told: &Explanation| {
        let found = told.others.iter().find(|one| one.by == "source");
        found.map(|one| (one.value.clone(), one.lost))
    };
    let told = explained(&events, 7, None);
    assert_eq!(source(&told), Some(("198.51.100.0/24".to_owned(), 39)));
    let told = explained(&events, 43, None);
    assert!(
        told.sentence.starts_with("It expired at"),
        "{}",
        told.sentence
    );
    assert_eq!(source(&told), Some(("203.0.113.0/24".to_owned(), 0)));
}

#[test]
fn a_phone_restarted() {
    let (old, new) = alice();
    let mut it = happening(Kind::Registered, &new);
    it.replaces = Some(Replaces {
        ruid: old.binding.key.ruid.0.clone(),
        after: 3000,
    });
    let events = [
        lost(1, THREE, Reason::Removed, &old),
        of(2, THREE + 3000, it),
    ];
    let told = explained(&events, 0, None);
    assert_eq!(
        told.sentence,
        "The phone replaced it at 2025-11-30 15:00:00 UTC, with a new Call-ID: it restarted."
    );
    assert_eq!(
        told.facts.last().unwrap(),
        "It registered again at 2025-11-30 15:00:03 UTC, 3 s later, from the same address, 198.51.100.7, with a new \
         Call-ID."
    );
    // Its successor was there first.
    let events = [
        back(1, THREE - 500, &new),
        lost(2, THREE, Reason::Replaced, &old),
    ];
    let told = explained(&events, 1, None);
    assert!(
        told.sentence.ends_with("it restarted."),
        "{}",
        told.sentence
    );
}

#[test]
fn a_phone_moved_to_another_network() {
    let (old, _) = alice();
    let new = row("alice", "uloc-6905a1b2-1-2", "new@phone", "203.0.113.9");
    let events = [
        lost(1, THREE, Reason::Removed, &old),
        back(2, THREE + 1000, &new),
    ];
    let told = explained(&events, 0, None);
    assert_eq!(
        told.sentence,
        "The phone replaced it at 2025-11-30 15:00:00 UTC, from 203.0.113.9 instead of 198.51.100.7: it changed \
         networks."
    );
}

#[test]
fn expired_in_silence() {
    let (old, new) = alice();
    let events = [
        lost(1, THREE + 600_000, Reason::Expired, &old),
        back(2, THREE + 7_805_000, &new),
    ];
    let told = explained(&events, 0, None);
    assert_eq!(
        told.sentence,
        "It expired at 2025-11-30 15:10:00 UTC: last registered at 2025-11-30 14:50:00 UTC for 600 s, and silent from \
         then on."
    );
    assert_eq!(
        told.facts,
        [
            "It had been registered since 2025-11-30 13:00:00 UTC, for 2 h, and was refreshed 11 times, every 10 min \
             on average, last at 2025-11-30 14:50:00 UTC.",
            "It registered again at 2025-11-30 17:10:05 UTC, 2 h later, from the same address, 198.51.100.7, with a \
             new Call-ID.",
        ]
    );
}

#[test]
fn removed_before_its_time() {
    let (old, _) = alice();
    let told = explained(&[lost(1, THREE, Reason::Removed, &old)], 0, None);
    assert_eq!(
        told.sentence,
        "It was removed at 2025-11-30 15:00:00 UTC, before it expired."
    );
    assert_eq!(
        told.facts[1],
        "It would have expired at 2025-11-30 15:10:00 UTC, 10 min later."
    );
    assert_eq!(told.facts.last().unwrap(), "It has not registered since.");
}

#[test]
fn the_loss_that_is_meant_is_found() {
    let (old, new) = alice();
    let hour = 3_600_000;
    let losses = [
        lost(1, THREE - hour, Reason::Expired, &old),
        back(2, THREE, &new),
        {
            let mut it = lost(3, THREE + hour, Reason::Expired, &new);
            if let What::Registration(happening) = &mut it.what
                && let Some(stats) = &mut happening.stats
            {
                stats.registered_at += 7200;
            }
            it
        },
    ];
    let at = |at: Option<u64>, listed: &[Arc<Registration>], oldest| {
        let until = at.unwrap_or(u64::MAX);
        let before: Vec<Event> = losses
            .iter()
            .rev()
            .filter(|it| it.at <= until)
            .cloned()
            .collect();
        let after: Vec<Event> = losses.iter().filter(|it| it.at > until).cloned().collect();
        let case = Case {
            at,
            viewer: Viewer::System,
            before: &before,
            after: &after,
            listed,
            oldest: Some(oldest),
        };
        match find(&case) {
            Found::Loss(event) => format!("loss {}", event.seq),
            Found::Registered(nearest) => {
                format!("registered, {}", nearest.map_or(0, |event| event.seq))
            }
            other => format!("{other:?}"),
        }
    };
    let early = THREE - 10 * hour;
    assert_eq!(at(None, &[], early), "loss 3");
    assert_eq!(at(Some(THREE - hour / 2), &[], early), "loss 1");
    assert_eq!(at(Some(THREE + 2 * hour), &[], early), "loss 3");
    // By the stats of the losses it had been registered for two hours before three.
    assert_eq!(at(Some(THREE - hour - 60_000), &[], early), "registered, 1");
    assert_eq!(at(Some(THREE + 60_000), &[], early), "registered, 3");
    assert_eq!(at(Some(THREE - 9 * hour), &[], early), "NotYet");
    assert_eq!(at(Some(THREE - 11 * hour), &[], early), "Older");
    let nobody = Case {
        at: Some(THREE),
        viewer: Viewer::System,
        before: &[],
        after: &[],
        listed: &[],
        oldest: Some(early),
    };
    assert_eq!(find(&nobody), Found::NeverSeen);
    let listed = [new];
    let since = Case {
        listed: &listed,
        ..nobody
    };
    assert_eq!(find(&since), Found::Registered(None));
    // Other accounts see nothing of it.
    let other = Case {
        at: None,
        viewer: Viewer::Account("other"),
        before: &losses[..1],
        ..nobody
    };
    assert_ne!(find(&other), Found::Loss(&losses[0]));
}
