//! Asks Kamailio which bindings it has where the tables cannot tell: rows of one contact that may be one binding.
//!
//! Kamailio keeps several where it compares the Call-ID or the Path too; otherwise all rows but one are leftovers. A row
//! that it does not have is not listed if it has another one of them. Hiding a row that is in force is worse than
//! listing one twice: without a certain answer all are listed.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Flusher;
use super::answers::credibility::{LOADED_AFTER, contacts_in_memory};
use super::answers::memory::Memory;
use super::turn::aor_lock::TableAor;
use crate::kamailio::{Fault, Uptime};
use crate::rate_limited::RateLimited;
use crate::registration::Key;
use crate::registry::{Ambiguous, Due, Scope};

/// The pause between two rounds.
const PAUSE: Duration = Duration::from_secs(2);

/// How many contacts that have changed a round asks about.
const CHANGED: usize = 400;

/// How many others, whose answer may be out of date.
const AGAIN: usize = 40;

/// The age from which it may be: Kamailio can drop a binding without a change of its row.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// The longest time for the look-ups of a round.
const ROUND: Duration = Duration::from_secs(2);

/// How long Kamailio's answers count after it has stopped answering: it may be busy, or restarting.
const GRACE: Duration = Duration::from_secs(5);

/// A Kamailio that has loaded all rows but those asked about, and still has this much later, will not load them.
const COMPLETE_FOR: Duration = Duration::from_secs(1);

/// What is known about the Kamailio that is asked.
#[derive(Debug, Default)]
pub(super) struct Asker {
    trouble: RateLimited,
    /// When it was started, in its own words.
    since: Option<String>,
    /// Answers from before this moment (monotonic) do not count.
    void_before: Duration,
    failing_since: Option<Duration>,
    /// When it had loaded all rows but those asked about, for the first time.
    complete_since: Option<Duration>,
}

/// What Kamailio has of the rows that were asked about.
type Answer = (Ambiguous, HashSet<Key>);

impl Flusher {
    /// Asks until `stop`, whenever there are such rows.
    pub async fn resolve_ambiguous(&self, stop: CancellationToken) {
        let rounds = async {
            self.parts.registry.wait_for(Scope::System).await;
            if !self.owners.is_empty() {
                // Rows of several Kamailios may be in force side by side: all are listed.
                return std::future::pending().await;
            }
            let mut asker = Asker::default();
            loop {
                self.parts.registry.ambiguity().await;
                self.resolve_once(&mut asker).await;
                tokio::time::sleep(PAUSE).await;
            }
        };
        let _stopped: Option<()> = stop.run_until_cancelled(rounds).await;
    }

    /// Asks about what has changed, and about some of what was asked about before.
    pub(super) async fn resolve_once(&self, asker: &mut Asker) {
        let result = self.ask(asker).await;
        let now = self.parts.clock.monotonic();
        if result.is_ok() {
            asker.failing_since = None;
        } else {
            let since = *asker.failing_since.get_or_insert(now);
            if now.saturating_sub(since) >= GRACE {
                self.forget_answers(asker);
            }
        }
        asker.report(result.as_ref().err(), now);
    }

    async fn ask(&self, asker: &mut Asker) -> Result<(), Fault> {
        let (registry, kamailio) = (&self.parts.registry, &self.parts.kamailio);
        if registry.ambiguous(&self.due(asker)).is_empty() && registry.superseded() == 0 {
            return Ok(());
        }
        let up = kamailio.uptime().await?;
        if asker.since.as_ref() != Some(&up.since) {
            self.forget_answers(asker);
            asker.since = Some(up.since.clone());
        }
        let questions = registry.ambiguous(&self.due(asker));
        if questions.is_empty() {
            return Ok(());
        }
        let in_memory = contacts_in_memory(&self.parts).await?;
        if in_memory == Some(0) {
            // It has none of them, or has them in the database alone, and then all that the tables have.
            self.forget_answers(asker);
            return Ok(());
        }
        let (answers, fault) = self.look_up_all(questions).await;
        // A restarted one may still be loading.
        if kamailio.uptime().await?.since == up.since
            && self.has_loaded(asker, &up, in_memory, &answers)
        {
            for (question, there) in &answers {
                registry.decide(question, |key| there.contains(key));
            }
        }
        fault.map_or(Ok(()), Err)
    }

    fn due(&self, asker: &Asker) -> Due {
        let now = self.parts.clock.monotonic();
        Due {
            changed: CHANGED,
            again: AGAIN,
            void_before: asker.void_before,
            again_before: now.saturating_sub(AGAIN_AFTER),
        }
    }

    /// Lists all rows until Kamailio has been asked again.
    fn forget_answers(&self, asker: &mut Asker) {
        self.parts.registry.list_superseded();
        asker.void_before = self.parts.clock.monotonic();
        asker.complete_since = None;
    }

    /// Asks about one after the other. A fault of one says nothing about the next, unless Kamailio does not answer at
    /// all.
    async fn look_up_all(&self, questions: Vec<Ambiguous>) -> (Vec<Answer>, Option<Fault>) {
        let (mut answers, mut first) = (Vec::with_capacity(questions.len()), None);
        let began = self.parts.clock.monotonic();
        for one in questions {
            let mut is_silent = false;
            let there = self.look_up(&one).await.unwrap_or_else(|fault| {
                is_silent = fault.is_unreachable() || fault.is_timeout();
                first.get_or_insert(fault);
                HashSet::new()
            });
            answers.push((one, there));
            let took = self.parts.clock.monotonic().saturating_sub(began);
            if is_silent || took >= ROUND {
                break;
            }
        }
        (answers, first)
    }

    /// Which of the rows Kamailio has.
    async fn look_up(&self, question: &Ambiguous) -> Result<HashSet<Key>, Fault> {
        let mut by_aor: BTreeMap<TableAor, Vec<&Key>> = BTreeMap::new();
        for row in &question.rows {
            let binding = &row.binding;
            // Where Kamailio cannot be asked it counts as having none, and all are listed.
            if let Ok(aor) = binding.address_of_record().for_rpc() {
                let table_aor = (Arc::clone(&binding.key.table), aor.clone());
                by_aor.entry(table_aor).or_default().push(&binding.key);
            }
        }
        let mut there = HashSet::new();
        for ((table, aor), keys) in by_aor {
            let memory = Memory::of(self.parts.kamailio.lookup(&table, &aor).await?);
            let known = keys
                .into_iter()
                .filter(|key| memory.contacts.contains_key(&key.ruid.0));
            there.extend(known.cloned());
        }
        Ok(there)
    }

    /// Whether Kamailio has finished loading: it has been up for long enough, or has all rows but those that it was
    /// asked about and does not have.
    fn has_loaded(
        &self,
        asker: &mut Asker,
        up: &Uptime,
        in_memory: Option<u64>,
        answers: &[Answer],
    ) -> bool {
        if up.lasted >= LOADED_AFTER {
            return true;
        }
        let missing = answers
            .iter()
            .map(|(question, there)| question.rows.len() - there.len());
        let missing: usize = missing.sum();
        let rows = self.parts.registry.counts().rows;
        let is_complete =
            in_memory.is_some_and(|count| count >= rows.saturating_sub(missing) as u64);
        if !is_complete {
            asker.complete_since = None;
            return false;
        }
        let now = self.parts.clock.monotonic();
        let since = *asker.complete_since.get_or_insert(now);
        now.saturating_sub(since) >= COMPLETE_FOR
    }
}

impl Asker {
    /// Logs how a round went, if that is news.
    fn report(&mut self, fault: Option<&Fault>, now: Duration) {
        let Some(fault) = fault else {
            if let Some(recovered) = self.trouble.succeeded(now) {
                let (failures, lasted) = (recovered.failures, recovered.lasted.as_secs());
                tracing::info!(
                    failures,
                    lasted,
                    "Kamailio answers questions about duplicate rows again"
                );
            }
            return;
        };
        if let Some(again) = self.trouble.failed(now) {
            let cause = fault.cause();
            tracing::warn!(%fault, cause, %again, "cannot ask Kamailio about duplicate rows");
        }
    }
}
