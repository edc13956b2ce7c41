//! What this node is asked to do by the database: claims it while there is time, has it carried out, and writes what became
//! of it.
//!
//! It has a connection of its own, so that publishing never waits for it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgConnection;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::connection::{answered, connect};
use super::intent::{CarryOut, Work};
use super::status::Status;
use super::{Error, Options};
use crate::clock::Clock;
use crate::metrics::{IntentState, Metrics};
use crate::rate_limited::RateLimited;
use crate::registry::Registry;

/// How often it is looked whether there is something to do.
const LOOK: Duration = Duration::from_millis(250);

/// The pause after a failure.
const RETRY: Duration = Duration::from_secs(1);

/// How often old intents are deleted.
const PRUNE: Duration = Duration::from_mins(1);

/// How long it is waited for the database to have what a flush has changed: whoever then reads the list sees it.
const PUBLISHED: Duration = Duration::from_secs(1);

const ASKED: &str = "SELECT 1 FROM usrlocd.intent WHERE node = $1::uuid AND state = 'asked' AND until > clock_timestamp() LIMIT 1";
const CLAIM: &str = include_str!("../../sql/fleet/claim_intents.sql");
const FINISH: &str = "UPDATE usrlocd.intent SET state = 'done', outcome = $2, done_at = now() WHERE id = $1::uuid AND state = 'claimed'";
const PRUNE_OLD: &str = include_str!("../../sql/fleet/prune_intents.sql");

/// Has this node do what the fleet asks of it.
pub struct Claims {
    url: String,
    id: String,
    status: watch::Receiver<Status>,
    registry: Arc<Registry>,
    executor: Arc<dyn CarryOut>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    running: JoinSet<Done>,
    /// What is yet to be written.
    done: Vec<Done>,
    pruned_at: Option<Duration>,
}

/// An intent that was carried out.
struct Done {
    id: String,
    outcome: String,
}

impl Claims {
    /// What is asked of the node that publishes with these `options`, and how that goes by `status`.
    #[must_use]
    pub fn new(
        options: &Options,
        status: watch::Receiver<Status>,
        registry: &Arc<Registry>,
        executor: Arc<dyn CarryOut>,
        (clock, metrics): (Arc<dyn Clock>, Arc<Metrics>),
    ) -> Self {
        Self {
            url: options.url.clone(),
            id: options.id.clone(),
            status,
            registry: Arc::clone(registry),
            executor,
            clock,
            metrics,
            running: JoinSet::new(),
            done: Vec::new(),
            pruned_at: None,
        }
    }

    /// Claims until `stop`, and then ends what is under way.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut connection = None;
        let mut trouble = RateLimited::default();
        let mut pause = LOOK;
        loop {
            tokio::select! {
                Some(ended) = self.running.join_next() => self.done.extend(ended.ok()),
                () = stop.cancelled(), if !stop.is_cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
            let stops = stop.is_cancelled();
            let worked = self.work(&mut connection, stops).await;
            match &worked {
                Ok(()) => {
                    pause = LOOK;
                    trouble.succeeded(self.clock.monotonic());
                }
                Err(error) => {
                    connection = None;
                    pause = RETRY;
                    if let Some(say) = trouble.failed(self.clock.monotonic()) {
                        let (count, lasting) = (say.count(), say.seconds());
                        tracing::warn!(
                            count,
                            lasting,
                            "cannot look for what the fleet asks of this node: {error}"
                        );
                    }
                }
            }
            if stops && self.running.is_empty() && (self.done.is_empty() || worked.is_err()) {
                return;
            }
        }
    }

    async fn work(
        &mut self,
        connection: &mut Option<PgConnection>,
        stops: bool,
    ) -> Result<(), Error> {
        let epoch = match &*self.status.borrow() {
            Status::Publishing { epoch, .. } if !stops => Some(*epoch),
            _ => None,
        };
        if epoch.is_none() && self.done.is_empty() {
            return Ok(());
        }
        let connection = match connection {
            Some(connection) => connection,
            none => none.insert(connect(&self.url).await?),
        };
        while let Some(done) = self.done.last() {
            let finishing = sqlx::query(FINISH).bind(&done.id).bind(&done.outcome);
            answered(async { Ok(finishing.execute(&mut *connection).await.map(drop)?) }).await?;
            self.done.pop();
        }
        let Some(epoch) = epoch else { return Ok(()) };
        let asked = sqlx::query(ASKED).bind(&self.id);
        let asked = answered(async { Ok(asked.fetch_optional(&mut *connection).await?) });
        if asked.await?.is_some() {
            self.claim(connection, epoch).await?;
        }
        self.prune(connection).await
    }

    /// Claims what is asked of this process; what has become too late since is not begun.
    async fn claim(&mut self, connection: &mut PgConnection, epoch: i64) -> Result<(), Error> {
        let began = self.clock.monotonic();
        let claiming = sqlx::query(CLAIM).bind(&self.id).bind(epoch);
        let claimed = answered(async { Ok(claiming.fetch_all(&mut *connection).await?) }).await?;
        self.metrics
            .fleet
            .intents(IntentState::Claimed, claimed.len());
        for row in claimed {
            let id: String = row.try_get(0)?;
            let work: String = row.try_get(1)?;
            let left: i64 = row.try_get(2)?;
            let until = began + Duration::from_millis(left.max(0).cast_unsigned());
            self.begin(id, &work, until);
        }
        Ok(())
    }

    fn begin(&mut self, id: String, work: &str, until: Duration) {
        let refuse = |why: &str| serde_json::json!({ "Err": why }).to_string();
        let work = match serde_json::from_str::<Work>(work) {
            Ok(work) if self.clock.monotonic() < until => work,
            Ok(_) => {
                let outcome = refuse("the node was halted and came too late; nothing was done");
                return self.done.push(Done { id, outcome });
            }
            Err(error) => {
                tracing::warn!(%error, "the fleet asks for something that this version does not know");
                let outcome = refuse("the node's version of usrlocd does not know the request");
                return self.done.push(Done { id, outcome });
            }
        };
        let doing = self.executor.carry_out(work);
        let (mut status, registry) = (self.status.clone(), Arc::clone(&self.registry));
        self.running.spawn(async move {
            let outcome = doing.await;
            let last = registry.last_entry();
            let has = |status: &Status| match status {
                Status::Publishing { through, .. } => *through >= last,
                Status::Starting | Status::Comparing | Status::Failing { .. } => false,
            };
            let _late = tokio::time::timeout(PUBLISHED, status.wait_for(has)).await;
            Done { id, outcome }
        });
    }

    /// Deletes what is older than a day, a few at a time.
    async fn prune(&mut self, connection: &mut PgConnection) -> Result<(), Error> {
        let now = self.clock.monotonic();
        let is_due = |at| now.saturating_sub(at) >= PRUNE;
        if self.pruned_at.is_none_or(is_due) {
            self.pruned_at = Some(now);
            let pruning = sqlx::query(PRUNE_OLD).bind(&self.id);
            answered(async { Ok(pruning.execute(connection).await.map(drop)?) }).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::fleet::intent::CarryingOut;
    use crate::registry::Writer;

    struct Echo;

    impl CarryOut for Echo {
        fn carry_out(&self, work: Work) -> CarryingOut {
            Box::pin(async move { format!("{work:?}") })
        }
    }

    #[tokio::test]
    async fn a_node_that_was_halted_after_it_claimed_does_not_begin_too_late() {
        let clock = Arc::new(ManualClock::at(1_000));
        let metrics = Metrics::new(Arc::clone(&clock) as _, "1", "");
        let writer = Writer::new(Arc::clone(&clock) as _);
        let options = Options {
            url: String::new(),
            id: String::new(),
            name: String::new(),
            version: String::new(),
            servers: Vec::new(),
        };
        let (status, around) = (watch::Sender::default(), (Arc::clone(&clock) as _, metrics));
        let echo = Arc::new(Echo);
        let watched = status.subscribe();
        let mut claims = Claims::new(&options, watched, writer.registry(), echo, around);
        let work = serde_json::to_string(&Work::Flush(Vec::new())).unwrap();
        let until = clock.monotonic() + Duration::from_secs(10);
        clock.advance(Duration::from_secs(9));
        claims.begin("in time".to_owned(), &work, until);
        clock.advance(Duration::from_secs(1));
        claims.begin("late".to_owned(), &work, until);
        let [late] = &claims.done[..] else {
            panic!("one is refused")
        };
        assert_eq!(late.id, "late");
        assert!(late.outcome.contains("came too late"), "{}", late.outcome);
        let begun = claims.running.join_next().await.unwrap().unwrap();
        assert_eq!((&*begun.id, &*begun.outcome), ("in time", "Flush([])"));
        assert!(claims.running.is_empty());
    }
}
