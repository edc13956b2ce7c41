//! The rows of one scope (an account, or the whole system) in the order of lists, and which of them are listed.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use super::identity::listed;
use super::listing::{Listing, Page};
use super::named::Asked;
use super::order::{BeforeContact, Placed, Position, Row};
use crate::registration::Registration;
use crate::sip::Transport;

/// Listed registrations by the place of their transport in [`Transport::ALL`]; the last have none that is known.
pub(super) type ByTransport = [usize; Transport::ALL.len() + 1];

/// Every row of a scope. What is kept about one scope depends on no row of another.
///
/// There are as many rows as registrations, and all but a few are listed: nothing is noted beside a row.
#[derive(Debug, Default)]
pub(super) struct ScopeIndex {
    listed: BTreeSet<Row>,
    /// Those that may not be listed, and those that count once with a listed one.
    unlisted: BTreeSet<Row>,
    by_transport: ByTransport,
    /// Sum of the digests of the listed ones.
    revision: u64,
}

impl ScopeIndex {
    /// The index of rows that are in order.
    pub(super) fn of_sorted(rows: &[Row], may_list: impl Fn(&Registration) -> bool) -> Self {
        let mut index = Self::default();
        let (mut on, mut off) = (Vec::with_capacity(rows.len()), Vec::new());
        let mut put = |row: &Row, is_listed: bool| {
            if is_listed {
                index.count_in(row.registration());
                on.push(row.clone());
            } else {
                off.push(row.clone());
            }
        };
        for rows in rows.chunk_by(Row::shares_contact) {
            if let [row] = rows {
                put(row, may_list(row.registration()));
                continue;
            }
            for (row, is_listed) in rows.iter().zip(listed(rows, &may_list)) {
                put(row, is_listed);
            }
        }
        index.listed = on.into_iter().collect();
        index.unlisted = off.into_iter().collect();
        index
    }

    /// Adds a row, which is not listed yet; its contact is to be settled then.
    pub(super) fn put_in(&mut self, row: Row) {
        self.unlisted.insert(row);
    }

    /// Removes a row; the others of its contact are to be settled then.
    pub(super) fn take_out(&mut self, row: &Row) {
        if self.listed.remove(row) {
            self.count_out(row.registration());
        } else {
            self.unlisted.remove(row);
        }
    }

    /// Lists the row of the same contact as `row`, or takes it out of the list, where there is one at most. Returns
    /// whether that was so; where several rows have the contact nothing is done.
    pub(super) fn settle_alone(
        &mut self,
        row: &Row,
        may_list: impl Fn(&Registration) -> bool,
    ) -> bool {
        let mut rows = self.of_contact(row);
        let (one, is_alone) = (rows.next().cloned(), rows.next().is_none());
        drop(rows);
        if let Some(one) = one.filter(|_| is_alone) {
            self.show(&one, may_list(one.registration()));
        }
        is_alone
    }

    /// Lists those of `rows` that are to be listed, and none of the others; `rows` are all of one contact.
    pub(super) fn arrange(&mut self, rows: &[Row], may_list: impl Fn(&Registration) -> bool) {
        for (row, is_listed) in rows.iter().zip(listed(rows, &may_list)) {
            self.show(row, is_listed);
        }
    }

    /// Lists a row, or takes it out of the list.
    fn show(&mut self, row: &Row, is_listed: bool) {
        if is_listed && let Some(row) = self.unlisted.take(row) {
            self.count_in(row.registration());
            self.listed.insert(row);
        } else if !is_listed && let Some(row) = self.listed.take(row) {
            self.count_out(row.registration());
            self.unlisted.insert(row);
        }
    }

    /// Every row of the same contact as `row`; those that are listed first.
    pub(super) fn of_contact<'a>(&'a self, row: &'a Row) -> impl Iterator<Item = &'a Row> {
        let of_contact = |rows: &'a BTreeSet<Row>| {
            following(rows, &BeforeContact(row)).take_while(|one| one.shares_contact(row))
        };
        of_contact(&self.listed).chain(of_contact(&self.unlisted))
    }

    /// How many are listed, and their revision.
    pub(super) fn count(&self) -> (usize, u64) {
        (self.listed(), self.revision)
    }

    pub(super) fn listed(&self) -> usize {
        self.listed.len()
    }

    pub(super) fn by_transport(&self) -> ByTransport {
        self.by_transport
    }

    pub(super) fn list(&self) -> Listing {
        let registrations = self.listed.iter().map(Row::registration);
        Listing {
            registrations: registrations.map(Arc::clone).collect(),
            revision: self.revision,
        }
    }

    /// The listed registrations of the SIP users whom a name means, the case of letters aside.
    pub(super) fn list_user(&self, asked: Asked<'_>) -> Vec<Arc<Registration>> {
        of_user(&self.listed, asked).map(Arc::clone).collect()
    }

    /// At most `limit` listed registrations after `position`.
    pub(super) fn page(&self, after: Option<&Position>, limit: usize) -> Page {
        let start = Position::from_bytes(&[]);
        let mut rows = following(&self.listed, after.unwrap_or(&start));
        let registrations = rows
            .by_ref()
            .take(limit)
            .map(|row| (row.position(), Arc::clone(row.registration())))
            .collect();
        Page {
            registrations,
            more: rows.next().is_some(),
            revision: self.revision,
        }
    }

    /// Every row of the SIP users whom a name means, the case of letters aside; those that are listed first.
    pub(super) fn rows_of_user<'a>(
        &'a self,
        asked: Asked<'a>,
    ) -> impl Iterator<Item = &'a Arc<Registration>> {
        of_user(&self.listed, asked).chain(of_user(&self.unlisted, asked))
    }

    /// Every row; those that are listed first.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.listed.iter().chain(&self.unlisted)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.unlisted.is_empty()
    }

    fn count_in(&mut self, registration: &Registration) {
        self.by_transport[by_transport(registration)] += 1;
        self.revision = self.revision.wrapping_add(registration.digest());
    }

    fn count_out(&mut self, registration: &Registration) {
        self.by_transport[by_transport(registration)] -= 1;
        self.revision = self.revision.wrapping_sub(registration.digest());
    }
}

/// Those of the SIP users whom a name means, the case of letters aside.
fn of_user<'a>(
    rows: &'a BTreeSet<Row>,
    asked: Asked<'a>,
) -> impl Iterator<Item = &'a Arc<Registration>> {
    let beginning = asked.beginning();
    following(rows, &Position::before_users_like(&beginning.lower))
        .map(Row::registration)
        .take_while(move |row| beginning.is_of(&row.binding.user()))
        .filter(move |row| asked.means(&row.binding.user()))
}

fn following<'a>(
    rows: &'a BTreeSet<Row>,
    place: &dyn Placed,
) -> impl Iterator<Item = &'a Row> + use<'a> {
    rows.range::<dyn Placed + '_, _>((Bound::Excluded(place), Bound::Unbounded))
}

fn by_transport(registration: &Registration) -> usize {
    let known = registration.common.proxy_protocol;
    known.map_or(Transport::ALL.len(), |transport| transport as usize)
}
