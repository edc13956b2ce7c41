use super::assembler::Assembler;
use super::slot::SlotId;
use super::*;
use crate::registration::testing::{binding, packed};
use crate::registration::{Change, Key};

const VARS: &str = "custom_channel_vars";

fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn slot(assembler: &mut Assembler, ruid: &str) -> SlotId {
    let Key { table, ruid } = binding(ruid, "", "", 0).key;
    assembler.with_key(&table, ruid.0.as_bytes())
}

/// A table whose other rows have attributes.
fn assembler() -> Assembler {
    let mut assembler = Assembler::new([]);
    let other = slot(&mut assembler, "other");
    assembler.set_row(other, 1, Some(binding("other", "eve", "e", 100)));
    assembler.set_attribute(other, 1, b"token", b"d@a");
    assembler.changes(at(0), Reading::Complete);
    assembler
}

fn with_row(assembler: &mut Assembler, rowid: i64) -> SlotId {
    let id = slot(assembler, "1");
    assembler.set_row(id, rowid, Some(binding("1", "bob", "b", 100)));
    id
}

fn attributes(changes: Changeset) -> Vec<Option<Vec<(String, String)>>> {
    let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    let of = |change: Change<Arc<Binding>>| match change {
        Change::Upsert(binding) => Some(
            binding
                .attributes
                .iter()
                .map(|(name, value)| (text(name.as_bytes()), text(&value)))
                .collect(),
        ),
        Change::Remove(_) => None,
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

/// What following takes beside the registrations themselves, which the registry has: the hash of each row, its rowid,
/// and what belongs together.
#[test]
fn a_row_takes_little_memory() {
    /// A rowid and a hash in a B-tree that was filled in order (the tail's memory): seven of eleven places are used.
    const KNOWN: usize = 36;
    const BINDINGS: usize = 100_000;
    let mut assembler = Assembler::new([]);
    let (mut locations, mut attributes) = (RowMap::default(), RowMap::default());
    for number in 0..BINDINGS {
        let rowid = i64::try_from(number).unwrap();
        let of_row = binding(&format!("uloc-6543-1a2b-{number:x}"), "bob", "b", 100);
        let id = assembler.with_key(&of_row.key.table, of_row.key.ruid.0.as_bytes());
        assembler.set_attribute(id, 2 * rowid, b"token", b"d@a");
        assembler.set_attribute(id, 2 * rowid + 1, VARS.as_bytes(), b"{}");
        assembler.set_row(id, rowid, Some(of_row));
        locations.insert(rowid, id);
        attributes.insert(2 * rowid, id);
        attributes.insert(2 * rowid + 1, id);
    }
    assert_eq!(assembler.changes(at(0), Reading::Complete).len(), BINDINGS);
    let rows = 3 * BINDINGS;
    let each = (assembler.bytes() + locations.bytes() + attributes.bytes()) / rows + KNOWN;
    println!("{each} bytes for each row");
    assert!(each < 80, "{each} bytes for each row");
}

#[test]
fn a_new_row_waits_a_little_for_its_first_attribute() {
    let mut assembler = assembler();
    let id = with_row(&mut assembler, 7);
    assert_eq!(attributes(assembler.changes(at(10), Reading::Complete)), []);
    assert_eq!(assembler.deadline(), Some(at(510)));
    assembler.set_attribute(id, 70, b"token", b"d@a");
    assert_eq!(
        attributes(assembler.changes(at(12), Reading::Complete)),
        [pairs(&[("token", "d@a")])]
    );
    assert_eq!(assembler.deadline(), None);
}

#[test]
fn a_new_row_without_attributes_shows_after_the_wait() {
    let mut assembler = assembler();
    with_row(&mut assembler, 7);
    assert_eq!(attributes(assembler.changes(at(10), Reading::Complete)), []);
    assert_eq!(
        attributes(assembler.changes(at(509), Reading::Complete)),
        []
    );
    assert_eq!(
        attributes(assembler.changes(at(510), Reading::Complete)),
        [pairs(&[])]
    );
}

#[test]
fn nothing_waits_where_no_row_has_attributes() {
    let mut assembler = Assembler::new([]);
    with_row(&mut assembler, 7);
    assert_eq!(
        attributes(assembler.changes(at(0), Reading::Complete)),
        [pairs(&[])]
    );
}

#[test]
fn a_refresh_that_writes_the_same_attributes_again_tells_nothing() {
    let mut assembler = assembler();
    let id = with_row(&mut assembler, 7);
    assembler.set_attribute(id, 70, b"token", b"d@a");
    assembler.set_attribute(id, 71, VARS.as_bytes(), b"{}");
    assembler.changes(at(0), Reading::Complete);
    assembler.remove_attribute(id, 70);
    assembler.remove_attribute(id, 71);
    assert_eq!(attributes(assembler.changes(at(1), Reading::Complete)), []);
    assembler.set_attribute(id, 80, b"token", b"d@a");
    assert_eq!(attributes(assembler.changes(at(2), Reading::Complete)), []);
    assembler.set_attribute(id, 81, VARS.as_bytes(), b"{}");
    assert_eq!(attributes(assembler.changes(at(3), Reading::Complete)), []);
    assert_eq!(assembler.deadline(), None);
}

#[test]
fn an_attribute_that_does_not_come_back_is_kept_for_a_while() {
    let mut assembler = assembler();
    let id = with_row(&mut assembler, 7);
    assembler.set_attribute(id, 70, b"token", b"d@a");
    assembler.set_attribute(id, 71, VARS.as_bytes(), b"{}");
    assembler.changes(at(0), Reading::Complete);
    assembler.remove_attribute(id, 70);
    assembler.remove_attribute(id, 71);
    assembler.set_attribute(id, 80, b"token", b"d@b");
    assert_eq!(
        attributes(assembler.changes(at(1), Reading::Complete)),
        [pairs(&[(VARS, "{}"), ("token", "d@b")])]
    );
    assert_eq!(
        attributes(assembler.changes(at(10_000), Reading::Complete)),
        []
    );
    assert_eq!(
        attributes(assembler.changes(at(10_001), Reading::Complete)),
        [pairs(&[("token", "d@b")])]
    );
}

#[test]
fn a_refresh_keeps_nothing_of_the_former_content() {
    let mut assembler = assembler();
    // The texts of a row are one piece of memory.
    let row = |call_id: &str| {
        packed(&Binding {
            call_id: Some(call_id.into()),
            ..binding("1", "bob", "b", 100)
        })
    };
    let former = row("former");
    let call_id = former.call_id.clone().unwrap();
    let id = assembler.with_key(&former.key.table, former.key.ruid.0.as_bytes());
    assembler.set_row(id, 7, Some(former));
    assembler.set_attribute(id, 70, b"token", b"d@a");
    assembler.changes(at(0), Reading::Complete);
    assert!(!call_id.is_alone());
    assembler.set_row(id, 7, Some(row("later")));
    assert_eq!(assembler.changes(at(1), Reading::Complete).len(), 1);
    assert!(call_id.is_alone());
}

#[test]
fn a_row_that_goes_takes_its_binding_with_it_and_leaves_no_orphan_behind() {
    let mut assembler = assembler();
    let id = with_row(&mut assembler, 7);
    assembler.set_attribute(id, 70, b"token", b"d@a");
    assembler.changes(at(0), Reading::Complete);
    assembler.remove_row(id, 7);
    assert_eq!(
        attributes(assembler.changes(at(1), Reading::Complete)),
        [None]
    );
    assert_eq!(assembler.orphans(), 1);
    assembler.remove_attribute(id, 70);
    assert!(assembler.changes(at(2), Reading::Complete).is_empty());
    assert_eq!(assembler.orphans(), 0);
}

#[test]
fn a_binding_that_moves_to_another_row_stays() {
    let mut assembler = assembler();
    let id = with_row(&mut assembler, 7);
    assembler.set_attribute(id, 70, b"token", b"d@a");
    assembler.changes(at(0), Reading::Complete);
    with_row(&mut assembler, 9);
    assembler.remove_row(id, 7);
    assert!(assembler.changes(at(1), Reading::Complete).is_empty());
    assembler.remove_row(id, 9);
    assert_eq!(
        attributes(assembler.changes(at(2), Reading::Complete)),
        [None]
    );
}

/// A schema without UNIQUE lets two rows have one ruid.
#[test]
fn a_binding_goes_with_the_last_of_its_rows() {
    let mut assembler = assembler();
    let id = with_row(&mut assembler, 7);
    assembler.set_attribute(id, 70, b"token", b"d@a");
    assembler.changes(at(0), Reading::Complete);
    assembler.set_row(id, 9, Some(binding("1", "bob", "other", 100)));
    let contacts = |changes: Changeset| -> Vec<Option<String>> {
        let of = |change: Change<Arc<Binding>>| match change {
            Change::Upsert(binding) => Some(binding.contact.lossy().into_owned()),
            Change::Remove(_) => None,
        };
        changes.into_iter().map(of).collect()
    };
    assert_eq!(
        contacts(assembler.changes(at(1), Reading::Complete)),
        [Some("other".to_owned())]
    );
    assembler.remove_row(id, 9);
    assert_eq!(
        contacts(assembler.changes(at(2), Reading::Complete)),
        [Some("b".to_owned())]
    );
    assembler.set_row(id, 9, Some(binding("1", "bob", "b", 100)));
    assembler.remove_row(id, 7);
    assert_eq!(contacts(assembler.changes(at(3), Reading::Complete)), []);
    assembler.remove_row(id, 9);
    assert_eq!(
        contacts(assembler.changes(at(4), Reading::Complete)),
        [None]
    );
    assert_eq!(assembler.orphans(), 1);
}

#[test]
fn a_row_that_is_not_told_yet_holds_back_the_moment() {
    let mut assembler = assembler();
    assert_eq!(assembler.withheld_since(), None);
    assembler.changes(at(100), Reading::Complete);
    let id = with_row(&mut assembler, 7);
    assembler.changes(at(110), Reading::Complete);
    assert_eq!(
        assembler.withheld_since(),
        Some(at(100)),
        "then it was not there"
    );
    assembler.changes(at(300), Reading::Complete);
    assert_eq!(assembler.withheld_since(), Some(at(100)));
    assembler.set_attribute(id, 70, b"token", b"d@a");
    assembler.changes(at(310), Reading::Complete);
    assert_eq!(assembler.withheld_since(), None);
    // A lost attribute is shown until it is sure to be gone, and holds back nothing.
    assembler.remove_attribute(id, 70);
    assembler.changes(at(320), Reading::Complete);
    assert_eq!(assembler.withheld_since(), None);
}

#[test]
fn a_row_that_goes_before_it_is_told_holds_back_nothing() {
    let mut assembler = assembler();
    let id = with_row(&mut assembler, 7);
    assembler.changes(at(10), Reading::Complete);
    assert!(assembler.withheld_since().is_some());
    assembler.remove_row(id, 7);
    assert!(assembler.changes(at(20), Reading::Complete).is_empty());
    assert_eq!(assembler.withheld_since(), None);
}

#[test]
fn a_row_waits_no_longer_where_reading_is_interrupted() {
    let mut assembler = assembler();
    with_row(&mut assembler, 7);
    assert_eq!(attributes(assembler.changes(at(10), Reading::Underway)), []);
    assert_eq!(
        attributes(assembler.changes(at(20), Reading::Interrupted)),
        []
    );
    assert!(assembler.withheld_since().is_some());
    assert_eq!(assembler.deadline(), Some(at(510)));
    assert_eq!(
        attributes(assembler.changes(at(510), Reading::Interrupted)),
        [pairs(&[])]
    );
    assert_eq!(
        (assembler.withheld_since(), assembler.deadline()),
        (None, None)
    );
}

#[test]
fn what_was_told_stays_while_reading_is_interrupted() {
    let mut assembler = assembler();
    let id = with_row(&mut assembler, 7);
    assembler.set_attribute(id, 70, b"token", b"d@a");
    assembler.changes(at(0), Reading::Complete);
    assembler.remove_attribute(id, 70);
    assembler.remove_row(id, 7);
    for now in [1, 60_000, 120_000] {
        assert!(assembler.changes(at(now), Reading::Interrupted).is_empty());
    }
    assert_eq!(
        attributes(assembler.changes(at(120_001), Reading::Complete)),
        [None]
    );
}

#[test]
fn no_binding_goes_while_rows_are_being_read_again() {
    let mut assembler = assembler();
    let id = with_row(&mut assembler, 7);
    assembler.set_attribute(id, 70, b"token", b"d@a");
    assembler.changes(at(0), Reading::Complete);
    // Another row has its place now, in a file that was put in place of the old one.
    assembler.remove_row(id, 7);
    assert!(assembler.changes(at(1), Reading::Underway).is_empty());
    // It turns up elsewhere.
    with_row(&mut assembler, 8);
    assert!(assembler.changes(at(2), Reading::Underway).is_empty());
    assert!(assembler.changes(at(3), Reading::Complete).is_empty());
    assembler.remove_row(id, 8);
    assert!(assembler.changes(at(4), Reading::Underway).is_empty());
    assert_eq!(
        attributes(assembler.changes(at(5), Reading::Complete)),
        [None]
    );
}

#[test]
fn everything_told_is_kept_until_it_has_been_read_again() {
    let mut assembler = assembler();
    let id = with_row(&mut assembler, 7);
    assembler.set_attribute(id, 70, b"token", b"d@a");
    assembler.changes(at(0), Reading::Complete);
    assert!(!assembler.miss_most());
    assembler.read_again();
    assert!(assembler.miss_most());
    assert!(assembler.changes(at(1), Reading::Underway).is_empty());
    let id = with_row(&mut assembler, 3);
    assembler.set_attribute(id, 30, b"token", b"d@a");
    assert!(!assembler.miss_most(), "one of two is there");
    assert_eq!(
        attributes(assembler.changes(at(2), Reading::Complete)),
        [None]
    );
    assert_eq!(assembler.orphans(), 0);
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
    let mut assembler = Assembler::new([stored("1"), stored("gone")]);
    let id = slot(&mut assembler, "1");
    assembler.set_row(id, 7, None);
    assert!(assembler.changes(at(0), Reading::Underway).is_empty());
    assert!(
        assembler.changes(at(60_000), Reading::Underway).is_empty(),
        "however long the reading takes"
    );
    assembler.set_attribute(id, 70, b"token", b"d@a");
    assert_eq!(
        attributes(assembler.changes(at(60_001), Reading::Complete)),
        [None],
        "the one that has no row"
    );
    assert_eq!(assembler.deadline(), None);
}
