//! What Kamailio is asked about: one target for each address of record in each table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::authorization::Caller;
use super::failure::unconfirmed;
use super::turn::aor_lock::TableAor;
use super::{Failure, Parts, Request};
use crate::registration::{AddressOfRecord, Key, Registration, Ruid, Text};
use crate::registry::Registry;

/// An address of record in one table, with those of its registrations that were picked.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) table: Arc<str>,
    pub(super) aor: Text,
    pub(super) username: Text,
    pub(super) domain: Option<Text>,
    /// In any order; empty where only Kamailio's memory may have a contact.
    pub(super) picked: Vec<Arc<Registration>>,
}

/// What the tables have of a target just before it is removed.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Those of the account.
    pub(super) own: Vec<Arc<Registration>>,
    /// The keys of all that a list shows.
    pub(super) listed: BTreeSet<Key>,
}

/// The targets of a request, and the failures of those addresses of record that Kamailio cannot be asked about.
pub(super) fn targets(request: &Request, tables: &[String]) -> (Vec<Target>, Vec<Failure>) {
    let mut targets: BTreeMap<(Arc<str>, Text, Option<Text>), Target> = BTreeMap::new();
    let mut failures: BTreeMap<TableAor, Failure> = BTreeMap::new();
    for registration in &request.registrations {
        let binding = &registration.binding;
        let (table, aor) = (&binding.key.table, binding.address_of_record());
        match aor.for_rpc() {
            Ok(aor) => {
                let (username, domain) = (&binding.username, &binding.domain);
                let columns = (Arc::clone(table), username.clone(), domain.clone());
                let target = targets.entry(columns).or_insert_with_key(|(table, _, _)| {
                    let table = Arc::clone(table);
                    Target::new(table, aor.clone(), username.clone(), domain.clone())
                });
                target.picked.push(Arc::clone(registration));
            }
            Err(why) => {
                let aor = aor.name();
                failures
                    .entry((Arc::clone(table), aor.clone()))
                    .or_insert_with(|| unconfirmed(aor, &why.to_string()));
            }
        }
    }
    for (username, domain) in &request.further {
        // Nothing was picked of them, so nothing is missing where Kamailio cannot be asked.
        let aor = AddressOfRecord::new(username, domain.as_ref());
        let Ok(aor) = aor.for_rpc() else { continue };
        for table in tables {
            let table: Arc<str> = table.as_str().into();
            let columns = (Arc::clone(&table), username.clone(), domain.clone());
            targets.entry(columns).or_insert_with(|| {
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
        }
    }

    pub(super) fn table_aor(&self) -> TableAor {
        (Arc::clone(&self.table), self.aor.clone())
    }

    pub(super) fn key(&self, ruid: &Text) -> Key {
        Key {
            table: Arc::clone(&self.table),
            ruid: Ruid(ruid.clone()),
        }
    }

    /// The rows of the address of record that may be listed.
    pub(super) fn rows(&self, parts: &Parts) -> Vec<Arc<Registration>> {
        let registry = &parts.registry;
        let mut rows = registry.rows_of(&self.username, self.domain.as_ref());
        rows.retain(|row| row.binding.key.table == self.table && parts.is_own(row));
        rows
    }

    /// The keys of those rows that a list shows.
    pub(super) fn listed(&self, registry: &Registry) -> BTreeSet<Key> {
        let listed = registry.listed_of(&self.username, self.domain.as_ref());
        listed.iter().map(|row| row.binding.key.clone()).collect()
    }

    /// Drops from what was picked all that is not the account's any more: another flush was faster, or it has changed
    /// hands. It is neither counted nor missing.
    pub(super) fn keep_own(&mut self, caller: Caller<'_>, parts: &Parts) -> Rows {
        let mut own = self.rows(parts);
        own.retain(|row| caller.owns(row));
        let keys: BTreeSet<&Key> = own.iter().map(|row| &row.binding.key).collect();
        self.picked.retain(|one| keys.contains(&one.binding.key));
        let listed = self.listed(&parts.registry);
        Rows { own, listed }
    }

    /// Whether the row of this ruid, listed or not, is another account's.
    pub(super) fn is_anothers(&self, ruid: &Text, caller: Caller<'_>, registry: &Registry) -> bool {
        let row = registry.get(&self.key(ruid));
        row.is_some_and(|row| !caller.owns(&row))
    }
}

/// The contacts of registrations, each once.
pub(super) fn contacts_of(registrations: &[Arc<Registration>]) -> BTreeSet<&Text> {
    registrations
        .iter()
        .map(|one| &one.binding.contact)
        .collect()
}
