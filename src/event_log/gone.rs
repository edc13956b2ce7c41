//! Which bindings the log has as gone, though their rows are still there: the table may keep for long what Kamailio does
//! not have any more.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{History, Of, Query};
use crate::events::{Audience, Event, Kind, What};
use crate::registration::{Key, Registration};

/// So many users are looked up, at most.
const USERS: usize = 1000;

/// So many events of each are looked through for the last ones of its bindings.
const EVENTS: usize = 100;

/// Those of these bindings whose last event in the system's list is their end.
pub(super) async fn of(history: &History, rows: &[Arc<Registration>]) -> HashSet<Key> {
    let mut users: HashMap<Of, Vec<&Key>> = HashMap::new();
    for row in rows {
        // Of a row without an account nothing is found by its user.
        if let Some(account) = &row.account_id {
            let user = Of::User {
                account: account.to_string(),
                username: row.username.lossy().into_owned(),
            };
            users.entry(user).or_default().push(&row.binding.key);
        }
    }
    let mut gone = HashSet::new();
    for (of, keys) in users.into_iter().take(USERS) {
        let query = Query {
            of,
            from: None,
            to: None,
            types: None,
            reasons: None,
            before: None,
            limit: EVENTS,
        };
        match history.query(&query).await {
            Ok(events) => gone.extend(
                keys.into_iter()
                    .filter(|key| is_gone(key, &events))
                    .cloned(),
            ),
            Err(error) => tracing::debug!(%error, "cannot read which registrations have gone"),
        }
    }
    gone
}

/// Whether a binding has gone by these events, the newest first.
fn is_gone(key: &Key, events: &[Event]) -> bool {
    let of_binding = events.iter().find_map(|event| match &event.what {
        What::Registration(one)
            if one.audience != Audience::Account && one.registration.binding.key == *key =>
        {
            Some(one.kind)
        }
        _ => None,
    });
    matches!(of_binding, Some(Kind::Terminated(_)))
}
