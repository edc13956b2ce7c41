//! The rows, and the sorted lists that are kept of them: what the one writer changes.

pub(super) mod ambiguous;
mod arrange;
mod effects;
mod ends;
pub(super) mod restore;
mod rows;
mod touched;

use std::collections::{BTreeSet, HashMap};
use std::mem;
use std::sync::Arc;

use super::KNOWN_FOR;
use super::event::{Cause, Effect, FlushedBy};
use super::lists::index::ScopeIndex;
use super::lists::order::{Contact, Row};
use super::tombstones::{Tombstones, has_moved, tombstone};
use crate::registration::{Hidden, Key, Registration};
use ambiguous::Ambiguities;
use ends::Ends;
use rows::Rows;
use touched::Touched;

#[derive(Debug)]
pub(super) struct State {
    /// The second that the lists are of.
    pub(super) now: i64,
    /// Every row of the tables.
    pub(super) rows: Rows,
    pub(super) ends: Ends,
    pub(super) hidden: HashMap<Key, Hidden>,
    /// Rows that a flush is removing: if one goes meanwhile, that is why.
    pub(super) flushing: HashMap<Key, Arc<FlushedBy>>,
    pub(super) system: ScopeIndex,
    /// Of each account that has rows.
    pub(super) accounts: HashMap<Arc<str>, ScopeIndex>,
    pub(super) tombstones: Tombstones,
    pub(super) ambiguities: Ambiguities,
    /// Contacts of which it is not decided yet what is listed: see [`State::arrange`].
    pub(super) unsettled: BTreeSet<Contact>,
    /// What a change does, while it is noted.
    touched: Touched,
    /// A hidden row changed in a way that only Kamailio can explain.
    pub(super) is_doubtful: bool,
}

impl State {
    pub(super) fn new(now: i64) -> Self {
        Self {
            now,
            rows: Rows::default(),
            ends: Ends::default(),
            hidden: HashMap::new(),
            flushing: HashMap::new(),
            system: ScopeIndex::default(),
            accounts: HashMap::new(),
            tombstones: Tombstones::default(),
            ambiguities: Ambiguities::default(),
            unsettled: BTreeSet::new(),
            touched: Touched::default(),
            is_doubtful: false,
        }
    }

    /// Brings the lists to the second `now`, whether that is later or, after a step back of the clock, earlier. Returns
    /// whether a row has ended or is valid again.
    pub(super) fn advance(&mut self, now: i64) -> bool {
        if now == self.now {
            return false;
        }
        let rows = self.ends.between(self.now, now);
        let rows: Vec<Row> = rows.map(|row| Row::new(Arc::clone(row))).collect();
        self.now = now;
        for row in &rows {
            self.touch(&row.binding().key);
            self.settle(row);
        }
        self.arrange();
        self.tombstones.forget_before(now - KNOWN_FOR);
        !rows.is_empty()
    }

    /// The same, noting what that does.
    pub(super) fn advance_noting(&mut self, now: i64) -> Vec<Effect> {
        if now == self.now {
            return Vec::new();
        }
        self.note(Cause::Clock);
        self.advance(now);
        self.noted()
    }

    /// Takes over from `former`, which has the same rows with another content, what is not in them.
    pub(super) fn succeed(&mut self, former: &mut Self) {
        // Kamailio is not asked again because a row has another owner.
        self.ambiguities = mem::take(&mut former.ambiguities);
        let superseded = self.ambiguities.contacts_of_superseded();
        self.unsettled.extend(superseded.cloned());
        self.keep_flushed(former);
    }

    /// Takes over from `former` what is hidden, who was known, and the second.
    pub(super) fn keep_flushed(&mut self, former: &mut Self) {
        for hidden in former.hidden.values() {
            self.hide(hidden.clone());
        }
        self.flushing = mem::take(&mut former.flushing);
        self.tombstones = mem::take(&mut former.tombstones);
        self.advance(former.now);
        self.arrange();
    }

    pub(super) fn upsert(&mut self, registration: &Arc<Registration>) {
        let key = &registration.binding.key;
        self.touch(key);
        let former = self.rows.get(key);
        let former = former.map(|former| Row::new(Arc::clone(former)));
        if let Some(former) = &former {
            self.take_out(former);
        }
        self.look_through(registration);
        self.ambiguities.release_changed(key, Some(registration));
        let row = Row::new(Arc::clone(registration));
        self.put_in(&row);
        if let Some(former) = former {
            if has_moved(former.registration(), registration) {
                self.bury(former.registration());
            }
            self.settle(&former);
        }
        self.settle(&row);
    }

    pub(super) fn remove(&mut self, key: &Key) {
        self.touch(key);
        if let Some(by) = self.flushing.get(key).map(Arc::clone) {
            self.touch_because(key, Cause::Flush(by));
        }
        if let Some(hidden) = self.hidden.remove(key) {
            self.note_unhidden(hidden);
        }
        self.ambiguities.release_changed(key, None);
        if let Some(registration) = self.rows.get(key) {
            let row = Row::new(Arc::clone(registration));
            self.take_out(&row);
            self.rows.remove(key);
            self.bury(row.registration());
            self.settle(&row);
        }
    }

    /// Hides a row, or remembers to hide it should it come. One that has changed since it was looked at may be from a
    /// REGISTER of the same second as its removal: Kamailio is to be asked.
    pub(super) fn hide(&mut self, hidden: Hidden) {
        let key = hidden.key.clone();
        self.touch(&key);
        let row = self.rows.get(&key);
        self.is_doubtful |=
            row.is_some_and(|row| row.binding.row_fingerprint() != hidden.fingerprint);
        if self.note_hidden(hidden) {
            self.settle_key(&key);
        }
    }

    /// Notes that a row is hidden, without a look at the lists; not if the phone has registered again since.
    pub(super) fn note_hidden(&mut self, hidden: Hidden) -> bool {
        let row = self.rows.get(&hidden.key);
        let is_later = row.is_some_and(|row| row.binding.last_modified > hidden.at);
        if !is_later {
            self.hidden.insert(hidden.key.clone(), hidden);
        }
        !is_later
    }

    /// Forgets what was hidden before `at` without having a row.
    pub(super) fn forget_absent(&mut self, at: i64) -> Vec<Hidden> {
        let absent: Vec<Hidden> = self
            .hidden
            .values()
            .filter(|hidden| hidden.at < at && !self.rows.contains(&hidden.key))
            .cloned()
            .collect();
        for hidden in &absent {
            self.hidden.remove(&hidden.key);
            self.note_unhidden(hidden.clone());
        }
        absent
    }

    pub(super) fn unhide(&mut self, key: &Key) {
        self.touch(key);
        if let Some(hidden) = self.hidden.remove(key) {
            self.note_unhidden(hidden);
            self.settle_key(key);
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Registration>> {
        self.rows.get(key).map(Arc::clone)
    }

    fn put_in(&mut self, row: &Row) {
        let registration = row.registration();
        self.ends.insert(registration);
        self.system.put_in(row.clone());
        if let Some(id) = &registration.account_id {
            let account = self.accounts.entry(Arc::clone(id)).or_default();
            account.put_in(row.clone());
        }
        self.rows.put(Arc::clone(registration));
    }

    /// Takes a row out of everything but `rows`.
    fn take_out(&mut self, row: &Row) {
        let registration = row.registration();
        self.ends.remove(registration);
        self.system.take_out(row);
        if let Some(id) = &registration.account_id
            && let Some(account) = self.accounts.get_mut(id)
        {
            account.take_out(row);
            if account.is_empty() {
                self.accounts.remove(id);
            }
        }
    }

    /// Decides whether a row that is hidden stays so with its new content: it does not if it comes from a REGISTER
    /// after the flush. One of the same second may be either; Kamailio is to be asked.
    fn look_through(&mut self, registration: &Registration) {
        let key = &registration.binding.key;
        let Some(hidden) = self.hidden.get_mut(key) else {
            return;
        };
        if registration.binding.last_modified > hidden.at {
            if let Some(hidden) = self.hidden.remove(key) {
                self.note_unhidden(hidden);
            }
        } else if hidden.fingerprint != registration.binding.row_fingerprint() {
            hidden.fingerprint = registration.binding.row_fingerprint();
            self.is_doubtful = true;
        }
    }

    fn settle_key(&mut self, key: &Key) {
        if let Some(registration) = self.get(key) {
            self.settle(&Row::new(registration));
        }
    }

    fn bury(&mut self, registration: &Registration) {
        self.tombstones.remember(tombstone(registration, self.now));
    }
}

/// Whether the row is valid in the second `now` and not hidden.
pub(super) fn is_current(hidden: &HashMap<Key, Hidden>, now: i64, row: &Registration) -> bool {
    row.binding.expiry.is_valid_at(now) && !hidden.contains_key(&row.binding.key)
}
