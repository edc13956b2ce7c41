//! A cache of written lists, so that requests for the same list within a second share one text.
//!
//! `expires` counts down, so a list is written again each second, and whenever its revision changes. Memory is bounded: a list
//! for which there is no room is written for its caller alone.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::registry::Scope;

/// Bytes that are kept at most.
const ROOM: usize = 16 << 20;

/// The lists of this second.
#[derive(Debug, Default)]
pub(crate) struct ResponseCache {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The Unix second of which the texts are.
    second: i64,
    bytes: usize,
    /// By account; the system's list is under the empty id, which no account has.
    lists: HashMap<String, (u64, Bytes)>,
}

impl ResponseCache {
    /// The list of `scope` at this second and revision.
    pub(crate) fn get(&self, scope: Scope<'_>, revision: u64, second: i64) -> Option<Bytes> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (own, text) = kept.lists.get(name(scope))?;
        (kept.second == second && *own == revision).then(|| text.clone())
    }

    /// Keeps a list, if there is room.
    pub(crate) fn put(&self, scope: Scope<'_>, revision: u64, second: i64, text: &Bytes) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.second != second {
            *kept = Kept {
                second,
                ..Kept::default()
            };
        }
        if kept.bytes + text.len() > ROOM {
            return;
        }
        kept.bytes += text.len();
        let previous = kept
            .lists
            .insert(name(scope).to_owned(), (revision, text.clone()));
        if let Some((_, previous)) = previous {
            kept.bytes -= previous.len();
        }
    }
}

fn name(scope: Scope<'_>) -> &str {
    match scope {
        Scope::System => "",
        Scope::Account(id) => id,
    }
}
