use super::slots::{SlotId, Slots};
use super::*;
use crate::registration::testing::binding;
use crate::registration::{Attributes, Change, Key, Text};

const VARS: &str = "custom_channel_vars";

fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn slot(slots: &mut Slots, ruid: &str) -> SlotId {
    let Key { table, ruid } = binding(ruid, "", "", 0).key;
    slots.with_key(&table, ruid.0.as_bytes())
}

/// A table whose other rows have attributes.
fn slots() -> Slots {
    let mut slots = Slots::new([]);
    let other = slot(&mut slots, "other");
    slots.set_row(other, 1, Some(binding("other", "eve", "e", 100)));
    slots.set_attribute(other, 1, b"token", b"d@a");
    slots.changes(at(0), true);
    slots
}

fn with_row(slots: &mut Slots, rowid: i64) -> SlotId {
    let id = slot(slots, "1");
    slots.set_row(id, rowid, Some(binding("1", "bob", "b", 100)));
    id
}

fn attributes(changes: Changeset) -> Vec<Option<Vec<(String, String)>>> {
    let text = |text: &Text| text.lossy().into_owned();
    let of = |(_, change)| match change {
        Change::Upsert(binding) => Some(
            binding
                .attributes
                .iter()
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
        ),
        Change::Remove => None,
    };
    changes.into_iter().map(of).collect()
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "it stands beside None, for a binding that is gone"
)]
fn pairs(pairs: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
    Some(
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    )
}

#[test]
fn a_new_row_waits_a_little_for_its_first_attribute() {
    let mut slots = slots();
    let id = with_row(&mut slots, 7);
    assert_eq!(attributes(slots.changes(at(10), true)), []);
    assert_eq!(slots.deadline(), Some(at(510)));
    slots.set_attribute(id, 70, b"token", b"d@a");
    assert_eq!(
        attributes(slots.changes(at(12), true)),
        [pairs(&[("token", "d@a")])]
    );
    assert_eq!(slots.deadline(), None);
}

#[test]
fn a_new_row_without_attributes_shows_after_the_wait() {
    let mut slots = slots();
    with_row(&mut slots, 7);
    assert_eq!(attributes(slots.changes(at(10), true)), []);
    assert_eq!(attributes(slots.changes(at(509), true)), []);
    assert_eq!(attributes(slots.changes(at(510), true)), [pairs(&[])]);
}

#[test]
fn nothing_waits_where_no_row_has_attributes() {
    let mut slots = Slots::new([]);
    with_row(&mut slots, 7);
    assert_eq!(attributes(slots.changes(at(0), true)), [pairs(&[])]);
}

#[test]
fn a_refresh_that_writes_the_same_attributes_again_tells_nothing() {
    let mut slots = slots();
    let id = with_row(&mut slots, 7);
    slots.set_attribute(id, 70, b"token", b"d@a");
    slots.set_attribute(id, 71, VARS.as_bytes(), b"{}");
    slots.changes(at(0), true);
    slots.remove_attribute(id, 70);
    slots.remove_attribute(id, 71);
    assert_eq!(attributes(slots.changes(at(1), true)), []);
    slots.set_attribute(id, 80, b"token", b"d@a");
    assert_eq!(attributes(slots.changes(at(2), true)), []);
    slots.set_attribute(id, 81, VARS.as_bytes(), b"{}");
    assert_eq!(attributes(slots.changes(at(3), true)), []);
    assert_eq!(slots.deadline(), None);
}

#[test]
fn an_attribute_that_does_not_come_back_is_kept_for_a_while() {
    let mut slots = slots();
    let id = with_row(&mut slots, 7);
    slots.set_attribute(id, 70, b"token", b"d@a");
    slots.set_attribute(id, 71, VARS.as_bytes(), b"{}");
    slots.changes(at(0), true);
    slots.remove_attribute(id, 70);
    slots.remove_attribute(id, 71);
    slots.set_attribute(id, 80, b"token", b"d@b");
    assert_eq!(
        attributes(slots.changes(at(1), true)),
        [pairs(&[(VARS, "{}"), ("token", "d@b")])]
    );
    assert_eq!(attributes(slots.changes(at(10_000), true)), []);
    assert_eq!(
        attributes(slots.changes(at(10_001), true)),
        [pairs(&[("token", "d@b")])]
    );
}

#[test]
fn a_row_that_goes_takes_its_binding_with_it_and_leaves_no_orphan_behind() {
    let mut slots = slots();
    let id = with_row(&mut slots, 7);
    slots.set_attribute(id, 70, b"token", b"d@a");
    slots.changes(at(0), true);
    slots.remove_row(id, 7);
    assert_eq!(attributes(slots.changes(at(1), true)), [None]);
    assert_eq!(slots.orphans(), 1);
    slots.remove_attribute(id, 70);
    assert!(slots.changes(at(2), true).is_empty());
    assert_eq!(slots.orphans(), 0);
}

#[test]
fn a_binding_that_moves_to_another_row_stays() {
    let mut slots = slots();
    let id = with_row(&mut slots, 7);
    slots.set_attribute(id, 70, b"token", b"d@a");
    slots.changes(at(0), true);
    with_row(&mut slots, 9);
    slots.remove_row(id, 7);
    assert!(slots.changes(at(1), true).is_empty());
    slots.remove_row(id, 9);
    assert_eq!(attributes(slots.changes(at(2), true)), [None]);
}

#[test]
fn former_bindings_stay_until_everything_has_been_read() {
    let stored = |ruid: &str| {
        let attributes: Attributes = [("token".into(), "d@a".into())].into_iter().collect();
        Arc::new(Binding {
            attributes,
            ..binding(ruid, "bob", "b", 100)
        })
    };
    let mut slots = Slots::new([stored("1"), stored("gone")]);
    let id = slot(&mut slots, "1");
    slots.set_row(id, 7, None);
    assert!(slots.changes(at(0), false).is_empty());
    assert!(
        slots.changes(at(60_000), false).is_empty(),
        "however long the reading takes"
    );
    slots.set_attribute(id, 70, b"token", b"d@a");
    assert_eq!(
        attributes(slots.changes(at(60_001), true)),
        [None],
        "the one that has no row"
    );
    assert_eq!(slots.deadline(), None);
}
