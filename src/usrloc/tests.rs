use super::slots::{SlotId, Slots};
use super::*;
use crate::registration::testing::binding;
use crate::registration::{Attributes, Change, Packer, Ruid, Text};

const VARS: &str = "custom_channel_vars";

fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A table whose other rows have attributes.
fn slots() -> Slots {
    let mut slots = Slots::new([]);
    let other = slots.with_key(binding("other", "", "", 0).key);
    slots.set_row(other, 1, binding("other", "eve", "e", 100));
    slots.set_attribute(other, 1, "token".into(), "d@a".into());
    slots.changes(at(0), true);
    slots
}

fn with_row(slots: &mut Slots, rowid: i64) -> SlotId {
    let id = slots.with_key(binding("1", "", "", 0).key);
    slots.set_row(id, rowid, binding("1", "bob", "b", 100));
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
    slots.set_attribute(id, 70, "token".into(), "d@a".into());
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
    slots.set_attribute(id, 70, "token".into(), "d@a".into());
    slots.set_attribute(id, 71, VARS.into(), "{}".into());
    slots.changes(at(0), true);
    slots.remove_attribute(id, 70);
    slots.remove_attribute(id, 71);
    assert_eq!(attributes(slots.changes(at(1), true)), []);
    slots.set_attribute(id, 80, "token".into(), "d@a".into());
    assert_eq!(attributes(slots.changes(at(2), true)), []);
    slots.set_attribute(id, 81, VARS.into(), "{}".into());
    assert_eq!(attributes(slots.changes(at(3), true)), []);
    assert_eq!(slots.deadline(), None);
}

#[test]
fn an_attribute_that_does_not_come_back_is_kept_for_a_while() {
    let mut slots = slots();
    let id = with_row(&mut slots, 7);
    slots.set_attribute(id, 70, "token".into(), "d@a".into());
    slots.set_attribute(id, 71, VARS.into(), "{}".into());
    slots.changes(at(0), true);
    slots.remove_attribute(id, 70);
    slots.remove_attribute(id, 71);
    slots.set_attribute(id, 80, "token".into(), "d@b".into());
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
fn a_refresh_keeps_nothing_of_the_former_content() {
    let mut slots = slots();
    // The texts of a row are one piece of memory.
    let row = |call_id: &str| {
        let mut packer = Packer::default();
        let (ruid, call_id) = (packer.add(b"1"), packer.add(call_id.as_bytes()));
        let pack = packer.pack();
        let mut row = binding("1", "bob", "b", 100);
        row.key.ruid = Ruid(pack.text(ruid));
        row.call_id = Some(pack.text(call_id));
        row
    };
    let former = row("former");
    let call_id = former.call_id.clone().unwrap();
    let id = slots.with_key(former.key.clone());
    slots.set_row(id, 7, former);
    slots.set_attribute(id, 70, "token".into(), "d@a".into());
    slots.changes(at(0), true);
    assert!(!call_id.is_alone());
    slots.set_row(id, 7, row("later"));
    assert_eq!(slots.changes(at(1), true).len(), 1);
    assert!(call_id.is_alone());
}

#[test]
fn a_row_that_goes_takes_its_binding_with_it_and_leaves_no_orphan_behind() {
    let mut slots = slots();
    let id = with_row(&mut slots, 7);
    slots.set_attribute(id, 70, "token".into(), "d@a".into());
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
    slots.set_attribute(id, 70, "token".into(), "d@a".into());
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
    let id = slots.with_key(stored("1").key.clone());
    slots.set_row(id, 7, binding("1", "bob", "b", 100));
    assert!(slots.changes(at(0), false).is_empty());
    assert!(
        slots.changes(at(60_000), false).is_empty(),
        "however long the reading takes"
    );
    slots.set_attribute(id, 70, "token".into(), "d@a".into());
    assert_eq!(
        attributes(slots.changes(at(60_001), true)),
        [None],
        "the one that has no row"
    );
    assert_eq!(slots.deadline(), None);
}
