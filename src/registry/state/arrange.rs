//! Which rows of a contact are listed: decided for all of them together, once for all that changes at a time.

use std::collections::{BTreeMap, HashSet};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::ambiguous::Ambiguous;
use super::{State, is_current};
use crate::registration::{Key, Registration};
use crate::registry::event::Listed;
use crate::registry::lists::identity::{ambiguous, listed};
use crate::registry::lists::order::{Contact, Row};

/// What becomes of the rows of one contact.
pub(in crate::registry) struct Arrangement {
    /// Each with the lists that it belongs to.
    pub(in crate::registry) rows: Vec<(Row, Listed)>,
    /// Those that only Kamailio can tell apart.
    sets: Vec<Vec<Row>>,
    /// Those that Kamailio does not have in place of another.
    pub(in crate::registry) superseded: HashSet<Key>,
}

impl State {
    /// Lists the row with the contact of `row`, where it is the only one; else that is for [`State::arrange`] to do.
    pub(in crate::registry) fn settle(&mut self, row: &Row) {
        if !self.ambiguities.is_empty() && self.ambiguities.has(&Contact(row.clone())) {
            self.unsettled.insert(Contact(row.clone()));
            return;
        }
        let mut rows = self.system.of_contact(row);
        let (one, is_alone) = (rows.next().cloned(), rows.next().is_none());
        drop(rows);
        if !is_alone {
            self.unsettled.insert(Contact(row.clone()));
        } else if let Some(one) = one {
            // It is not superseded: only rows that Kamailio is asked about are.
            let may_list = is_current(&self.hidden, self.now, one.registration());
            let account = may_list && one.registration().account_id.is_some();
            let system = may_list;
            self.show(&one, Listed { system, account });
        }
    }

    /// Lists of the contacts that have several rows those that are to be listed: in the system's list, and in that of
    /// each account, whatever other accounts have. To be called after changes, before anybody reads.
    pub(in crate::registry) fn arrange(&mut self) {
        for contact in mem::take(&mut self.unsettled) {
            let arrangement = self.arrangement(&contact, self.now);
            self.ambiguities.note(
                &contact,
                arrangement.rows.iter().map(|(row, _)| row),
                &arrangement.sets,
                &arrangement.superseded,
            );
            for (row, listed) in &arrangement.rows {
                self.show(row, *listed);
            }
        }
    }

    /// What becomes of the rows of a contact in the second `now`.
    pub(in crate::registry) fn arrangement(&self, contact: &Contact, now: i64) -> Arrangement {
        let rows: Vec<Row> = self.system.of_contact(&contact.0).cloned().collect();
        let sets = ambiguous(&self.current(&rows, now));
        let superseded = self.ambiguities.superseded_of(&sets);
        let may_list = |one: &Registration| {
            is_current(&self.hidden, now, one) && !superseded.contains(&one.binding.key)
        };
        let in_system = listed(&rows, may_list);
        let mut by_account: BTreeMap<&Arc<str>, Vec<usize>> = BTreeMap::new();
        for (at, row) in rows.iter().enumerate() {
            if let Some(id) = &row.registration().account_id {
                by_account.entry(id).or_default().push(at);
            }
        }
        let mut in_account = vec![false; rows.len()];
        for places in by_account.into_values() {
            let own: Vec<Row> = places.iter().map(|at| rows[*at].clone()).collect();
            for (at, is_listed) in places.into_iter().zip(listed(&own, may_list)) {
                in_account[at] = is_listed;
            }
        }
        let lists = in_system.into_iter().zip(in_account);
        let lists = lists.map(|(system, account)| Listed { system, account });
        Arrangement {
            rows: rows.into_iter().zip(lists).collect(),
            sets,
            superseded,
        }
    }

    /// Puts a row into these lists, and takes it out of others.
    fn show(&mut self, row: &Row, listed: Listed) {
        if self.listed_row(row) == listed {
            return;
        }
        self.touch_listing(&row.binding().key);
        self.system.show(row, listed.system);
        let account = row.registration().account_id.as_ref();
        if let Some(account) = account.and_then(|id| self.accounts.get_mut(id)) {
            account.show(row, listed.account);
        }
    }

    /// Notes of rows that are in order which of them only Kamailio can tell apart.
    pub(in crate::registry) fn note_ambiguous(&mut self, rows: &[Row]) {
        let several = rows.chunk_by(Row::shares_contact);
        for rows in several.filter(|rows| rows.len() > 1) {
            let sets = ambiguous(&self.current(rows, self.now));
            let contact = Contact(rows[0].clone());
            self.ambiguities
                .note(&contact, rows.iter(), &sets, &HashSet::new());
        }
    }

    /// The rows of a contact that only Kamailio can tell apart.
    pub(in crate::registry) fn ambiguous_rows(&self, contact: &Contact) -> Vec<Row> {
        self.ambiguous_sets(contact).into_iter().flatten().collect()
    }

    /// Takes the rows that have `gone` for superseded, where only Kamailio can tell; it is asked all the same.
    pub(in crate::registry) fn presume_superseded(
        &mut self,
        gone: impl FnOnce(&[Arc<Registration>]) -> HashSet<Key>,
    ) {
        let contacts: Vec<Contact> = self.ambiguities.contacts().cloned().collect();
        let rows = contacts.iter().flat_map(|one| self.ambiguous_rows(one));
        let rows: Vec<Row> = rows.collect();
        let registrations = rows.iter().map(|row| Arc::clone(row.registration()));
        let gone = gone(&registrations.collect::<Vec<_>>());
        for row in rows.iter().filter(|it| gone.contains(&it.binding().key)) {
            let contact = Contact(row.clone());
            self.ambiguities.presume_superseded(row, &contact);
            self.unsettled.insert(contact);
        }
        self.arrange();
    }

    /// Takes over what Kamailio has.
    pub(in crate::registry) fn decide(
        &mut self,
        asked: &Ambiguous,
        has: impl Fn(&Key) -> bool,
        now: Duration,
    ) {
        let contact = asked.contact();
        let sets = self.ambiguous_sets(contact);
        if self.ambiguities.decide(asked, &sets, has, now) {
            for row in sets.iter().flatten() {
                self.touch(&row.binding().key);
            }
            self.unsettled.insert(contact.clone());
        }
    }

    /// Forgets some superseded rows; returns whether there are more.
    pub(in crate::registry) fn release_superseded(&mut self, limit: usize) -> bool {
        for (key, contact) in self.ambiguities.release_some(limit) {
            self.touch(&key);
            self.unsettled.insert(contact);
        }
        self.ambiguities.superseded() > 0
    }

    fn ambiguous_sets(&self, contact: &Contact) -> Vec<Vec<Row>> {
        let rows: Vec<Row> = self.system.of_contact(&contact.0).cloned().collect();
        ambiguous(&self.current(&rows, self.now))
    }

    /// Those of `rows` that are valid in the second `now` and that no flush hides, in their order.
    fn current(&self, rows: &[Row], now: i64) -> Vec<Row> {
        let is_current = |row: &&Row| is_current(&self.hidden, now, row.registration());
        let mut current: Vec<Row> = rows.iter().filter(is_current).cloned().collect();
        current.sort_unstable();
        current
    }
}
