//! Rows that only Kamailio can tell apart: what is to be asked about them, and which of them it does not have.
//!
//! A row that Kamailio does not have while it has another of the same contact is *superseded* and not listed. That is
//! forgotten as soon as the row changes or Kamailio has none of them any more. After a restart it is presumed of the rows
//! that were told to be gone, until Kamailio has been asked again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use xxhash_rust::xxh3::Xxh3;

use crate::registration::{Key, Registration};
use crate::registry::lists::order::{Contact, Row};

/// Rows of one contact that only Kamailio can tell apart, as they were at one moment.
#[derive(Clone, Debug)]
pub struct Ambiguous {
    contact: Contact,
    fingerprint: u64,
    /// The rows.
    pub rows: Vec<Arc<Registration>>,
}

/// How much to ask at a time, and what for.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    /// How many contacts that have changed since they were asked about, or for which no answer counts.
    pub changed: usize,
    /// How many others.
    pub again: usize,
    /// An answer from before this moment (of the monotonic clock) does not count.
    pub void_before: Duration,
    /// One from before this moment may have become untrue.
    pub again_before: Duration,
}

/// When a contact was asked about, if it was so since it changed; and in what order contacts came here.
type Turn = (Option<Duration>, u64);

/// Before all contacts that were asked about, and after all others.
const ASKED: Turn = (Some(Duration::ZERO), 0);

/// Every contact with rows that only Kamailio can tell apart. There are few of them.
#[derive(Debug, Default)]
pub(in crate::registry) struct Ambiguities {
    contacts: BTreeMap<Contact, Entry>,
    turns: BTreeMap<Turn, Contact>,
    last_turn: u64,
    /// What Kamailio does not have, with the row's fingerprint at that time.
    superseded: HashMap<Key, (u64, Contact)>,
}

#[derive(Debug)]
struct Entry {
    turn: Turn,
    /// Changes with each of the rows.
    fingerprint: u64,
}

impl Ambiguities {
    pub(in crate::registry) fn is_empty(&self) -> bool {
        self.contacts.is_empty()
    }

    pub(in crate::registry) fn has(&self, contact: &Contact) -> bool {
        self.contacts.contains_key(contact)
    }

    pub(in crate::registry) fn is_superseded(&self, key: &Key) -> bool {
        self.superseded.contains_key(key)
    }

    /// How many rows are superseded.
    pub(in crate::registry) fn superseded(&self) -> usize {
        self.superseded.len()
    }

    /// The contacts of superseded rows.
    pub(in crate::registry) fn contacts_of_superseded(&self) -> impl Iterator<Item = &Contact> {
        self.superseded.values().map(|(_, contact)| contact)
    }

    /// Forgets that a row is superseded that goes or is not what it was any more.
    pub(in crate::registry) fn release_changed(&mut self, key: &Key, now: Option<&Registration>) {
        if let Some((fingerprint, _)) = self.superseded.get(key)
            && now.is_none_or(|now| now.binding.row_fingerprint() != *fingerprint)
        {
            self.superseded.remove(key);
        }
    }

    /// Forgets some superseded rows; returns them with their contacts.
    pub(in crate::registry) fn release_some(&mut self, limit: usize) -> Vec<(Key, Contact)> {
        let some: Vec<Key> = self.superseded.keys().take(limit).cloned().collect();
        let contact = |key: Key| {
            let (_, contact) = self.superseded.remove(&key)?;
            Some((key, contact))
        };
        some.into_iter().filter_map(contact).collect()
    }

    /// Which rows are superseded where these sets are what only Kamailio can tell apart: in each there must be one that
    /// Kamailio has.
    pub(in crate::registry) fn superseded_of(&self, sets: &[Vec<Row>]) -> HashSet<Key> {
        if self.superseded.is_empty() {
            return HashSet::new();
        }
        let mut superseded = HashSet::new();
        for set in sets {
            let keys = set.iter().map(|row| &row.binding().key);
            let (gone, there): (Vec<&Key>, Vec<&Key>) =
                keys.partition(|key| self.is_superseded(key));
            if !there.is_empty() {
                superseded.extend(gone.into_iter().cloned());
            }
        }
        superseded
    }

    /// Notes the rows that a contact has now, the sets of them that only Kamailio can tell apart, and those of them that
    /// [are superseded](Self::superseded_of) still.
    pub(in crate::registry) fn note<'a>(
        &mut self,
        contact: &Contact,
        rows: impl Iterator<Item = &'a Row>,
        sets: &[Vec<Row>],
        superseded: &HashSet<Key>,
    ) {
        if !self.superseded.is_empty() {
            for row in rows {
                if !superseded.contains(&row.binding().key) {
                    self.superseded.remove(&row.binding().key);
                }
            }
        }
        let fingerprint = (!sets.is_empty()).then(|| fingerprint(sets.iter().flatten()));
        let known = self.contacts.get(contact).map(|entry| entry.fingerprint);
        if known == fingerprint {
            return;
        }
        self.forget(contact);
        if let Some(fingerprint) = fingerprint {
            // The row by which the contact was known may be gone, and would be kept in memory.
            let contact = Contact(sets[0][0].clone());
            self.enter(contact, None, fingerprint);
        }
    }

    /// The contacts to ask about now: the newest changes first, then those asked about the longest ago.
    pub(in crate::registry) fn due(&self, due: &Due) -> Vec<Ambiguous> {
        let unasked = self.turns.range(..ASKED).rev();
        let at_before = |before: Duration| move |((at, _), _): &(&Turn, _)| *at < Some(before);
        let void = self
            .turns
            .range(ASKED..)
            .take_while(at_before(due.void_before));
        let old = self
            .turns
            .range(ASKED..)
            .skip_while(at_before(due.void_before))
            .take_while(at_before(due.again_before));
        let changed = unasked.chain(void).take(due.changed);
        let question = |(_, contact): (&Turn, &Contact)| {
            let fingerprint = self.contacts.get(contact)?.fingerprint;
            Some(Ambiguous {
                contact: contact.clone(),
                fingerprint,
                rows: Vec::new(),
            })
        };
        changed
            .chain(old.take(due.again))
            .filter_map(question)
            .collect()
    }

    /// The contacts.
    pub(in crate::registry) fn contacts(&self) -> impl Iterator<Item = &Contact> {
        self.contacts.keys()
    }

    /// Takes a row of a contact for superseded, without having asked.
    pub(in crate::registry) fn presume_superseded(&mut self, row: &Row, contact: &Contact) {
        let why = (row.binding().row_fingerprint(), contact.clone());
        self.superseded.insert(row.binding().key.clone(), why);
    }

    /// Takes over what Kamailio `has` of the sets that were asked about, where nothing has changed since. Returns
    /// whether that was so.
    pub(in crate::registry) fn decide(
        &mut self,
        asked: &Ambiguous,
        sets: &[Vec<Row>],
        has: impl Fn(&Key) -> bool,
        now: Duration,
    ) -> bool {
        let entry = self.contacts.get(&asked.contact);
        if entry.is_none_or(|entry| entry.fingerprint != asked.fingerprint) {
            return false;
        }
        self.forget(&asked.contact);
        self.enter(asked.contact.clone(), Some(now), asked.fingerprint);
        for set in sets {
            let (there, gone): (Vec<&Row>, Vec<&Row>) =
                set.iter().partition(|row| has(&row.binding().key));
            for row in &there {
                self.superseded.remove(&row.binding().key);
            }
            for row in gone {
                let key = row.binding().key.clone();
                // One of another server's is not missed by this one.
                if there.iter().any(|one| server_id(one) == server_id(row)) {
                    let fingerprint = row.binding().row_fingerprint();
                    let why = (fingerprint, asked.contact.clone());
                    self.superseded.insert(key, why);
                } else {
                    self.superseded.remove(&key);
                }
            }
        }
        true
    }

    fn enter(&mut self, contact: Contact, asked: Option<Duration>, fingerprint: u64) {
        self.last_turn += 1;
        let turn = (asked, self.last_turn);
        self.turns.insert(turn, contact.clone());
        self.contacts.insert(contact, Entry { turn, fingerprint });
    }

    fn forget(&mut self, contact: &Contact) {
        if let Some(entry) = self.contacts.remove(contact) {
            self.turns.remove(&entry.turn);
        }
    }
}

impl Ambiguous {
    /// The contact.
    pub(in crate::registry) fn contact(&self) -> &Contact {
        &self.contact
    }
}

fn server_id(row: &Row) -> i64 {
    row.binding().server_id.map_or(0, i64::from)
}

/// Changes with each row.
fn fingerprint<'a>(rows: impl Iterator<Item = &'a Row>) -> u64 {
    let mut hash = Xxh3::new();
    for row in rows {
        let binding = row.binding();
        for text in [binding.key.table.as_bytes(), binding.key.ruid.0.as_bytes()] {
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        hash.update(&binding.row_fingerprint().to_le_bytes());
    }
    hash.digest()
}
