//! What is to be asked of Kamailio: one target for each address of record in each table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::aor::Flushed;
use super::turns::Place;
use super::{Failure, FailureKind, Request};
use crate::kamailio::Fault;
use crate::registration::{Hidden, Key, Registration, Ruid, Text};
use crate::view::View;

/// Kamailio's own words are told up to so many characters.
const WORDS: usize = 200;

/// An address of record in one table, with the registrations of it that were picked.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) table: Arc<str>,
    pub(super) aor: Text,
    pub(super) username: Text,
    pub(super) domain: Option<Text>,
    /// In any order; none where only Kamailio's memory may have a contact.
    pub(super) picked: Vec<Arc<Registration>>,
    /// Whether these are all that the table has of the address of record.
    pub(super) whole: bool,
}

/// The targets of a request.
pub(super) fn targets(request: &Request, view: &View, tables: &[String]) -> Vec<Target> {
    let mut targets: BTreeMap<Place, Target> = BTreeMap::new();
    for registration in &request.registrations {
        let binding = &registration.binding;
        let place = (Arc::clone(&binding.key.table), binding.address_of_record());
        let target = targets.entry(place).or_insert_with_key(|(table, aor)| {
            let (username, domain) = (binding.username.clone(), binding.domain.clone());
            Target::new(Arc::clone(table), aor.clone(), username, domain)
        });
        target.picked.push(Arc::clone(registration));
    }
    for target in targets.values_mut() {
        let picked = contacts_of(&target.picked);
        let rows = target.rows(view);
        target.whole = rows.iter().all(|row| picked.contains(&row.binding.contact));
    }
    for (username, domain) in &request.further {
        for table in tables {
            let target =
                Target::without_row(table.as_str().into(), username.clone(), domain.clone());
            targets.entry(target.place()).or_insert(target);
        }
    }
    targets.into_values().collect()
}

impl Target {
    fn new(table: Arc<str>, aor: Text, username: Text, domain: Option<Text>) -> Self {
        Self {
            table,
            aor,
            username,
            domain,
            picked: Vec::new(),
            whole: true,
        }
    }

    fn without_row(table: Arc<str>, username: Text, domain: Option<Text>) -> Self {
        let mut aor = username.as_bytes().to_vec();
        if let Some(domain) = &domain {
            aor.push(b'@');
            aor.extend_from_slice(domain.as_bytes());
        }
        Self::new(table, aor.into(), username, domain)
    }

    pub(super) fn place(&self) -> Place {
        (Arc::clone(&self.table), self.aor.clone())
    }

    /// The rows of the address of record that may be shown.
    fn rows(&self, view: &View) -> Vec<Arc<Registration>> {
        let mut rows = view.rows_of(&self.username, self.domain.as_ref());
        rows.retain(|row| row.binding.key.table == self.table);
        rows
    }

    /// Leaves out what is not there any more since it was picked.
    pub(super) fn forget_what_went(&mut self, view: &View) {
        let rows = self.rows(view);
        let there: BTreeSet<&Key> = rows.iter().map(|row| &row.binding.key).collect();
        self.picked.retain(|one| there.contains(&one.binding.key));
    }

    /// What is to be hidden: the rows of what is gone, those with the same contact (the same contact of the same
    /// address of record may have several), and what Kamailio had in memory alone: its row may be on its way.
    pub(super) fn to_hide(&self, flushed: &Flushed, view: &View, at: i64) -> Vec<Hidden> {
        let contacts = contacts_of(&flushed.gone);
        let mut hidden: BTreeMap<Key, u64> = flushed
            .vanished
            .iter()
            .map(|ruid| (self.key(ruid), 0))
            .collect();
        for row in self.rows(view) {
            let key = &row.binding.key;
            if hidden.contains_key(key) || contacts.contains(&row.binding.contact) {
                hidden.insert(key.clone(), row.binding.row_fingerprint());
            }
        }
        let hide = |(key, fingerprint)| Hidden {
            key,
            fingerprint,
            at,
        };
        hidden.into_iter().map(hide).collect()
    }

    fn key(&self, ruid: &Text) -> Key {
        Key {
            table: Arc::clone(&self.table),
            ruid: Ruid(ruid.clone()),
        }
    }

    /// The failure that a fault is. What a caller reads has Kamailio's words at most, and no other program's.
    pub(super) fn failure(&self, fault: &Fault) -> Failure {
        tracing::debug!(%fault, "an address of record is not flushed");
        let kind = if fault.is_unreachable() {
            FailureKind::Unreachable
        } else if fault.is_timeout() {
            FailureKind::Timeout
        } else {
            FailureKind::Unconfirmed
        };
        let reason = match fault {
            Fault::Malformed(_) => "Kamailio's answer cannot be understood".to_owned(),
            fault => fault.to_string().chars().take(WORDS).collect(),
        };
        Failure {
            aor: self.aor.clone(),
            reason,
            kind,
        }
    }

    pub(super) fn unconfirmed(&self, reason: &str) -> Failure {
        Failure {
            aor: self.aor.clone(),
            reason: reason.to_owned(),
            kind: FailureKind::Unconfirmed,
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

fn contacts_of(registrations: &[Arc<Registration>]) -> BTreeSet<&Text> {
    registrations
        .iter()
        .map(|one| &one.binding.contact)
        .collect()
}
