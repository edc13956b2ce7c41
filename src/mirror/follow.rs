//! The thread that follows Kamailio's tables: it steps the tail, puts bindings together and posts the news.
//!
//! A thread of its own, not a task: it reads files, and must not wait behind anything else.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::caution;
use super::completeness::{Completeness, Extent, Moment};
use super::doubt::{Doubt, Verdict};
use super::mailbox::{Mailbox, News};
use super::seek::{Place, Seeker};
use super::wake::{Bell, Next, Rhythm, Ring, StopOnDrop, Watch};
use super::{Options, Parts};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::registration::Binding;
use crate::sqlite_file::{Reason, State, Step, Tail, TailOptions};
use crate::usrloc::{Reading, Usrloc};
use crate::view::{Source, View};

/// Until the next step, where so much waits to be shown that more had better come later.
const PAUSE: Duration = Duration::from_millis(10);

/// Until the next look for a database, where none has been found.
const ABSENT: Duration = Duration::from_secs(1);

/// The tail, and the bindings that it has told.
#[derive(Debug)]
pub(super) struct Follower {
    database: PathBuf,
    pub(super) tail: Tail,
    pub(super) seeker: Option<Seeker>,
    pub(super) usrloc: Usrloc,
    doubt: Doubt,
    completeness: Completeness,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) mailbox: Arc<Mailbox>,
    view: Arc<View>,
    metrics: Arc<Metrics>,
}

/// The thread of a [`Follower`]. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Thread {
    /// Told when it has ended.
    pub(super) ended: oneshot::Receiver<()>,
    _stop: StopOnDrop,
}

impl Follower {
    /// Follows what `options` say, and puts into `place` where that is.
    pub(super) fn new(
        options: Options,
        mailbox: Arc<Mailbox>,
        place: &Place,
        parts: &Parts,
    ) -> Self {
        let usrloc = Usrloc::new(&options.tables);
        let store = || parts.store.path().to_owned();
        let seeker = options
            .discover
            .map(|root| Seeker::new(root, store(), place.clone()));
        if seeker.is_none() {
            place.put(options.database.clone());
            parts.view.set_source_file(options.database.clone());
            caution::warn_if_writable(&options.database);
        }
        Self {
            tail: tail(&options.database, &usrloc),
            database: options.database,
            seeker,
            usrloc,
            doubt: Doubt::default(),
            completeness: Completeness::default(),
            clock: Arc::clone(&parts.clock),
            mailbox,
            view: Arc::clone(&parts.view),
            metrics: Arc::clone(&parts.metrics),
        }
    }

    /// Starts a thread that follows the tables. `former` are the bindings that an earlier run knew.
    pub(super) fn start(mut self, former: Vec<Arc<Binding>>) -> std::io::Result<Thread> {
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
        Ok(Thread { ended, _stop: stop })
    }

    /// Follows the tables until `bell` says stop.
    fn run(mut self, bell: &Arc<Bell>) {
        let mut last: Option<(State, bool)> = None;
        let mut rhythm = Rhythm::default();
        let mut watch: Option<Watch> = None;
        loop {
            let (wake, fresh) = self.step(last.as_ref());
            last = Some(fresh);
            let now = self.clock.monotonic();
            self.view.heartbeat().beat(now);
            let sleep = match rhythm.after_step(now, wake) {
                Next::Watch => {
                    bell.silence();
                    watch = Watch::new(&self.tail.watch_paths(), bell);
                    continue;
                }
                Next::Doze(sleep) => watch.as_ref().map_or(wake, |_| sleep),
                Next::Tick(sleep) => {
                    drop(watch.take());
                    sleep
                }
            };
            let deadline = self.usrloc.deadline().map(|at| at.saturating_sub(now));
            match bell.wait(sleep.min(deadline.unwrap_or(Duration::MAX))) {
                Ring::None => {}
                Ring::Touched => {
                    drop(watch.take());
                    rhythm.alarmed(self.clock.monotonic());
                }
                Ring::Stop => return,
            }
        }
    }

    /// One step; returns how long the tail may sleep, and what there is to compare the next one with.
    fn step(&mut self, last: Option<&(State, bool)>) -> (Duration, (State, bool)) {
        let unix = self.clock.unix();
        let now = self.clock.monotonic();
        self.seek(now);
        if self.mailbox.is_full() {
            // What is not read now is still in the file, each row once.
            return (PAUSE, last.cloned().unwrap_or((State::Opening, false)));
        }
        let step = self.read(now);
        let read = step.complete && self.believes(now);
        let not_understood = self.usrloc.not_understood().filter(|_| read);
        let current = step.current && not_understood.is_none();
        let state = not_understood.map_or(step.state, State::Absent);
        let reading = match state {
            State::Absent(_) => Reading::Interrupted,
            _ if read => Reading::Complete,
            State::Blocked(_) => Reading::Interrupted,
            State::Opening | State::Healing | State::Live => Reading::Underway,
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
        let same = changes.is_empty() && last == Some(&fresh);
        // While nothing happens only the moment moves on, and nobody is woken for that.
        let told = same && as_of.is_none_or(|as_of| self.mailbox.if_shown(|| self.tell(as_of)));
        if !told {
            self.mailbox.put(News {
                changes,
                state: fresh.0.clone(),
                complete,
                loaded,
                as_of,
            });
        }
        (step.wake, fresh)
    }

    /// Says that the view equals the tables as of this moment.
    fn tell(&self, as_of: Duration) {
        let source = self.view.said_source();
        self.view.set_source(Source {
            as_of: Some(as_of),
            ..source
        });
    }

    /// Looks for the database, where nobody has said where it is; also while the one that was found has no row,
    /// because that may be one that a package has left there.
    fn seek(&mut self, now: Duration) {
        let Some(seeker) = &mut self.seeker else {
            return;
        };
        if self.usrloc.is_empty()
            && let Some(path) = seeker.look(now)
        {
            caution::warn_if_writable(&path);
            self.view.set_source_file(path.clone());
            self.database = path;
            self.doubt = Doubt::default();
            self.begin_anew();
        }
    }

    /// A step of the tail, where there is a database to read.
    fn read(&mut self, now: Duration) -> Step {
        if self
            .seeker
            .as_ref()
            .is_some_and(|seeker| !seeker.has_found())
        {
            return Step {
                state: State::Absent(Reason::Missing),
                complete: false,
                current: false,
                changed: false,
                wake: ABSENT,
            };
        }
        let began = self.metrics.now();
        let step = self.tail.step(now, &mut self.usrloc);
        let took = self.metrics.since(began);
        self.metrics.source.stepped(self.tail.counters(), took);
        let (bad, orphans) = (self.usrloc.bad_rows(), self.usrloc.orphans());
        self.metrics.source.understood(bad, orphans);
        let rows = usize::try_from(self.tail.counters().rows);
        self.view.read_rows().reach(rows.unwrap_or(usize::MAX));
        step
    }

    /// Whether bindings without a row are gone, now that all rows have been read.
    fn believes(&mut self, now: Duration) -> bool {
        let usrloc = &self.usrloc;
        let verdict = self.doubt.all_read(now, || usrloc.misses_most());
        if verdict == Verdict::ReadAgain {
            self.begin_anew();
        }
        verdict == Verdict::Believe
    }

    /// Reads every row, of a database of which nothing is known yet.
    fn begin_anew(&mut self) {
        self.usrloc.read_again();
        self.tail = tail(&self.database, &self.usrloc);
    }
}

fn tail(path: &Path, usrloc: &Usrloc) -> Tail {
    Tail::new(TailOptions {
        path: path.to_path_buf(),
        tables: usrloc.specs(),
    })
}
