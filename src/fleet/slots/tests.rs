use proptest::prelude::*;

use super::*;
use crate::registration::testing::{binding, registration};
use crate::registration::{Binding, Number};

const END: i64 = 1_700_000_000;

fn row(ruid: &str, agent: &str, end: i64) -> Arc<Registration> {
    let binding = Binding {
        user_agent: Some(agent.into()),
        server_id: Number::new(i64::from(ruid == "b")),
        ..binding(ruid, "bob", "sip:bob@192.0.2.1", end)
    };
    let row = Details {
        first_registration: END - 600,
        ..(*registration(binding, Some("acme"))).clone()
    };
    Arc::new(Registration::new(row))
}

/// What the database has after all that waits is written.
fn write(slots: &mut Slots, sequence: u64, database: &mut BTreeMap<u32, (u64, Registration)>) {
    let taken = slots.take(sequence, usize::MAX);
    for slot in taken.gone {
        database.remove(&slot);
    }
    for (slot, row) in taken.rows {
        database.insert(slot, (sequence, (*row).clone()));
    }
}

fn keys(database: &BTreeMap<u32, (u64, Registration)>) -> Vec<String> {
    let keys = database
        .values()
        .map(|(_, row)| row.binding.key.ruid.0.lossy().into_owned());
    let mut keys: Vec<String> = keys.collect();
    keys.sort();
    keys
}

#[test]
fn a_refresh_alone_writes_no_row() {
    let mut slots = Slots::new(Vec::new());
    let mut database = BTreeMap::new();
    slots.list(&[row("a", "x", END), row("b", "x", END)]);
    write(&mut slots, 1, &mut database);
    assert_eq!(keys(&database), ["a", "b"]);
    let refreshed = row("a", "x", END + 300);
    slots.follow(&refreshed.binding.key, Some(&refreshed));
    assert_eq!(slots.waiting(), 0);
    let moved: Vec<u16> = slots
        .of_block(0)
        .filter(|(_, slot)| slot.now != slot.published)
        .map(|(place, _)| place)
        .collect();
    assert_eq!(moved, [0]);
    let changed = row("a", "y", END + 300);
    slots.follow(&changed.binding.key, Some(&changed));
    assert_eq!(slots.waiting(), 1);
    slots.follow(&changed.binding.key, Some(&refreshed));
    assert_eq!(slots.waiting(), 0, "it is again what the database has");
}

#[test]
fn freed_slots_are_used_again_once_they_are_deleted() {
    let mut slots = Slots::new(Vec::new());
    let mut database = BTreeMap::new();
    slots.list(&[row("a", "x", END), row("b", "x", END)]);
    write(&mut slots, 1, &mut database);
    slots.follow(&row("a", "x", END).binding.key, None);
    let other = row("c", "x", END);
    slots.follow(&other.binding.key, Some(&other));
    write(&mut slots, 2, &mut database);
    assert_eq!(database.keys().copied().collect::<Vec<_>>(), [1, 2]);
    let third = row("d", "x", END);
    slots.follow(&third.binding.key, Some(&third));
    write(&mut slots, 3, &mut database);
    assert_eq!(keys(&database), ["b", "c", "d"]);
    assert_eq!(database.keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn rows_of_another_kamailio_stay_at_home() {
    let mut slots = Slots::new(vec![1]);
    slots.list(&[row("a", "x", END), row("b", "x", END)]);
    let taken = slots.take(1, 10);
    let ruids = taken
        .rows
        .iter()
        .map(|(_, row)| row.binding.key.ruid.0.lossy());
    assert_eq!(ruids.collect::<Vec<_>>(), ["b"]);
}

#[derive(Clone, Debug)]
enum Step {
    Follow(u8, Option<(u8, i64)>),
    List(Vec<(u8, u8)>),
    Write,
    /// A transaction is lost, and the database compared.
    Lose,
    /// The database is that of a while ago.
    Restore,
    /// The process starts again.
    Restart,
}

fn any_step() -> impl Strategy<Value = Step> {
    let now = proptest::option::of((0..3_u8, 0..3_i64));
    prop_oneof![
        8 => (0..12_u8, now).prop_map(|(key, now)| Step::Follow(key, now)),
        1 => prop::collection::btree_map(0..12_u8, 0..3_u8, 0..12).prop_map(|all| Step::List(all.into_iter().collect())),
        4 => Just(Step::Write),
        1 => Just(Step::Lose),
        1 => Just(Step::Restore),
        1 => Just(Step::Restart),
    ]
}

fn of(key: u8, agent: u8, end: i64) -> Arc<Registration> {
    row(&key.to_string(), &agent.to_string(), END + end)
}

proptest! {
    /// Whatever happens: once all that waits is written, the database has what is listed, in exactly one slot each.
    #[test]
    fn the_database_has_what_is_listed(steps in prop::collection::vec(any_step(), 0..60)) {
        let mut slots = Slots::new(Vec::new());
        let mut listed: BTreeMap<u8, Arc<Registration>> = BTreeMap::new();
        let mut database = BTreeMap::new();
        let mut copy = database.clone();
        for (step, sequence) in steps.into_iter().zip(1..) {
            let all = |listed: &BTreeMap<u8, Arc<Registration>>| listed.values().cloned().collect::<Vec<_>>();
            match step {
                Step::Follow(key, now) => {
                    let now = now.map(|(agent, end)| of(key, agent, end));
                    slots.follow(&of(key, 0, 0).binding.key, now.as_ref());
                    match now {
                        Some(now) => listed.insert(key, now),
                        None => listed.remove(&key),
                    };
                }
                Step::List(rows) => {
                    listed = rows.into_iter().map(|(key, agent)| (key, of(key, agent, 0))).collect();
                    slots.list(&all(&listed));
                }
                Step::Write => {
                    copy = database.clone();
                    write(&mut slots, sequence, &mut database);
                }
                Step::Lose | Step::Restore => {
                    if matches!(step, Step::Restore) {
                        database = copy.clone();
                    } else {
                        slots.take(sequence, 3);
                    }
                    let found = database.iter().map(|(slot, (sequence, _))| (*slot, *sequence));
                    slots.doubt(0, &found.collect());
                    slots.list(&all(&listed));
                }
                Step::Restart => {
                    slots = Slots::new(Vec::new());
                    for (slot, (sequence, row)) in &database {
                        slots.learn(*slot, *sequence, Some(row));
                    }
                    slots.list(&all(&listed));
                }
            }
        }
        write(&mut slots, 1000, &mut database);
        prop_assert_eq!(slots.len(), listed.len());
        let mut there: Vec<_> = database.values().map(|(_, row)| (row.binding.key.clone(), record::visible(row))).collect();
        there.sort();
        let mut wanted: Vec<_> = listed.values().map(|row| (row.binding.key.clone(), record::visible(row))).collect();
        wanted.sort();
        prop_assert_eq!(there, wanted);
        let sums = slots.sums().remove(&0).unwrap_or_default();
        let sequences = database.values().map(|(sequence, _)| i128::from(*sequence));
        prop_assert_eq!((sums.0, sums.1), (i64::try_from(database.len()).unwrap(), sequences.sum()));
    }
}
