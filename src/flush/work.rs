//! Working a flush off: some addresses of record at a time, each by one worker alone.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;

use super::also::Further;
use super::aor::Flushed;
use super::belief::Belief;
use super::look::lookup;
use super::queue::Place;
use super::quiet::Quiet;
use super::removal::Refusals;
use super::silence::Silence;
use super::targets::{self, Target};
use super::turns;
use super::writing::Writing;
use super::{Failure, FailureKind, Flusher, Outcome, Parts, Request, Warrant};
use crate::consumers::store;
use crate::kamailio::{Fault, Kamailio};
use crate::registration::{Hidden, Key, Registration, Text};
use crate::registry::FlushedBy;

/// How many addresses of record are announced to the store at a time: a transaction of many costs little more than one
/// of few, and nobody works meanwhile.
const PORTION: usize = 512;

/// How often a flush may wait and try contacts again that removed ones cover: usrloc's timer runs every 5 s at Kazoo's.
const TRIES: usize = 12;

/// What one flush has learned about Kamailio, for all of its addresses of record.
#[derive(Debug)]
pub(super) struct Round<'a> {
    pub(super) parts: &'a Parts,
    /// Whose contacts may go.
    pub(super) account: Option<&'a str>,
    /// Who flushes.
    by: Arc<FlushedBy>,
    /// The realm of rows without a domain.
    pub(super) default_realm: Option<&'a str>,
    /// By what right.
    pub(super) warrant: &'a dyn Warrant,
    pub(super) exactly: bool,
    pub(super) belief: Belief<'a>,
    pub(super) place: Place,
    pub(super) quiet: &'a Quiet,
    pub(super) writing: &'a Writing,
    pub(super) refusals: Refusals,
    silence: Silence,
    further: Further<'a>,
    /// How often contacts may be tried again, in all of the flush.
    tries: AtomicUsize,
}

/// The addresses of record that are still to be worked on.
struct Queue(tokio::sync::Mutex<Waiting>);

struct Waiting {
    waiting: std::vec::IntoIter<Target>,
    announced: VecDeque<Target>,
}

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
    /// Why not all of it was even tried.
    pub(super) error: Option<store::Error>,
}

impl Round<'_> {
    pub(super) fn kamailio(&self) -> &Kamailio {
        &self.parts.kamailio
    }

    /// Whether there is time to wait and try again.
    pub(super) fn may_try_again(&self) -> bool {
        let one_less = |tries: usize| tries.checked_sub(1);
        let order = Ordering::Relaxed;
        self.tries.fetch_update(order, order, one_less).is_ok()
    }

    /// Whether a registration is of the account that is flushed.
    pub(super) fn is_own(&self, registration: &Registration) -> bool {
        self.account
            .is_none_or(|account| registration.account_id.as_deref() == Some(account))
    }
}

impl Flusher {
    /// Flushes the targets.
    pub(super) async fn work(&self, request: &Request, targets: Vec<Target>) -> Done {
        let parts = &self.parts;
        if targets.is_empty() {
            return Done::default();
        }
        let belief = match Belief::begin(parts, &targets).await {
            Ok(belief) => belief,
            Err(fault) => return Done::nothing(&targets, &fault),
        };
        let round = Round {
            parts,
            account: request.actor.account_id.as_deref(),
            by: Arc::new(FlushedBy {
                request_id: request.actor.request_id.clone(),
                actor: request.actor.token.clone(),
            }),
            default_realm: self.options.default_realm.as_deref(),
            warrant: &*request.warrant,
            exactly: request.exactly,
            belief,
            place: self.queue.join(),
            quiet: &self.quiet,
            writing: &self.writing,
            refusals: Refusals::default(),
            silence: Silence::new(self.options.concurrency.max(1)),
            further: Further::new(&self.options.also),
            tries: AtomicUsize::new(TRIES),
        };
        self.writing.of(round.belief.since());
        let mut done = self.work_on_all(targets, &round).await;
        self.confirm_rows(&round, &mut done).await;
        if round.silence.given_up().is_none() {
            let failures = round.further.finish(&parts.kamailio).await;
            done.outcome.failed.extend(failures);
        }
        if done.outcome.flushed > 0
            && let Some(reason) = round.belief.end().await
        {
            self.take_back(&mut done, reason).await;
        }
        let failed = done.outcome.failed.len();
        round.refusals.say(&request.actor.request_id, failed);
        done
    }

    /// Works on some at a time.
    async fn work_on_all(&self, targets: Vec<Target>, round: &Round<'_>) -> Done {
        let queue = Queue::new(targets);
        let workers = (0..self.options.concurrency.max(1)).map(|_| self.work_off(&queue, round));
        let mut done = Done::default();
        for part in join_all(workers).await {
            done.merge(part);
        }
        done
    }

    async fn work_off(&self, queue: &Queue, round: &Round<'_>) -> Done {
        let mut done = Done::default();
        loop {
            match self.next(queue, round).await {
                Ok(Some(target)) => {
                    let (aor, flushed, hidden) = self.work_on(target, round).await;
                    done.add(aor, flushed, hidden);
                }
                Ok(None) => return done,
                Err(error) => {
                    done.error = Some(error);
                    return done;
                }
            }
        }
    }

    /// The next to be worked on. A portion is announced before its first one is given out.
    async fn next(&self, queue: &Queue, round: &Round<'_>) -> Result<Option<Target>, store::Error> {
        let mut queue = queue.0.lock().await;
        if queue.announced.is_empty() {
            let mut portion: VecDeque<Target> = queue.waiting.by_ref().take(PORTION).collect();
            // Else they will not be asked for.
            if round.silence.given_up().is_none() && round.warrant.holds() {
                self.announce(portion.make_contiguous()).await?;
            }
            queue.announced = portion;
        }
        Ok(queue.announced.pop_front())
    }

    /// Flushes one address of record, and hides what is gone before anybody else may work on it.
    async fn work_on(&self, mut target: Target, round: &Round<'_>) -> (Text, Flushed, Vec<Hidden>) {
        let _turn = self.turns.take(target.place()).await;
        let announced = std::mem::take(&mut target.announced);
        let (flushed, hidden) = self.flush_one(&mut target, round).await;
        self.renounce(announced).await;
        (target.aor, flushed, hidden)
    }

    async fn flush_one(&self, target: &mut Target, round: &Round<'_>) -> (Flushed, Vec<Hidden>) {
        if let Some(kind) = round.silence.given_up() {
            return (Flushed::failed(target.not_asked(kind)), Vec::new());
        }
        if !round.warrant.holds() {
            return (Flushed::failed(target.withdrawn()), Vec::new());
        }
        target.keep_own(round);
        if round.exactly && target.picked.is_empty() {
            return Default::default();
        }
        let result = target.remove(round).await;
        round.silence.note(result.as_ref().err());
        let mut flushed = match result {
            Ok(Some(flushed)) => flushed,
            Ok(None) => return Default::default(),
            Err(fault) => {
                if let Fault::Rpc { code, message } = &fault {
                    round.refusals.note(*code, message);
                }
                return (Flushed::failed(target.failure(&fault)), Vec::new());
            }
        };
        let hidden = target.to_hide(&flushed);
        let rows = hidden.iter().cloned();
        self.parts.registry.hide(rows, &round.by);
        if let Err(failure) = round.further.call(target, &self.parts.kamailio).await {
            flushed.failure.get_or_insert(failure);
        }
        (flushed, hidden)
    }

    /// The rows of which Kamailio knows the address of record and has no contact in force, and the others. One that does
    /// not know it may still be loading its table.
    async fn without_contacts(&self, rows: Vec<Hidden>) -> (Vec<Hidden>, Vec<Hidden>) {
        let (mut gone, mut others) = (Vec::new(), Vec::new());
        let mut asked: BTreeMap<turns::Place, bool> = BTreeMap::new();
        let mut answers = true;
        for row in rows {
            let registration = self.parts.registry.get(&row.key).filter(|_| answers);
            let Some(registration) = registration else {
                others.push(row);
                continue;
            };
            let aor = registration.binding.address_of_record().name().clone();
            let place = (Arc::clone(&row.key.table), aor);
            let has_none = if let Some(has_none) = asked.get(&place) {
                *has_none
            } else {
                let looked = lookup(&self.parts.kamailio, &place.0, &place.1, Vec::new).await;
                answers = looked.is_ok();
                let memory = looked.ok().flatten();
                let has_none = memory.is_some_and(|it| it.is_known && it.contacts.is_empty());
                asked.insert(place, has_none);
                has_none
            };
            if has_none { &mut gone } else { &mut others }.push(row);
        }
        (gone, others)
    }

    /// Says of all that was flushed why it is not confirmed, and shows it again, but for what the Kamailio that is up
    /// now has been asked to remove as well.
    async fn take_back(&self, done: &mut Done, reason: &str) {
        let (gone, back) = self
            .without_contacts(std::mem::take(&mut done.hidden))
            .await;
        self.parts.registry.unhide(back.iter().map(|one| &one.key));
        self.unhide_in_store(&back).await;
        done.hidden = gone;
        done.outcome.flushed = 0;
        let failed = &mut done.outcome.failed;
        failed.extend(done.gone.drain(..).map(|aor| Failure {
            aor,
            reason: reason.to_owned(),
            kind: FailureKind::Unconfirmed,
        }));
    }
}

impl Queue {
    fn new(targets: Vec<Target>) -> Self {
        Self(tokio::sync::Mutex::new(Waiting {
            waiting: targets.into_iter(),
            announced: VecDeque::new(),
        }))
    }
}

impl Done {
    /// Nothing: Kamailio did not even say that it is there.
    fn nothing(targets: &[Target], fault: &Fault) -> Self {
        tracing::debug!(%fault, cause = fault.cause(), "a flush does not begin");
        let failed = targets.iter().map(|one| targets::failure(&one.aor, fault));
        Self {
            outcome: Outcome {
                flushed: 0,
                failed: failed.collect(),
            },
            ..Self::default()
        }
    }

    fn add(&mut self, aor: Text, flushed: Flushed, hidden: Vec<Hidden>) {
        let gone = flushed.gone.len() as u64 + flushed.back;
        self.outcome.flushed += gone;
        if gone > 0 && flushed.failure.is_none() {
            self.gone.push(aor);
        }
        let keys = flushed.gone.iter().map(|one| one.binding.key.clone());
        self.counted.extend(keys);
        self.outcome.failed.extend(flushed.failure);
        self.hidden.extend(hidden);
    }

    /// Does not count what was counted of these rows, all of one address of record, which fails for them.
    pub(super) fn take_back<'a>(&mut self, rows: impl Iterator<Item = &'a Key>, failure: Failure) {
        let counted = rows.filter(|key| self.counted.remove(*key)).count() as u64;
        self.outcome.flushed = self.outcome.flushed.saturating_sub(counted);
        self.gone.retain(|aor| *aor != failure.aor);
        if !self.outcome.failed.iter().any(|one| one.aor == failure.aor) {
            self.outcome.failed.push(failure);
        }
    }

    fn merge(&mut self, other: Self) {
        self.outcome.flushed += other.outcome.flushed;
        self.outcome.failed.extend(other.outcome.failed);
        self.hidden.extend(other.hidden);
        self.gone.extend(other.gone);
        self.counted.extend(other.counted);
        self.error = self.error.take().or(other.error);
    }
}
