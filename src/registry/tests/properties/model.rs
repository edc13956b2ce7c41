//! What the rows, and they alone, say that the lists are.

use super::*;

/// Instance and reg-id of a flow, either or both of which may be absent.
pub(super) fn flow(number: u8) -> (Option<Text>, Option<Number>) {
    let instance = ["", "<urn:uuid:1>", "<urn:uuid:1>", "<urn:uuid:1>", ""][usize::from(number)];
    let instance = Some(instance).filter(|one| !one.is_empty());
    let reg_id = Number::new([0, 0, 1, 2, 1][usize::from(number)]).filter(|id| id.get() > 0);
    (instance.map(Text::from), reg_id)
}

/// What the rows of a scope, and they alone, say that its list is.
pub(super) fn expected(registry: &Writer, scope: Scope<'_>, now: i64) -> Vec<Arc<Registration>> {
    let mut best: Vec<Arc<Registration>> = Vec::new();
    for row in current(registry, now) {
        let in_scope = match scope {
            Scope::System => true,
            Scope::Account(id) => row.account_id.as_deref() == Some(id),
        };
        if !in_scope || is_superseded(registry, &row) {
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

fn is_superseded(registry: &Writer, row: &Registration) -> bool {
    let content = registry.content();
    content.state.ambiguities.is_superseded(&row.binding.key)
}

/// The rows that are valid and that no flush hides.
fn current(registry: &Writer, now: i64) -> Vec<Arc<Registration>> {
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
pub(super) fn check_superseded(registry: &Writer, now: i64, has: Option<&dyn Fn(&Key) -> bool>) {
    let rows = current(registry, now);
    let is_superseded = |row: &Arc<Registration>| is_superseded(registry, row);
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
