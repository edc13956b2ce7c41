//! The lists are what the rows say, whatever happens.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Upsert {
        ruid: u8,
        user: u8,
        contact: u8,
        ends: i64,
        modified: i64,
        account: u8,
    },
    Remove(u8),
    Hide(u8),
    Unhide(u8),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let upsert = (0..6_u8, 0..3_u8, 0..2_u8, -5..20_i64, -9..1_i64, 0..3_u8).prop_map(
        |(ruid, user, contact, ends, modified, account)| Step::Upsert {
            ruid,
            user,
            contact,
            ends,
            modified,
            account,
        },
    );
    let step = prop_oneof![
        4 => upsert,
        1 => (0..6_u8).prop_map(Step::Remove),
        1 => (0..6_u8).prop_map(Step::Hide),
        1 => (0..6_u8).prop_map(Step::Unhide),
        1 => (1..8_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..40)
}

/// What the rows of a scope, and they alone, say that its list is.
fn expected(view: &View, scope: Scope<'_>, now: i64) -> Vec<Arc<Registration>> {
    let hidden: Vec<Key> = view.hidden().into_iter().map(|(row, _)| row.key).collect();
    let mut alike = std::collections::BTreeMap::new();
    for row in view.rows() {
        let binding = &row.binding;
        let in_scope = match scope {
            Scope::System => true,
            Scope::Account(id) => row.account_id.as_deref() == Some(id),
        };
        if !in_scope || !binding.expiry.is_valid_at(now) || hidden.contains(&binding.key) {
            continue;
        }
        let any_case = binding.username.as_bytes().to_ascii_lowercase();
        let of = |text: &Text| text.as_bytes().to_vec();
        let (contact, username) = (of(&binding.contact), of(&binding.username));
        let group = (any_case, contact, binding.domain.clone(), username);
        // Of those modified in one second the last one in the order of lists counts.
        let rank = |row: &Registration| (row.binding.last_modified, row.binding.key.clone());
        let best = alike.entry(group).or_insert_with(|| Arc::clone(&row));
        if rank(best) <= rank(&row) {
            *best = row;
        }
    }
    alike.into_values().collect()
}

proptest! {
    /// The lists that are kept equal those that are computed from all rows, after whatever happens.
    #[test]
    fn lists_equal_what_the_rows_say(steps in steps()) {
        let (clock, view) = view();
        for step in steps {
            let key = |ruid: u8| binding(&ruid.to_string(), "", "", 0).key;
            match step {
                Step::Upsert { ruid, user, contact, ends, modified, account } => {
                    let row = Binding {
                        last_modified: NOW + modified,
                        ..binding(&ruid.to_string(), ["bob", "Bob", "eve"][usize::from(user)], &contact.to_string(), NOW + ends)
                    };
                    let owner = ["acme", "other"].get(usize::from(account)).copied();
                    view.apply([Change::Upsert(Arc::new(registration(row, owner)))]);
                }
                Step::Remove(ruid) => drop(view.apply([Change::Remove(key(ruid))])),
                Step::Hide(ruid) => {
                    if let Some(row) = view.get(&key(ruid)) {
                        view.hide([hidden(&row.binding, clock.unix_seconds())]);
                    }
                }
                Step::Unhide(ruid) => view.unhide([&key(ruid)]),
                Step::Wait(seconds) => clock.advance(Duration::from_secs(seconds)),
            }
            let again = View::new(Arc::clone(&clock) as Arc<dyn Clock>);
            let hidden = view.hidden().into_iter().map(|(hidden, _)| hidden).collect();
            again.restore(Kept { rows: view.rows(), hidden, ..Kept::default() }, Source::default());
            prop_assert_eq!(again.hidden().len(), view.hidden().len());
            prop_assert_eq!(again.rows(), view.rows());
            prop_assert_eq!(again.accounts(), view.accounts());
            prop_assert_eq!(format!("{:?}", again.tally()), format!("{:?}", view.tally()));
            for scope in [Scope::System, Scope::Account("acme"), Scope::Account("other")] {
                prop_assert_eq!(again.count(scope), view.count(scope));
                prop_assert_eq!(again.list(scope).registrations, view.list(scope).registrations);
            }
            for scope in [Scope::System, Scope::Account("acme"), Scope::Account("other")] {
                let listing = view.list(scope);
                let shown: Vec<Arc<Registration>> = listing.registrations;
                prop_assert_eq!(&shown, &expected(&view, scope, clock.unix_seconds()));
                let sum = shown.iter().fold(0_u64, |sum, one| sum.wrapping_add(one.digest()));
                prop_assert_eq!((shown.len(), sum), view.count(scope));
                prop_assert_eq!(listing.revision, sum);
            }
        }
    }

    /// Pages put together are the list.
    #[test]
    fn pages_make_the_list(users in prop::collection::vec("[a-cA-C\u{0}]{0,3}", 0..12), limit in 1..5_usize) {
        let (_, view) = view();
        for (ruid, user) in users.iter().enumerate() {
            put(&view, binding(&ruid.to_string(), user, "c", NOW + 60));
        }
        let (mut after, mut all) = (None, Vec::new());
        loop {
            let page = view.page(Scope::Account("acme"), after.as_ref(), limit);
            after = page.registrations.last().map(|(position, _)| Position::from_bytes(position.as_bytes()));
            all.extend(page.registrations.into_iter().map(|(_, one)| one));
            if !page.more {
                break;
            }
        }
        prop_assert_eq!(all, view.list(Scope::Account("acme")).registrations);
    }
}
