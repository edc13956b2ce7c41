//! Works off a flush: several addresses of record at a time, each by one worker.

use std::iter::Enumerate;
use std::sync::{Arc, Mutex, PoisonError};
use std::vec::IntoIter;

use futures_util::future::join_all;

use super::answers::breaker::Breaker;
use super::answers::credibility::Credibility;
use super::authorization::Caller;
use super::done::Done;
use super::failure::NotFlushed;
use super::steps::extra_calls::ExtraCalls;
use super::steps::intent::Intents;
use super::steps::judge::Flushed;
use super::steps::removal::{Refusals, Removals};
use super::steps::run::{Retries, Run, Shared};
use super::target::Target;
use super::{Flusher, Request};
use crate::registry::FlushedBy;

/// The targets that no worker has taken yet, with their numbers.
type Waiting = Mutex<Enumerate<IntoIter<Target>>>;

impl Flusher {
    /// Flushes the targets.
    pub(super) async fn work(&self, request: &Request, targets: Vec<Target>) -> Done {
        let parts = &self.parts;
        if targets.is_empty() {
            return Done::default();
        }
        let credibility = match Credibility::begin(parts, &targets).await {
            Ok(credibility) => credibility,
            Err(fault) => return Done::nothing(&targets, &fault),
        };
        self.mode.of(credibility.since());
        let run = self.run(request, &targets, &credibility);
        let mut done = self.work_on_all(targets, &run).await;
        self.confirm_rows(&mut done).await;
        if run.breaker.opened_by().is_none() {
            let failures = run.extra_calls.finish(&parts.kamailio).await;
            done.outcome.failed.extend(failures);
        }
        if done.outcome.flushed > 0
            && let Some(reason) = credibility.objection_at_end().await
        {
            self.take_back(&mut done, reason).await;
        }
        let failed = done.outcome.failed.len();
        run.removals.refusals.log(&request.actor.request_id, failed);
        done
    }

    fn run<'a>(
        &'a self,
        request: &'a Request,
        targets: &[Target],
        credibility: &'a Credibility<'a>,
    ) -> Run<'a> {
        let parts = &self.parts;
        let caller = Caller {
            account: request.actor.account_id.as_deref(),
            authorization: &*request.authorization,
        };
        Run {
            parts,
            caller,
            by: Arc::new(FlushedBy {
                request_id: request.actor.request_id.clone(),
                actor: request.actor.token.clone(),
            }),
            exactly: request.exactly,
            default_realm: self.options.default_realm.as_deref(),
            shared: self.options.shared.then(|| Shared::new(parts)),
            credibility,
            intents: Intents::new(parts, targets),
            removals: Removals {
                kamailio: &parts.kamailio,
                caller,
                credibility,
                lane: self.queue.join(),
                quiet: &self.quiet,
                mode: &self.mode,
                refusals: Refusals::default(),
            },
            extra_calls: ExtraCalls::new(&self.options.also),
            breaker: Breaker::new(self.options.concurrency),
            retries: Retries::default(),
        }
    }

    /// Has the workers flush the targets.
    async fn work_on_all(&self, targets: Vec<Target>, run: &Run<'_>) -> Done {
        let waiting = Mutex::new(targets.into_iter().enumerate());
        let workers = (0..self.options.concurrency.max(1)).map(|_| self.work_off(&waiting, run));
        let mut done = Done::default();
        for part in join_all(workers).await {
            done.merge(part);
        }
        done
    }

    /// Flushes one target after the other, until there is none left or the store fails.
    async fn work_off(&self, waiting: &Waiting, run: &Run<'_>) -> Done {
        let mut done = Done::default();
        let next = || {
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.next()
        };
        while let Some((number, mut target)) = next() {
            let flushed = match self.flush_one(number, &mut target, run).await {
                Ok(flushed) => flushed,
                Err(NotFlushed::Store(error)) => {
                    done.error = Some(error);
                    break;
                }
                Err(why) => Flushed {
                    failure: why.failure(&target.aor),
                    ..Flushed::default()
                },
            };
            if let Some(failure) = &flushed.failure {
                tracing::debug!(aor = %failure.aor.lossy(), reason = failure.reason, "an address of record is not flushed");
            }
            done.add(target.aor, flushed);
        }
        done
    }
}
