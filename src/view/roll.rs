//! The rows of one scope (an account, or the whole system) in the order of lists, and which of them are listed.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::listing::{Listing, Page};
use super::order::{BeforeAlike, Placed, Position, Row};
use crate::registration::Registration;
use crate::sip::Transport;

/// Listed registrations by the place of their transport in [`Transport::ALL`]; the last have none that is known.
pub(super) type ByTransport = [usize; Transport::ALL.len() + 1];

/// Every row of a scope. What is kept about one scope depends on no row of another.
#[derive(Debug, Default)]
pub(super) struct Roll {
    /// Whether each is listed.
    rows: BTreeMap<Row, bool>,
    by_transport: ByTransport,
    /// Sum of the digests of the listed ones.
    revision: u64,
}

impl Roll {
    /// The roll of rows that are in order.
    pub(super) fn of_sorted(rows: &[Row], may_show: impl Fn(&Registration) -> bool) -> Self {
        let mut roll = Self::default();
        let mut marked = Vec::with_capacity(rows.len());
        for alike in rows.chunk_by(Row::is_alike) {
            let winner = winner(alike.iter(), &may_show);
            for row in alike {
                let listed = winner.is_some_and(|winner| std::ptr::eq(winner, row));
                if listed {
                    roll.count_in(row.registration());
                }
                marked.push((row.clone(), listed));
            }
        }
        roll.rows = marked.into_iter().collect();
        roll
    }

    /// Adds a row, not listed until it is [settled](Self::settle).
    pub(super) fn put_in(&mut self, row: Row) {
        self.rows.insert(row, false);
    }

    /// Removes a row; those alike are to be [settled](Self::settle) then.
    pub(super) fn take_out(&mut self, row: &Row) {
        if self.rows.remove(row) == Some(true) {
            self.count_out(row.registration());
        }
    }

    /// Lists the one of the rows alike `row` that is to be listed, and none of the others.
    pub(super) fn settle(&mut self, row: &Row, may_show: impl Fn(&Registration) -> bool) {
        let alike: Vec<(Row, bool)> = self
            .alike(row)
            .map(|(one, listed)| (one.clone(), *listed))
            .collect();
        let winner = winner(alike.iter().map(|(one, _)| one), &may_show);
        for (one, was_listed) in &alike {
            let listed = winner.is_some_and(|winner| std::ptr::eq(winner, one));
            if listed == *was_listed {
                continue;
            }
            if let Some(mark) = self.rows.get_mut(one) {
                *mark = listed;
            }
            if listed {
                self.count_in(one.registration());
            } else {
                self.count_out(one.registration());
            }
        }
    }

    /// How many are listed, and their revision.
    pub(super) fn count(&self) -> (usize, u64) {
        (self.listed(), self.revision)
    }

    pub(super) fn listed(&self) -> usize {
        self.by_transport.iter().sum()
    }

    pub(super) fn by_transport(&self) -> ByTransport {
        self.by_transport
    }

    pub(super) fn list(&self) -> Listing {
        let mut registrations = Vec::with_capacity(self.listed());
        registrations.extend(only_listed(self.rows.iter()).map(Arc::clone));
        Listing {
            registrations,
            revision: self.revision,
        }
    }

    /// The listed registrations of one SIP user.
    pub(super) fn list_user(&self, username: &[u8]) -> Listing {
        let own = self.after(&Position::before_user(username));
        let own = own.take_while(|(row, _)| row.is_of(username));
        let registrations: Vec<_> = only_listed(own).map(Arc::clone).collect();
        let sum = |sum: u64, one: &Arc<Registration>| sum.wrapping_add(one.digest());
        Listing {
            revision: registrations.iter().fold(0, sum),
            registrations,
        }
    }

    /// At most `limit` listed registrations after `position`.
    pub(super) fn page(&self, after: Option<&Position>, limit: usize) -> Page {
        let start = Position::from_bytes(&[]);
        let mut rows = self
            .after(after.unwrap_or(&start))
            .filter(|(_, listed)| **listed)
            .map(|(row, _)| row);
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

    /// Every row of one SIP user, whose name is matched in any case.
    pub(super) fn rows_of_user(&self, username: &[u8]) -> impl Iterator<Item = &Arc<Registration>> {
        self.after(&Position::before_user(username))
            .take_while(move |(row, _)| row.is_of(username))
            .map(|(row, _)| row.registration())
    }

    /// Every row.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.keys()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn alike(&self, row: &Row) -> impl Iterator<Item = (&Row, &bool)> {
        let before: &dyn Placed = &BeforeAlike(row);
        self.rows
            .range::<dyn Placed + '_, _>((Bound::Excluded(before), Bound::Unbounded))
            .take_while(|(one, _)| one.is_alike(row))
    }

    fn after(&self, position: &Position) -> impl Iterator<Item = (&Row, &bool)> + use<'_> {
        let position: &dyn Placed = position;
        self.rows
            .range::<dyn Placed + '_, _>((Bound::Excluded(position), Bound::Unbounded))
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

/// Of rows that are alike, the one that counts: the one modified last of those that may show.
fn winner<'a>(
    alike: impl Iterator<Item = &'a Row>,
    may_show: &impl Fn(&Registration) -> bool,
) -> Option<&'a Row> {
    alike
        .filter(|row| may_show(row.registration()))
        .max_by_key(|row| row.binding().last_modified)
}

fn only_listed<'a>(
    rows: impl Iterator<Item = (&'a Row, &'a bool)>,
) -> impl Iterator<Item = &'a Arc<Registration>> {
    rows.filter(|(_, listed)| **listed)
        .map(|(row, _)| row.registration())
}

fn by_transport(registration: &Registration) -> usize {
    let known = registration.common.proxy_protocol;
    known.map_or(Transport::ALL.len(), |transport| transport as usize)
}
