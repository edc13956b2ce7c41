//! What has been done of a flush.

use std::collections::HashSet;

use super::failure;
use super::steps::judge::Flushed;
use super::target::Target;
use super::{Failure, Outcome};
use crate::consumers::store;
use crate::kamailio::Fault;
use crate::registration::{Hidden, Key, Text};

/// What has been done of a flush.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) outcome: Outcome,
    /// What the registry hides because of it.
    pub(super) hidden: Vec<Hidden>,
    /// The addresses of record that are confirmed to be gone.
    gone: Vec<Text>,
    /// The bindings that are counted as flushed and hidden.
    counted: HashSet<Key>,
    /// Why some of it was not even tried.
    pub(super) error: Option<store::Error>,
}

impl Done {
    /// Nothing: Kamailio did not even report its uptime.
    pub(super) fn nothing(targets: &[Target], fault: &Fault) -> Self {
        tracing::debug!(%fault, cause = fault.cause(), "cannot begin a flush");
        let failed = targets
            .iter()
            .map(|one| failure::of_fault(&one.aor, fault))
            .collect();
        Self {
            outcome: Outcome { flushed: 0, failed },
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, aor: Text, flushed: Flushed) {
        let count = flushed.gone.len() as u64 + flushed.back;
        self.outcome.flushed += count;
        if count > 0 && flushed.failure.is_none() {
            self.gone.push(aor);
        }
        let keys = flushed.gone.iter().map(|one| one.binding.key.clone());
        self.counted.extend(keys);
        self.outcome.failed.extend(flushed.failure);
        self.hidden.extend(flushed.hidden);
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.outcome.flushed += other.outcome.flushed;
        self.outcome.failed.extend(other.outcome.failed);
        self.hidden.extend(other.hidden);
        self.gone.extend(other.gone);
        self.counted.extend(other.counted);
        self.error = self.error.take().or(other.error);
    }

    /// Takes rows, all of one address of record, out of the count; it fails for them.
    pub(super) fn take_back<'a>(&mut self, rows: impl Iterator<Item = &'a Key>, failure: Failure) {
        let counted = rows.filter(|key| self.counted.remove(*key)).count() as u64;
        self.outcome.flushed = self.outcome.flushed.saturating_sub(counted);
        self.gone.retain(|aor| *aor != failure.aor);
        if !self.outcome.failed.iter().any(|one| one.aor == failure.aor) {
            self.outcome.failed.push(failure);
        }
    }

    /// Takes back all: every address of record fails for this reason.
    pub(super) fn take_back_all(&mut self, reason: &str) {
        self.outcome.flushed = 0;
        let failures = self
            .gone
            .drain(..)
            .map(|aor| failure::unconfirmed(&aor, reason));
        self.outcome.failed.extend(failures);
    }
}
