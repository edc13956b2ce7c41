//! Which rows of a contact are listed: decided for all of them together, once for all that changes at a time.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::ambiguous::Ambiguous;
use super::identity::ambiguous;
use super::order::{Contact, Row};
use super::state::{State, is_current};
use crate::registration::{Key, Registration};

impl State {
    /// Lists the row with the contact of `row`, where it is the only one; else that is for [`State::arrange`] to do.
    pub(super) fn settle(&mut self, row: &Row) {
        if !self.ambiguities.is_empty() && self.ambiguities.has(&Contact(row.clone())) {
            self.unsettled.insert(Contact(row.clone()));
            return;
        }
        let (hidden, now) = (&self.hidden, self.now);
        // None of them is superseded: only rows that Kamailio is asked about are.
        let may_list = |one: &Registration| is_current(hidden, now, one);
        if !self.system.settle_alone(row, may_list) {
            self.unsettled.insert(Contact(row.clone()));
        } else if let Some(id) = &row.registration().account_id
            && let Some(account) = self.accounts.get_mut(id)
        {
            account.settle_alone(row, may_list);
        }
    }

    /// Lists of the contacts that have several rows those that are to be listed: in the system's list, and in that of
    /// each account, whatever other accounts have. To be called after changes, before anybody reads.
    pub(super) fn arrange(&mut self) {
        for contact in mem::take(&mut self.unsettled) {
            self.arrange_contact(&contact);
        }
    }

    fn arrange_contact(&mut self, contact: &Contact) {
        let rows: Vec<Row> = self.system.of_contact(&contact.0).cloned().collect();
        self.ambiguities
            .note(contact, &rows, &ambiguous(&self.current(&rows)));
        let (hidden, now, ambiguities) = (&self.hidden, self.now, &self.ambiguities);
        let may_list = |one: &Registration| {
            is_current(hidden, now, one) && !ambiguities.is_superseded(&one.binding.key)
        };
        self.system.arrange(&rows, may_list);
        let mut by_account: BTreeMap<Arc<str>, Vec<Row>> = BTreeMap::new();
        for row in rows {
            if let Some(id) = &row.registration().account_id {
                by_account.entry(Arc::clone(id)).or_default().push(row);
            }
        }
        for (id, rows) in by_account {
            if let Some(account) = self.accounts.get_mut(&id) {
                account.arrange(&rows, may_list);
            }
        }
    }

    /// Notes of rows that are in order which of them only Kamailio can tell apart.
    pub(super) fn note_ambiguous(&mut self, rows: &[Row]) {
        let several = rows.chunk_by(Row::shares_contact);
        for rows in several.filter(|rows| rows.len() > 1) {
            let sets = ambiguous(&self.current(rows));
            self.ambiguities
                .note(&Contact(rows[0].clone()), rows, &sets);
        }
    }

    /// The rows of a contact that only Kamailio can tell apart.
    pub(super) fn ambiguous_rows(&self, contact: &Contact) -> Vec<Row> {
        self.ambiguous_sets(contact).into_iter().flatten().collect()
    }

    /// Takes over what Kamailio has.
    pub(super) fn decide(&mut self, asked: &Ambiguous, has: impl Fn(&Key) -> bool, now: Duration) {
        let contact = asked.contact();
        let sets = self.ambiguous_sets(contact);
        if self.ambiguities.decide(asked, &sets, has, now) {
            self.unsettled.insert(contact.clone());
        }
    }

    /// Forgets some superseded rows; returns whether there are more.
    pub(super) fn release_superseded(&mut self, limit: usize) -> bool {
        let contacts = self.ambiguities.release_some(limit);
        self.unsettled.extend(contacts);
        self.ambiguities.superseded() > 0
    }

    fn ambiguous_sets(&self, contact: &Contact) -> Vec<Vec<Row>> {
        let rows: Vec<Row> = self.system.of_contact(&contact.0).cloned().collect();
        ambiguous(&self.current(&rows))
    }

    /// Those of `rows` that are valid now and that no flush hides, in their order.
    fn current(&self, rows: &[Row]) -> Vec<Row> {
        let is_current = |row: &&Row| is_current(&self.hidden, self.now, row.registration());
        let mut current: Vec<Row> = rows.iter().filter(is_current).cloned().collect();
        current.sort_unstable();
        current
    }
}
