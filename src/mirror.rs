//! The mirror: what changes in Kamailio's tables changes the view, and the store after it.
//!
//! One thread follows the tables, one shows what it found, one keeps it on disk; each hands on what is new without
//! waiting for the next.

mod causes;
mod caution;
mod completeness;
mod doubt;
mod follow;
mod keeper;
mod mailbox;
mod pending;
mod resolve;
mod seek;
mod settling;
mod start;
mod wake;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::directory::Directory;
use crate::metrics::Metrics;
use crate::own_thread;
use crate::rate_limited::{RateLimited, Say};
use crate::registration::{Change as Row, Key, Registration};
use crate::sqlite_file::{Reason, State};
use crate::store::{Store, Stored};
use crate::view::{Change, EXPIRE_INTERVAL, Scope, Source, SourceState, View};
use causes::Causes;
use follow::Thread;
use keeper::Keeper;
use mailbox::{Mailbox, News};
pub use resolve::{Naming, Resolver};
use seek::Place;
use settling::Settling;

/// How many rows are shown at a time: readers wait for a portion at most.
const PORTION: usize = 256;

/// Looks a second apart after which the log says that the thread hangs.
const HUNG_LOOKS: u32 = 2;

/// What is mirrored, and where to.
#[derive(Debug)]
pub struct Options {
    /// Kamailio's database.
    pub database: PathBuf,
    /// Look for the database below this directory, until there is one; `None` when it is known.
    pub discover: Option<PathBuf>,
    /// The usrloc tables in it.
    pub tables: Vec<String>,
    /// How addresses and realms are named.
    pub naming: Naming,
}

/// The parts that the mirror works with.
#[derive(Debug)]
pub struct Parts {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where registrations are shown.
    pub view: Arc<View>,
    /// Where they are kept.
    pub store: Arc<Store>,
    /// The directory as it is to be.
    pub directory: watch::Receiver<Arc<Directory>>,
    /// The directory that the registrations follow: theirs and this one change in one moment, so that who may see an
    /// account sees what it had or what it has, and nothing between.
    pub in_force: watch::Sender<Arc<Directory>>,
    /// Told when a hidden row changed in a way that only Kamailio can explain.
    pub doubts: Arc<Notify>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Turns true once every row was read, or the tables are known to be unreadable for more than a moment.
    pub settled: watch::Sender<bool>,
    /// Cancelled when a stop must not take much longer: what is not kept by then is read again at the next start.
    pub hurry: CancellationToken,
}

/// The mirror, ready to run.
#[derive(Debug)]
pub struct Mirror {
    parts: Parts,
    naming: Arc<Naming>,
    resolver: Resolver,
    mailbox: Arc<Mailbox>,
    keeper: Arc<Keeper>,
    thread: Thread,
    state: Option<State>,
    /// When to say that the tables cannot be read.
    trouble: RateLimited,
    causes: Causes,
    /// The database, once it is known.
    database: Place,
    complete: bool,
    /// What the view has was once all that the tables had: in an earlier run that was kept whole, or in this one.
    known: bool,
    settling: Settling,
    /// At how many looks in a row the thread hung.
    hung: u32,
}

impl Mirror {
    /// Mirrors until `stop`; on return everything shown is also kept, unless there is no time for that.
    ///
    /// # Errors
    /// When the operating system starts no thread, or one ends although nobody told it to: a defect.
    pub async fn run(mut self, stop: CancellationToken) -> std::io::Result<()> {
        let kept = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (keeper, stop_keeper) = (Arc::clone(&self.keeper), kept.clone());
        let hurry = self.parts.hurry.clone();
        tasks.spawn(own_thread::run("keeper", async move {
            keeper.run(stop_keeper, hurry).await;
        }));
        let mut expiry = tokio::time::interval(EXPIRE_INTERVAL);
        expiry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let result = loop {
            tokio::select! {
                () = stop.cancelled() => break Ok(()),
                _ = &mut self.thread.ended => break Err(std::io::Error::other("the thread that follows the tables ended")),
                Some(ended) = tasks.join_next() => break Err(ended_early(ended)),
                news = self.mailbox.take() => self.show(news, &stop).await,
                Ok(()) = self.parts.directory.changed() => {
                    if let Some(Err(error)) = stop.run_until_cancelled(self.adopt_directory()).await {
                        break Err(error);
                    }
                }
                _ = expiry.tick() => {
                    self.parts.view.expire();
                    self.settle();
                    self.watch_over();
                    self.tell_outage();
                }
            }
        };
        drop(self.thread);
        kept.cancel();
        while tasks.join_next().await.is_some() {}
        result
    }

    /// Shows what is new. Where `stop` comes meanwhile, the rest is found again at the next start.
    async fn show(&mut self, news: News, stop: &CancellationToken) {
        let mut changes = news.changes.into_iter();
        loop {
            let portion: Vec<_> = changes.by_ref().take(PORTION).collect();
            if portion.is_empty() {
                break;
            }
            if stop.is_cancelled() {
                return;
            }
            let resolved: Vec<_> = portion
                .into_iter()
                .map(|(key, row)| self.resolve(key, row))
                .collect();
            self.adopt(resolved);
            tokio::task::yield_now().await;
        }
        if news.complete && !self.complete {
            self.keeper
                .put([], Vec::new(), self.parts.view.forget_absent());
        }
        // A file that is back may be another one.
        self.complete = news.complete && !matches!(news.state, State::Absent(_));
        self.known |= news.loaded;
        self.tell_state(news.state, news.as_of);
    }

    fn resolve(&self, key: Key, row: Row) -> Change {
        match row {
            Row::Upsert(binding) => {
                let known = self.parts.view.get(&key);
                let first = known.map_or(binding.last_modified, |known| known.first_registration);
                Change::Upsert(Arc::new(self.resolver.registration(binding, first)))
            }
            Row::Remove => Change::Remove(key),
        }
    }

    /// Shows changes, and has them kept.
    fn adopt(&self, changes: Vec<Change>) {
        let kept = |change: &Change| match change {
            Change::Upsert(registration) => {
                (registration.binding.key.clone(), Some(stored(registration)))
            }
            Change::Remove(key) => (key.clone(), None),
        };
        let rows: Vec<_> = changes.iter().map(kept).collect();
        let consequences = self.parts.view.apply(changes);
        if consequences.doubtful {
            self.parts.doubts.notify_one();
        }
        self.keeper
            .put(rows, consequences.departed, consequences.unhidden);
    }

    /// Publishes how well the view is known to equal the tables, and says so when that changes.
    fn tell_state(&mut self, state: State, as_of: Option<std::time::Duration>) {
        let former = self.parts.view.said_source();
        let source = match &state {
            State::Live if self.complete => SourceState::Live,
            _ if !self.known => SourceState::Unavailable,
            State::Live | State::Healing | State::Opening => SourceState::CatchingUp,
            State::Absent(_) | State::Blocked(_) => SourceState::Stale,
        };
        let trouble = match &state {
            State::Absent(reason) | State::Blocked(reason) => Some(in_words(reason)),
            State::Live | State::Healing | State::Opening => None,
        };
        self.parts.view.set_trouble(trouble);
        self.parts.view.set_source(Source {
            state: source,
            as_of: as_of.or(former.as_of),
        });
        if self.state.as_ref() != Some(&state) {
            self.state = Some(state);
            self.tell_change();
        }
        self.settle();
    }

    /// Says what the state has become.
    fn tell_change(&mut self) {
        let registrations = self.registrations();
        let now = self.parts.clock.monotonic();
        match &self.state {
            Some(State::Live) => {
                tracing::debug!(registrations, "follows Kamailio's tables");
                // The first time is what readiness is about, and has a line of its own.
                if let Some(recovered) = self.trouble.succeeded(now) {
                    let lasted = recovered.lasted.as_secs();
                    tracing::info!(registrations, lasted, "reads Kamailio's tables now");
                }
            }
            Some(State::Healing) => tracing::debug!(registrations, "compares every row"),
            Some(State::Opening) | None => tracing::debug!("opens Kamailio's database"),
            Some(State::Absent(reason) | State::Blocked(reason)) => {
                self.parts.metrics.source.failed(kind(reason));
                let is_news = self.causes.is_news(&in_words(reason), now);
                let say = self.trouble.failed(now);
                self.tell_trouble(say.or(is_news.then_some(Say::First)));
            }
        }
    }

    /// Says now and then that the tables still cannot be read.
    fn tell_outage(&mut self) {
        if let Some(State::Absent(_) | State::Blocked(_)) = self.state {
            let say = self.trouble.lasts(self.parts.clock.monotonic());
            self.tell_trouble(say);
        }
    }

    /// Says why the tables cannot be read, where it is to be said.
    fn tell_trouble(&self, say: Option<Say>) {
        let Some(State::Absent(reason) | State::Blocked(reason)) = &self.state else {
            return;
        };
        if let Some(say) = say {
            let place = self.database.get();
            let place = place.map_or_else(
                || "none was found".to_owned(),
                |database| database.display().to_string(),
            );
            let cause = in_words(reason);
            tracing::warn!(
                registrations = self.registrations(),
                count = say.count(),
                lasting = say.seconds(),
                "cannot read Kamailio's tables; serves the last known rows: {place}: {cause}; run `usrlocd doctor`"
            );
        }
    }

    fn registrations(&self) -> usize {
        self.parts.view.count(Scope::System).0
    }

    /// Says when the first knowledge about the tables is settled.
    fn settle(&mut self) {
        let now = self.parts.clock.monotonic();
        if let Some(state) = &self.state
            && !*self.parts.settled.borrow()
            && self.settling.is_over(state, self.complete, now)
        {
            self.parts.settled.send_replace(true);
        }
    }

    /// Says that the thread hangs, and that it does no longer. One look is not enough: the whole machine may have
    /// stood still.
    fn watch_over(&mut self) {
        let now = self.parts.clock.monotonic();
        if self.parts.view.heartbeat().is_hung(now) {
            self.hung += 1;
            if self.hung == HUNG_LOOKS {
                tracing::error!(
                    "reading Kamailio's files hangs; serves the last known rows. Look at the disk that has them"
                );
            }
        } else if std::mem::take(&mut self.hung) >= HUNG_LOOKS {
            tracing::info!("reads Kamailio's files again");
        }
    }

    /// Resolves every row again with a directory that has changed, and puts both in force.
    async fn adopt_directory(&mut self) -> std::io::Result<()> {
        let directory = Arc::clone(&self.parts.directory.borrow_and_update());
        self.resolver = Resolver::new(Arc::clone(&self.naming), Arc::clone(&directory));
        // Until all rows have come by, some belong to their account by the former directory.
        self.keeper.set_owners(None);
        let (resolver, view) = (self.resolver.clone(), Arc::clone(&self.parts.view));
        let in_force = self.parts.in_force.clone();
        let work = move || {
            let changed = resolver.again(view.rows());
            let publish = || drop(in_force.send_replace(directory));
            let consequences = view.replace(&changed, publish);
            (changed, consequences)
        };
        let (changed, consequences) = tokio::task::spawn_blocking(work).await?;
        let kept = |one: &Arc<Registration>| (one.binding.key.clone(), Some(stored(one)));
        self.keeper.put(
            changed.iter().map(kept),
            consequences.departed,
            consequences.unhidden,
        );
        self.keeper.set_owners(Some(self.resolver.owners()));
        Ok(())
    }
}

/// Why nothing is kept any more.
fn ended_early(keeper: Result<std::io::Result<()>, JoinError>) -> std::io::Error {
    match keeper {
        Ok(Ok(())) => std::io::Error::other("the thread that keeps the store ended"),
        Ok(Err(error)) => error,
        Err(panic) => std::io::Error::other(panic),
    }
}

/// A reason with what the system said of it.
fn in_words(reason: &Reason) -> String {
    match reason {
        Reason::Io { source, .. } => format!("{reason}: {}", std::io::Error::from(*source)),
        _ => reason.to_string(),
    }
}

/// The kind of a reason, in a word for metrics.
fn kind(reason: &Reason) -> &'static str {
    match reason {
        Reason::Missing => "missing",
        Reason::Empty => "empty",
        Reason::NoTable(_) | Reason::Unsupported { .. } => "no_table",
        Reason::NoColumn { .. } | Reason::NotStored { .. } => "no_column",
        Reason::NotUnderstood { .. } => "not_understood",
        Reason::HotJournal => "hot_journal",
        Reason::Locked => "locked",
        Reason::Busy => "busy",
        Reason::Io { .. } => "io",
        // No database that usrlocd can read, or a damaged one.
        _ => "malformed",
    }
}

/// A registration as the store keeps it.
fn stored(registration: &Registration) -> Stored {
    Stored {
        binding: Arc::clone(&registration.binding),
        first_registration: registration.first_registration,
        account: registration.account_id.clone(),
    }
}
