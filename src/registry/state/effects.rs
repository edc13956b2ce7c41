//! Notes what a change does to rows and lists, to be reported once it is done.

use std::sync::Arc;

use super::State;
use super::touched::Before;
use crate::registration::{Hidden, Key, Registration};
use crate::registry::event::{Cause, Effect, Listed};
use crate::registry::lists::order::Row;

impl State {
    /// Has changes noted, of which `cause` is the cause.
    pub(in crate::registry) fn note(&mut self, cause: Cause) {
        self.touched.is_noting = true;
        self.touched.cause = cause;
    }

    /// What has been done since, in order; nothing more is noted.
    pub(in crate::registry) fn noted(&mut self) -> Vec<Effect> {
        self.touched.is_noting = false;
        let touched = std::mem::take(&mut self.touched.rows).into_iter();
        let effect = |(key, before): (Key, Before)| {
            let current = self.rows.get(&key).map(Arc::clone);
            let is = current.as_ref().map(|row| self.listed(row));
            Effect {
                cause: before.cause,
                unhidden: before.unhidden,
                former: before.row,
                current,
                was: before.listed,
                is: is.unwrap_or_default(),
            }
        };
        touched.map(effect).filter(Effect::is_any).collect()
    }

    /// Notes how a row is that is about to be changed itself.
    pub(in crate::registry) fn touch(&mut self, key: &Key) {
        let cause = self.touched.cause.clone();
        self.touch_because(key, cause);
    }

    /// The same, for a reason of its own.
    pub(in crate::registry) fn touch_because(&mut self, key: &Key, cause: Cause) {
        if self.touched.is_noting {
            self.before(key).cause = cause;
        }
    }

    /// Notes how a row is whose listing is about to change, maybe because of others.
    pub(in crate::registry) fn touch_listing(&mut self, key: &Key) {
        if self.touched.is_noting {
            self.before(key);
        }
    }

    /// Notes that a row, or one that is not there, is hidden no longer.
    pub(in crate::registry) fn note_unhidden(&mut self, hidden: Hidden) {
        if self.touched.is_noting {
            let key = hidden.key.clone();
            self.before(&key).unhidden = Some(Box::new(hidden));
        }
    }

    fn before(&mut self, key: &Key) -> &mut Before {
        if !self.touched.rows.contains_key(key) {
            let row = self.rows.get(key).map(Arc::clone);
            let listed = row.as_ref().map(|row| self.listed(row));
            let before = Before {
                row,
                listed: listed.unwrap_or_default(),
                cause: Cause::Sibling,
                unhidden: None,
            };
            self.touched.rows.insert(key.clone(), before);
        }
        &mut self.touched.rows[key]
    }

    /// In which lists a row is that is there.
    fn listed(&self, registration: &Arc<Registration>) -> Listed {
        self.listed_row(&Row::new(Arc::clone(registration)))
    }

    /// The same.
    pub(in crate::registry) fn listed_row(&self, row: &Row) -> Listed {
        let account = row.registration().account_id.as_ref();
        let account = account.and_then(|id| self.accounts.get(id));
        Listed {
            system: self.system.lists(row),
            account: account.is_some_and(|account| account.lists(row)),
        }
    }
}
