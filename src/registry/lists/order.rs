//! The order of lists: username (in any case, as lists show it), then contact.
//!
//! A row's place follows from the row itself, so that keeping it in order takes little memory.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::sync::Arc;

use crate::registration::{Binding, OnNode, Registration, lower_shown, shown};

/// The end of a part of a [`Position`].
const END: &[u8] = &[0, 0];

/// A place in the order of lists, as bytes that compare like the rows: lower-cased username, contact, domain,
/// exact username, table, ruid; each ended by 0 0, with a zero byte inside written as 0 1.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Position(Arc<[u8]>);

/// A registration at its place in the order of lists.
#[derive(Clone, Debug)]
pub(in crate::registry) struct Row {
    /// What its [`Position`] begins with: nearly always enough to compare rows without a look at them.
    head: Head,
    registration: Arc<Registration>,
}

/// Bytes that compare like numbers.
type Head = [u64; 2];

/// A contact of an address of record, told by one of its rows; contacts are in the order of lists.
#[derive(Clone, Debug)]
pub(in crate::registry) struct Contact(pub(in crate::registry) Row);

/// Just before all rows that [share their contact](Row::shares_contact) with a row.
#[derive(Debug)]
pub(in crate::registry) struct BeforeContact<'a>(pub(in crate::registry) &'a Row);

/// Something to look for in the order of lists.
pub(in crate::registry) trait Placed {
    fn place(&self) -> Place<'_>;
}

/// A place in the order of lists, whatever tells it.
pub(in crate::registry) enum Place<'a> {
    /// That of a row.
    Row(&'a Row),
    /// Just before all rows that share their contact with this one.
    BeforeContact(&'a Row),
    /// As it was given out.
    Bytes(&'a [u8]),
}

impl Position {
    /// The place of this row.
    fn of(binding: &Binding) -> Self {
        let mut key = contact_id(binding);
        part(&mut key, binding.key.table.as_bytes());
        part(&mut key, binding.key.ruid.0.as_bytes());
        Self(key.into())
    }

    /// A place as it was given out, for [`Registry::page`](crate::registry::Registry::page) to go on from; any bytes will do.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The place just before all rows of users whose names begin so; lower case counts.
    pub(in crate::registry) fn before_users_like(beginning: &[u8]) -> Self {
        let mut key = user_prefix(beginning);
        key.truncate(key.len() - END.len());
        Self(key.into())
    }

    /// The place of a registration.
    #[must_use]
    pub fn of_registration(registration: &Registration) -> Self {
        match &registration.common.node {
            None => Self::of(&registration.binding),
            Some(node) => Self::in_fleet(&registration.binding, node),
        }
    }

    /// The place of a row of a fleet: as the fleet's database orders texts, and with the node at the end.
    fn in_fleet(binding: &Binding, node: &OnNode) -> Self {
        let mut key = Vec::with_capacity(160);
        part(&mut key, lower_shown(&binding.user()).as_bytes());
        part(&mut key, shown(binding.contact.as_bytes()).as_bytes());
        key.extend(contact_id(binding));
        part(&mut key, binding.key.table.as_bytes());
        part(&mut key, binding.key.ruid.0.as_bytes());
        part(&mut key, node.name.as_bytes());
        Self(key.into())
    }

    /// The user at this place of a fleet's list, as the fleet's database has the name.
    #[must_use]
    pub fn shown_user(&self) -> String {
        let end = self.0.iter().position(|byte| *byte == 0);
        shown(&self.0[..end.unwrap_or(self.0.len())])
    }

    /// The bytes, to be given out.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Row {
    pub(in crate::registry) fn new(registration: Arc<Registration>) -> Self {
        Self {
            head: head(&registration.binding.user()),
            registration,
        }
    }

    pub(in crate::registry) fn registration(&self) -> &Arc<Registration> {
        &self.registration
    }

    pub(in crate::registry) fn binding(&self) -> &Binding {
        &self.registration.binding
    }

    pub(in crate::registry) fn position(&self) -> Position {
        Position::of(self.binding())
    }

    /// Whether both are of the same contact: username, domain and contact URI are the same.
    pub(in crate::registry) fn shares_contact(&self, other: &Self) -> bool {
        self.head == other.head && by_contact(self.binding(), other.binding()).is_eq()
    }
}

impl Placed for Row {
    fn place(&self) -> Place<'_> {
        Place::Row(self)
    }
}

impl Placed for BeforeContact<'_> {
    fn place(&self) -> Place<'_> {
        Place::BeforeContact(self.0)
    }
}

impl Placed for Position {
    fn place(&self) -> Place<'_> {
        Place::Bytes(&self.0)
    }
}

impl<'a> Borrow<dyn Placed + 'a> for Row {
    fn borrow(&self) -> &(dyn Placed + 'a) {
        self
    }
}

impl Ord for Place<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Row(a), Self::Row(b)) => by_head(a, b).then_with(|| {
                let (a, b) = (&a.binding().key, &b.binding().key);
                (&a.table, &a.ruid).cmp(&(&b.table, &b.ruid))
            }),
            (Self::BeforeContact(a), Self::Row(b)) => by_head(a, b).then(Ordering::Less),
            (Self::Row(a), Self::BeforeContact(b)) => by_head(a, b).then(Ordering::Greater),
            (Self::BeforeContact(a), Self::BeforeContact(b)) => by_head(a, b),
            (Self::Bytes(_), _) | (_, Self::Bytes(_)) => self.position().cmp(&other.position()),
        }
    }
}

impl Place<'_> {
    fn position(&self) -> Position {
        match self {
            Self::Row(row) => row.position(),
            Self::BeforeContact(row) => Position(contact_id(row.binding()).into()),
            Self::Bytes(bytes) => Position::from_bytes(bytes),
        }
    }
}

impl PartialOrd for Place<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Place<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Place<'_> {}

impl Ord for dyn Placed + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

impl PartialOrd for dyn Placed + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Placed + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for dyn Placed + '_ {}

impl Ord for Row {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

impl PartialOrd for Row {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Row {}

impl Ord for Contact {
    fn cmp(&self, other: &Self) -> Ordering {
        by_head(&self.0, &other.0)
    }
}

impl PartialOrd for Contact {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Contact {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Contact {}

/// The place before all rows of the user, whatever the username's case. Rows of this user start with it.
fn user_prefix(username: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(username.len() + 2);
    part(&mut key, &username.to_ascii_lowercase());
    key
}

/// The first bytes of [`user_prefix`] as numbers that compare like them. No user's prefix begins with that of
/// another one, so two that differ in their heads are in order.
fn head(username: &[u8]) -> Head {
    const BYTES: usize = size_of::<Head>();
    let mut head = [0; BYTES];
    let start = &username[..username.len().min(BYTES)];
    if start.contains(&0) {
        for (to, from) in head.iter_mut().zip(user_prefix(start)) {
            *to = from;
        }
    } else {
        head[..start.len()].copy_from_slice(start);
        head.make_ascii_lowercase();
    }
    let number = u128::from_be_bytes(head);
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    [(number >> 64) as u64, number as u64]
}

fn by_head(a: &Row, b: &Row) -> Ordering {
    let heads = a.head.cmp(&b.head);
    heads.then_with(|| by_contact(a.binding(), b.binding()))
}

/// The order of rows by what those of one contact have in common; the bytes of [`contact_id`] are in the same order.
fn by_contact(a: &Binding, b: &Binding) -> Ordering {
    fn lower(user: &[u8]) -> impl Iterator<Item = u8> {
        user.iter().map(u8::to_ascii_lowercase)
    }
    lower(&a.user())
        .cmp(lower(&b.user()))
        .then_with(|| a.contact.cmp(&b.contact))
        .then_with(|| a.domain.cmp(&b.domain))
        .then_with(|| a.username.cmp(&b.username))
}

/// What rows of one contact have in common: username, contact and domain.
fn contact_id(binding: &Binding) -> Vec<u8> {
    let mut key = Vec::with_capacity(128);
    part(&mut key, &binding.user().to_ascii_lowercase());
    part(&mut key, binding.contact.as_bytes());
    match &binding.domain {
        Some(domain) => {
            key.push(1);
            part(&mut key, domain.as_bytes());
        }
        None => key.push(0),
    }
    part(&mut key, binding.username.as_bytes());
    key
}

fn part(key: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        key.push(*byte);
        if *byte == 0 {
            key.push(1);
        }
    }
    key.extend_from_slice(END);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::registration::testing::{binding, registration};

    fn rows() -> impl Strategy<Value = Row> {
        let text = "[abA\u{0}\u{1}]{0,10}|[ab]{14}[abA\u{0}\u{1}]{0,4}";
        let domain = proptest::option::of("[a\u{0}]{0,2}");
        (text, "[ab\u{0}]{0,2}", domain, "[12]").prop_map(|(user, contact, domain, ruid)| {
            let row = Binding {
                domain: domain.map(|domain| domain.as_str().into()),
                ..binding(&ruid, &user, &contact, 0)
            };
            Row::new(Arc::new(registration(row, None)))
        })
    }

    proptest! {
        /// Whatever tells a place, the order is that of the bytes that are given out.
        #[test]
        fn rows_compare_like_their_positions(a in rows(), b in rows()) {
            let bytes = a.position().cmp(&b.position());
            prop_assert_eq!(a.cmp(&b), bytes);
            prop_assert_eq!(Place::Row(&a).cmp(&Place::Bytes(b.position().as_bytes())), bytes);
            let before = Position(contact_id(b.binding()).into());
            prop_assert_eq!(Place::Row(&a).cmp(&Place::BeforeContact(&b)), a.position().cmp(&before));
            prop_assert_eq!(Place::BeforeContact(&b).cmp(&Place::Row(&a)), before.cmp(&a.position()));
            prop_assert_eq!(a.shares_contact(&b), contact_id(a.binding()) == contact_id(b.binding()));
        }
    }
}
