use super::*;
use crate::events::{Group, Replaces};
use crate::registration::Registration;
use crate::registration::testing::{binding, registration};

/// The beginning of a quarter, in milliseconds.
const START: u64 = 1_699_999_200_000;

fn phone(account: Option<&str>, ruid: &str) -> Arc<Registration> {
    let row = binding(ruid, "bob", "sip:bob@192.0.2.1", 0);
    Arc::new(registration(row, account))
}

fn told(at: u64, what: What) -> Event {
    Event {
        seq: 1,
        at,
        commit: 1,
        what,
    }
}

fn happened(at: u64, kind: Kind, one: &Arc<Registration>, audience: Audience) -> Event {
    let happening = Happening {
        kind,
        audience,
        registration: Arc::clone(one),
        former: None,
        happened_at: None,
        replaces: None,
        flush: None,
        stats: None,
    };
    told(at, What::Registration(Box::new(happening)))
}

fn lost(at: u64, one: &Arc<Registration>) -> Event {
    happened(at, Kind::Terminated(Reason::Removed), one, Audience::All)
}

fn came(at: u64, one: &Arc<Registration>) -> Event {
    happened(at, Kind::Registered, one, Audience::All)
}

fn successor(at: u64, of: &str, one: &Arc<Registration>) -> Event {
    let mut event = came(at, one);
    if let What::Registration(happening) = &mut event.what {
        happening.replaces = Some(Replaces {
            ruid: of.into(),
            after: 1,
        });
    }
    event
}

/// Where something happened: quarters before now, losses, returns.
fn seen(day: &Day, viewer: Viewer<'_>, now: u64) -> Vec<(usize, u64, u64)> {
    let plot = day.plot(viewer, now);
    assert_eq!(plot.len(), QUARTERS);
    assert_eq!(plot[95].at, now / QUARTER * QUARTER / 1000);
    assert_eq!(plot[0].at, plot[95].at - 95 * 900);
    let quarters = plot.iter().rev().enumerate();
    let busy = quarters.filter(|(_, it)| it.losses + it.returns > 0);
    busy.map(|(ago, it)| (ago, it.losses, it.returns)).collect()
}

#[test]
fn each_quarter_and_account_has_its_figures() {
    let mut day = Day::new(5000);
    let (ours, other, nobodys) = (
        phone(Some("a"), "1"),
        phone(Some("b"), "2"),
        phone(None, "3"),
    );
    day.see(&lost(START, &ours));
    day.see(&lost(START + 1, &other));
    day.see(&lost(START + 2, &nobodys));
    day.see(&came(START + QUARTER, &ours));
    let now = START + QUARTER;
    assert_eq!(seen(&day, Viewer::System, now), [(0, 0, 1), (1, 3, 0)]);
    assert_eq!(
        seen(&day, Viewer::Account("a"), now),
        [(0, 0, 1), (1, 1, 0)]
    );
    let both = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
    assert_eq!(
        seen(&day, Viewer::Accounts(&both), now),
        [(0, 0, 1), (1, 2, 0)]
    );
    assert_eq!(seen(&day, Viewer::Accounts(&[]), now), []);
    assert_eq!([day.losses("a", now), day.losses("c", now)], [1, 0]);
}

#[test]
fn what_is_no_loss_is_none() {
    let mut day = Day::new(5000);
    let one = phone(Some("a"), "1");
    for reason in [Reason::Flushed, Reason::Replaced, Reason::AccountChanged] {
        let kind = Kind::Terminated(reason);
        day.see(&happened(START, kind, &one, Audience::All));
    }
    for kind in [Kind::Moved, Kind::Changed, Kind::Refreshed] {
        day.see(&happened(START, kind, &one, Audience::All));
    }
    assert_eq!(seen(&day, Viewer::System, START), []);
    let kind = Kind::Terminated(Reason::Expired);
    day.see(&happened(START, kind, &one, Audience::System));
    assert_eq!(seen(&day, Viewer::System, START), [(0, 1, 0)]);
    assert_eq!(seen(&day, Viewer::Account("a"), START), []);
    day.see(&happened(START, kind, &one, Audience::Account));
    assert_eq!(seen(&day, Viewer::System, START), [(0, 1, 0)]);
    assert_eq!(seen(&day, Viewer::Account("a"), START), [(0, 1, 0)]);
}

#[test]
fn a_successor_within_five_seconds_takes_the_loss_back() {
    let mut day = Day::new(5000);
    let (one, next) = (phone(Some("a"), "1"), phone(Some("a"), "2"));
    // The loss is in another quarter than what takes it back.
    day.see(&lost(START - 1, &one));
    day.see(&successor(START + 1, "1", &next));
    for viewer in [Viewer::System, Viewer::Account("a")] {
        assert_eq!(seen(&day, viewer, START), []);
    }
    day.see(&lost(START + 2, &next));
    day.see(&successor(START + 5003, "2", &one));
    assert_eq!(seen(&day, Viewer::System, START), [(0, 1, 0)]);
}

#[test]
fn a_day_is_forgotten_after_a_day() {
    let mut day = Day::new(5000);
    let one = phone(Some("a"), "1");
    day.see(&lost(START, &one));
    let last = START + 95 * QUARTER;
    assert_eq!(seen(&day, Viewer::System, last), [(95, 1, 0)]);
    assert_eq!(day.losses("a", last), 1);
    let over = last + QUARTER;
    assert_eq!(seen(&day, Viewer::System, over), []);
    assert_eq!(day.losses("a", over), 0);
    day.see(&lost(over, &phone(None, "2")));
    assert!(day.accounts.is_empty());
    assert_eq!(day.system.0.len(), 1);
}

#[test]
fn a_clock_that_is_set_back_changes_no_order() {
    let mut day = Day::new(5000);
    let one = phone(Some("a"), "1");
    day.see(&lost(START + QUARTER, &one));
    day.see(&came(START, &one));
    assert_eq!(seen(&day, Viewer::System, START + QUARTER), [(0, 1, 1)]);
}

#[test]
fn what_an_earlier_run_saw_is_added() {
    let one = phone(Some("a"), "1");
    let mut earlier = Day::new(5000);
    earlier.see(&lost(START, &one));
    earlier.see(&lost(START + QUARTER, &one));
    earlier.see(&burst(START + QUARTER, None));
    let mut day = Day::new(5000);
    day.see(&came(START + QUARTER, &one));
    day.see(&burst(START + QUARTER + 1, None));
    day.restore(earlier);
    let now = START + QUARTER;
    for viewer in [Viewer::System, Viewer::Account("a")] {
        assert_eq!(seen(&day, viewer, now), [(0, 1, 1), (1, 1, 0)]);
    }
    let bursts = day.bursts(Viewer::System, now + 2);
    let times: Vec<u64> = bursts.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [now + 1, now]);
}

fn burst(at: u64, account: Option<&str>) -> Event {
    told(
        at,
        What::Burst(Burst {
            account: account.map(Arc::from),
            group: Group::All,
            value: "".into(),
            lost: 20,
            of: 30,
            from: at - 1000,
            to: at,
        }),
    )
}

#[test]
fn bursts_are_shown_for_an_hour_to_whom_they_are_told() {
    let mut day = Day::new(5000);
    day.see(&burst(START, None));
    day.see(&burst(START + 1, Some("a")));
    let own = ["a".to_owned()];
    let times = |viewer, now| -> Vec<u64> {
        let bursts = day.bursts(viewer, now);
        bursts.iter().map(|(at, _)| *at).collect()
    };
    assert_eq!(times(Viewer::System, START + 1), [START]);
    assert_eq!(times(Viewer::Accounts(&own), START + 1), [START + 1]);
    assert_eq!(times(Viewer::Account("b"), START + 1), [0; 0]);
    assert_eq!(times(Viewer::System, START + HOUR), [START]);
    assert_eq!(times(Viewer::System, START + HOUR + 1), [0; 0]);
    for number in 0..300 {
        day.see(&burst(START + number, None));
    }
    assert_eq!(day.bursts.len(), BURSTS);
}
