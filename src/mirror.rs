//! The mirror: what changes in Kamailio's tables changes the view, and the store after it.
//!
//! One thread follows the tables, one task shows what it found, one keeps it on disk; each hands on what is new
//! without waiting for the next.

mod follow;
mod heartbeat;
mod keeper;
mod mailbox;
mod resolve;
mod seek;
mod settling;
mod wake;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::directory::Directory;
use crate::metrics::Metrics;
use crate::registration::{Change as Row, Key, Registration};
use crate::sqlite_file::{Reason, State};
use crate::store::{Contents, Store, Stored};
use crate::usrloc::Usrloc;
use crate::view::{Change, EXPIRE_INTERVAL, Kept, Source, SourceState, View};
use follow::Follower;
pub use heartbeat::Heartbeat;
use keeper::Keeper;
use mailbox::{Mailbox, News};
pub use resolve::{Naming, Resolver};
use seek::Seeker;
use settling::Settling;
use wake::{Bell, StopOnDrop};

/// How many rows are shown at a time: readers wait for a portion at most.
const PORTION: usize = 256;

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
    /// Tells whether the thread that follows the tables is at work.
    pub heartbeat: Arc<Heartbeat>,
    /// Turns true once every row was read, or the tables are known to be unreadable for more than a moment.
    pub settled: watch::Sender<bool>,
}

/// The mirror, ready to run.
#[derive(Debug)]
pub struct Mirror {
    parts: Parts,
    naming: Arc<Naming>,
    resolver: Resolver,
    mailbox: Arc<Mailbox>,
    keeper: Arc<Keeper>,
    follower: Option<Follower>,
    state: Option<State>,
    /// Whether the log says that the tables cannot be read.
    unreadable: bool,
    complete: bool,
    settling: Settling,
}

impl Mirror {
    /// A mirror whose view shows what the store had kept, until the tables have been read. Keeps its thread busy
    /// for a while where that is much.
    #[must_use]
    pub fn new(options: Options, mut parts: Parts, contents: Contents) -> Self {
        let naming = Arc::new(options.naming);
        let directory = Arc::clone(&parts.directory.borrow_and_update());
        parts.in_force.send_replace(Arc::clone(&directory));
        let resolver = Resolver::new(Arc::clone(&naming), directory);
        let former: Vec<_> = contents
            .registrations
            .iter()
            .map(|one| Arc::clone(&one.binding))
            .collect();
        let as_of = contents.as_of;
        let state = if former.is_empty() && as_of.is_none() {
            SourceState::Unavailable
        } else {
            SourceState::CatchingUp
        };
        let rows = resolver.registrations(contents.registrations);
        let kept = Kept {
            rows,
            departed: contents.departed,
            hidden: contents.hidden,
        };
        parts.view.restore(kept, Source { state, as_of });
        let mailbox = Arc::new(Mailbox::default());
        let usrloc = Usrloc::new(&options.tables, former);
        let follower = Follower::new(
            &options.database,
            options.discover.map(Seeker::new),
            usrloc,
            Arc::clone(&mailbox),
            &parts,
        );
        let keeper = Arc::new(Keeper::new(
            Arc::clone(&parts.store),
            Arc::clone(&parts.view),
            Arc::clone(&parts.clock),
            Arc::clone(&parts.metrics),
        ));
        Self {
            parts,
            naming,
            resolver,
            mailbox,
            keeper,
            follower: Some(follower),
            state: None,
            unreadable: false,
            complete: false,
            settling: Settling::default(),
        }
    }

    /// Mirrors until `stop`; on return everything shown is also kept.
    ///
    /// # Errors
    /// When the operating system starts no thread, or the thread ends although nobody told it to: a defect.
    pub async fn run(mut self, stop: CancellationToken) -> std::io::Result<()> {
        let (stop_thread, mut ended) = self.start()?;
        let kept = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (keeper, stop_keeper) = (Arc::clone(&self.keeper), kept.clone());
        tasks.spawn(async move { keeper.run(stop_keeper).await });
        let mut expiry = tokio::time::interval(EXPIRE_INTERVAL);
        let result = loop {
            tokio::select! {
                () = stop.cancelled() => break Ok(()),
                _ = &mut ended => break Err(std::io::Error::other("the thread that follows the tables ended")),
                news = self.mailbox.take() => self.show(news).await,
                Ok(()) = self.parts.directory.changed() => {
                    if let Err(error) = self.adopt_directory().await {
                        break Err(error);
                    }
                }
                _ = expiry.tick() => {
                    self.parts.view.expire();
                    self.settle();
                }
            }
        };
        drop(stop_thread);
        kept.cancel();
        while tasks.join_next().await.is_some() {}
        result
    }

    /// Starts the thread. It ends when the first value is dropped; the receiver tells when it has.
    fn start(&mut self) -> std::io::Result<(StopOnDrop, oneshot::Receiver<()>)> {
        let bell = Arc::new(Bell::default());
        let stop = StopOnDrop(Arc::clone(&bell));
        let (ending, ended) = oneshot::channel::<()>();
        if let Some(follower) = self.follower.take() {
            let follow = move || {
                // Dropped at the end, also at that of a panic.
                let _ending = ending;
                follower.run(&bell);
            };
            std::thread::Builder::new()
                .name("tail".to_owned())
                .spawn(follow)?;
        }
        Ok((stop, ended))
    }

    async fn show(&mut self, news: News) {
        let mut changes = news.changes.into_iter();
        loop {
            let portion: Vec<_> = changes.by_ref().take(PORTION).collect();
            if portion.is_empty() {
                break;
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
        self.complete = news.complete;
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
        let former = self.parts.view.source();
        let never = former.state == SourceState::Unavailable;
        let source = match &state {
            State::Live if self.complete => SourceState::Live,
            _ if never => SourceState::Unavailable,
            State::Live | State::Healing | State::Opening => SourceState::CatchingUp,
            State::Absent(_) | State::Blocked(_) => SourceState::Stale,
        };
        self.parts.view.set_source(Source {
            state: source,
            as_of: as_of.or(former.as_of),
        });
        if self.state.as_ref() != Some(&state) {
            let registrations = self.parts.view.count(crate::view::Scope::System).0;
            match &state {
                // The first time is what readiness is about, and has a line of its own.
                State::Live if self.unreadable => {
                    self.unreadable = false;
                    tracing::info!(registrations, "reads Kamailio's tables now");
                }
                State::Live => tracing::debug!(registrations, "follows Kamailio's tables"),
                State::Healing => tracing::debug!(registrations, "compares every row"),
                State::Opening => tracing::debug!("opens Kamailio's database"),
                State::Absent(reason) | State::Blocked(reason) => {
                    self.parts.metrics.source.failed(kind(reason));
                    self.unreadable = true;
                    tracing::warn!(%reason, registrations, "cannot read Kamailio's tables; serves the last known rows");
                }
            }
            self.state = Some(state);
        }
        self.settle();
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

    /// Resolves every row again with a directory that has changed, and puts both in force.
    async fn adopt_directory(&mut self) -> std::io::Result<()> {
        let directory = Arc::clone(&self.parts.directory.borrow_and_update());
        self.resolver = Resolver::new(Arc::clone(&self.naming), Arc::clone(&directory));
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
        Ok(())
    }
}

/// The kind of a reason, in a word for metrics.
fn kind(reason: &Reason) -> &'static str {
    match reason {
        Reason::Missing => "missing",
        Reason::Empty => "empty",
        Reason::NoTable(_) | Reason::Unsupported { .. } => "no_table",
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
