//! The thread that follows Kamailio's tables: it steps the tail, assembles bindings and posts updates.
//!
//! A thread of its own, not a task: it reads files, and must not wait behind anything else.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot;

use super::Options;
use super::discover::Search;
use super::permissions;
use super::schedule::{Looks, Next, Rhythm};
use super::watch::{Bell, Ring, StopOnDrop, Watch};
use crate::registration::Binding;
use crate::source::completeness::{Completeness, Extent, Moment};
use crate::source::updates::Updates;
use crate::source::usrloc::{Reading, Usrloc};
use crate::source::{Health, Parts, Update};
use crate::sqlite_file::{Reason, State, Step, Tail, TailOptions};

/// Until the next step, where so many updates wait that more had better stay in the file.
const PAUSE: Duration = Duration::from_millis(10);

/// Until the next look for a database, where none has been found.
const ABSENT: Duration = Duration::from_secs(1);

/// The tail, and the bindings that were put together from what it reports.
#[derive(Debug)]
pub(super) struct Follower {
    database: PathBuf,
    pub(super) tail: Tail,
    pub(super) search: Option<Search>,
    pub(super) usrloc: Usrloc,
    completeness: Completeness,
    pub(super) updates: Arc<Updates>,
    pub(super) parts: Parts,
}

impl Follower {
    /// Follows what `options` say.
    pub(super) fn new(options: Options, updates: Arc<Updates>, parts: Parts) -> Self {
        let usrloc = Usrloc::new(&options.tables);
        let store = options.store;
        let search = options.discover.map(|root| Search::new(root, store));
        if search.is_none() {
            permissions::warn_if_writable(&options.database);
        }
        Self {
            tail: tail(&options.database, &usrloc),
            database: options.database,
            search,
            usrloc,
            completeness: Completeness::default(),
            updates,
            parts,
        }
    }

    /// Starts a thread that follows the tables. `former` are the bindings that an earlier run knew. The receiver resolves
    /// when the thread has ended, which it does when the other value is dropped.
    pub(super) fn start(
        mut self,
        former: Vec<Arc<Binding>>,
    ) -> std::io::Result<(oneshot::Receiver<()>, StopOnDrop)> {
        let bell = Arc::new(Bell::default());
        let stop = StopOnDrop(Arc::clone(&bell));
        let (ending, ended) = oneshot::channel::<()>();
        let follow = move || {
            // Dropped at the end, also at that of a panic.
            let _ending = ending;
            self.usrloc.know(former);
            self.run(&bell);
        };
        std::thread::Builder::new()
            .name("tail".to_owned())
            .spawn(follow)?;
        Ok((ended, stop))
    }

    /// Follows the tables until `bell` says stop.
    fn run(mut self, bell: &Arc<Bell>) {
        let mut last: Option<(State, bool)> = None;
        let mut rhythm = Rhythm::default();
        let mut watch: Option<Watch> = None;
        loop {
            let began = processor_time();
            let (wake, fresh) = self.step(last.as_ref());
            last = Some(fresh);
            let now = self.parts.clock.monotonic();
            self.parts.heartbeat.beat(now);
            let ring = match rhythm.after_step(now, processor_time().saturating_sub(began), wake) {
                Next::Watch => {
                    bell.silence();
                    watch = Watch::new(&self.tail.watch_paths(), bell);
                    continue;
                }
                Next::Doze(sleep) => {
                    let sleep = watch.as_ref().map_or(wake, |_| sleep);
                    bell.wait(sleep.min(self.until_deadline(now)))
                }
                Next::Look(looks) => {
                    drop(watch.take());
                    self.look_until_news(looks, bell)
                }
            };
            match ring {
                Ring::None => {}
                Ring::Touched => {
                    drop(watch.take());
                    rhythm.alarmed(self.parts.clock.monotonic());
                }
                Ring::Stop => return,
            }
        }
    }

    /// Sleeps until it is time for a step, or one is worth while.
    fn look_until_news(&self, looks: Looks, bell: &Bell) -> Ring {
        loop {
            let now = self.parts.clock.monotonic();
            let Some(sleep) = looks.next(now, || self.tail.has_news()) else {
                return bell.wait(Duration::ZERO);
            };
            let deadline = self.until_deadline(now);
            let ring = bell.wait(sleep.min(deadline));
            if ring != Ring::None || deadline <= sleep {
                return ring;
            }
        }
    }

    /// How long until there is something to report although no row changes.
    fn until_deadline(&self, now: Duration) -> Duration {
        let deadline = self.usrloc.deadline();
        deadline.map_or(Duration::MAX, |at| at.saturating_sub(now))
    }

    /// One step; returns how long the tail may sleep, and what there is to compare the next one with.
    fn step(&mut self, last: Option<&(State, bool)>) -> (Duration, (State, bool)) {
        let unix = self.parts.clock.unix();
        let now = self.parts.clock.monotonic();
        self.discover(now);
        if self.updates.is_full() {
            // What is not read now is still in the file, each row once.
            return (PAUSE, last.cloned().unwrap_or((State::Opening, false)));
        }
        let step = self.read(now);
        let misses_most = step.complete && self.usrloc.misses_most();
        if misses_most {
            self.tail.confirm_removals(now);
        }
        let read = step.complete && !misses_most;
        let not_understood = self.usrloc.not_understood().filter(|_| read);
        let current = step.current && not_understood.is_none();
        let state = not_understood.map_or(step.state, |why| State::Absent(why.into()));
        let reading = match state {
            State::Absent(_) => Reading::Interrupted,
            _ if read => Reading::Complete,
            State::Blocked(_) => Reading::Interrupted,
            State::Opening | State::CatchingUp | State::Live => Reading::Underway,
        };
        let changes = self.usrloc.changes(now, reading);
        let withheld = self.usrloc.withheld_since();
        let Extent {
            complete,
            loaded,
            as_of,
        } = self
            .completeness
            .after_step(Moment { now, unix }, reading, current, withheld);
        let fresh = (state, complete);
        let is_news = !changes.is_empty() || last != Some(&fresh);
        if is_news || as_of.is_some() {
            self.updates.put(Update {
                changes,
                health: Health::from(&fresh.0),
                complete,
                loaded,
                as_of,
                file: self.file(),
            });
        }
        (step.wake, fresh)
    }

    /// The file that is read, once it is known.
    fn file(&self) -> Option<PathBuf> {
        let is_known = self.search.as_ref().is_none_or(Search::has_found);
        is_known.then(|| self.database.clone())
    }

    /// Looks for the database, where its path is not configured; also while the one that was found has no row,
    /// because that may be one that a package has left there.
    fn discover(&mut self, now: Duration) {
        let Some(search) = &mut self.search else {
            return;
        };
        if self.usrloc.is_empty()
            && let Some(path) = search.look(now)
        {
            permissions::warn_if_writable(&path);
            self.database = path;
            self.begin_anew();
        }
    }

    /// A step of the tail, where there is a database to read.
    fn read(&mut self, now: Duration) -> Step {
        if self
            .search
            .as_ref()
            .is_some_and(|search| !search.has_found())
        {
            return Step {
                state: State::Absent(Reason::Missing),
                complete: false,
                current: false,
                changed: false,
                wake: ABSENT,
            };
        }
        let began = self.parts.metrics.now();
        let step = self.tail.step(now, &mut self.usrloc);
        let took = self.parts.metrics.since(began);
        let counters = self.tail.counters();
        self.parts.metrics.source.stepped(&counters.into(), took);
        let (bad, orphans) = (self.usrloc.bad_rows(), self.usrloc.orphans());
        self.parts.metrics.source.understood(bad, orphans);
        let rows = usize::try_from(counters.rows);
        self.parts.rows_read.reach(rows.unwrap_or(usize::MAX));
        step
    }

    /// Reads every row, of a database of which nothing is known yet.
    fn begin_anew(&mut self) {
        self.usrloc.read_again();
        self.tail = tail(&self.database, &self.usrloc);
    }
}

/// Processor time of this thread: what a step costs, however long it has to wait for a core.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

fn tail(path: &Path, usrloc: &Usrloc) -> Tail {
    Tail::new(TailOptions {
        path: path.to_path_buf(),
        tables: usrloc.specs(),
    })
}
