//! Which rows of one contact of an address of record are the same binding, and which of them only Kamailio can tell
//! apart.
//!
//! Kamailio keeps several rows of one contact where RFC 5626 has flows (instance and reg-id), where its `matching_mode`
//! compares the Path or the Call-ID too, and where it failed to delete a row.

use super::order::Row;
use crate::registration::{Number, Registration, Text};

/// Of `rows`, all of one contact, which are listed: of those that are equal in everything that identifies a binding,
/// the one modified last; of those of one second the last in order.
pub(in crate::registry) fn listed(
    rows: &[Row],
    may_list: impl Fn(&Registration) -> bool,
) -> Vec<bool> {
    let may_list = |row: &Row| may_list(row.registration());
    let mut order: Vec<usize> = (0..rows.len()).filter(|at| may_list(&rows[*at])).collect();
    let rank = |at: &usize| (rows[*at].binding().last_modified, &rows[*at]);
    order.sort_unstable_by(|a, b| {
        let identities = identity(&rows[*a]).cmp(&identity(&rows[*b]));
        identities.then_with(|| rank(a).cmp(&rank(b)))
    });
    let mut listed = vec![false; rows.len()];
    for equal in order.chunk_by(|a, b| identity(&rows[*a]) == identity(&rows[*b])) {
        if let Some(last) = equal.last() {
            listed[*last] = true;
        }
    }
    listed
}

/// The sets of different bindings among `rows`, all of one contact, that instance and reg-id do not tell apart: of
/// each set Kamailio may have some and not others. A row without instance or reg-id may be any of the others.
pub(in crate::registry) fn ambiguous(rows: &[Row]) -> Vec<Vec<Row>> {
    if rows.len() < 2 {
        return Vec::new();
    }
    let mut rows = rows.to_vec();
    let mut sets = Vec::new();
    if rows.iter().any(|row| flow(row).is_none()) {
        sets.push(rows);
    } else {
        rows.sort_by(|a, b| flow(a).cmp(&flow(b)));
        let flows = rows.chunk_by(|a, b| flow(a) == flow(b));
        sets.extend(flows.map(<[Row]>::to_vec));
    }
    sets.retain(|set| set.iter().any(|row| identity(row) != identity(&set[0])));
    sets
}

/// What tells a binding from others of the same contact.
fn identity(row: &Row) -> impl Ord {
    let binding = row.binding();
    (
        binding.instance.as_ref(),
        binding.reg_id,
        binding.path.as_ref(),
        binding.received.as_ref(),
        binding.call_id.as_ref(),
    )
}

/// The flow that a phone of RFC 5626 registered.
fn flow(row: &Row) -> Option<(&Text, Number)> {
    let binding = row.binding();
    binding.instance.as_ref().zip(binding.reg_id)
}
