//! What Kamailio's memory has of an address of record.

use std::collections::{BTreeMap, BTreeSet};

use crate::kamailio::{Contact, Lookup};
use crate::registration::{Binding, Registration, Text};

/// What Kamailio's memory has of an address of record.
#[derive(Clone, Debug, Default)]
pub(in crate::flush) struct Memory {
    /// Whether it knows the address of record, with or without contacts.
    pub(in crate::flush) is_known: bool,
    /// The contacts that are in force, by ruid.
    pub(in crate::flush) contacts: BTreeMap<Text, Contact>,
    /// What Kamailio read the address of record as, where that is not what it was asked for.
    pub(in crate::flush) read_as: Option<Text>,
}

impl Memory {
    pub(in crate::flush) fn of(lookup: Lookup) -> Self {
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
        let in_force = contacts.into_iter().filter(Contact::is_live);
        Self {
            is_known: true,
            contacts: in_force
                .map(|contact| (contact.ruid.0.clone(), contact))
                .collect(),
            read_as: None,
        }
    }

    /// What it must have had, since it found the contacts of these registrations one by one.
    pub(in crate::flush) fn of_found<'a>(found: impl Iterator<Item = &'a Registration>) -> Self {
        let contact = |one: &Registration| (one.binding.key.ruid.0.clone(), of_row(&one.binding));
        Self {
            is_known: true,
            contacts: found.map(contact).collect(),
            ..Self::default()
        }
    }

    /// How many bindings have this contact.
    pub(in crate::flush) fn count(&self, contact: &Text) -> usize {
        let same = |one: &&Contact| one.address == *contact;
        self.contacts.values().filter(same).count()
    }

    /// Whether a binding that was not chosen has the same contact, so that Kamailio might remove either.
    pub(in crate::flush) fn shares(&self, contact: &Text, chosen: &BTreeSet<Text>) -> bool {
        let mut same = self
            .contacts
            .iter()
            .filter(|(_, one)| one.address == *contact);
        same.any(|(ruid, _)| !chosen.contains(ruid))
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

/// Whether `after` comes from a later REGISTER than `before`.
pub(in crate::flush) fn is_newer(after: &Contact, before: &Contact) -> bool {
    after.call_id != before.call_id || after.cseq > before.cseq
}
