//! Rows whose owner changes, few and many, in one moment with what is published.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

fn phones(count: usize, account: &str) -> Vec<Arc<Registration>> {
    let phone = |number: usize| {
        let user = format!("user{number}");
        let row = binding(&number.to_string(), &user, "a", NOW + 60);
        Arc::new(registration(row, Some(account)))
    };
    (0..count).map(phone).collect()
}

fn with(registry: &Writer, rows: &[Arc<Registration>]) {
    registry.apply(rows.iter().cloned().map(Change::Upsert));
}

#[test]
fn replaced_rows_leave_nothing_behind_but_that_they_were_there() {
    for count in [10, 1_001, 2_000] {
        let (clock, registry) = registry();
        with(&registry, &phones(count, "acme"));
        let flushed = phones(2, "acme").remove(1);
        hide(&registry, [hidden(&flushed.binding, NOW)]);
        let mut published = false;
        let moved = phones(count - 1, "other");
        let mut feed = registry.registry().subscribe();
        registry.replace(moved, 7, || published = true);
        assert!(published);
        let entries = feed.read(usize::MAX).unwrap();
        assert_eq!(feed.owners(), Some(7));
        let reported = entries.iter().map(|entry| match &entry.event {
            Event::Row(effect) => usize::from(effect.tombstone(NOW).is_some()),
            Event::Directory(reassigned) => {
                assert_eq!(reassigned.rows.len(), count - 1);
                reassigned.tombstones.len()
            }
        });
        assert_eq!(reported.sum::<usize>(), count - 1);
        assert_eq!(entries.len(), if count > 1_001 { 1 } else { count - 1 });
        assert_eq!(registry.count(Scope::Account("acme")).0, 1);
        assert_eq!(
            registry.count(Scope::Account("other")).0,
            count - 2,
            "one is hidden"
        );
        assert_eq!(registry.count(Scope::System).0, count - 1);
        let counts = registry.counts();
        assert_eq!((counts.rows, counts.hidden), (count, 1));
        let known = |account| registry.known_aors(Scope::Account(account), b"user0").len();
        assert_eq!((known("acme"), known("other")), (1, 1));
        clock.advance(Duration::from_secs(3_601));
        assert_eq!(
            (known("acme"), known("other")),
            (0, 1),
            "its row is still there"
        );
    }
}

#[test]
fn readers_see_rows_and_what_is_published_change_together() {
    for count in [100, 5_000] {
        let (_, registry) = registry();
        with(&registry, &phones(count, "acme"));
        let moved = phones(count, "other");
        let (published, ended) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let (registry, published, ended) = (&registry, &published, &ended);
            scope.spawn(move || {
                registry.replace(moved, 7, || published.store(true, Ordering::SeqCst));
                ended.store(true, Ordering::SeqCst);
            });
            while !ended.load(Ordering::SeqCst) {
                let before = published.load(Ordering::SeqCst);
                let acme = registry.count(Scope::Account("acme")).0;
                if before == published.load(Ordering::SeqCst) {
                    assert_eq!(acme, if before { 0 } else { count });
                }
            }
        });
        assert_eq!(registry.count(Scope::Account("other")).0, count);
    }
}
