mod bindings;
mod feed;
mod properties;
mod replace;

use std::time::Duration;

use futures_util::FutureExt;

use super::*;
use crate::clock::{ManualClock, SystemClock};
use crate::registration::testing::{binding, packed, registration};
use crate::registration::{Binding, Change, Expiry, Number};

const NOW: i64 = 1_700_000_000;

/// A registry that has been loaded, so that the feed has what happens to it.
fn registry() -> (Arc<ManualClock>, Writer) {
    let clock = Arc::new(ManualClock::at(1_700_000_000));
    let writer = Writer::new(Arc::clone(&clock) as _);
    writer.report(LIVE);
    (clock, writer)
}

const LIVE: SourceReport = SourceReport {
    state: SourceState::Live,
    as_of: None,
};

fn put(registry: &Writer, binding: Binding) {
    registry.apply([upsert(binding, Some("acme"))]);
}

fn upsert(binding: Binding, account: Option<&str>) -> Change<Arc<Registration>> {
    Change::Upsert(Arc::new(registration(binding, account)))
}

fn hide(registry: &Writer, rows: impl IntoIterator<Item = Hidden>) {
    registry.overlay().hide(rows, &Arc::default());
}

/// What has happened since the last look.
fn happened(feed: &mut Subscription) -> Vec<Effect> {
    let entries = feed.read(usize::MAX).expect("it does not lag");
    let effect = |entry: Entry| match entry.event {
        Event::Row(effect) => effect,
        Event::Directory(_) => panic!("few rows change"),
    };
    entries.into_iter().map(effect).collect()
}

fn contacts(registry: &Writer) -> Vec<String> {
    let listed = registry.list(Scope::Account("acme")).registrations;
    listed
        .iter()
        .map(|one| one.binding.contact.lossy().into_owned())
        .collect()
}

fn hidden(binding: &Binding, at: i64) -> Hidden {
    Hidden {
        key: binding.key.clone(),
        fingerprint: binding.row_fingerprint(),
        at,
    }
}

#[test]
fn lists_by_username_in_any_case_then_contact() {
    let (_, registry) = registry();
    for (ruid, user, contact) in [
        ("1", "bob", "b"),
        ("2", "Alice", "z"),
        ("3", "bob", "a"),
        ("4", "bobby", "0"),
    ] {
        put(&registry, binding(ruid, user, contact, NOW + 60));
    }
    assert_eq!(contacts(&registry), ["z", "a", "b", "0"]);
    assert_eq!(
        registry
            .list_user(Scope::Account("acme"), b"BOB")
            .registrations
            .len(),
        2
    );
    assert_eq!(registry.count(Scope::System).0, 4);
    assert_eq!(registry.count(Scope::Account("other")).0, 0);
}

#[test]
fn a_registration_is_listed_until_the_second_of_its_end() {
    let (clock, registry) = registry();
    put(&registry, binding("1", "bob", "a", NOW + 60));
    put(
        &registry,
        Binding {
            expiry: Expiry::Permanent,
            ..binding("2", "bob", "b", 0)
        },
    );
    clock.advance(Duration::from_secs(59));
    assert_eq!(contacts(&registry), ["a", "b"]);
    clock.advance(Duration::from_secs(1));
    assert_eq!(contacts(&registry), ["b"]);
    clock.step_to(1_700_000_000);
    assert_eq!(
        contacts(&registry),
        ["a", "b"],
        "a clock that steps back brings valid rows back"
    );
    clock.step_to(1_700_000_060);
    assert_eq!(contacts(&registry), ["b"]);
}

#[test]
fn rows_alike_count_once_and_the_one_modified_last_shows() {
    let (clock, registry) = registry();
    let older = Binding {
        last_modified: NOW - 10,
        ..binding("1", "bob", "a", NOW + 60)
    };
    let newer = Binding {
        last_modified: NOW - 5,
        ..binding("2", "bob", "a", NOW + 30)
    };
    put(&registry, newer.clone());
    put(&registry, older);
    let shown = |registry: &Writer| {
        registry.list(Scope::System).registrations[0]
            .binding
            .key
            .ruid
            .clone()
    };
    assert_eq!(
        (registry.count(Scope::System).0, shown(&registry)),
        (1, "2".into())
    );
    clock.advance(Duration::from_secs(30));
    assert_eq!(shown(&registry), "1".into(), "of those that are valid now");
    put(
        &registry,
        Binding {
            expiry: Expiry::At(NOW + 90),
            ..newer
        },
    );
    assert_eq!(shown(&registry), "2".into());
    registry.apply([Change::Remove(binding("2", "", "", 0).key)]);
    assert_eq!(shown(&registry), "1".into());
}

#[test]
fn the_revision_depends_on_the_content_alone() {
    let (clock, one) = registry();
    put(&one, binding("1", "bob", "a", NOW + 60));
    put(&one, binding("2", "eve", "b", NOW + 90));
    let before = one.count(Scope::System).1;
    let (_, other) = registry();
    put(&other, binding("2", "eve", "b", NOW + 90));
    put(&other, binding("1", "bob", "a", NOW + 70));
    assert_ne!(other.count(Scope::System).1, before);
    put(&other, binding("1", "bob", "a", NOW + 60));
    assert_eq!(other.count(Scope::System).1, before);
    clock.advance(Duration::from_secs(30));
    assert_eq!(
        one.count(Scope::System).1,
        before,
        "the countdown is not a change"
    );
    clock.advance(Duration::from_secs(30));
    assert_ne!(one.count(Scope::System).1, before, "an expiry is one");
    assert_eq!(
        one.list(Scope::Account("acme")).revision,
        one.count(Scope::Account("acme")).1
    );
}

#[test]
fn a_hidden_row_shows_again_when_it_comes_from_a_later_register() {
    let (_, registry) = registry();
    let row = binding("1", "bob", "a", NOW + 60);
    let overlay = registry.overlay();
    let doubts = || overlay.doubts().notified();
    put(&registry, row.clone());
    hide(&registry, [hidden(&row, NOW)]);
    assert!(contacts(&registry).is_empty());
    let mut feed = registry.registry().subscribe();
    put(&registry, row.clone());
    let effects = happened(&mut feed);
    assert!(
        effects.iter().all(|one| one.unhidden.is_none()),
        "the same row changes nothing"
    );
    assert!(doubts().now_or_never().is_none());
    let same_second = Binding {
        cseq: Number::new(77),
        last_modified: NOW,
        ..row.clone()
    };
    put(&registry, same_second);
    assert!(
        doubts().now_or_never().is_some() && contacts(&registry).is_empty(),
        "the same second may be before or after"
    );
    let newer = Binding {
        last_modified: NOW + 1,
        ..row.clone()
    };
    put(&registry, newer);
    let [_, shown] = happened(&mut feed).try_into().expect("two effects");
    let unhidden = shown.unhidden.expect("it is listed again");
    assert_eq!((unhidden.key, unhidden.at), (row.key, NOW));
    assert_eq!(contacts(&registry), ["a"]);
}

#[test]
fn a_phone_that_registered_after_the_flush_is_not_hidden() {
    let (_, registry) = registry();
    let row = binding("1", "bob", "a", NOW + 60);
    put(
        &registry,
        Binding {
            last_modified: NOW + 2,
            ..row.clone()
        },
    );
    hide(&registry, [hidden(&row, NOW + 1)]);
    assert_eq!(contacts(&registry), ["a"]);
}

#[test]
fn what_is_hidden_stays_so_before_its_row_is_known() {
    let (_, registry) = registry();
    let row = binding("1", "bob", "a", NOW + 60);
    let kept = Snapshot {
        hidden: vec![hidden(&row, NOW), hidden(&binding("2", "eve", "b", 0), NOW)],
        ..Snapshot::default()
    };
    registry.restore(kept, LIVE);
    put(&registry, row.clone());
    assert!(contacts(&registry).is_empty());
    let eve = hidden(&binding("2", "eve", "b", 0), NOW);
    assert!(registry.is_hidden(&eve.key));
    let mut feed = registry.registry().subscribe();
    registry.forget_absent();
    let [forgotten] = happened(&mut feed).try_into().expect("one effect");
    assert_eq!(forgotten.unhidden.as_deref(), Some(&eve));
    assert_eq!(forgotten.key(), &eve.key);
    assert!(!registry.is_hidden(&eve.key));
    registry.overlay().unhide([&row.key]);
    assert_eq!(contacts(&registry), ["a"]);
}

#[test]
fn an_address_of_record_is_its_last_owners() {
    let (clock, registry) = registry();
    let (bob, domain) = ("bob".into(), Some("acme.example.com".into()));
    let anothers = |account| registry.is_anothers(account, "location", &bob, domain.as_ref());
    assert!(!anothers("acme"), "nobody had it");
    let row = binding("1", "bob", "a", NOW + 60);
    let of = |account, row: &Binding| Change::Upsert(Arc::new(registration(row.clone(), account)));
    put(&registry, row.clone());
    assert!(!anothers("acme") && anothers("globex"));
    hide(&registry, [hidden(&row, NOW)]);
    assert!(anothers("globex"), "hidden rows count");
    assert!(
        !registry.is_anothers("globex", "other", &bob, None),
        "tables and domains count"
    );
    // The same row goes over to another account.
    registry.apply([of(Some("globex"), &row)]);
    assert!(anothers("acme") && !anothers("globex"));
    // Two share it.
    let second = binding("2", "bob", "b", NOW + 60);
    put(&registry, second.clone());
    assert!(anothers("acme") && anothers("globex"));
    registry.apply([of(None, &row)]);
    assert!(anothers("acme"), "nobody's is not one's own");
    registry.apply([of(Some("globex"), &row)]);
    // The last one that goes was the owner's.
    registry.apply([Change::Remove(row.key)]);
    assert!(!anothers("acme"));
    clock.advance(Duration::from_secs(1));
    registry.apply([Change::Remove(second.key)]);
    assert!(!anothers("acme") && anothers("globex"));
    clock.advance(Duration::from_secs(3700));
    assert!(!anothers("acme") && !anothers("globex"));
}

#[test]
fn accounts_and_users_stay_known_for_an_hour() {
    let (clock, registry) = registry();
    let row = binding("1", "bob", "a", NOW + 60);
    put(&registry, row.clone());
    registry.apply([Change::Remove(row.key)]);
    clock.advance(Duration::from_hours(1));
    assert!(registry.knows_account("acme"));
    assert_eq!(
        registry.known_aors(Scope::Account("acme"), b"BOB"),
        [("bob".into(), Some("acme.example.com".into()))]
    );
    assert!(
        registry
            .known_aors(Scope::Account("other"), b"bob")
            .is_empty()
    );
    clock.advance(Duration::from_secs(1));
    assert!(!registry.knows_account("acme"));
    assert!(
        registry
            .known_aors(Scope::Account("acme"), b"bob")
            .is_empty()
    );
}

#[test]
fn a_user_who_departs_again_and_again_is_remembered_once() {
    let (clock, registry) = registry();
    for second in 0..1_000 {
        let row = binding(&second.to_string(), "bob", "a", NOW + 9_000);
        put(&registry, row.clone());
        registry.apply([Change::Remove(row.key)]);
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(registry.tombstones().len(), 1);
    clock.advance(Duration::from_secs(3_599));
    assert!(
        registry.knows_account("acme"),
        "the last departure counts, not the first"
    );
    clock.advance(Duration::from_secs(1));
    assert!(!registry.knows_account("acme"));
    registry.expire();
    assert_eq!(registry.tombstones().len(), 0);
}

#[test]
fn a_tombstone_keeps_nothing_else_of_the_row() {
    let (clock, registry) = registry();
    let row = packed(&binding("1", "bob", "sip:bob@192.0.2.7", NOW + 60));
    let contact = row.contact.clone();
    put(&registry, row.clone());
    registry.apply([Change::Remove(row.key.clone())]);
    drop(row);
    // The feed forgets it soon.
    registry.expire();
    clock.advance(Duration::from_secs(5));
    registry.expire();
    assert!(registry.knows_account("acme"));
    assert!(contact.is_alone());
}

#[test]
fn a_row_alike_of_another_account_changes_nothing_in_an_accounts_list() {
    let (clock, registry) = registry();
    let row = |ruid: &str, modified: i64, account: &str| {
        let row = Binding {
            last_modified: modified,
            ..binding(ruid, "bob", "a", NOW + 60)
        };
        Change::Upsert(Arc::new(registration(row, Some(account))))
    };
    registry.apply([row("1", NOW - 9, "acme")]);
    let before = registry.list(Scope::Account("acme"));
    registry.apply([row("2", NOW - 5, "other")]);
    let ruids = |scope| {
        let listed = registry.list(scope).registrations;
        let ruid = |one: &Arc<Registration>| one.binding.key.ruid.0.lossy().into_owned();
        listed.iter().map(ruid).collect::<Vec<_>>()
    };
    assert_eq!(ruids(Scope::Account("acme")), ["1"]);
    assert_eq!(ruids(Scope::Account("other")), ["2"]);
    assert_eq!(ruids(Scope::System), ["2"], "rows alike count once");
    assert_eq!(
        registry.count(Scope::Account("acme")),
        (1, before.revision),
        "another account's row is not a change"
    );
    registry.apply([Change::Remove(binding("2", "", "", 0).key)]);
    assert_eq!(ruids(Scope::System), ["1"]);
    assert_eq!(registry.count(Scope::Account("acme")), (1, before.revision));
    clock.advance(Duration::from_mins(1));
    assert!(ruids(Scope::Account("acme")).is_empty());
}

#[test]
fn asking_for_a_user_costs_what_the_own_account_has() {
    let (_, registry) = registry();
    let row = |number: usize| {
        let row = binding(&number.to_string(), "100", &number.to_string(), NOW + 60);
        Change::Upsert(Arc::new(registration(
            row,
            Some(&format!("account-{}", number % 1_000)),
        )))
    };
    registry.apply((0..50_000).map(row));
    registry.apply(
        (0..25_000).map(|number| Change::Remove(binding(&number.to_string(), "", "", 0).key)),
    );
    let clock = SystemClock::new();
    let begin = clock.monotonic();
    for _ in 0..1_000 {
        assert!(
            registry
                .known_aors(Scope::Account("acme"), b"100")
                .is_empty()
        );
    }
    // To look at the rows of other accounts takes a minute.
    assert!(clock.monotonic().saturating_sub(begin) < Duration::from_secs(5));
    assert_eq!(
        registry
            .known_aors(Scope::Account("account-7"), b"100")
            .len(),
        1
    );
}

#[test]
fn a_row_that_changes_its_owner_leaves_the_former_account() {
    let (_, registry) = registry();
    put(&registry, binding("1", "bob", "a", NOW + 60));
    registry.apply([Change::Upsert(Arc::new(registration(
        binding("1", "bob", "a", NOW + 60),
        Some("other"),
    )))]);
    assert_eq!(registry.count(Scope::Account("acme")).0, 0);
    assert_eq!(registry.count(Scope::Account("other")).0, 1);
    assert!(registry.knows_account("acme"));
}
