//! A flush takes nothing of another account's, whatever Kamailio has under the same address of record.

use super::site::{Site, aor, contact, key, reasons, row};
use crate::registration::Change;
use crate::registration::{Binding, Hidden};

const ALONE: &str = "not removed: Kamailio's ul.rm_contact selects by contact URI, which another contact that was not \
     chosen shares; choose both, or flush the whole user";

#[tokio::test]
async fn a_former_owner_cannot_remove_the_phone_of_the_new_one() {
    let site = Site::new().await;
    let bob = site.phone("acme", "bob", "b1");
    // The same phone belongs to another account now; its former owner still knows the name.
    site.put("globex", bob);
    let outcome = site.flush_user("acme", "bob").await;
    assert_eq!((outcome.flushed, reasons(&outcome)), (0, vec![]));
    assert!(site.fake.calls(&["ul.rm", "ul.rm_contact"]).is_empty());
    assert_eq!(site.ruids(), ["b1"]);
    // The new owner may.
    assert_eq!(site.flush_user("globex", "bob").await.flushed, 1);
    assert!(site.ruids().is_empty());
}

/// Gives the row to another account at the `number`th call of the flush.
fn sell_at(site: &Site, row: &Binding, number: usize) {
    let (registry, row, mut asked) = (std::sync::Arc::clone(&site.registry), row.clone(), 0);
    site.fake.bend(move |_, _, _| {
        asked += 1;
        if asked == number {
            let sold = crate::registration::testing::registration(row.clone(), Some("globex"));
            registry.apply([Change::Upsert(sold.into())]);
        }
        None
    });
}

#[tokio::test]
async fn nor_one_that_changes_its_owner_while_it_is_flushed() {
    // Before its turn, and when it has come.
    for (exactly, number) in [(false, 1), (true, 1), (false, 2), (true, 2)] {
        let site = Site::new().await;
        let bob = site.phone("acme", "bob", "b1");
        let picked = site.listed(crate::registry::Scope::Account("acme"));
        sell_at(&site, &bob, number);
        let outcome = site.flush_of("acme", picked, &[], exactly).await;
        assert_eq!((outcome.flushed, reasons(&outcome)), (0, vec![]));
        assert!(site.fake.calls(&["ul.rm", "ul.rm_contact"]).is_empty());
        assert_eq!(site.fake.memory().ruids(&aor("bob")), ["b1"]);
        assert_eq!(site.ruids(), ["b1"]);
        assert!(site.hidden().await.is_empty());
    }
}

#[tokio::test]
async fn nor_one_that_changes_it_while_another_contact_is_removed() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    let second = site.phone("acme", "bob", "b2");
    // Uptime, look, and the first contact.
    sell_at(&site, &second, 3);
    let outcome = site.flush_exactly(&["b1", "b2"]).await;
    assert_eq!((outcome.flushed, reasons(&outcome)), (1, vec![]));
    assert_eq!(site.fake.memory().ruids(&aor("bob")), ["b2"]);
    assert_eq!(site.ruids(), ["b2"]);
    assert_eq!(site.hidden().await, ["b1"]);
}

#[tokio::test]
async fn nor_the_one_that_has_no_row_yet() {
    let site = Site::new().await;
    let first = site.phone("acme", "bob", "b1");
    site.registry.apply([Change::Remove(first.key)]);
    site.clock.advance(std::time::Duration::from_secs(5));
    let second = site.phone("globex", "bob", "b2");
    site.registry.apply([Change::Remove(second.key)]);
    site.fake.memory().contacts.clear();
    site.fake
        .memory()
        .register(&aor("bob"), "b3", &contact("b3"), 1);
    assert_eq!(site.flush_user("acme", "bob").await.flushed, 0);
    assert_eq!(site.fake.memory().ruids(&aor("bob")), ["b3"]);
    site.flush_user("globex", "bob").await;
    assert!(site.fake.memory().ruids(&aor("bob")).is_empty());
}

#[tokio::test]
async fn the_last_owners_phone_goes_although_it_has_no_row_yet() {
    let site = Site::new().await;
    let bob = site.phone("acme", "bob", "b1");
    site.registry.apply([Change::Remove(bob.key)]);
    assert_eq!(site.flush_user("acme", "bob").await.flushed, 0);
    assert!(site.fake.memory().ruids(&aor("bob")).is_empty());
}

#[tokio::test]
async fn of_a_shared_address_of_record_each_takes_its_own() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    site.phone("globex", "bob", "b2");
    let outcome = site.flush_user("acme", "bob").await;
    assert_eq!((outcome.flushed, reasons(&outcome)), (1, vec![]));
    assert!(site.fake.calls(&["ul.rm"]).is_empty());
    assert_eq!(site.fake.memory().ruids(&aor("bob")), ["b2"]);
    assert_eq!(site.ruids(), ["b2"]);
}

#[tokio::test]
async fn a_shared_contact_is_left_alone_and_that_is_said() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    let same = Binding {
        contact: contact("b1").as_str().into(),
        last_modified: row("bob", "b2").last_modified - 1,
        ..row("bob", "b2")
    };
    site.put("globex", same);
    site.fake
        .memory()
        .register(&aor("bob"), "b2", &contact("b1"), 1);
    let outcome = site.flush().await;
    assert_eq!(outcome.flushed, 0);
    assert_eq!(reasons(&outcome), [format!("{}: {ALONE}", aor("bob"))]);
    assert!(site.fake.calls(&["ul.rm", "ul.rm_contact"]).is_empty());
    assert_eq!(site.ruids(), ["b1"]);
}

#[tokio::test]
async fn a_hidden_row_of_another_account_counts_as_its_own() {
    let site = Site::new().await;
    let theirs = site.phone("globex", "bob", "b2");
    // Flushed, and back to life before the table or a look shows it.
    let hidden = Hidden {
        fingerprint: theirs.row_fingerprint(),
        key: theirs.key,
        at: super::site::NOW,
    };
    site.overlay.hide([hidden], &std::sync::Arc::default());
    site.phone("acme", "bob", "b1");
    assert_eq!(site.flush().await.flushed, 1);
    assert_eq!(site.fake.memory().ruids(&aor("bob")), ["b2"]);
    assert!(
        site.registry.is_hidden(&key("b2")),
        "it is the look that shows it"
    );
}

#[tokio::test]
async fn where_kamailio_finds_no_single_contact_a_shared_one_is_kept_whole() {
    let site = Site::new().await;
    site.phone("acme", "bob", "b1");
    site.phone("globex", "bob", "b2");
    site.fake.memory().finds_singly = false;
    let outcome = site.flush().await;
    assert_eq!((outcome.flushed, outcome.failed.len()), (0, 1));
    assert_eq!(site.fake.memory().ruids(&aor("bob")), ["b1", "b2"]);
    assert_eq!(site.ruids(), ["b1", "b2"]);
}

#[tokio::test]
async fn rows_of_nobody_are_nobodys() {
    let site = Site::new().await;
    let row = row("bob", "b1");
    site.fake
        .memory()
        .register(&aor("bob"), "b1", &contact("b1"), 1);
    let nobodys = crate::registration::testing::registration(row.clone(), None);
    site.registry.apply([Change::Upsert(nobodys.into())]);
    let further = [(row.username, row.domain)];
    let outcome = site.flush_of("acme", Vec::new(), &further, false).await;
    assert_eq!(outcome.flushed, 0);
    assert_eq!(site.ruids(), ["b1"]);
    assert_eq!(site.fake.memory().ruids(&aor("bob")), ["b1"]);
}

#[tokio::test]
async fn where_the_realm_has_changed_hands_only_what_has_a_row_goes() {
    let site = Site::new().await;
    let bob = site.phone("acme", "bob", "b1");
    site.fake
        .memory()
        .register(&aor("bob"), "b2", &contact("b2"), 1);
    site.right
        .covers
        .store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(site.flush().await.flushed, 1);
    assert_eq!(site.fake.memory().ruids(&aor("bob")), ["b2"]);
    site.registry.apply([Change::Remove(bob.key)]);
    let outcome = site.flush_user("acme", "bob").await;
    assert_eq!((outcome.flushed, reasons(&outcome)), (0, vec![]));
    assert_eq!(site.fake.memory().ruids(&aor("bob")), ["b2"]);
    assert!(site.fake.calls(&["ul.rm"]).is_empty());
}
