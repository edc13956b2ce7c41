//! A view made at once of what an earlier run kept: sorted once, not row by row.

use std::collections::HashMap;
use std::sync::Arc;

use super::order::Position;
use super::state::{Listed, Sorted, State, by_transport, same_owner};
use crate::parallel;
use crate::registration::{Departed, Hidden, Key, Registration};

/// What an earlier run kept.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// Every row; of rows with the same key the last one counts.
    pub rows: Vec<Arc<Registration>>,
    /// Users who departed.
    pub departed: Vec<Departed>,
    /// Rows that a flush hid.
    pub hidden: Vec<Hidden>,
}

/// A row at its place, with the digest of its content.
struct Placed {
    position: Position,
    digest: u128,
    registration: Arc<Registration>,
}

impl State {
    /// The state that these rows, and then hiding, lead to.
    pub(super) fn restored(now: i64, kept: Kept) -> Self {
        let mut state = Self::new(now);
        let mut placed = parallel::map(last_of_each_key(kept.rows), |registration| Placed {
            position: Position::of(&registration.binding),
            digest: registration.digest(),
            registration,
        });
        placed.sort_unstable_by(|a, b| a.position.cmp(&b.position));
        state.take_in(&placed);
        for departed in kept.departed {
            state.remember(departed);
        }
        for hidden in kept.hidden {
            state.note_hidden(hidden);
        }
        state.list_all(&placed);
        state
    }

    /// Takes over all rows, none of them listed yet.
    fn take_in(&mut self, placed: &[Placed]) {
        let pair = |one: &Placed| (one.position.clone(), Arc::clone(&one.registration));
        let row = |one: &Placed| (one.registration.binding.key.clone(), pair(one));
        let now = self.now;
        let ends = placed.iter().filter_map(|one| {
            let end = one.registration.binding.expiry.end()?;
            (end > now).then(|| (end, one.position.clone()))
        });
        (self.rows, (self.ordered, self.ends)) = parallel::both(
            || placed.iter().map(row).collect(),
            || (placed.iter().map(pair).collect(), ends.collect()),
        );
        for one in placed {
            if let Some(id) = &one.registration.account_id {
                self.accounts.entry(Arc::clone(id)).or_default().rows += 1;
            }
        }
    }

    /// Lists one of each rows that are alike; these are neighbours in the order.
    fn list_all(&mut self, placed: &[Placed]) {
        let mut mixes_owners = false;
        let differ = |two: &[Placed]| !same_owner(&two[0].registration, &two[1].registration);
        let winners: Vec<&Placed> = placed
            .chunk_by(|a, b| alike(&a.registration, &b.registration))
            .filter_map(|rows| {
                mixes_owners |= rows.windows(2).any(differ);
                let valid = rows.iter().filter(|one| self.may_show(&one.registration));
                valid.max_by_key(|one| one.registration.binding.last_modified)
            })
            .collect();
        self.mixes_owners = mixes_owners;
        let mut owned: HashMap<&Arc<str>, Vec<&Placed>> = HashMap::new();
        for one in &winners {
            self.by_transport[by_transport(&one.registration)] += 1;
            if let Some(id) = &one.registration.account_id {
                owned.entry(id).or_default().push(one);
            }
        }
        let (system, accounts) = parallel::both(
            || listed(&winners),
            || {
                let account = |(id, rows): (_, Vec<&Placed>)| (Arc::clone(id), listed(&rows));
                owned.into_iter().map(account).collect::<Vec<_>>()
            },
        );
        for (id, listed) in accounts {
            self.accounts.entry(id).or_default().listed = listed;
        }
        self.system = system;
    }
}

/// Rows by key, the last one of each.
fn last_of_each_key(rows: Vec<Arc<Registration>>) -> Vec<Arc<Registration>> {
    let places: HashMap<&Key, usize> = rows
        .iter()
        .enumerate()
        .map(|(place, row)| (&row.binding.key, place))
        .collect();
    if places.len() == rows.len() {
        drop(places);
        return rows;
    }
    let mut last: Vec<usize> = places.into_values().collect();
    last.sort_unstable();
    last.into_iter()
        .map(|place| Arc::clone(&rows[place]))
        .collect()
}

/// Whether both count once, see [`group`](super::order::group).
fn alike(a: &Registration, b: &Registration) -> bool {
    let (a, b) = (&a.binding, &b.binding);
    a.username == b.username && a.contact == b.contact && a.domain == b.domain
}

fn listed(rows: &[&Placed]) -> Listed {
    let pairs = rows
        .iter()
        .map(|one| (one.position.clone(), Arc::clone(&one.registration)));
    Listed {
        registrations: pairs.collect::<Sorted>(),
        revision: rows.iter().fold(0, |sum, one| sum.wrapping_add(one.digest)),
    }
}
