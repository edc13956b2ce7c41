//! The rows of one scope (an account, or the whole system) in the order of lists, and which of them are listed.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::identity::listed;
use super::named::Asked;
use super::order::{BeforeContact, Placed, Position, Row};
use crate::registration::Registration;
use crate::sip::Transport;

/// Listed registrations by the place of their transport in [`Transport::ALL`]; the last have none that is known.
pub(in crate::registry) type ByTransport = [usize; Transport::ALL.len() + 1];

/// Every row of a scope. What is kept about one scope depends on no row of another.
///
/// There are as many rows as registrations, and all but a few are listed: nothing is noted beside a row.
#[derive(Debug, Default)]
pub(in crate::registry) struct ScopeIndex {
    listed: BTreeSet<Row>,
    /// Those that may not be listed, and those that count once with a listed one.
    unlisted: BTreeSet<Row>,
    by_transport: ByTransport,
    /// Sum of the digests of the listed ones.
    revision: u64,
}

impl ScopeIndex {
    /// The index of rows that are in order.
    pub(in crate::registry) fn of_sorted(
        rows: &[Row],
        may_list: impl Fn(&Registration) -> bool,
    ) -> Self {
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
    pub(in crate::registry) fn put_in(&mut self, row: Row) {
        self.unlisted.insert(row);
    }

    /// Removes a row; the others of its contact are to be settled then.
    pub(in crate::registry) fn take_out(&mut self, row: &Row) {
        if !self.unlisted.remove(row) && self.listed.remove(row) {
            self.count_out(row.registration());
        }
    }

    /// Whether a row that is here is listed.
    pub(in crate::registry) fn lists(&self, row: &Row) -> bool {
        // Of those that are not there are few.
        !self.unlisted.contains(row)
    }

    /// Lists a row, or takes it out of the list.
    pub(in crate::registry) fn show(&mut self, row: &Row, is_listed: bool) {
        if is_listed && let Some(row) = self.unlisted.take(row) {
            self.count_in(row.registration());
            self.listed.insert(row);
        } else if !is_listed && let Some(row) = self.listed.take(row) {
            self.count_out(row.registration());
            self.unlisted.insert(row);
        }
    }

    /// Every row of the same contact as `row`; those that are listed first.
    pub(in crate::registry) fn of_contact<'a>(
        &'a self,
        row: &'a Row,
    ) -> impl Iterator<Item = &'a Row> {
        let of_contact = |rows: &'a BTreeSet<Row>| {
            following(rows, &BeforeContact(row)).take_while(|one| one.shares_contact(row))
        };
        of_contact(&self.listed).chain(of_contact(&self.unlisted))
    }

    /// How many are listed.
    pub(in crate::registry) fn len(&self) -> usize {
        self.listed.len()
    }

    /// The sum of the digests of those that are listed.
    pub(in crate::registry) fn revision(&self) -> u64 {
        self.revision
    }

    pub(in crate::registry) fn by_transport(&self) -> ByTransport {
        self.by_transport
    }

    /// The listed rows.
    pub(in crate::registry) fn listed(&self) -> impl Iterator<Item = &Row> {
        self.listed.iter()
    }

    /// The listed rows after a place.
    pub(in crate::registry) fn listed_after(
        &self,
        place: &dyn Placed,
    ) -> impl Iterator<Item = &Row> {
        following(&self.listed, place)
    }

    /// The listed rows of the SIP users whom a name means, the case of letters aside.
    pub(in crate::registry) fn listed_of<'a, 'b>(
        &'a self,
        asked: Asked<'b>,
    ) -> impl Iterator<Item = &'a Row> + use<'a, 'b> {
        of_user(&self.listed, asked)
    }

    /// Every row of the SIP users whom a name means, the case of letters aside; those that are listed first.
    pub(in crate::registry) fn rows_of_user<'a, 'b>(
        &'a self,
        asked: Asked<'b>,
    ) -> impl Iterator<Item = &'a Row> + use<'a, 'b> {
        of_user(&self.listed, asked).chain(of_user(&self.unlisted, asked))
    }

    pub(in crate::registry) fn is_empty(&self) -> bool {
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
pub(in crate::registry) fn of_user<'a, 'b>(
    rows: &'a BTreeSet<Row>,
    asked: Asked<'b>,
) -> impl Iterator<Item = &'a Row> + use<'a, 'b> {
    let beginning = asked.beginning();
    following(rows, &Position::before_users_like(&beginning.lower))
        .take_while(move |row| beginning.is_of(&row.binding().user()))
        .filter(move |row| asked.means(&row.binding().user()))
}

pub(in crate::registry) fn following<'a>(
    rows: &'a BTreeSet<Row>,
    place: &dyn Placed,
) -> impl Iterator<Item = &'a Row> + use<'a> {
    rows.range::<dyn Placed + '_, _>((Bound::Excluded(place), Bound::Unbounded))
}

/// The place of its transport in [`ByTransport`].
pub(in crate::registry) fn by_transport(registration: &Registration) -> usize {
    let known = registration.common.proxy_protocol;
    known.map_or(Transport::ALL.len(), |transport| transport as usize)
}
