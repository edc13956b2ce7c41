//! The lists are what the rows say, whatever happens.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Upsert {
        ruid: u8,
        user: u8,
        contact: u8,
        flow: u8,
        call: u8,
        ends: i64,
        modified: i64,
        account: u8,
    },
    /// Kamailio says which ruids it has: a set of bits.
    Decide(u8),
    Remove(u8),
    Hide(u8),
    Unhide(u8),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let row = (0..6_u8, 0..3_u8, 0..2_u8, 0..5_u8, 0..2_u8);
    let upsert =
        (row, -5..20_i64, -9..1_i64, 0..3_u8).prop_map(|(row, ends, modified, account)| {
            let (ruid, user, contact, flow, call) = row;
            Step::Upsert {
                ruid,
                user,
                contact,
                flow,
                call,
                ends,
                modified,
                account,
            }
        });
    let step = prop_oneof![
        6 => upsert,
        2 => any::<u8>().prop_map(Step::Decide),
        1 => (0..6_u8).prop_map(Step::Remove),
        1 => (0..6_u8).prop_map(Step::Hide),
        1 => (0..6_u8).prop_map(Step::Unhide),
        1 => (1..8_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..40)
}

/// Instance and reg-id of a flow, either or both of which may be absent.
fn flow(number: u8) -> (Option<Text>, Option<Number>) {
    let instance = ["", "<urn:uuid:1>", "<urn:uuid:1>", "<urn:uuid:1>", ""][usize::from(number)];
    let instance = Some(instance).filter(|one| !one.is_empty());
    let reg_id = Number::new([0, 0, 1, 2, 1][usize::from(number)]).filter(|id| id.get() > 0);
    (instance.map(Text::from), reg_id)
}

/// What the rows of a scope, and they alone, say that its list is.
fn expected(registry: &Registry, scope: Scope<'_>, now: i64) -> Vec<Arc<Registration>> {
    let mut best: Vec<Arc<Registration>> = Vec::new();
    for row in current(registry, now) {
        let in_scope = match scope {
            Scope::System => true,
            Scope::Account(id) => row.account_id.as_deref() == Some(id),
        };
        if !in_scope || registry.now().ambiguities.is_superseded(&row.binding.key) {
            continue;
        }
        // Of those modified in one second the last one in the order of lists counts.
        let rank = |row: &Registration| (row.binding.last_modified, row.binding.key.clone());
        match best.iter_mut().find(|one| is_same(one, &row)) {
            Some(one) if rank(one) <= rank(&row) => *one = row,
            Some(_) => {}
            None => best.push(row),
        }
    }
    best.sort_by_key(|row| {
        let binding = &row.binding;
        let of = |text: &Text| text.as_bytes().to_vec();
        let any_case = binding.username.as_bytes().to_ascii_lowercase();
        let (contact, username) = (of(&binding.contact), of(&binding.username));
        (
            any_case,
            contact,
            binding.domain.clone(),
            username,
            binding.key.clone(),
        )
    });
    best
}

/// The rows that are valid and that no flush hides.
fn current(registry: &Registry, now: i64) -> Vec<Arc<Registration>> {
    let hidden: Vec<Key> = registry
        .hidden()
        .into_iter()
        .map(|(row, _)| row.key)
        .collect();
    let mut rows = registry.rows();
    rows.retain(|row| row.binding.expiry.is_valid_at(now) && !hidden.contains(&row.binding.key));
    rows
}

fn shares_contact(a: &Registration, b: &Registration) -> bool {
    let of = |row: &Registration| {
        let binding = &row.binding;
        (
            binding.username.clone(),
            binding.domain.clone(),
            binding.contact.clone(),
        )
    };
    of(a) == of(b)
}

fn is_same(a: &Registration, b: &Registration) -> bool {
    let of = |row: &Registration| {
        let binding = &row.binding;
        (
            binding.instance.clone(),
            binding.reg_id,
            binding.call_id.clone(),
        )
    };
    shares_contact(a, b) && of(a) == of(b)
}

/// Whether two rows of one contact are of different flows for certain.
fn are_apart(a: &Registration, b: &Registration) -> bool {
    let flow = |row: &Registration| row.binding.instance.clone().zip(row.binding.reg_id);
    matches!((flow(a), flow(b)), (Some(a), Some(b)) if a != b)
}

/// The rows that may be one binding with `row`, that one included, directly or by way of others.
fn not_apart(row: &Arc<Registration>, rows: &[Arc<Registration>]) -> Vec<Arc<Registration>> {
    let mut found = vec![Arc::clone(row)];
    loop {
        let next = rows.iter().find(|one| {
            let is_new = !found.iter().any(|other| Arc::ptr_eq(one, other));
            let near =
                |other: &Arc<Registration>| shares_contact(one, other) && !are_apart(one, other);
            is_new && found.iter().any(near)
        });
        match next {
            Some(next) => found.push(Arc::clone(next)),
            None => return found,
        }
    }
}

/// What an answer of Kamailio's must lead to, and what is superseded at any time.
fn check_superseded(registry: &Registry, now: i64, has: Option<&dyn Fn(&Key) -> bool>) {
    let rows = current(registry, now);
    let is_superseded =
        |row: &Arc<Registration>| registry.now().ambiguities.is_superseded(&row.binding.key);
    for row in &rows {
        let set = not_apart(row, &rows);
        let is_ambiguous = set.iter().any(|one| !is_same(one, row));
        if let Some(has) = has {
            let others = set.iter().any(|one| has(&one.binding.key));
            let expected = is_ambiguous && others && !has(&row.binding.key);
            assert_eq!(is_superseded(row), expected, "{:?}", row.binding);
        }
        let one_is_listed = set.iter().any(|one| !is_superseded(one));
        assert!(
            !is_superseded(row) || (is_ambiguous && one_is_listed),
            "{:?}",
            row.binding
        );
    }
    let superseded = rows.iter().filter(|row| is_superseded(row)).count();
    assert_eq!(
        registry.counts().superseded,
        superseded,
        "none that may not be listed anyway"
    );
}

fn everything() -> Due {
    Due {
        changed: usize::MAX,
        again: usize::MAX,
        void_before: Duration::MAX,
        again_before: Duration::MAX,
    }
}

proptest! {
    /// The lists that are kept equal those that are computed from all rows, after whatever happens.
    #[test]
    fn lists_equal_what_the_rows_say(steps in steps()) {
        let (clock, registry) = registry();
        for step in steps {
            let key = |ruid: u8| binding(&ruid.to_string(), "", "", 0).key;
            match step {
                Step::Upsert { ruid, user, contact, flow: number, call, ends, modified, account } => {
                    let (instance, reg_id) = flow(number);
                    let row = Binding {
                        last_modified: NOW + modified,
                        instance,
                        reg_id,
                        call_id: Some(["a", "b"][usize::from(call)].into()),
                        ..binding(&ruid.to_string(), ["bob", "Bob", "eve"][usize::from(user)], &contact.to_string(), NOW + ends)
                    };
                    let owner = ["acme", "other"].get(usize::from(account)).copied();
                    registry.apply([Change::Upsert(Arc::new(registration(row, owner)))]);
                }
                Step::Remove(ruid) => drop(registry.apply([Change::Remove(key(ruid))])),
                Step::Hide(ruid) => {
                    if let Some(row) = registry.get(&key(ruid)) {
                        registry.hide([hidden(&row.binding, clock.unix_seconds())]);
                    }
                }
                Step::Unhide(ruid) => registry.unhide([&key(ruid)]),
                Step::Wait(seconds) => clock.advance(Duration::from_secs(seconds)),
                Step::Decide(bits) => {
                    let has = |key: &Key| {
                        let ruid: u8 = key.ruid.0.lossy().parse().expect("a number");
                        bits & (1 << ruid) != 0
                    };
                    for asked in registry.ambiguous(&everything()) {
                        registry.decide(&asked, has);
                    }
                    check_superseded(&registry, clock.unix_seconds(), Some(&has));
                }
            }
            check_superseded(&registry, clock.unix_seconds(), None);
            let again = Registry::new(Arc::clone(&clock) as Arc<dyn Clock>);
            let hidden = registry.hidden().into_iter().map(|(hidden, _)| hidden).collect();
            again.restore(Snapshot { rows: registry.rows(), hidden, ..Snapshot::default() }, Source::default());
            prop_assert_eq!(again.hidden().len(), registry.hidden().len());
            prop_assert_eq!(again.counts().superseded, 0, "Kamailio is asked again after a restart");
            let contacts = |registry: &Registry| {
                let mut keys: Vec<Key> = Vec::new();
                for one in registry.ambiguous(&everything()) {
                    keys.extend(one.rows.iter().map(|row| row.binding.key.clone()));
                }
                keys.sort();
                keys
            };
            prop_assert_eq!(contacts(&again), contacts(&registry));
            for scope in [Scope::System, Scope::Account("acme"), Scope::Account("other")] {
                let shown = again.list(scope).registrations;
                prop_assert_eq!(shown, expected(&again, scope, clock.unix_seconds()));
                if registry.counts().superseded == 0 {
                    prop_assert_eq!(again.count(scope), registry.count(scope));
                    prop_assert_eq!(again.counts(), registry.counts());
                    prop_assert_eq!(again.rows(), registry.rows());
                    prop_assert_eq!(again.accounts(), registry.accounts());
                }
            }
            for scope in [Scope::System, Scope::Account("acme"), Scope::Account("other")] {
                let listing = registry.list(scope);
                let shown: Vec<Arc<Registration>> = listing.registrations;
                prop_assert_eq!(&shown, &expected(&registry, scope, clock.unix_seconds()));
                let sum = shown.iter().fold(0_u64, |sum, one| sum.wrapping_add(one.digest()));
                prop_assert_eq!((shown.len(), sum), registry.count(scope));
                prop_assert_eq!(listing.revision, sum);
            }
        }
    }

    /// Pages put together are the list.
    #[test]
    fn pages_make_the_list(users in prop::collection::vec("[a-cA-C\u{0}]{0,3}", 0..12), limit in 1..5_usize) {
        let (_, registry) = registry();
        for (ruid, user) in users.iter().enumerate() {
            put(&registry, binding(&ruid.to_string(), user, "c", NOW + 60));
        }
        let (mut after, mut all) = (None, Vec::new());
        loop {
            let page = registry.page(Scope::Account("acme"), after.as_ref(), limit);
            after = page.registrations.last().map(|(position, _)| Position::from_bytes(position.as_bytes()));
            all.extend(page.registrations.into_iter().map(|(_, one)| one));
            if !page.more {
                break;
            }
        }
        prop_assert_eq!(all, registry.list(Scope::Account("acme")).registrations);
    }
}
