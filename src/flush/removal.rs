//! One removal: in its turn, in a quiet moment, and again where Kamailio refuses it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::memory::Memory;
use super::queue::{Permit, Place};
use super::quiet::{Locked, Quiet};
use super::targets::Target;
use super::work::Round;
use super::writing::{Writes, Writing};
use super::{Failure, NOTICE};
use crate::kamailio::{Fault, Removed};
use crate::registration::{Registration, Text};

/// The pauses after refusals: another of Kamailio's workers wrote, which takes it milliseconds, or a whole write-back.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(1600),
];

/// A Kamailio that refuses so many removals in a row, each time they are asked for, is not asked again.
const HOPELESS: u32 = 3;

/// How many different refusals are told.
const TOLD: usize = 8;

/// The longest of Kamailio's words that are told, in characters.
const LONGEST: usize = 200;

const LOCKED: &str = "another program has held a lock on Kamailio's database for 10 s, so that Kamailio could not have \
     deleted the row; nothing was removed. Ask again once it is done";

const RESTARTED: &str = "not removed: Kamailio was restarted during the flush; ask again";

/// Why something was not removed.
#[derive(Debug)]
pub(super) enum Unremoved {
    /// Kamailio was asked.
    Fault(Fault),
    /// It was not asked: the caller may not any more.
    Withdrawn,
    /// It was not asked: it could not have written.
    Locked,
    /// It was not asked: it is not the Kamailio that had the contacts.
    Restarted,
}

/// What Kamailio has refused in one flush.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Refused>);

#[derive(Debug, Default)]
struct Refused {
    /// Code and words, and how often they came.
    words: BTreeMap<String, u64>,
    /// How many removals in a row were refused each time.
    in_vain: u32,
}

/// Waits for the turn of `place` to ask Kamailio for the contacts of an address of record, where that may be in
/// somebody's way: in `db_mode` 3 it reads its table for that.
pub(super) async fn turn_to_read(
    place: &Place,
    quiet: &Quiet,
    writing: &Writing,
) -> Option<Permit> {
    if writing.now() == Writes::Back {
        return None;
    }
    let permit = place.permit().await;
    quiet.wait_to_read().await;
    Some(permit)
}

impl Round<'_> {
    /// Waits for this flush's turn to ask for contacts.
    pub(super) async fn turn_to_read(&self) -> Option<Permit> {
        turn_to_read(&self.place, self.quiet, self.writing).await
    }

    /// Has Kamailio remove all contacts of an address of record, of which it has `contacts`.
    pub(super) async fn remove(
        &self,
        table: &str,
        aor: &Text,
        contacts: usize,
    ) -> Result<(), Unremoved> {
        let call = || self.kamailio().remove(table, aor);
        self.removed(contacts, call).await
    }

    /// Has Kamailio remove one contact of an address of record.
    pub(super) async fn remove_contact(
        &self,
        table: &str,
        aor: &Text,
        contact: &Text,
    ) -> Result<Removed, Unremoved> {
        let call = || self.kamailio().remove_contact(table, aor, contact);
        self.removed(1, call).await
    }

    /// Takes note of how Kamailio writes removals, as the removal of a whole address of record shows it: of one that had
    /// contacts with rows, and was not refused.
    pub(super) fn learn(&self, rows: &[Arc<Registration>], before: &Memory, after: &Memory) {
        let had_row =
            |row: &Arc<Registration>| before.contacts.contains_key(&row.binding.key.ruid.0);
        if !after.contacts.is_empty() || !rows.iter().any(had_row) {
            return;
        }
        if !after.is_known {
            self.writing.learn(Writes::Through);
        } else if !self.refusals.any() {
            self.writing.learn(Writes::Back);
        }
    }

    /// Removes by `call`, and again after a pause where Kamailio refuses.
    async fn removed<T, F: Future<Output = Result<T, Fault>>>(
        &self,
        contacts: usize,
        call: impl Fn() -> F,
    ) -> Result<T, Unremoved> {
        for pause in PAUSES {
            match self.remove_once(contacts, &call).await {
                Err(Unremoved::Fault(Fault::Rpc { code, message }))
                    if self.refusals.is_worth_a_try() =>
                {
                    self.refusals.note(code, &message);
                    tokio::time::sleep(pause).await;
                }
                other => return self.refusals.ended(other),
            }
        }
        self.refusals.ended(self.remove_once(contacts, &call).await)
    }

    async fn remove_once<T, F: Future<Output = Result<T, Fault>>>(
        &self,
        contacts: usize,
        call: impl Fn() -> F,
    ) -> Result<T, Unremoved> {
        let _permit = self.place.permit().await;
        if self.belief.was_restarted().await? {
            return Err(Unremoved::Restarted);
        }
        let begun = match self.writing.now() {
            // Nothing is written before its timer runs.
            Writes::Back => None,
            Writes::Through | Writes::Unknown => Some(self.quiet.wait().await?),
        };
        // It may have waited for long.
        if !self.warrant.holds() {
            return Err(Unremoved::Withdrawn);
        }
        let result = call().await;
        if let Some(begun) = begun {
            begun.ended(contacts, result.is_ok());
        }
        Ok(result?)
    }
}

impl Refusals {
    /// Takes note of a refusal.
    pub(super) fn note(&self, code: i64, message: &str) {
        let mut refused = self.refused();
        let words: String = format!("{code} {message}").chars().take(LONGEST).collect();
        if refused.words.len() < TOLD || refused.words.contains_key(&words) {
            *refused.words.entry(words).or_default() += 1;
        }
    }

    /// Whether there was any.
    pub(super) fn any(&self) -> bool {
        !self.refused().words.is_empty()
    }

    /// Says what Kamailio refused in this flush, if anything; its words are about no one in particular.
    pub(super) fn say(&self, request_id: &str, failed: usize) {
        let refused = self.refused();
        let total: u64 = refused.words.values().sum();
        if total == 0 {
            return;
        }
        let words = refused.words.iter();
        let words: Vec<String> = words
            .map(|(words, times)| format!("{words} ({times} times)"))
            .collect();
        let words = words.join("; ");
        tracing::info!(
            target: NOTICE,
            request_id,
            refused = total,
            failed,
            "Kamailio refused removals of a flush, which were tried again: {words}; its own log says why, mostly \"database is locked\""
        );
    }

    fn is_worth_a_try(&self) -> bool {
        self.refused().in_vain < HOPELESS
    }

    fn ended<T>(&self, result: Result<T, Unremoved>) -> Result<T, Unremoved> {
        let mut refused = self.refused();
        match &result {
            Err(Unremoved::Fault(Fault::Rpc { .. })) => refused.in_vain += 1,
            _ => refused.in_vain = 0,
        }
        result
    }

    fn refused(&self) -> MutexGuard<'_, Refused> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Target {
    /// The failure of what was not removed, unless it is a fault of the call.
    pub(super) fn unremoved(&self, why: Unremoved) -> Result<Failure, Fault> {
        match why {
            Unremoved::Fault(fault) => Err(fault),
            Unremoved::Withdrawn => Ok(self.withdrawn()),
            Unremoved::Locked => Ok(self.unconfirmed(LOCKED)),
            Unremoved::Restarted => Ok(self.unconfirmed(RESTARTED)),
        }
    }
}

impl From<Fault> for Unremoved {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Locked> for Unremoved {
    fn from(_: Locked) -> Self {
        Self::Locked
    }
}
