//! The thread that follows Kamailio's tables: it steps the tail, puts bindings together and posts the news.
//!
//! A thread of its own, not a task: it reads files, and must not wait behind anything else.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::heartbeat::Heartbeat;
use super::mailbox::{Mailbox, News};
use super::seek::Seeker;
use super::wake::{Bell, Next, Rhythm, Ring, StopOnDrop, Watch};
use super::{Options, Parts};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::registration::Binding;
use crate::sqlite_file::{State, Tail, TailOptions};
use crate::usrloc::Usrloc;
use crate::view::{Source, View};

/// The tail, and the bindings that it has told.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) tail: Tail,
    pub(super) seeker: Option<Seeker>,
    pub(super) usrloc: Usrloc,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) heartbeat: Arc<Heartbeat>,
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
    pub(super) fn new(options: Options, mailbox: Arc<Mailbox>, parts: &Parts) -> Self {
        let usrloc = Usrloc::new(&options.tables);
        let tail = Tail::new(TailOptions {
            path: options.database,
            tables: usrloc.specs(),
        });
        Self {
            tail,
            seeker: options.discover.map(Seeker::new),
            usrloc,
            clock: Arc::clone(&parts.clock),
            mailbox,
            heartbeat: Arc::clone(&parts.heartbeat),
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
            self.heartbeat.beat(now);
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
        let as_of = self.clock.unix();
        let now = self.clock.monotonic();
        if let Some(path) = self.seeker.as_mut().and_then(|seeker| seeker.look(now)) {
            self.seeker = None;
            self.tail = Tail::new(TailOptions {
                path,
                tables: self.usrloc.specs(),
            });
        }
        let began = self.metrics.now();
        let step = self.tail.step(now, &mut self.usrloc);
        let changes = self.usrloc.changes(now, step.complete);
        let took = self.metrics.since(began);
        self.metrics.source.stepped(self.tail.counters(), took);
        let fresh = (step.state, step.complete);
        let as_of = step.current.then_some(as_of);
        let same = changes.is_empty() && last == Some(&fresh);
        // While nothing happens only the moment moves on, and nobody is woken for that.
        let told = same && as_of.is_none_or(|as_of| self.mailbox.if_shown(|| self.tell(as_of)));
        if !told {
            self.mailbox.put(News {
                changes,
                state: fresh.0.clone(),
                complete: step.complete,
                as_of,
            });
        }
        (step.wake, fresh)
    }

    /// Says that the view equals the tables as of this moment.
    fn tell(&self, as_of: Duration) {
        let source = self.view.source();
        self.view.set_source(Source {
            as_of: Some(as_of),
            ..source
        });
    }
}
