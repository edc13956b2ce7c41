//! One removal: when its turn comes, in a quiet moment, and again where Kamailio refuses it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::flush::NOTICE;
use crate::flush::answers::credibility::Credibility;
use crate::flush::answers::memory::Memory;
use crate::flush::authorization::Caller;
use crate::flush::failure::NotFlushed;
use crate::flush::target::Target;
use crate::flush::turn::queue::{Lane, Permit};
use crate::flush::turn::quiet::Quiet;
use crate::flush::turn::write_mode::{LearnedMode, WriteMode};
use crate::kamailio::{Fault, Kamailio, Lasting, Removed};
use crate::registration::{Registration, Text};

/// The pauses after refusals: another of Kamailio's workers was writing, for milliseconds or for a whole write-back.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(1600),
];

/// After this many removals in a row that were refused at every attempt there are no more retries.
const HOPELESS: u32 = 3;

/// How many different refusals are logged.
const LOGGED: usize = 8;

/// How much of Kamailio's error message is logged, in characters.
const LONGEST: usize = 200;

/// What Kamailio has refused in one flush.
#[derive(Debug, Default)]
pub(in crate::flush) struct Refusals(Mutex<Refused>);

#[derive(Debug, Default)]
struct Refused {
    /// Codes and messages, and how often they came.
    messages: BTreeMap<String, u64>,
    /// Those of them that no retry can help.
    lasting: BTreeSet<Lasting>,
    /// How many removals in a row were refused at every attempt.
    in_vain: u32,
}

/// The removals of one flush.
#[derive(Debug)]
pub(in crate::flush) struct Removals<'a> {
    pub(in crate::flush) kamailio: &'a Kamailio,
    pub(in crate::flush) caller: Caller<'a>,
    pub(in crate::flush) credibility: &'a Credibility<'a>,
    pub(in crate::flush) lane: Lane,
    pub(in crate::flush) quiet: &'a Quiet,
    pub(in crate::flush) mode: &'a LearnedMode,
    pub(in crate::flush) refusals: Refusals,
}

/// Waits for a turn to ask Kamailio for the contacts of an address of record where that may be in somebody's way: in
/// `db_mode` 3 Kamailio reads its table for that.
pub(in crate::flush) async fn turn_to_read(
    lane: &Lane,
    quiet: &Quiet,
    mode: &LearnedMode,
) -> Option<Permit> {
    if mode.now() == WriteMode::Back {
        return None;
    }
    let permit = lane.permit().await;
    quiet.wait_to_read().await;
    Some(permit)
}

/// The answer to a removal; `None` where none came in time. Whether it was carried out is seen by the look that follows.
pub(in crate::flush) fn answered<T>(
    removed: Result<T, NotFlushed>,
) -> Result<Option<T>, NotFlushed> {
    match removed {
        Err(NotFlushed::Fault(Fault::Timeout)) => Ok(None),
        other => other.map(Some),
    }
}

impl Removals<'_> {
    /// Waits for this flush's turn to ask for contacts.
    pub(in crate::flush) async fn turn_to_read(&self) -> Option<Permit> {
        turn_to_read(&self.lane, self.quiet, self.mode).await
    }

    /// Has Kamailio remove all contacts of an address of record, of which it has `contacts`.
    pub(in crate::flush) async fn remove_all(
        &self,
        target: &Target,
        contacts: usize,
    ) -> Result<(), NotFlushed> {
        let call = || self.kamailio.remove(&target.table, &target.aor);
        self.retried(contacts, call).await
    }

    /// Has Kamailio remove one contact of an address of record.
    pub(in crate::flush) async fn remove_contact(
        &self,
        target: &Target,
        contact: &Text,
    ) -> Result<Removed, NotFlushed> {
        let (table, aor) = (&target.table, &target.aor);
        let call = || self.kamailio.remove_contact(table, aor, contact);
        self.retried(1, call).await
    }

    /// Learns how Kamailio writes removals from that of a whole address of record, which had contacts with rows and was
    /// not refused.
    pub(in crate::flush) fn learn(
        &self,
        rows: &[Arc<Registration>],
        before: &Memory,
        after: &Memory,
    ) {
        let had_row =
            |row: &Arc<Registration>| before.contacts.contains_key(&row.binding.key.ruid.0);
        if !after.contacts.is_empty() || !rows.iter().any(had_row) {
            return;
        }
        if !after.is_known {
            self.mode.learn(WriteMode::Through);
        } else if !self.refusals.any() {
            self.mode.learn(WriteMode::Back);
        }
    }

    /// Removes by `call`, and again after a pause where Kamailio refuses.
    async fn retried<T, F: Future<Output = Result<T, Fault>>>(
        &self,
        contacts: usize,
        call: impl Fn() -> F,
    ) -> Result<T, NotFlushed> {
        for pause in PAUSES {
            match self.remove_once(contacts, &call).await {
                Err(NotFlushed::Fault(Fault::Rpc { code, message }))
                    if Lasting::of(&message).is_none() && self.refusals.is_worth_a_try() =>
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
    ) -> Result<T, NotFlushed> {
        let _permit = self.lane.permit().await;
        if self.credibility.was_restarted().await? {
            return Err(NotFlushed::Restarted);
        }
        let begun = match self.mode.now() {
            // Nothing is written until its timer runs.
            WriteMode::Back => None,
            WriteMode::Through | WriteMode::Unknown => Some(self.quiet.wait().await?),
        };
        // The wait may have been long.
        self.caller.check()?;
        let result = call().await;
        if let Some(begun) = begun {
            begun.ended(contacts, result.is_ok());
        }
        Ok(result?)
    }
}

impl Refusals {
    /// Records a refusal.
    pub(in crate::flush) fn note(&self, code: i64, message: &str) {
        let mut refused = self.refused();
        refused.lasting.extend(Lasting::of(message));
        let message: String = format!("{code} {message}").chars().take(LONGEST).collect();
        if refused.messages.len() < LOGGED || refused.messages.contains_key(&message) {
            *refused.messages.entry(message).or_default() += 1;
        }
    }

    /// Whether there was any.
    pub(in crate::flush) fn any(&self) -> bool {
        !self.refused().messages.is_empty()
    }

    /// Logs what Kamailio refused in this flush, if anything. Its messages name nobody.
    pub(in crate::flush) fn log(&self, request_id: &str, failed: usize) {
        let refused = self.refused();
        let total: u64 = refused.messages.values().sum();
        if total == 0 {
            return;
        }
        let messages: Vec<String> = refused
            .messages
            .iter()
            .map(|(message, times)| format!("{message} ({times} times)"))
            .collect();
        let messages = messages.join("; ");
        let help: Vec<&str> = refused.lasting.iter().map(|it| it.help()).collect();
        if help.is_empty() {
            tracing::info!(
                target: NOTICE,
                request_id,
                refused = total,
                failed,
                "Kamailio refused removals of a flush, which were retried: {messages}; see Kamailio's log for the cause, usually \"database is locked\""
            );
        } else {
            let help = help.join("; ");
            tracing::info!(
                target: NOTICE,
                request_id,
                refused = total,
                failed,
                "Kamailio refused removals of a flush: {messages}; retrying does not help: {help}"
            );
        }
    }

    fn is_worth_a_try(&self) -> bool {
        self.refused().in_vain < HOPELESS
    }

    fn ended<T>(&self, result: Result<T, NotFlushed>) -> Result<T, NotFlushed> {
        let mut refused = self.refused();
        match &result {
            Err(NotFlushed::Fault(Fault::Rpc { .. })) => refused.in_vain += 1,
            _ => refused.in_vain = 0,
        }
        result
    }

    fn refused(&self) -> MutexGuard<'_, Refused> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
