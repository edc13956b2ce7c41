//! What is kept, for how long, and what is forgotten.

use super::content::{any_events, any_query, expected};
use super::*;

/// Half as long as a moment.
const APART: u64 = 30_000;

async fn count(history: &History, sql: &'static str) -> i64 {
    let mut connection = history.files().writer.acquire().await.unwrap();
    let count = sqlx::query_scalar(sql).fetch_one(&mut *connection);
    count.await.unwrap()
}

/// Nothing is left of what only deleted events needed.
fn is_tidy(bench: &Bench, history: &History) {
    const UNUSED: &str = "SELECT count(*) FROM trait WHERE id NOT IN \
        (SELECT account FROM phone UNION SELECT common FROM phone UNION SELECT agent FROM phone)";
    const WRONG: &str = "SELECT count(*) FROM trait WHERE uses <> \
        (SELECT count(*) FROM phone WHERE trait.id IN (account, common, agent))";
    const PHONES: &str = "SELECT abs((SELECT count(*) FROM phone) - (SELECT count(*) FROM newest)) + count(*) FROM newest \
        WHERE phone > 0 AND place < (SELECT coalesce(min(place), 1 << 60) FROM event)";
    const MOMENTS: &str =
        "SELECT max(0, count(*) - 1) FROM moment WHERE place <= (SELECT min(place) FROM event)";
    for sql in [UNUSED, WRONG, PHONES, MOMENTS] {
        assert_eq!(bench.wait(count(history, sql)), 0, "{sql}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// What is too old goes, and what stays is what it was, wherever it had its state from.
    #[test]
    fn the_rest_is_what_it_was(
        mut events in any_events(40), kept in 0_u64..40, portion in 1_usize..9,
        queries in prop::collection::vec(any_query(), 1..8),
    ) {
        for event in &mut events {
            event.at = NOW * 1000 + event.seq * APART;
        }
        let bench = Bench::new();
        let history = bench.open_with(|it| it.keep = Duration::from_millis(kept * APART));
        for part in arcs(&events).chunks(portion) {
            bench.wait(history.append(part)).unwrap();
        }
        let end = events.len() as u64;
        bench.clock.step_to(NOW + (end + 1) * APART / 1000);
        bench.wait(history.prune()).unwrap();
        is_tidy(&bench, &history);
        // A moment goes as a whole, and only when all of it is too old.
        let oldest = history.oldest();
        prop_assert!(oldest + kept + 4 > end, "{oldest} {kept} {end}");
        prop_assert!(oldest <= (end + 1).saturating_sub(kept).max(1));
        prop_assert_eq!(history.newest(), end);
        events.retain(|event| event.seq >= oldest);
        prop_assert_eq!(history.oldest_at(), events.first().map(|event| event.at));
        prop_assert_eq!(bench.wait(history.read(oldest - 1, 99)).unwrap(), events.clone());
        for query in queries {
            let found = bench.wait(history.query(&query)).unwrap();
            prop_assert_eq!(seqs(&found), expected(&events, &query), "{:?}", query);
        }
    }
}

fn changes(from: u64, to: u64) -> Vec<Event> {
    let of = |seq: u64| {
        let one = row(
            "acme",
            &format!("user{}", seq / 2 % 500),
            &format!("uloc-{seq:x}"),
        );
        event(seq, seq, Kind::Registered, &one)
    };
    (from..to).map(of).collect()
}

#[test]
fn the_oldest_go_when_the_file_is_full() {
    const SIZE: u64 = 6 << 20;
    let bench = Bench::new();
    let history = bench.open_with(|it| it.size = SIZE);
    for batch in 0..200 {
        let events = changes(1 + batch * 500, 1 + (batch + 1) * 500);
        bench.wait(history.append(&arcs(&events))).unwrap();
        assert!(history.bytes() <= SIZE, "{} bytes", history.bytes());
    }
    assert_eq!(history.newest(), 100_000);
    let oldest = history.oldest();
    assert!((2..90_000).contains(&oldest), "{oldest}");
    assert!(matches!(
        bench.wait(history.read(oldest - 2, 1)),
        Err(ReadError::TooOld)
    ));
    let first = bench.wait(history.read(oldest - 1, 1)).unwrap();
    assert_eq!(first, changes(oldest, oldest + 1));
    is_tidy(&bench, &history);
}

#[test]
fn a_file_shrinks_when_events_are_too_old() {
    let bench = Bench::new();
    let history = bench.open();
    for batch in 0..20 {
        let events = changes(1 + batch * 1000, 1 + (batch + 1) * 1000);
        bench.wait(history.append(&arcs(&events))).unwrap();
    }
    let before = history.bytes();
    bench.clock.step_to(NOW + 86_400 * 30);
    for _ in 0..400 {
        bench.wait(history.prune()).unwrap();
    }
    assert_eq!((history.newest(), history.oldest()), (20_000, 20_001));
    assert_eq!((history.oldest_at(), history.events()), (None, 0));
    bench.wait(history.close());
    let after = fs::metadata(bench.path()).unwrap().len();
    assert!(
        after < before / 2 + (1 << 20) + (256 << 12),
        "{before} {after}"
    );
    // Numbers go on.
    drop(history);
    let history = bench.open();
    assert_eq!((history.newest(), history.oldest()), (20_000, 20_001));
    let mut next = changes(20_001, 20_002);
    next[0].at += 86_400_000 * 30;
    bench.wait(history.append(&arcs(&next))).unwrap();
    assert_eq!(bench.wait(history.read(20_000, 9)).unwrap(), next);
}

/// A clock that was far ahead for a while does not keep what follows from growing too old.
#[test]
fn a_clock_that_was_ahead_keeps_nothing() {
    let bench = Bench::new();
    let history = bench.open_with(|it| it.keep = Duration::from_hours(1));
    let mut events = changes(1, 10);
    events[3].at += 86_400_000 * 3650;
    bench.wait(history.append(&arcs(&events))).unwrap();
    bench.clock.step_to(NOW + 3600 + 120);
    bench.wait(history.prune()).unwrap();
    assert_eq!(history.oldest(), 10);
}

/// A clock that was far behind for a while, as without a battery until the network has told the time, does not make what
/// came before too old.
#[test]
fn a_clock_that_was_behind_deletes_nothing() {
    let bench = Bench::new();
    let history = bench.open_with(|it| it.keep = Duration::from_hours(1));
    let mut events = changes(1, 10);
    events[3].at = 0;
    events[4].at += 86_400_000 * 3650;
    bench.clock.step_to(NOW + 60);
    bench.wait(history.append(&arcs(&events))).unwrap();
    bench.wait(history.prune()).unwrap();
    assert_eq!(history.oldest(), 1);
    bench.clock.step_to(NOW + 3600 + 120);
    bench.wait(history.prune()).unwrap();
    assert_eq!(history.oldest(), 10);
}

#[test]
fn of_a_user_who_is_forgotten_no_byte_is_left() {
    let bench = Bench::new();
    let history = bench.open();
    let secrets = ["zo\u{eb}", "R\u{e9}f-1", "\u{fc}ber"];
    let mut zoe = binding("uloc-1", secrets[0], "sip:\u{fc}ber@192.0.2.1", 1);
    zoe.call_id = Some(secrets[1].into());
    let zoe = Arc::new(registration(zoe, Some("acme")));
    let namesake = row("other", secrets[0], "uloc-3");
    let alice = row("acme", "alice", "uloc-2");
    let all = [
        event(1, 0, Kind::Registered, &zoe),
        event(2, 0, Kind::Registered, &alice),
        event(3, 1, Kind::Terminated(Reason::Removed), &zoe),
        event(4, 2, Kind::Registered, &namesake),
        event(5, 3, Kind::Terminated(Reason::Expired), &alice),
    ];
    bench.wait(history.append(&arcs(&all))).unwrap();
    let found = |secret: &str| {
        let all = ["", "-wal"].map(|side| {
            let path = own_database::beside(&bench.path(), side);
            fs::read(path).unwrap_or_default()
        });
        memchr::memmem::find(&all.concat(), secret.as_bytes()).is_some()
    };
    assert!(secrets.iter().all(|secret| found(secret)));
    let count = bench.wait(history.forget(Some("acme"), "ZO\u{eb}", None));
    assert_eq!(count.unwrap(), 2);
    assert!(!found(secrets[1]) && !found(secrets[2]));
    let left = bench.wait(history.read(0, 9)).unwrap();
    assert_eq!(left, [&all[1..2], &all[3..]].concat());
    let asked = |of: Of| bench.wait(history.query(&all_of(of))).unwrap();
    assert_eq!(seqs(&asked(user("acme", "zo\u{eb}"))), [0; 0]);
    assert_eq!(seqs(&asked(user("other", "zo\u{eb}"))), [4]);
    assert_eq!(seqs(&asked(user("acme", "alice"))), [5, 2]);
    assert_eq!((history.oldest(), history.newest()), (1, 5));
    // In whatever account, but not in another realm.
    let count = bench.wait(history.forget(None, secrets[0], Some("elsewhere.example")));
    assert_eq!(count.unwrap(), 0);
    let count = bench.wait(history.forget(None, secrets[0], Some("ACME.example.com")));
    assert_eq!(count.unwrap(), 1);
    assert!(!found(secrets[0]));
    is_tidy(&bench, &history);
    // Who comes again begins anew.
    let again = [event(6, 9, Kind::Registered, &zoe)];
    bench.wait(history.append(&arcs(&again))).unwrap();
    assert_eq!(asked(user("acme", "zo\u{eb}")), again);
}

/// The other account keeps what is its own.
#[test]
fn an_event_between_two_accounts_goes_with_either() {
    let bench = Bench::new();
    let history = bench.open();
    let (mine, yours) = (row("a", "bob", "uloc-1"), row("b", "bob", "uloc-1"));
    let mut all = [
        event(1, 0, Kind::Registered, &mine),
        event(2, 1, Kind::Changed, &yours),
        event(3, 2, Kind::Terminated(Reason::Expired), &yours),
    ];
    let What::Registration(happening) = &mut all[1].what else {
        panic!("it is one");
    };
    happening.former = Some(mine);
    bench.wait(history.append(&arcs(&all))).unwrap();
    let asked = |of: Of| bench.wait(history.query(&all_of(of))).unwrap();
    assert_eq!(seqs(&asked(user("a", "bob"))), [2, 1]);
    assert_eq!(seqs(&asked(user("b", "bob"))), [3, 2]);
    assert_eq!(
        bench.wait(history.forget(Some("a"), "bob", None)).unwrap(),
        2
    );
    assert_eq!(seqs(&asked(user("a", "bob"))), [0; 0]);
    assert_eq!(asked(user("b", "bob")), all[2..]);
    assert_eq!(bench.wait(history.read(0, 9)).unwrap(), all[2..]);
}

#[test]
fn cursors_are_kept() {
    let bench = Bench::new();
    let history = bench.open();
    let cursor = |name: &str| bench.wait(history.cursor(name)).unwrap();
    assert_eq!(cursor("crm"), None);
    assert!(bench.wait(history.may_lack_cursors()).unwrap(), "it is new");
    bench.wait(history.lacks_no_cursors()).unwrap();
    for at in [(LogId(u64::MAX), 7), (history.log(), u64::MAX)] {
        bench.wait(history.put_cursor("crm", at)).unwrap();
        assert_eq!(cursor("crm"), Some(at));
    }
    bench
        .wait(history.put_cursor("bi", (history.log(), 1)))
        .unwrap();
    assert_eq!(bench.wait(history.consumers()).unwrap(), ["bi", "crm"]);
    bench.wait(history.delete_cursor("crm")).unwrap();
    assert_eq!(cursor("crm"), None);
    assert!(!bench.wait(history.may_lack_cursors()).unwrap());
    bench.wait(history.begin_anew("a test")).unwrap();
    assert_eq!(cursor("bi"), None);
    assert!(bench.wait(history.may_lack_cursors()).unwrap());
}

/// The log reports the one while the other is forgotten, and is killed before it reports that as well.
#[test]
fn who_is_forgotten_while_another_is_reported_remains_to_be_reported() {
    let bench = Bench::new();
    let history = bench.open();
    let unreported = || bench.wait(history.unreported()).unwrap();
    let forget = |user: &str| {
        bench
            .wait(history.forget(Some("acme"), user, None))
            .unwrap()
    };
    assert_eq!(unreported(), None);
    forget("alice");
    let first = unreported().unwrap();
    forget("bob");
    bench.wait(history.reported(first)).unwrap();
    let second = unreported().expect("bob is not reported yet");
    assert_ne!(first, second);
    bench.wait(history.reported(second)).unwrap();
    assert_eq!(unreported(), None);
}

#[test]
fn another_log_goes_on_with_the_numbers() {
    let bench = Bench::new();
    let history = bench.open();
    let first = history.log();
    bench.wait(history.append(&arcs(&changes(1, 4)))).unwrap();
    // What is there already is passed over.
    bench.wait(history.append(&arcs(&changes(2, 6)))).unwrap();
    let second = bench.wait(history.new_log()).unwrap();
    assert_ne!(first, second);
    bench.wait(history.close());
    drop(history);
    let history = bench.open();
    assert_eq!((history.log(), history.newest()), (second, 5));
    assert_eq!(bench.wait(history.read(0, 9)).unwrap(), changes(1, 6));
    assert_eq!(bench.wait(history.read(2, 2)).unwrap(), changes(3, 5));
    assert_eq!(bench.wait(history.read(5, 2)).unwrap(), []);
    let at = (NOW + 4) * 1000;
    assert_eq!(bench.wait(history.since(at, 5)).unwrap(), changes(4, 6));
    assert_eq!(bench.wait(history.since(at, 2)).unwrap(), changes(3, 6));
}

/// A question about one of very many accounts, and one far back along a long chain.
#[test]
fn pages_of_a_long_chain_meet() {
    let bench = Bench::new();
    let history = bench.open();
    let one = row("acme", "bob", "uloc-1");
    let kinds = [Kind::Registered, Kind::Terminated(Reason::Expired)];
    let events: Vec<Event> = (1..3_000)
        .map(|seq| event(seq, seq, kinds[usize::try_from(seq % 2).unwrap()], &one))
        .collect();
    bench.wait(history.append(&arcs(&events))).unwrap();
    for of in [
        Of::All,
        user("acme", "BOB"),
        Of::Accounts(vec!["acme".to_owned()]),
    ] {
        let mut query = Query {
            limit: 700,
            ..all_of(of)
        };
        let mut all = Vec::new();
        loop {
            let page = bench.wait(history.query(&query)).unwrap();
            query.before = page.last().map(|event| event.seq);
            if page.is_empty() {
                break;
            }
            all.extend(page);
        }
        all.reverse();
        assert!(all == events, "{:?}", query.of);
        query.before = None;
        query.reasons = Some(vec![Reason::Flushed]);
        assert_eq!(bench.wait(history.query(&query)).unwrap(), []);
    }
}
