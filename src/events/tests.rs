//! Events, applied to a list, give the list of now; and each says what happened.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::clock::{Clock, ManualClock};
use crate::registration::item::Wire;
use crate::registration::testing::{binding, registration};
use crate::registration::{Address, Binding, Change, Details, Hidden, Key, Ruid, SourceAddress};
use crate::registry::{FlushedBy, Scope, Snapshot, SourceReport, Subscription, Writer};
use crate::sip::SourceFrom;

const NOW: u64 = 1_700_000_000;

struct Site {
    clock: Arc<ManualClock>,
    writer: Writer,
    feed: Subscription,
    deriver: Deriver,
}

impl Site {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        let writer = Writer::new(Arc::clone(&clock) as _);
        let source = SourceReport {
            state: SourceState::Live,
            as_of: Some(std::time::Duration::from_secs(NOW)),
        };
        let feed = writer.restore(Snapshot::default(), source);
        Self {
            deriver: Deriver::new(Arc::clone(writer.registry())),
            clock,
            writer,
            feed,
        }
    }

    /// What happened since this was last asked for.
    fn events(&mut self) -> Vec<Event> {
        let Ok(entries) = self.feed.read(usize::MAX) else {
            self.feed.restart();
            let (from, cause) = (0, GapCause::Overrun);
            return vec![Event {
                seq: 0,
                at: 0,
                commit: 0,
                what: What::Gap(Gap { from, cause }),
            }];
        };
        let events = entries.iter().flat_map(|one| self.deriver.follow(one));
        events.collect()
    }

    fn put(&mut self, row: Registration) -> Vec<Event> {
        self.writer.apply([Change::Upsert(Arc::new(row))]);
        self.events()
    }

    fn remove(&mut self, ruid: &str) -> Vec<Event> {
        self.writer.apply([Change::Remove(key(ruid))]);
        self.events()
    }

    fn wait(&mut self, seconds: u64) -> Vec<Event> {
        self.clock.advance(std::time::Duration::from_secs(seconds));
        self.writer.expire();
        self.events()
    }

    fn now(&self) -> i64 {
        self.clock.unix_seconds()
    }
}

fn key(ruid: &str) -> Key {
    Key {
        table: "location".into(),
        ruid: Ruid::from(ruid),
    }
}

/// Bob's phone, registered now for ten minutes.
fn bob(site: &Site, ruid: &str) -> Binding {
    Binding {
        instance: Some("<urn:uuid:1>".into()),
        ..binding(
            ruid,
            "bob",
            &format!("sip:bob@192.0.2.1:{ruid}"),
            site.now() + 600,
        )
    }
}

fn of_acme(row: Binding) -> Registration {
    registration(row, Some("acme"))
}

/// The one event, as the account sees it.
fn only(events: &[Event]) -> &Happening {
    let [event] = events else {
        panic!("not one: {events:?}")
    };
    match &event.what {
        What::Registration(happening) => happening,
        other => panic!("{other:?}"),
    }
}

fn kind(events: &[Event]) -> Kind {
    only(events).kind
}

#[test]
fn a_phone_comes_refreshes_moves_changes_and_goes() {
    let mut site = Site::new();
    let first = bob(&site, "1");
    let came = site.put(of_acme(first.clone()));
    assert_eq!(kind(&came), Kind::Registered);
    assert_eq!(only(&came).happened_at, Some(site.now()));
    assert!(site.put(of_acme(first.clone())).is_empty(), "nothing new");
    site.wait(60);
    let refreshed = Binding {
        last_modified: site.now(),
        expiry: crate::registration::Expiry::At(site.now() + 600),
        ..first.clone()
    };
    assert_eq!(kind(&site.put(of_acme(refreshed.clone()))), Kind::Refreshed);
    let moved = Details {
        source: Some(SourceAddress {
            address: Address {
                host: "203.0.113.9".into(),
                port: Some(1),
            },
            from: SourceFrom::Received,
        }),
        ..(*of_acme(Binding {
            user_agent: Some("Other 2".into()),
            ..refreshed.clone()
        }))
        .clone()
    };
    assert_eq!(
        kind(&site.put(Registration::new(moved.clone()))),
        Kind::Moved
    );
    let changed = Details {
        binding: Arc::new(Binding {
            call_id: Some("other".into()),
            ..(*moved.binding).clone()
        }),
        first_registration: site.now() - 60,
        ..moved
    };
    assert_eq!(kind(&site.put(Registration::new(changed))), Kind::Changed);
    let gone = site.remove("1");
    assert_eq!(kind(&gone), Kind::Terminated(Reason::Removed));
    let stats = only(&gone).stats.unwrap();
    assert_eq!((stats.lasted, stats.granted_expires), (60, Some(600)));
    assert!(only(&gone).happened_at.is_none(), "the table does not tell");
}

#[test]
fn what_expires_says_when() {
    let mut site = Site::new();
    let end = site.now() + 600;
    let row = bob(&site, "1");
    site.put(of_acme(row));
    let gone = site.wait(600);
    assert_eq!(kind(&gone), Kind::Terminated(Reason::Expired));
    assert_eq!(only(&gone).happened_at, Some(end));
    assert!(site.remove("1").is_empty(), "that was told");
}

#[test]
fn what_comes_back_says_what_it_replaces_and_what_has_a_successor_is_replaced() {
    let mut site = Site::new();
    let row = bob(&site, "1");
    site.put(of_acme(row));
    site.remove("1");
    site.wait(5);
    let row = bob(&site, "2");
    let back = site.put(of_acme(row));
    let replaces = only(&back).replaces.clone().unwrap();
    assert_eq!((replaces.ruid, replaces.after), ("1".into(), 5_000));
    let row = bob(&site, "3");
    assert!(
        only(&site.put(of_acme(row))).replaces.is_none(),
        "2 is there"
    );
    assert_eq!(kind(&site.remove("2")), Kind::Terminated(Reason::Replaced));
    site.remove("3");
    site.wait(6);
    let row = bob(&site, "4");
    assert!(only(&site.put(of_acme(row))).replaces.is_none(), "too late");
}

#[test]
fn a_flush_is_told_once_with_its_request() {
    let mut site = Site::new();
    let row = of_acme(bob(&site, "1"));
    let hidden = Hidden {
        key: key("1"),
        fingerprint: row.binding.row_fingerprint(),
        at: site.now(),
    };
    site.put(row);
    let by = Arc::new(FlushedBy {
        request_id: "r".to_owned(),
        actor: "ops".to_owned(),
    });
    site.writer.overlay().hide([hidden.clone()], &by);
    let gone = site.events();
    assert_eq!(kind(&gone), Kind::Terminated(Reason::Flushed));
    assert_eq!(only(&gone).flush, Some(by));
    assert!(site.remove("1").is_empty());
}

#[test]
fn another_owner_is_one_event_that_each_sees_in_its_own_way() {
    let mut site = Site::new();
    let row = bob(&site, "1");
    site.put(of_acme(row.clone()));
    let moved = site.put(registration(row, Some("other")));
    let happening = only(&moved);
    let seen = |viewer| happening.seen_by(viewer).map(|seen| seen.kind);
    let gone = Kind::Terminated(Reason::AccountChanged);
    assert_eq!(seen(Viewer::Account("acme")), Some(gone));
    assert_eq!(seen(Viewer::Account("other")), Some(Kind::Registered));
    assert_eq!(seen(Viewer::System), Some(Kind::Changed));
    assert_eq!(seen(Viewer::Account("third")), None);
    let both = ["acme".to_owned(), "other".to_owned()];
    assert_eq!(seen(Viewer::Accounts(&both)), Some(Kind::Changed));
    assert_eq!(seen(Viewer::Accounts(&both[1..])), Some(Kind::Registered));
}

#[test]
fn an_event_is_written_as_its_viewer_sees_it() {
    let mut site = Site::new();
    let row = bob(&site, "1");
    site.put(of_acme(row.clone()));
    let mut moved = site.put(registration(row, Some("other")));
    let event = &mut moved[0];
    (event.seq, event.commit) = (12, 11);
    let style = json::Style {
        wire: Wire::Document,
        node: "node-1",
        log: json::LogId(0xab),
        id: None,
        fields: Some(&[crate::registration::item::Field::Username]),
    };
    let text = |viewer| {
        let mut out = Vec::new();
        json::write_event(event, viewer, &style, &mut out);
        serde_json::from_slice::<serde_json::Value>(&out).unwrap()
    };
    insta::assert_json_snapshot!([text(Viewer::System), text(Viewer::Account("acme"))]);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Put {
        ruid: u8,
        user: u8,
        contact: u8,
        call: u8,
        ends: i64,
        account: u8,
    },
    Remove(u8),
    Hide(u8),
    Unhide(u8),
    Wait(u64),
    Set(u64),
    Reassign(u8, bool),
    Look,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let put = (0..6_u8, 0..3_u8, 0..2_u8, 0..2_u8, -5..20_i64, 0..3_u8).prop_map(
        |(ruid, user, contact, call, ends, account)| Step::Put {
            ruid,
            user,
            contact,
            call,
            ends,
            account,
        },
    );
    let step = prop_oneof![
        6 => put,
        2 => (0..6_u8).prop_map(Step::Remove),
        1 => (0..6_u8).prop_map(Step::Hide),
        1 => (0..6_u8).prop_map(Step::Unhide),
        2 => (1..8_u64).prop_map(Step::Wait),
        1 => (0..20_u64).prop_map(Step::Set),
        1 => (0..3_u8, any::<bool>()).prop_map(|(to, at_once)| Step::Reassign(to, at_once)),
        3 => Just(Step::Look),
    ];
    prop::collection::vec(step, 1..60)
}

const ACCOUNTS: [Option<&str>; 3] = [None, Some("acme"), Some("other")];

/// A list that is kept by events alone.
#[derive(Default)]
struct Kept(BTreeMap<Key, u64>);

impl Kept {
    fn apply(&mut self, event: &Event, viewer: Viewer<'_>, now: impl FnOnce() -> Self) {
        match &event.what {
            What::Registration(happening) => {
                if let Some(seen) = happening.seen_by(viewer) {
                    let key = seen.registration.binding.key.clone();
                    match seen.kind {
                        Kind::Terminated(_) => self.0.remove(&key),
                        _ => self.0.insert(key, seen.registration.digest()),
                    };
                }
            }
            What::Directory | What::Gap(_) => *self = now(),
            What::Source(_) | What::Burst(_) => {}
        }
    }
}

fn listed(writer: &Writer, scope: Scope<'_>) -> Kept {
    let listing = writer.list(scope).registrations;
    let of = |one: Arc<Registration>| (one.binding.key.clone(), one.digest());
    Kept(listing.into_iter().map(of).collect())
}

fn run(site: &mut Site, step: Step) {
    match step {
        Step::Put {
            ruid,
            user,
            contact,
            call,
            ends,
            account,
        } => {
            let row = Binding {
                call_id: Some(call.to_string().as_str().into()),
                ..binding(
                    &ruid.to_string(),
                    &format!("user{user}"),
                    &format!("sip:{contact}@192.0.2.1"),
                    site.now() + ends,
                )
            };
            let row = registration(row, ACCOUNTS[usize::from(account)]);
            site.writer.apply([Change::Upsert(Arc::new(row))]);
        }
        Step::Remove(ruid) => site.writer.apply([Change::Remove(key(&ruid.to_string()))]),
        Step::Hide(ruid) => {
            let key = key(&ruid.to_string());
            if let Some(row) = site.writer.get(&key) {
                let hidden = Hidden {
                    fingerprint: row.binding.row_fingerprint(),
                    at: row.binding.last_modified.max(site.now()),
                    key,
                };
                site.writer.overlay().hide([hidden], &Arc::default());
            }
        }
        Step::Unhide(ruid) => site.writer.overlay().unhide([&key(&ruid.to_string())]),
        Step::Wait(seconds) => {
            site.clock.advance(std::time::Duration::from_secs(seconds));
            site.writer.expire();
        }
        Step::Set(to) => {
            site.clock.step_to(NOW + to);
            site.writer.expire();
        }
        Step::Reassign(to, at_once) => {
            let rows = site.writer.rows().into_iter();
            let acmes = rows.filter(|one| one.account_id.as_deref() == Some("acme"));
            let account = ACCOUNTS[usize::from(to)];
            let given =
                |one: Arc<Registration>| Arc::new(registration((*one.binding).clone(), account));
            let changed: Vec<_> = acmes.map(given).collect();
            if at_once {
                site.writer.replace_at_once(changed, 1, || {});
            } else {
                site.writer.replace(changed, 1, || {});
            }
        }
        Step::Look => {}
    }
}

proptest! {
    #[test]
    fn events_applied_to_a_list_give_the_list_of_now(steps in steps()) {
        let mut site = Site::new();
        let both = ["acme".to_owned(), "other".to_owned()];
        let viewers = [
            (Viewer::System, Scope::System),
            (Viewer::Account("acme"), Scope::Account("acme")),
            (Viewer::Account("other"), Scope::Account("other")),
        ];
        let mut kept: Vec<Kept> = viewers.iter().map(|_| Kept::default()).collect();
        let mut of_both = Kept::default();
        for step in steps {
            run(&mut site, step);
            if !matches!(step, Step::Look) {
                continue;
            }
            site.writer.expire();
            let writer = site.writer.overlay();
            let events = site.events();
            let lists_of_both = || {
                let mut all = listed(&site.writer, Scope::Account("acme"));
                all.0.extend(listed(&site.writer, Scope::Account("other")).0);
                all
            };
            for event in &events {
                for ((viewer, scope), kept) in viewers.iter().zip(&mut kept) {
                    kept.apply(event, *viewer, || listed(&site.writer, *scope));
                }
                of_both.apply(event, Viewer::Accounts(&both), lists_of_both);
            }
            for ((_, scope), kept) in viewers.iter().zip(&kept) {
                prop_assert_eq!(&kept.0, &listed(&site.writer, *scope).0, "{:?}: {:?}", scope, events);
            }
            prop_assert_eq!(&of_both.0, &lists_of_both().0, "{:?}", events);
            drop(writer);
        }
    }
}
