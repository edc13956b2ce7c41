//! What the feed says of each thing that can happen: which row, how it was listed and is now, and why.

use super::*;

const ACME: Scope<'_> = Scope::Account("acme");
const OTHER: Scope<'_> = Scope::Account("other");

fn follow(registry: &Writer) -> Subscription {
    registry.registry().subscribe()
}

/// The one effect since the last look.
fn one(feed: &mut Subscription) -> Effect {
    let [effect] = happened(feed).try_into().expect("one effect");
    effect
}

/// Whether the row was in these lists, and is now.
fn listed(effect: &Effect, scope: Scope<'_>) -> (bool, bool) {
    (
        effect.before(scope).is_some(),
        effect.after(scope).is_some(),
    )
}

#[test]
fn a_row_comes_changes_and_goes() {
    let (_, registry) = registry();
    let mut feed = follow(&registry);
    put(&registry, binding("1", "bob", "a", NOW + 60));
    let came = one(&mut feed);
    assert!(matches!(came.cause, Cause::Table));
    assert_eq!(listed(&came, ACME), (false, true));
    assert_eq!(listed(&came, OTHER), (false, false));
    assert!(matches!(came.row(), Some(Change::Upsert(_))));
    put(&registry, binding("1", "bob", "a", NOW + 90));
    let refreshed = one(&mut feed);
    let end = |row: Option<&Arc<Registration>>| row.and_then(|row| row.binding.expiry.end());
    assert_eq!(end(refreshed.before(ACME)), Some(NOW + 60));
    assert_eq!(end(refreshed.after(ACME)), Some(NOW + 90));
    assert_eq!(refreshed.tombstone(NOW), None);
    registry.apply([Change::Remove(binding("1", "", "", 0).key)]);
    let gone = one(&mut feed);
    assert!(matches!(gone.cause, Cause::Table));
    assert_eq!(listed(&gone, Scope::System), (true, false));
    assert!(matches!(gone.row(), Some(Change::Remove(_))));
    assert_eq!(gone.tombstone(NOW).expect("it went").username, "bob".into());
    registry.apply([Change::Remove(binding("1", "", "", 0).key)]);
    assert!(happened(&mut feed).is_empty(), "it is gone already");
}

#[test]
fn a_row_ends_once_and_is_valid_again_when_the_clock_is_set_back() {
    let (clock, registry) = registry();
    put(&registry, binding("1", "bob", "a", NOW + 60));
    let mut feed = follow(&registry);
    assert_eq!(
        registry.expire(),
        Duration::from_secs(1),
        "the clock may be set"
    );
    clock.advance(Duration::from_millis(59_400));
    assert_eq!(registry.expire(), Duration::from_millis(600));
    clock.advance(Duration::from_millis(600));
    assert!(contacts(&registry).is_empty());
    assert!(happened(&mut feed).is_empty(), "reading changes nothing");
    let overdue = registry.overdue().now_or_never();
    assert!(overdue.is_some(), "but the writer learns of it");
    registry.expire();
    let ended = one(&mut feed);
    assert!(matches!(ended.cause, Cause::Clock));
    assert_eq!(listed(&ended, ACME), (true, false));
    assert!(ended.row().is_none() && ended.tombstone(NOW).is_none());
    // That the table loses it as well is not news for a list.
    registry.apply([Change::Remove(binding("1", "", "", 0).key)]);
    assert_eq!(listed(&one(&mut feed), ACME), (false, false));
    put(&registry, binding("2", "bob", "a", NOW + 30));
    assert_eq!(listed(&one(&mut feed), ACME), (false, false));
    clock.step_to(NOW.cast_unsigned());
    registry.expire();
    let back = one(&mut feed);
    assert!(matches!(back.cause, Cause::Clock));
    assert_eq!(listed(&back, ACME), (false, true));
}

#[test]
fn a_flush_is_named_and_what_kamailio_has_comes_back() {
    let (_, registry) = registry();
    let row = binding("1", "bob", "a", NOW + 60);
    put(&registry, row.clone());
    let mut feed = follow(&registry);
    let by = Arc::new(FlushedBy {
        request_id: "0123".to_owned(),
        actor: "ops".to_owned(),
    });
    registry.overlay().hide([hidden(&row, NOW)], &by);
    let flushed = one(&mut feed);
    assert!(matches!(&flushed.cause, Cause::Flush(who) if **who == *by));
    assert_eq!(listed(&flushed, ACME), (true, false));
    registry.overlay().hide([hidden(&row, NOW)], &by);
    assert!(happened(&mut feed).is_empty(), "it is hidden already");
    registry.overlay().unhide([&row.key]);
    let back = one(&mut feed);
    assert!(matches!(back.cause, Cause::Kamailio));
    assert_eq!(listed(&back, ACME), (false, true));
    assert_eq!(back.unhidden.expect("it was hidden").at, NOW);
}

#[test]
fn rows_of_one_contact_take_turns() {
    let (_, registry) = registry();
    let older = Binding {
        last_modified: NOW - 9,
        ..binding("1", "bob", "a", NOW + 60)
    };
    put(&registry, older);
    let mut feed = follow(&registry);
    // Of another account: each lists its own.
    let newer = Binding {
        last_modified: NOW - 5,
        ..binding("2", "bob", "a", NOW + 60)
    };
    registry.apply([upsert(newer, Some("other"))]);
    let [came, behind] = happened(&mut feed).try_into().expect("two effects");
    assert_eq!(came.key().ruid, "2".into());
    assert_eq!(listed(&came, OTHER), (false, true));
    assert!(matches!(behind.cause, Cause::Sibling));
    assert_eq!(listed(&behind, Scope::System), (true, false));
    assert_eq!(listed(&behind, ACME), (true, true));
}

#[test]
fn a_new_owner_is_in_both_accounts_and_the_users_of_the_former_stay_known() {
    let (_, registry) = registry();
    let row = binding("1", "bob", "a", NOW + 60);
    put(&registry, row.clone());
    let mut feed = follow(&registry);
    let moved = Arc::new(registration(row, Some("other")));
    registry.replace(vec![moved], 7, || {});
    let moved = one(&mut feed);
    assert!(matches!(moved.cause, Cause::Directory));
    assert_eq!(listed(&moved, ACME), (true, false));
    assert_eq!(listed(&moved, OTHER), (false, true));
    assert_eq!(listed(&moved, Scope::System), (true, true));
    let tombstone = moved.tombstone(NOW).expect("bob left acme");
    assert_eq!(tombstone.account.as_deref(), Some("acme"));
    assert!(feed.read(1).unwrap().is_empty());
    assert_eq!(feed.owners(), Some(7));
}

#[test]
fn what_is_committed_together_shares_a_number() {
    let (_, registry) = registry();
    let mut feed = follow(&registry);
    let commit = registry.begin_commit();
    for ruid in ["1", "2"] {
        let row = binding(ruid, ruid, "a", NOW + 60);
        registry.apply_in(commit, [upsert(row, None)]);
    }
    put(&registry, binding("3", "3", "a", NOW + 60));
    let entries = feed.read(9).unwrap();
    let commits: Vec<u64> = entries.iter().map(|entry| entry.commit).collect();
    assert_eq!(commits[0], commits[1]);
    assert_ne!(commits[1], commits[2]);
    let at = NOW.cast_unsigned() * 1000;
    assert!(entries.iter().all(|entry| entry.at == at));
}

#[test]
fn a_first_load_is_a_beginning_and_no_news() {
    let (_, registry) = registry();
    registry.report(SourceReport::default());
    let mut feed = follow(&registry);
    put(&registry, binding("1", "bob", "a", NOW + 60));
    registry.report(LIVE);
    assert_eq!(feed.read(9).unwrap_err(), Lagged::Reloaded);
    assert_eq!(feed.list(ACME).registrations.len(), 1);
    put(&registry, binding("2", "bob", "b", NOW + 60));
    assert_eq!(one(&mut feed).key().ruid, "2".into());
}
