//! What is to be asked of Kamailio: one target for each address of record in each table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::aor::Flushed;
use super::turns::Place;
use super::work::Round;
use super::{Failure, FailureKind, Request};
use crate::kamailio::Fault;
use crate::registration::{Hidden, Key, Registration, Ruid, Text};
use crate::view::View;

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

/// The targets of a request.
pub(super) fn targets(request: &Request, tables: &[String]) -> Vec<Target> {
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
            announced: Vec::new(),
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

    /// What is to be hidden should all that was picked go.
    pub(super) fn intended(&self, at: i64) -> impl Iterator<Item = Hidden> {
        self.picked.iter().map(move |one| Hidden {
            key: one.binding.key.clone(),
            fingerprint: one.binding.row_fingerprint(),
            at,
        })
    }

    /// The rows of the address of record that may be shown.
    pub(super) fn rows(&self, view: &View) -> Vec<Arc<Registration>> {
        let mut rows = view.rows_of(&self.username, self.domain.as_ref());
        rows.retain(|row| row.binding.key.table == self.table);
        rows
    }

    /// The rows that are the account's now. What was picked and is none of them is left out: another flush may have
    /// been faster, or it has another owner. That is neither the account's to count nor missing.
    pub(super) fn keep_own(&mut self, round: &Round<'_>) -> Vec<Arc<Registration>> {
        let mut rows = self.rows(&round.parts.view);
        rows.retain(|row| round.is_own(row));
        let there: BTreeSet<&Key> = rows.iter().map(|row| &row.binding.key).collect();
        self.picked.retain(|one| there.contains(&one.binding.key));
        rows
    }

    /// What is to be hidden: of the rows that were there before, those of what is gone and those with the same contact
    /// (the same contact of the same address of record may have several); and what Kamailio had in memory alone: its
    /// row may be on its way. Nothing that Kamailio has after all: it is from a later REGISTER.
    pub(super) fn to_hide(&self, flushed: &Flushed) -> Vec<Hidden> {
        let contacts = contacts_of(&flushed.gone);
        let mut hidden: BTreeMap<Key, u64> = flushed
            .vanished
            .iter()
            .map(|ruid| (self.key(ruid), 0))
            .collect();
        for row in &flushed.rows {
            let key = &row.binding.key;
            let is_gone = hidden.contains_key(key) || contacts.contains(&row.binding.contact);
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
        Failure {
            aor: self.aor.clone(),
            reason: reason.to_owned(),
            kind: FailureKind::Unconfirmed,
        }
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
        Fault::Unsendable(_) => (
            FailureKind::Unconfirmed,
            "the request cannot be sent to Kamailio: it is too long, or has a NUL byte",
        ),
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

pub(super) fn contacts_of(registrations: &[Arc<Registration>]) -> BTreeSet<&Text> {
    registrations
        .iter()
        .map(|one| &one.binding.contact)
        .collect()
}
