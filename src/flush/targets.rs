//! What is to be asked of Kamailio: one target for each address of record in each table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::aor::Flushed;
use super::turns::Place;
use super::work::Round;
use super::{Failure, FailureKind, Request};
use crate::kamailio::Fault;
use crate::registration::{AddressOfRecord, Hidden, Key, Registration, Ruid, Text};
use crate::registry::Registry;

const WITHDRAWN: &str =
    "not removed: the caller's right to flush the account was withdrawn meanwhile";

/// An address of record in one table, with the registrations of it that were picked.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) table: Arc<str>,
    pub(super) aor: Text,
    pub(super) username: Text,
    pub(super) domain: Option<Text>,
    /// In any order; none where only Kamailio's memory may have a contact.
    pub(super) picked: Vec<Arc<Registration>>,
    /// What the store has as hidden already, in case that we end before it is known.
    pub(super) announced: Vec<Hidden>,
}

/// The targets of a request, and those of its addresses of record that Kamailio cannot be asked about.
pub(super) fn targets(request: &Request, tables: &[String]) -> (Vec<Target>, Vec<Failure>) {
    let mut targets: BTreeMap<(Arc<str>, Text, Option<Text>), Target> = BTreeMap::new();
    let mut failures: BTreeMap<Place, Failure> = BTreeMap::new();
    for registration in &request.registrations {
        let binding = &registration.binding;
        let (table, aor) = (&binding.key.table, binding.address_of_record());
        match aor.for_rpc() {
            Ok(aor) => {
                let (username, domain) = (&binding.username, &binding.domain);
                let place = (Arc::clone(table), username.clone(), domain.clone());
                let target = targets.entry(place).or_insert_with_key(|(table, _, _)| {
                    let table = Arc::clone(table);
                    Target::new(table, aor.clone(), username.clone(), domain.clone())
                });
                target.picked.push(Arc::clone(registration));
            }
            Err(why) => {
                let aor = aor.name();
                let place = (Arc::clone(table), aor.clone());
                let failure = || unconfirmed(aor, &why.to_string());
                failures.entry(place).or_insert_with(failure);
            }
        }
    }
    for (username, domain) in &request.further {
        // No row was picked that would be missed.
        let aor = AddressOfRecord::new(username, domain.as_ref());
        let Ok(aor) = aor.for_rpc() else { continue };
        for table in tables {
            let table: Arc<str> = table.as_str().into();
            let place = (Arc::clone(&table), username.clone(), domain.clone());
            targets.entry(place).or_insert_with(|| {
                Target::new(table, aor.clone(), username.clone(), domain.clone())
            });
        }
    }
    (
        targets.into_values().collect(),
        failures.into_values().collect(),
    )
}

impl Target {
    fn new(table: Arc<str>, aor: Text, username: Text, domain: Option<Text>) -> Self {
        Self {
            table,
            aor,
            username,
            domain,
            picked: Vec::new(),
            announced: Vec::new(),
        }
    }

    pub(super) fn place(&self) -> Place {
        (Arc::clone(&self.table), self.aor.clone())
    }

    /// What is to be hidden should all that was picked go.
    pub(super) fn intended(&self, at: i64) -> impl Iterator<Item = Hidden> {
        self.picked.iter().map(move |one| Hidden {
            key: one.binding.key.clone(),
            fingerprint: one.binding.row_fingerprint(),
            at,
        })
    }

    /// The rows of the address of record that may be shown.
    pub(super) fn rows(&self, registry: &Registry) -> Vec<Arc<Registration>> {
        let mut rows = registry.rows_of(&self.username, self.domain.as_ref());
        rows.retain(|row| row.binding.key.table == self.table);
        rows
    }

    /// The rows that are the account's now. What was picked and is none of them is left out: another flush may have
    /// been faster, or it has another owner. That is neither the account's to count nor missing.
    pub(super) fn keep_own(&mut self, round: &Round<'_>) -> Vec<Arc<Registration>> {
        let mut rows = self.rows(&round.parts.registry);
        rows.retain(|row| round.is_own(row));
        let there: BTreeSet<&Key> = rows.iter().map(|row| &row.binding.key).collect();
        self.picked.retain(|one| there.contains(&one.binding.key));
        rows
    }

    /// The keys of those rows that a list shows.
    pub(super) fn listed(&self, registry: &Registry) -> BTreeSet<Key> {
        let listed = registry.listed_of(&self.username, self.domain.as_ref());
        listed.iter().map(|row| row.binding.key.clone()).collect()
    }

    /// What is to be hidden: what is gone; of the rows that were there before, those that no list showed because of it
    /// (they have its contact, and would take its place); and what Kamailio had in memory alone: its row may be on its
    /// way. Nothing that Kamailio has after all: it is from a later REGISTER.
    pub(super) fn to_hide(&self, flushed: &Flushed) -> Vec<Hidden> {
        let contacts = contacts_of(&flushed.gone);
        let gone: BTreeSet<&Key> = flushed.gone.iter().map(|one| &one.binding.key).collect();
        let mut hidden: BTreeMap<Key, u64> = flushed
            .vanished
            .iter()
            .map(|ruid| (self.key(ruid), 0))
            .collect();
        for row in &flushed.rows {
            let key = &row.binding.key;
            let is_behind =
                !flushed.listed.contains(key) && contacts.contains(&row.binding.contact);
            let is_gone = hidden.contains_key(key) || gone.contains(key) || is_behind;
            if is_gone && !flushed.alive.contains(&key.ruid.0) {
                hidden.insert(key.clone(), row.binding.row_fingerprint());
            }
        }
        let hide = |(key, fingerprint)| Hidden {
            key,
            fingerprint,
            at: flushed.at,
        };
        hidden.into_iter().map(hide).collect()
    }

    pub(super) fn key(&self, ruid: &Text) -> Key {
        Key {
            table: Arc::clone(&self.table),
            ruid: Ruid(ruid.clone()),
        }
    }

    /// The failure that a fault is.
    pub(super) fn failure(&self, fault: &Fault) -> Failure {
        tracing::debug!(
            aor = %self.aor.lossy(),
            %fault,
            cause = fault.cause(),
            "an address of record is not flushed"
        );
        failure(&self.aor, fault)
    }

    pub(super) fn unconfirmed(&self, reason: &str) -> Failure {
        unconfirmed(&self.aor, reason)
    }

    /// The failure of an address of record that the caller may not flush any more.
    pub(super) fn withdrawn(&self) -> Failure {
        Failure {
            kind: FailureKind::Withdrawn,
            ..self.unconfirmed(WITHDRAWN)
        }
    }

    /// The failure of an address of record that Kamailio was not asked about.
    pub(super) fn not_asked(&self, kind: FailureKind) -> Failure {
        Failure {
            kind,
            ..self.unconfirmed("not asked for, because Kamailio had stopped answering")
        }
    }
}

/// The failure of an address of record that a fault is. A caller reads our words alone.
pub(super) fn failure(aor: &Text, fault: &Fault) -> Failure {
    let (kind, reason) = match fault {
        Fault::Unreachable { .. } => (FailureKind::Unreachable, "Kamailio cannot be reached"),
        Fault::Timeout => (FailureKind::Timeout, "Kamailio did not answer in time"),
        Fault::TooLarge => (FailureKind::Unconfirmed, "Kamailio's answer is too large"),
        Fault::Unsendable(why) => {
            let reason = format!("the request cannot be sent to Kamailio: {why}");
            return unconfirmed(aor, &reason);
        }
        Fault::Malformed(_) => (
            FailureKind::Unconfirmed,
            "Kamailio's answer cannot be understood",
        ),
        Fault::Rpc { .. } => (
            FailureKind::Unconfirmed,
            "Kamailio refused, and usrlocd's log at notice has its words; ask again",
        ),
    };
    Failure {
        aor: aor.clone(),
        reason: reason.to_owned(),
        kind,
    }
}

fn unconfirmed(aor: &Text, reason: &str) -> Failure {
    Failure {
        aor: aor.clone(),
        reason: reason.to_owned(),
        kind: FailureKind::Unconfirmed,
    }
}

pub(super) fn contacts_of(registrations: &[Arc<Registration>]) -> BTreeSet<&Text> {
    registrations
        .iter()
        .map(|one| &one.binding.contact)
        .collect()
}
