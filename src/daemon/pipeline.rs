//! The pipeline: what a source reports is resolved to registrations and applied to the registry.
//!
//! The source reads on a thread of its own. The store follows the registry's feed on another; nothing waits for it.

mod causes;
mod first_load;
mod readiness;
mod start;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::accounts::{Directory, Naming, Resolver};
use crate::clock::Clock;
use crate::consumers::store::Store;
use crate::consumers::write_behind::WriteBehind;
use crate::event_log::{EventLog, Keeper, Observer};
use crate::metrics::Metrics;
use crate::own_thread;
use crate::rate_limited::{RateLimited, Say};
use crate::registration::{Binding, Change, Life, Registration};
use crate::registry::{Scope, SourceReport, SourceState, Writer};
use crate::source::{Configured, Health, Source, Update, sql};
use causes::Causes;
use first_load::FirstLoad;
use readiness::Readiness;

/// How many rows are applied at a time: readers wait for a portion at most.
const PORTION: usize = 256;

/// How often to look whether the source is at work and can read the tables.
const LOOK: Duration = Duration::from_secs(1);

/// Looks after which the log says that the thread hangs.
const HUNG_LOOKS: u32 = 2;

/// What is followed.
#[derive(Debug)]
pub struct Options {
    /// Where the tables are.
    pub origin: Origin,
    /// How addresses and realms are named.
    pub naming: Naming,
}

/// Where the tables are.
#[derive(Debug)]
pub enum Origin {
    /// In a file.
    File {
        /// Kamailio's database.
        database: PathBuf,
        /// Look for the database below this directory, until there is one; `None` when it is known.
        discover: Option<PathBuf>,
        /// The usrloc tables in it.
        tables: Vec<String>,
    },
    /// On a server.
    Server {
        /// What is followed.
        options: sql::Options,
        /// The URL without secrets.
        place: String,
    },
}

/// The parts that the pipeline works with.
#[derive(Debug)]
pub struct Parts {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where registrations are shown. Nobody else has it for longer than a start takes.
    pub writer: Arc<Writer>,
    /// Where they are stored for the next start.
    pub store: Arc<Store>,
    /// The log of what happens to registrations.
    pub events: Arc<EventLog>,
    /// Those who see every event before it is shown.
    pub observers: Vec<Box<dyn Observer>>,
    /// The directory as it is to be.
    pub directory: watch::Receiver<Arc<Directory>>,
    /// The directory that the registrations follow: theirs and this one change in one moment, so that who may see an
    /// account sees what it had or what it has, and nothing between.
    pub in_force: watch::Sender<Arc<Directory>>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Turns true once every row was read, or the tables are known to be unreadable for more than a moment.
    pub settled: watch::Sender<bool>,
    /// Cancelled when a stop must not take much longer: what is not stored by then is read again at the next start.
    pub hurry: CancellationToken,
}

/// The pipeline, ready to run.
#[derive(Debug)]
pub struct Pipeline {
    parts: Parts,
    naming: Arc<Naming>,
    resolver: Resolver,
    /// Until it runs.
    keeper: Option<Keeper>,
    write_behind: Arc<WriteBehind>,
    source: Configured,
    /// The server, if the tables are on one.
    place: Option<String>,
    health: Option<Health>,
    /// When to say that the tables cannot be read.
    trouble: RateLimited,
    causes: Causes,
    complete: bool,
    /// What the registry has was once all that the tables had: in an earlier run that was stored whole, or in this one.
    known: bool,
    /// What has been read while nothing is known of the tables.
    first_load: Option<FirstLoad>,
    readiness: Readiness,
    /// At how many looks in a row the thread hung.
    hung: u32,
}

impl Pipeline {
    /// Follows the source until `stop`; on return everything applied is also stored, unless there is no time for that.
    ///
    /// # Errors
    /// When the operating system starts no thread, or one ends by itself, which is a defect.
    pub async fn run(mut self, stop: CancellationToken) -> std::io::Result<()> {
        let applied = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (write_behind, ended) = (Arc::clone(&self.write_behind), applied.clone());
        let hurry = self.parts.hurry.clone();
        tasks.spawn(own_thread::run("write_behind", async move {
            write_behind.run(ended, hurry).await;
        }));
        if let Some(keeper) = self.keeper.take() {
            let ended = applied.clone();
            tasks.spawn(own_thread::run("events", async move {
                // What is asked now comes before what will be told.
                own_thread::step_back();
                keeper.run(ended).await;
            }));
        }
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let writer = Arc::clone(&self.parts.writer);
        let result = loop {
            let until_end = tokio::time::sleep(writer.expire());
            tokio::select! {
                () = stop.cancelled() => break Ok(()),
                Some(ended) = tasks.join_next() => break Err(ended_early(ended)),
                update = self.source.next() => match update {
                    Ok(update) => if let Err(error) = self.apply(update, &stop).await {
                        break Err(error);
                    },
                    Err(ended) => break Err(std::io::Error::other(ended)),
                },
                Ok(()) = self.parts.directory.changed() => {
                    if let Some(Err(error)) = stop.run_until_cancelled(self.adopt_directory()).await {
                        break Err(error);
                    }
                }
                () = until_end => {}
                () = writer.overdue() => {}
                _ = look.tick() => {
                    self.settle();
                    self.watch_over();
                    self.report_outage();
                }
            }
        };
        drop(self.source);
        applied.cancel();
        while tasks.join_next().await.is_some() {}
        result
    }

    /// Applies what is new. Where `stop` comes meanwhile, the rest is found again at the next start.
    async fn apply(&mut self, update: Update, stop: &CancellationToken) -> std::io::Result<()> {
        let writer = Arc::clone(&self.parts.writer);
        let mut changes = update.changes.into_iter();
        if let Some(mut load) = self.first_load.take() {
            load.add(changes.by_ref(), &self.resolver, &writer);
            if update.loaded {
                let loading = Arc::clone(&writer);
                let load = move || loading.load(load.finish(&loading));
                tokio::task::spawn_blocking(load).await?;
            } else {
                self.first_load = Some(load);
            }
        }
        let commit = writer.begin_commit();
        loop {
            let portion = changes.by_ref().take(PORTION);
            let resolved: Vec<_> = portion.map(|change| self.resolve(change)).collect();
            if resolved.is_empty() {
                break;
            }
            if stop.is_cancelled() {
                return Ok(());
            }
            writer.apply_in(commit, resolved);
            tokio::task::yield_now().await;
        }
        if update.complete && !self.complete {
            writer.forget_absent();
        }
        // A file that is back may be another one.
        self.complete = update.complete && !matches!(update.health, Health::Absent(_));
        self.known |= update.loaded;
        if let Some(file) = update.file {
            writer.report_file(file);
        }
        self.report(update.health, update.as_of);
        Ok(())
    }

    fn resolve(&self, change: Change<Arc<Binding>>) -> Change<Arc<Registration>> {
        match change {
            Change::Upsert(binding) => {
                let known = self.parts.writer.get(&binding.key);
                let life = Life::of(&binding, known.as_deref().map(|one| &**one));
                Change::Upsert(Arc::new(self.resolver.registration(binding, life)))
            }
            Change::Remove(key) => Change::Remove(key),
        }
    }

    /// Publishes how well the registry is known to equal the tables, and logs it when that changes.
    fn report(&mut self, health: Health, as_of: Option<Duration>) {
        let former = self.parts.writer.reported_source();
        let state = match &health {
            Health::Live if self.complete => SourceState::Live,
            _ if !self.known => SourceState::Unavailable,
            Health::Live | Health::CatchingUp | Health::Opening => SourceState::CatchingUp,
            Health::Absent(_) | Health::Blocked(_) => SourceState::Stale,
        };
        let trouble = health.trouble().map(|trouble| trouble.message.clone());
        self.parts.writer.report_trouble(trouble);
        self.parts.writer.report(SourceReport {
            state,
            as_of: as_of.or(former.as_of),
        });
        if self.health.as_ref() != Some(&health) {
            self.health = Some(health);
            self.report_health();
        }
        self.settle();
    }

    /// Logs how it stands with the tables now.
    fn report_health(&mut self) {
        let registrations = self.registrations();
        let now = self.parts.clock.monotonic();
        match &self.health {
            Some(Health::Live) => {
                tracing::debug!(registrations, "following Kamailio's tables");
                // The first time is what readiness is about, and has a line of its own.
                if let Some(recovered) = self.trouble.succeeded(now) {
                    let lasted = recovered.lasted.as_secs();
                    tracing::info!(registrations, lasted, "reading Kamailio's tables");
                }
            }
            Some(Health::CatchingUp) => tracing::debug!("comparing every row"),
            Some(Health::Opening) | None => tracing::debug!("opening Kamailio's database"),
            Some(Health::Absent(trouble) | Health::Blocked(trouble)) => {
                self.parts.metrics.source.failed(trouble.kind);
                let is_news = self.causes.is_news(&trouble.message, now);
                let say = self.trouble.failed(now);
                self.report_trouble(say.or(is_news.then_some(Say::First)));
            }
        }
    }

    /// Logs now and then that the tables still cannot be read.
    fn report_outage(&mut self) {
        if self
            .health
            .as_ref()
            .is_some_and(|health| health.trouble().is_some())
        {
            let say = self.trouble.lasts(self.parts.clock.monotonic());
            self.report_trouble(say);
        }
    }

    /// Logs why the tables cannot be read, where it is to be said.
    fn report_trouble(&self, say: Option<Say>) {
        let trouble = self.health.as_ref().and_then(Health::trouble);
        let (Some(say), Some(trouble)) = (say, trouble) else {
            return;
        };
        let file = self.parts.writer.source_file();
        let file = file.map(|file| file.display().to_string());
        let place = file.or_else(|| self.place.clone());
        let place = place.unwrap_or_else(|| "none was found".to_owned());
        let cause = &trouble.message;
        tracing::warn!(
            registrations = self.registrations(),
            count = say.count(),
            lasting = say.seconds(),
            "cannot read Kamailio's tables; serving the last known rows: {place}: {cause}; run `usrlocd doctor`"
        );
    }

    fn registrations(&self) -> usize {
        self.parts.writer.count(Scope::System).0
    }

    /// Says when the first knowledge about the tables is settled.
    fn settle(&mut self) {
        let now = self.parts.clock.monotonic();
        let is_complete = self.complete && !self.parts.writer.has_intents();
        if let Some(health) = &self.health
            && !*self.parts.settled.borrow()
            && self.readiness.is_over(health, is_complete, now)
        {
            self.parts.settled.send_replace(true);
        }
    }

    /// Logs that the source hangs, and that it no longer does. One look is not enough: the whole machine may have
    /// stood still.
    fn watch_over(&mut self) {
        let now = self.parts.clock.monotonic();
        if self.parts.writer.heartbeat().is_hung(now) {
            self.hung += 1;
            if self.hung == HUNG_LOOKS {
                tracing::error!(
                    "reading Kamailio's files hangs; serving the last known rows; check the disk that holds them"
                );
            }
        } else if std::mem::take(&mut self.hung) >= HUNG_LOOKS {
            tracing::info!("reading Kamailio's files again");
        }
    }

    /// Resolves every row again with a directory that has changed, and puts both in force.
    async fn adopt_directory(&mut self) -> std::io::Result<()> {
        let directory = Arc::clone(&self.parts.directory.borrow_and_update());
        self.resolver = Resolver::new(Arc::clone(&self.naming), Arc::clone(&directory));
        if let Some(load) = &mut self.first_load {
            load.resolve_again(&self.resolver);
        }
        let (resolver, writer) = (self.resolver.clone(), Arc::clone(&self.parts.writer));
        let in_force = self.parts.in_force.clone();
        let work = move || {
            let changed = resolver.again(writer.rows());
            let publish = || drop(in_force.send_replace(directory));
            writer.replace(changed, resolver.owners(), publish);
        };
        tokio::task::spawn_blocking(work).await?;
        Ok(())
    }
}

/// Why nothing is kept any more.
fn ended_early(ended: Result<std::io::Result<()>, JoinError>) -> std::io::Error {
    match ended {
        Ok(Ok(())) => {
            std::io::Error::other("the thread that writes the store or the log of events ended")
        }
        Ok(Err(error)) => error,
        Err(panic) => std::io::Error::other(panic),
    }
}
