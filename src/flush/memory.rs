//! What Kamailio's memory has of an address of record.

use std::collections::{BTreeMap, BTreeSet};

use crate::kamailio::{Contact, Lookup};
use crate::registration::{Binding, Registration, Text};

/// What Kamailio's memory has of an address of record.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// Whether it knows the address of record, be it without a contact.
    pub(super) is_known: bool,
    /// The contacts that are in force, by ruid.
    pub(super) contacts: BTreeMap<Text, Contact>,
    /// The URIs of contacts that are expired or removed and wait for usrloc's timer. `ul.rm_contact` finds them as well.
    passed: Vec<Text>,
    /// What Kamailio read the address of record as, where that is not what it was asked for.
    pub(super) read_as: Option<Text>,
}

impl Memory {
    pub(super) fn of(lookup: Lookup) -> Self {
        let contacts = match lookup {
            Lookup::Found(contacts) => contacts,
            Lookup::NoContacts => Vec::new(),
            Lookup::NotFound => return Self::default(),
            Lookup::Misread { read_as } => {
                return Self {
                    read_as: Some(read_as),
                    ..Self::default()
                };
            }
        };
        let (in_force, passed): (Vec<_>, Vec<_>) = contacts.into_iter().partition(Contact::is_live);
        Self {
            is_known: true,
            contacts: in_force
                .into_iter()
                .map(|contact| (contact.ruid.0.clone(), contact))
                .collect(),
            passed: passed.into_iter().map(|contact| contact.address).collect(),
            read_as: None,
        }
    }

    /// What it must have had of these registrations, whose contacts it found one by one.
    pub(super) fn of_found<'a>(found: impl Iterator<Item = &'a Registration>) -> Self {
        let contact = |one: &Registration| (one.binding.key.ruid.0.clone(), of_row(&one.binding));
        Self {
            is_known: true,
            contacts: found.map(contact).collect(),
            ..Self::default()
        }
    }

    /// How often `ul.rm_contact` finds a contact.
    pub(super) fn count(&self, contact: &Text) -> usize {
        let same = |one: &&Contact| one.address == *contact;
        self.contacts.values().filter(same).count() + self.passed_count(contact)
    }

    /// Whether `ul.rm_contact` may find one in place of the contact that is not in force any more.
    pub(super) fn has_passed(&self, contact: &Text) -> bool {
        self.passed_count(contact) > 0
    }

    /// Whether one that is in force and was not chosen has the same URI, so that Kamailio would take either.
    pub(super) fn shares(&self, contact: &Text, chosen: &BTreeSet<Text>) -> bool {
        let mut same = self
            .contacts
            .iter()
            .filter(|(_, one)| one.address == *contact);
        same.any(|(ruid, _)| !chosen.contains(ruid))
    }

    fn passed_count(&self, contact: &Text) -> usize {
        self.passed.iter().filter(|one| *one == contact).count()
    }
}

/// The contact that a row is.
fn of_row(row: &Binding) -> Contact {
    Contact {
        address: row.contact.clone(),
        ruid: row.key.ruid.clone(),
        expires: crate::kamailio::Expires::Permanent,
        call_id: row.call_id.clone(),
        cseq: row.cseq.map(i64::from),
        last_modified: Some(row.last_modified),
        received: row.received.clone(),
        user_agent: row.user_agent.clone(),
    }
}
