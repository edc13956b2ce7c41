//! The rows of one scope (an account, or the whole system) in the order of lists, and which of them are listed.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use super::listing::{Listing, Page};
use super::named::Asked;
use super::order::{BeforeAlike, Placed, Position, Row};
use crate::registration::Registration;
use crate::sip::Transport;

/// Listed registrations by the place of their transport in [`Transport::ALL`]; the last have none that is known.
pub(super) type ByTransport = [usize; Transport::ALL.len() + 1];

/// Every row of a scope. What is kept about one scope depends on no row of another.
///
/// There are as many rows as registrations, and all but a few are listed: nothing is noted beside a row.
#[derive(Debug, Default)]
pub(super) struct Roll {
    listed: BTreeSet<Row>,
    /// Those that are hidden or not valid, and those alike a listed one.
    unlisted: BTreeSet<Row>,
    by_transport: ByTransport,
    /// Sum of the digests of the listed ones.
    revision: u64,
}

impl Roll {
    /// The roll of rows that are in order.
    pub(super) fn of_sorted(rows: &[Row], may_show: impl Fn(&Registration) -> bool) -> Self {
        let mut roll = Self::default();
        let (mut on, mut off) = (Vec::with_capacity(rows.len()), Vec::new());
        for alike in rows.chunk_by(Row::is_alike) {
            let winner = winner(alike.iter(), &may_show);
            for row in alike {
                if winner.is_some_and(|winner| std::ptr::eq(winner, row)) {
                    roll.count_in(row.registration());
                    on.push(row.clone());
                } else {
                    off.push(row.clone());
                }
            }
        }
        roll.listed = on.into_iter().collect();
        roll.unlisted = off.into_iter().collect();
        roll
    }

    /// Adds a row, not listed until it is [settled](Self::settle).
    pub(super) fn put_in(&mut self, row: Row) {
        self.unlisted.insert(row);
    }

    /// Removes a row; those alike are to be [settled](Self::settle) then.
    pub(super) fn take_out(&mut self, row: &Row) {
        if self.listed.remove(row) {
            self.count_out(row.registration());
        } else {
            self.unlisted.remove(row);
        }
    }

    /// Lists the one of the rows alike `row` that is to be listed, and none of the others.
    pub(super) fn settle(&mut self, row: &Row, may_show: impl Fn(&Registration) -> bool) {
        let was_listed = alike(&self.listed, row).next().cloned();
        let candidates = was_listed.iter().chain(alike(&self.unlisted, row));
        let listed = winner(candidates, &may_show).cloned();
        if listed == was_listed {
            return;
        }
        if let Some(row) = was_listed {
            self.count_out(row.registration());
            self.listed.remove(&row);
            self.unlisted.insert(row);
        }
        if let Some(row) = listed {
            self.count_in(row.registration());
            self.unlisted.remove(&row);
            self.listed.insert(row);
        }
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

/// Of rows that are alike, the one that counts: the one modified last of those that may show; of those of one second the
/// last in order.
fn winner<'a>(
    alike: impl Iterator<Item = &'a Row>,
    may_show: &impl Fn(&Registration) -> bool,
) -> Option<&'a Row> {
    alike
        .filter(|row| may_show(row.registration()))
        .max_by_key(|row| (row.binding().last_modified, *row))
}

/// Those that count once together with `row`.
fn alike<'a>(rows: &'a BTreeSet<Row>, row: &'a Row) -> impl Iterator<Item = &'a Row> {
    following(rows, &BeforeAlike(row)).take_while(|one| one.is_alike(row))
}

/// Those of the SIP users whom a name means, the case of letters aside.
fn of_user<'a>(
    rows: &'a BTreeSet<Row>,
    asked: Asked<'a>,
) -> impl Iterator<Item = &'a Arc<Registration>> {
    let beginning = asked.beginning();
    following(rows, &Position::before_users_like(&beginning.lower))
        .map(Row::registration)
        .take_while(move |row| beginning.is_of(row.binding.username.as_bytes()))
        .filter(move |row| asked.means(row.binding.username.as_bytes()))
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
