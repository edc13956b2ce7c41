//! A registry made at once of all its rows: sorted once, not row by row.

use std::sync::Arc;

use foldhash::HashMap;

use super::ends::Ends;
use super::rows::Rows;
use super::{State, is_current};
use crate::parallel;
use crate::registration::{Hidden, Registration, Tombstone};
use crate::registry::lists::index::ScopeIndex;
use crate::registry::lists::order::Row;

/// What an earlier run left.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Every row; of rows with the same key the last one counts.
    pub rows: Vec<Arc<Registration>>,
    /// Those of them whose owner was another one then.
    pub moved: Vec<Arc<Registration>>,
    /// The rules by which the rows belong to their accounts, as a hash.
    pub owners: Option<u64>,
    /// Users whose rows went.
    pub tombstones: Vec<Tombstone>,
    /// Rows that a flush hid.
    pub hidden: Vec<Hidden>,
    /// Rows that a flush was about to remove: hidden until Kamailio is asked.
    pub intents: Vec<Hidden>,
}

impl State {
    /// The state that these rows, and then hiding, lead to.
    pub(in crate::registry) fn restored(now: i64, left: Snapshot) -> Self {
        let mut state = Self::new(now);
        for tombstone in left.tombstones {
            state.tombstones.remember(tombstone);
        }
        state.rows = Rows::of(left.rows);
        let rows = state.rows.all();
        let sorted = || {
            let mut sorted: Vec<Row> = rows.iter().map(|row| Row::new(Arc::clone(row))).collect();
            sorted.sort_unstable();
            sorted
        };
        let (ends, sorted) = parallel::both(|| Ends::of(rows.iter()), sorted);
        state.ends = ends;
        for hidden in left.hidden.into_iter().chain(left.intents) {
            state.note_hidden(hidden);
        }
        let hidden = &state.hidden;
        let may_list = |one: &Registration| is_current(hidden, now, one);
        (state.system, state.accounts) = parallel::both(
            || ScopeIndex::of_sorted(&sorted, may_list),
            || {
                let account =
                    |(id, rows): (_, Vec<_>)| (id, ScopeIndex::of_sorted(&rows, may_list));
                by_account(&sorted).into_iter().map(account).collect()
            },
        );
        state.note_ambiguous(&sorted);
        state
    }
}

/// The rows of each account, in their order.
fn by_account(rows: &[Row]) -> HashMap<Arc<str>, Vec<Row>> {
    let mut accounts: HashMap<Arc<str>, Vec<Row>> = HashMap::default();
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
