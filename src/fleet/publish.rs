//! Publishes what this node lists: connects to the database, brings it up to date, and follows the registry's feed.

mod events;
mod follow;

use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::connection::connect;
use super::flapping::Published;
use super::ledger::Ledger;
use super::node::{Found, Node};
use super::outbox::Outbox;
use super::slots::Slots;
use super::status::Status;
use super::write::Changes;
use super::{Error, schema, sync};
use crate::clock::Clock;
use crate::event_log::{EventLog, Finder};
use crate::metrics::Metrics;
use crate::rate_limited::RateLimited;
use crate::registry::{Registry, Subscription};

/// How often this node says that it lives.
const BEAT: Duration = Duration::from_secs(2);

/// The blocks of one transaction while the database is brought up to date.
const BLOCKS: u32 = 64;

/// How long to wait for Kamailio's tables before what an earlier run knew is published.
const PATIENCE: Duration = Duration::from_secs(30);

/// The shortest and the longest pause before the next attempt.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// How long a stop may take.
const LAST: Duration = Duration::from_secs(1);

/// What a publisher is to do.
#[derive(Clone)]
pub struct Options {
    /// The URL of the database, which may hold a password.
    pub url: String,
    /// The id of this node.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The version of this program.
    pub version: String,
    /// The ids of Kamailios whose rows are published; all where there are none.
    pub servers: Vec<i64>,
}

/// Publishes what a node lists.
#[derive(Debug)]
pub struct Publisher {
    options: Options,
    feed: Subscription,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    status: watch::Sender<Status>,
    node: Node,
    slots: Slots,
    ledger: Ledger,
    /// The events that are to be sent; `None` where the node keeps no history.
    outbox: Option<Outbox>,
    /// The phones that flap.
    flapping: Option<Published>,
    /// Whether `slots` has been learnt from the database.
    is_learnt: bool,
    /// The number of the registry's entry up to which the database has everything.
    through: u64,
    /// Our clock minus that of the database.
    clock_offset_ms: i64,
    /// The next block to be looked at.
    next_block: u32,
    committed_at: Duration,
}

/// Without the URL, which may hold a password.
impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("id", &self.id)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Publisher {
    /// A publisher of what `registry` lists.
    #[must_use]
    pub fn new(
        options: Options,
        registry: &Arc<Registry>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (id, name) = (options.id.clone(), options.name.clone());
        Self {
            node: Node::new(id, name, &options.version),
            slots: Slots::new(options.servers.clone()),
            options,
            feed: registry.subscribe(),
            clock,
            metrics,
            status: watch::Sender::default(),
            ledger: Ledger::default(),
            outbox: None,
            flapping: None,
            is_learnt: false,
            through: 0,
            clock_offset_ms: 0,
            next_block: 0,
            committed_at: Duration::ZERO,
        }
    }

    /// The same, which publishes the events of `log` too; the database keeps them for `keep`.
    #[must_use]
    pub fn with_events(mut self, log: Arc<EventLog>, keep: Duration) -> Self {
        let clock = Arc::clone(&self.clock);
        self.outbox = Some(Outbox::new(log, clock, keep, self.options.servers.clone()));
        self
    }

    /// The same, which publishes the phones that flap too.
    #[must_use]
    pub fn with_flapping(mut self, finder: Arc<Finder>) -> Self {
        self.flapping = Some(Published::new(finder));
        self
    }

    /// How it goes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Publishes until `stop`. Whatever becomes of the database, nothing else waits for it.
    pub async fn run(mut self, stop: CancellationToken) {
        let late = async {
            stop.cancelled().await;
            tokio::time::sleep(LAST).await;
        };
        tokio::select! {
            () = self.try_again_and_again(&stop) => {}
            () = late => {}
        }
        self.metrics.fleet.publishing(false);
    }

    async fn try_again_and_again(&mut self, stop: &CancellationToken) {
        let mut trouble = RateLimited::default();
        let mut pause = RETRY;
        let (mut said, mut since) = (None, None);
        while !stop.is_cancelled() {
            let began = self.clock.monotonic();
            let Err(error) = self.publish(stop, &mut trouble).await else {
                return;
            };
            self.metrics.fleet.publishing(false);
            self.metrics.fleet.failed();
            if matches!(*self.status.borrow(), Status::Publishing { .. }) {
                since = None;
            }
            self.status.send_replace(Status::Failing {
                error: error.clone(),
                since: *since.get_or_insert_with(|| self.clock.unix()),
            });
            if error == Error::Fenced {
                self.metrics.fleet.fenced();
            }
            self.complain(&error, &mut trouble, &mut said);
            if error == Error::Fenced {
                return stop.cancelled().await;
            }
            if self.clock.monotonic().saturating_sub(began) > LONGEST {
                pause = RETRY;
            }
            let waiting = tokio::time::sleep(jittered(pause));
            stop.run_until_cancelled(waiting).await;
            pause = (pause * 2).min(LONGEST);
        }
    }

    /// Logs what fails: what only an operator can mend once, everything else now and then.
    fn complain(&self, error: &Error, trouble: &mut RateLimited, said: &mut Option<Error>) {
        let is_lasting = matches!(
            error,
            Error::NoSchema | Error::Older { .. } | Error::NameTaken(_) | Error::Fenced
        );
        if is_lasting {
            if said.as_ref() != Some(error) {
                tracing::error!("not publishing to the fleet: {error}");
                *said = Some(error.clone());
            }
            return;
        }
        *said = None;
        if let Some(say) = trouble.failed(self.clock.monotonic()) {
            let (count, lasting) = (say.count(), say.seconds());
            tracing::warn!(count, lasting, "cannot publish to the fleet: {error}");
        }
    }

    /// Publishes until `stop`, or until something fails.
    async fn publish(
        &mut self,
        stop: &CancellationToken,
        trouble: &mut RateLimited,
    ) -> Result<(), Error> {
        let entering = async {
            let mut connection = connect(&self.options.url).await?;
            schema::check(&mut connection).await?;
            let found = self.node.enter(&mut connection).await?;
            Ok::<_, Error>((connection, found))
        };
        let Some(entered) = stop.run_until_cancelled(entering).await else {
            return Ok(());
        };
        let (mut connection, found) = entered?;
        self.status.send_replace(Status::Comparing);
        self.ledger.forget();
        if let Some(outbox) = &mut self.outbox {
            outbox.forget();
        }
        if let Some(flapping) = &mut self.flapping {
            flapping.forget();
        }
        if self.bring_up_to_date(&mut connection, found, stop).await? {
            if let Some(recovered) = trouble.succeeded(self.clock.monotonic()) {
                let (failures, lasted) = (recovered.failures, recovered.lasted.as_secs());
                tracing::info!(failures, lasted, "publishing to the fleet again");
            }
            self.follow(&mut connection, stop).await?;
        }
        self.node.stopped(&mut connection).await?;
        // The server would log a connection that just ends.
        let _closed = connection.close().await;
        Ok(())
    }

    /// Has the database equal the lists. Returns whether that came before `stop`.
    async fn bring_up_to_date(
        &mut self,
        connection: &mut PgConnection,
        found: Found,
        stop: &CancellationToken,
    ) -> Result<bool, Error> {
        let began = self.clock.monotonic();
        while !self.is_listed(began) {
            if stop.is_cancelled() {
                return Ok(false);
            }
            self.commit(connection, Changes::default()).await?;
            let registry = Arc::clone(self.feed.registry());
            let compared = tokio::time::timeout(BEAT, registry.compared());
            stop.run_until_cancelled(compared).await;
        }
        if !self.is_learnt {
            self.slots = Slots::new(self.options.servers.clone());
            sync::learn(connection, &self.node, &mut self.slots).await?;
            self.is_learnt = true;
        }
        let differing = match found {
            Found::Unread => 0,
            Found::Followed | Found::Behind => {
                sync::compare(connection, &self.node, &mut self.slots).await?
            }
        };
        if found == Found::Behind {
            tracing::warn!(
                blocks = differing,
                "the fleet's database has lost changes; publishing them again"
            );
        }
        self.list();
        let written = self.slots.waiting();
        let mut block = 0;
        while !stop.is_cancelled() {
            if self.slots.waiting() == 0 && block >= self.slots.blocks() {
                self.node.synced(connection).await?;
                let rows = self.slots.len();
                tracing::info!(
                    rows,
                    written,
                    "the fleet has the registrations of this node"
                );
                self.published();
                return Ok(true);
            }
            let mut changes = self.changes();
            if self.slots.waiting() == 0 {
                let end = (block + BLOCKS).min(self.slots.blocks());
                self.add_blocks(&mut changes, block..end);
                block = end;
            }
            self.commit(connection, changes).await?;
            self.gather();
        }
        Ok(false)
    }

    /// Whether the lists are worth publishing: they have been compared with Kamailio's tables, or those cannot be read.
    fn is_listed(&self, since: Duration) -> bool {
        let registry = self.feed.registry();
        let waited = self.clock.monotonic().saturating_sub(since);
        registry.is_compared() || waited >= PATIENCE
    }
}

/// The pause, made up to a half longer, so that many nodes do not come back at once.
fn jittered(pause: Duration) -> Duration {
    let share = f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX) / 2.0;
    pause.mul_f64(1.0 + share)
}
