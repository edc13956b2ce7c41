//! A registry made at once of all its rows: sorted once, not row by row.

use std::collections::HashMap;
use std::sync::Arc;

use super::index::ScopeIndex;
use super::order::Row;
use super::state::{End, Keyed, State, is_current};
use crate::parallel;
use crate::registration::{Hidden, Key, Registration, Tombstone};

/// What an earlier run kept.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Every row; of rows with the same key the last one counts.
    pub rows: Vec<Arc<Registration>>,
    /// Users who departed.
    pub departed: Vec<Tombstone>,
    /// Rows that a flush hid.
    pub hidden: Vec<Hidden>,
}

impl State {
    /// The state that these rows, and then hiding, lead to.
    pub(super) fn restored(now: i64, kept: Snapshot) -> Self {
        let mut state = Self::new(now);
        let mut rows: Vec<Row> = last_of_each_key(kept.rows)
            .into_iter()
            .map(Row::new)
            .collect();
        rows.sort_unstable();
        for departed in kept.departed {
            state.tombstones.remember(departed);
        }
        let registrations = || rows.iter().map(Row::registration);
        (state.rows, state.ends) = parallel::both(
            || registrations().map(|one| Keyed(Arc::clone(one))).collect(),
            || {
                registrations()
                    .filter_map(|one| End::after(now, one))
                    .collect()
            },
        );
        for hidden in kept.hidden {
            state.note_hidden(hidden);
        }
        let hidden = &state.hidden;
        let may_list = |one: &Registration| is_current(hidden, now, one);
        (state.system, state.accounts) = parallel::both(
            || ScopeIndex::of_sorted(&rows, may_list),
            || {
                let account =
                    |(id, rows): (_, Vec<_>)| (id, ScopeIndex::of_sorted(&rows, may_list));
                by_account(&rows).into_iter().map(account).collect()
            },
        );
        state.note_ambiguous(&rows);
        state
    }
}

/// The rows of each account, in their order.
fn by_account(rows: &[Row]) -> HashMap<Arc<str>, Vec<Row>> {
    let mut accounts: HashMap<Arc<str>, Vec<Row>> = HashMap::new();
    for row in rows {
        if let Some(id) = &row.registration().account_id {
            accounts
                .entry(Arc::clone(id))
                .or_default()
                .push(row.clone());
        }
    }
    accounts
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
