use super::slots::{SlotId, Slots};
use super::*;
use crate::registration::testing::binding;
use crate::registration::{Attributes, Change, Key, Packer, Ruid, Text};

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
    slots.changes(at(0), Reading::Complete);
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

/// A hash table of the standard library with these many entries: seven of eight places are used at most, and each has a
/// byte beside it.
fn table_bytes(entries: usize, entry: usize) -> usize {
    (entries * 8 / 7).next_power_of_two() * (entry + 1)
}

/// What following takes beside the registrations themselves, which the view has: the hash of each row, its rowid,
/// and what belongs together.
#[test]
fn a_row_takes_little_memory() {
    /// A rowid and a hash in a B-tree that was filled in order (the tail's memory): seven of eleven places are used.
    const KNOWN: usize = 36;
    const BINDINGS: usize = 100_000;
    let mut slots = Slots::new([]);
    for number in 0..BINDINGS {
        let rowid = i64::try_from(number).unwrap();
        let of_row = binding(&format!("uloc-6543-1a2b-{number:x}"), "bob", "b", 100);
        let id = slots.with_key(&of_row.key.table, of_row.key.ruid.0.as_bytes());
        slots.set_attribute(id, 2 * rowid, b"token", b"d@a");
        slots.set_attribute(id, 2 * rowid + 1, VARS.as_bytes(), b"{}");
        slots.set_row(id, rowid, Some(of_row));
    }
    assert_eq!(slots.changes(at(0), Reading::Complete).len(), BINDINGS);
    let rows = 3 * BINDINGS;
    let entry = size_of::<(i64, SlotId)>();
    let places = table_bytes(BINDINGS, entry) + table_bytes(2 * BINDINGS, entry);
    let each = (slots.bytes() + places) / rows + KNOWN;
    println!("{each} bytes for each row");
    assert!(each < 150, "{each} bytes for each row");
}

#[test]
fn a_new_row_waits_a_little_for_its_first_attribute() {
    let mut slots = slots();
    let id = with_row(&mut slots, 7);
    assert_eq!(attributes(slots.changes(at(10), Reading::Complete)), []);
    assert_eq!(slots.deadline(), Some(at(510)));
    slots.set_attribute(id, 70, b"token", b"d@a");
    assert_eq!(
        attributes(slots.changes(at(12), Reading::Complete)),
        [pairs(&[("token", "d@a")])]
    );
    assert_eq!(slots.deadline(), None);
}

#[test]
fn a_new_row_without_attributes_shows_after_the_wait() {
    let mut slots = slots();
    with_row(&mut slots, 7);
    assert_eq!(attributes(slots.changes(at(10), Reading::Complete)), []);
    assert_eq!(attributes(slots.changes(at(509), Reading::Complete)), []);
    assert_eq!(
        attributes(slots.changes(at(510), Reading::Complete)),
        [pairs(&[])]
    );
}

#[test]
fn nothing_waits_where_no_row_has_attributes() {
    let mut slots = Slots::new([]);
    with_row(&mut slots, 7);
    assert_eq!(
        attributes(slots.changes(at(0), Reading::Complete)),
        [pairs(&[])]
    );
}

#[test]
fn a_refresh_that_writes_the_same_attributes_again_tells_nothing() {
    let mut slots = slots();
    let id = with_row(&mut slots, 7);
    slots.set_attribute(id, 70, b"token", b"d@a");
    slots.set_attribute(id, 71, VARS.as_bytes(), b"{}");
    slots.changes(at(0), Reading::Complete);
    slots.remove_attribute(id, 70);
    slots.remove_attribute(id, 71);
    assert_eq!(attributes(slots.changes(at(1), Reading::Complete)), []);
    slots.set_attribute(id, 80, b"token", b"d@a");
    assert_eq!(attributes(slots.changes(at(2), Reading::Complete)), []);
    slots.set_attribute(id, 81, VARS.as_bytes(), b"{}");
    assert_eq!(attributes(slots.changes(at(3), Reading::Complete)), []);
    assert_eq!(slots.deadline(), None);
}

#[test]
fn an_attribute_that_does_not_come_back_is_kept_for_a_while() {
    let mut slots = slots();
    let id = with_row(&mut slots, 7);
    slots.set_attribute(id, 70, b"token", b"d@a");
    slots.set_attribute(id, 71, VARS.as_bytes(), b"{}");
    slots.changes(at(0), Reading::Complete);
    slots.remove_attribute(id, 70);
    slots.remove_attribute(id, 71);
    slots.set_attribute(id, 80, b"token", b"d@b");
    assert_eq!(
        attributes(slots.changes(at(1), Reading::Complete)),
        [pairs(&[(VARS, "{}"), ("token", "d@b")])]
    );
    assert_eq!(attributes(slots.changes(at(10_000), Reading::Complete)), []);
    assert_eq!(
        attributes(slots.changes(at(10_001), Reading::Complete)),
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
    let id = slots.with_key(&former.key.table, former.key.ruid.0.as_bytes());
    slots.set_row(id, 7, Some(former));
    slots.set_attribute(id, 70, b"token", b"d@a");
    slots.changes(at(0), Reading::Complete);
    assert!(!call_id.is_alone());
    slots.set_row(id, 7, Some(row("later")));
    assert_eq!(slots.changes(at(1), Reading::Complete).len(), 1);
    assert!(call_id.is_alone());
}

#[test]
fn a_row_that_goes_takes_its_binding_with_it_and_leaves_no_orphan_behind() {
    let mut slots = slots();
    let id = with_row(&mut slots, 7);
    slots.set_attribute(id, 70, b"token", b"d@a");
    slots.changes(at(0), Reading::Complete);
    slots.remove_row(id, 7);
    assert_eq!(attributes(slots.changes(at(1), Reading::Complete)), [None]);
    assert_eq!(slots.orphans(), 1);
    slots.remove_attribute(id, 70);
    assert!(slots.changes(at(2), Reading::Complete).is_empty());
    assert_eq!(slots.orphans(), 0);
}

#[test]
fn a_binding_that_moves_to_another_row_stays() {
    let mut slots = slots();
    let id = with_row(&mut slots, 7);
    slots.set_attribute(id, 70, b"token", b"d@a");
    slots.changes(at(0), Reading::Complete);
    with_row(&mut slots, 9);
    slots.remove_row(id, 7);
    assert!(slots.changes(at(1), Reading::Complete).is_empty());
    slots.remove_row(id, 9);
    assert_eq!(attributes(slots.changes(at(2), Reading::Complete)), [None]);
}

/// A schema without UNIQUE lets two rows have one ruid.
#[test]
fn a_binding_goes_with_the_last_of_its_rows() {
    let mut slots = slots();
    let id = with_row(&mut slots, 7);
    slots.set_attribute(id, 70, b"token", b"d@a");
    slots.changes(at(0), Reading::Complete);
    slots.set_row(id, 9, Some(binding("1", "bob", "other", 100)));
    let contacts = |changes: Changeset| -> Vec<Option<String>> {
        let of = |(_, change)| match change {
            Change::Upsert(binding) => Some(binding.contact.lossy().into_owned()),
            Change::Remove => None,
        };
        changes.into_iter().map(of).collect()
    };
    assert_eq!(
        contacts(slots.changes(at(1), Reading::Complete)),
        [Some("other".to_owned())]
    );
    slots.remove_row(id, 9);
    assert_eq!(
        contacts(slots.changes(at(2), Reading::Complete)),
        [Some("b".to_owned())]
    );
    slots.set_row(id, 9, Some(binding("1", "bob", "b", 100)));
    slots.remove_row(id, 7);
    assert_eq!(contacts(slots.changes(at(3), Reading::Complete)), []);
    slots.remove_row(id, 9);
    assert_eq!(contacts(slots.changes(at(4), Reading::Complete)), [None]);
    assert_eq!(slots.orphans(), 1);
}

#[test]
fn a_row_that_is_not_told_yet_holds_back_the_moment() {
    let mut slots = slots();
    assert_eq!(slots.withheld_since(), None);
    slots.changes(at(100), Reading::Complete);
    let id = with_row(&mut slots, 7);
    slots.changes(at(110), Reading::Complete);
    assert_eq!(
        slots.withheld_since(),
        Some(at(100)),
        "then it was not there"
    );
    slots.changes(at(300), Reading::Complete);
    assert_eq!(slots.withheld_since(), Some(at(100)));
    slots.set_attribute(id, 70, b"token", b"d@a");
    slots.changes(at(310), Reading::Complete);
    assert_eq!(slots.withheld_since(), None);
    // A lost attribute is shown until it is sure to be gone, and holds back nothing.
    slots.remove_attribute(id, 70);
    slots.changes(at(320), Reading::Complete);
    assert_eq!(slots.withheld_since(), None);
}

#[test]
fn a_row_that_goes_before_it_is_told_holds_back_nothing() {
    let mut slots = slots();
    let id = with_row(&mut slots, 7);
    slots.changes(at(10), Reading::Complete);
    assert!(slots.withheld_since().is_some());
    slots.remove_row(id, 7);
    assert!(slots.changes(at(20), Reading::Complete).is_empty());
    assert_eq!(slots.withheld_since(), None);
}

#[test]
fn a_row_waits_no_longer_where_reading_is_interrupted() {
    let mut slots = slots();
    with_row(&mut slots, 7);
    assert_eq!(attributes(slots.changes(at(10), Reading::Underway)), []);
    assert_eq!(attributes(slots.changes(at(20), Reading::Interrupted)), []);
    assert!(slots.withheld_since().is_some());
    assert_eq!(slots.deadline(), Some(at(510)));
    assert_eq!(
        attributes(slots.changes(at(510), Reading::Interrupted)),
        [pairs(&[])]
    );
    assert_eq!((slots.withheld_since(), slots.deadline()), (None, None));
}

#[test]
fn what_was_told_stays_while_reading_is_interrupted() {
    let mut slots = slots();
    let id = with_row(&mut slots, 7);
    slots.set_attribute(id, 70, b"token", b"d@a");
    slots.changes(at(0), Reading::Complete);
    slots.remove_attribute(id, 70);
    slots.remove_row(id, 7);
    for now in [1, 60_000, 120_000] {
        assert!(slots.changes(at(now), Reading::Interrupted).is_empty());
    }
    assert_eq!(
        attributes(slots.changes(at(120_001), Reading::Complete)),
        [None]
    );
}

#[test]
fn no_binding_goes_while_rows_are_being_read_again() {
    let mut slots = slots();
    let id = with_row(&mut slots, 7);
    slots.set_attribute(id, 70, b"token", b"d@a");
    slots.changes(at(0), Reading::Complete);
    // Another row has its place now, in a file that was put in place of the old one.
    slots.remove_row(id, 7);
    assert!(slots.changes(at(1), Reading::Underway).is_empty());
    // It turns up elsewhere.
    with_row(&mut slots, 8);
    assert!(slots.changes(at(2), Reading::Underway).is_empty());
    assert!(slots.changes(at(3), Reading::Complete).is_empty());
    slots.remove_row(id, 8);
    assert!(slots.changes(at(4), Reading::Underway).is_empty());
    assert_eq!(attributes(slots.changes(at(5), Reading::Complete)), [None]);
}

#[test]
fn everything_told_is_kept_until_it_has_been_read_again() {
    let mut slots = slots();
    let id = with_row(&mut slots, 7);
    slots.set_attribute(id, 70, b"token", b"d@a");
    slots.changes(at(0), Reading::Complete);
    assert!(!slots.miss_most());
    slots.read_again();
    assert!(slots.miss_most());
    assert!(slots.changes(at(1), Reading::Underway).is_empty());
    let id = with_row(&mut slots, 3);
    slots.set_attribute(id, 30, b"token", b"d@a");
    assert!(!slots.miss_most(), "one of two is there");
    assert_eq!(attributes(slots.changes(at(2), Reading::Complete)), [None]);
    assert_eq!(slots.orphans(), 0);
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
    assert!(slots.changes(at(0), Reading::Underway).is_empty());
    assert!(
        slots.changes(at(60_000), Reading::Underway).is_empty(),
        "however long the reading takes"
    );
    slots.set_attribute(id, 70, b"token", b"d@a");
    assert_eq!(
        attributes(slots.changes(at(60_001), Reading::Complete)),
        [None],
        "the one that has no row"
    );
    assert_eq!(slots.deadline(), None);
}
