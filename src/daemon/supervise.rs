//! Watches over the tasks and listens to signals.

use std::future::Future;
use std::io;
use std::time::Duration;

use anyhow::anyhow;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::notify::Manager;
use super::reload::{Live, Update};
use super::{Failure, Reload};
use crate::consumers::store;

/// Writers of a file are given this time to finish before it is read again.
const SETTLE: Duration = Duration::from_millis(100);

/// How long after the signal to end the store may still be written: a stop takes 10 s at most, whatever waits, also on a
/// machine that has little time for it.
const HURRY: Duration = Duration::from_secs(6);

/// How long after that tasks are still waited for.
const LAST_MOMENTS: Duration = Duration::from_millis(1500);

/// What a task ended with.
type Ended = (&'static str, io::Result<()>);

/// The tasks of the daemon: those that answer requests, which drain first, and the others.
pub(super) struct Tasks {
    draining: CancellationToken,
    stopping: CancellationToken,
    hurry: CancellationToken,
    answering: JoinSet<Ended>,
    others: JoinSet<Ended>,
    signals: Signals,
}

/// What the daemon is told from outside.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Tasks {
    /// No task yet; `hurry` is cancelled when a stop must not take much longer. From here on signals wait for [`supervise`](Self::supervise): a reload that is asked for at
    /// the moment of readiness must not end the process, as SIGHUP does to those that do not listen.
    pub(super) fn new(
        draining: CancellationToken,
        stopping: CancellationToken,
        hurry: CancellationToken,
    ) -> Result<Self, Failure> {
        Ok(Self {
            draining,
            stopping,
            hurry,
            answering: JoinSet::new(),
            others: JoinSet::new(),
            signals: Signals::new().map_err(|error| Failure::System(error.into()))?,
        })
    }

    /// Starts a task that ends when requests are drained; it returns whether all were.
    pub(super) fn start_draining(
        &mut self,
        name: &'static str,
        task: impl Future<Output = bool> + Send + 'static,
    ) {
        self.answering.spawn(async move {
            if !task.await {
                tracing::warn!(task = name, "requests were cut off");
            }
            (name, Ok(()))
        });
    }

    pub(super) fn start(
        &mut self,
        name: &'static str,
        task: impl Future<Output = io::Result<()>> + Send + 'static,
    ) {
        self.others.spawn(async move { (name, task.await) });
    }

    /// Runs until a signal says to end, or a task ends although none should.
    pub(super) async fn supervise(
        mut self,
        reload: Reload,
        mut live: Live,
        manager: &Manager,
    ) -> Result<(), Failure> {
        let result = loop {
            tokio::select! {
                _ = self.signals.terminate.recv() => break Ok(()),
                _ = self.signals.interrupt.recv() => break Ok(()),
                _ = self.signals.hangup.recv() => {
                    manager.reloading();
                    live.hangup(reload()).await;
                    manager.reloaded();
                }
                news = live.news() => match news {
                    Update::Touched => {
                        tokio::time::sleep(SETTLE).await;
                        live.look_again(&reload);
                    }
                    Update::Directory(read) => live.directory_read(*read),
                },
                Some(ended) = self.answering.join_next() => break Err(defect(ended)),
                Some(ended) = self.others.join_next() => break Err(defect(ended)),
            }
        };
        manager.stopping();
        tracing::debug!("stopping");
        let Self {
            draining,
            stopping,
            hurry,
            answering,
            others,
            signals,
        } = &mut self;
        tokio::select! {
            () = drain(draining, answering, stopping, others) => result,
            () = time_is_up(hurry) => {
                tracing::warn!("ends although not all is done: a disk or Kamailio keeps it waiting");
                result
            }
            () = signals.end() => Err(Failure::Failed(anyhow!("a second signal ended it before all was drained"))),
        }
    }
}

/// Ends the tasks that answer, and after them the others.
async fn drain(
    draining: &CancellationToken,
    answering: &mut JoinSet<Ended>,
    stopping: &CancellationToken,
    others: &mut JoinSet<Ended>,
) {
    draining.cancel();
    while answering.join_next().await.is_some() {}
    stopping.cancel();
    while others.join_next().await.is_some() {}
}

/// Has `hurry` made when there is little time left, and returns when there is none.
async fn time_is_up(hurry: &CancellationToken) {
    tokio::time::sleep(HURRY).await;
    hurry.cancel();
    tokio::time::sleep(LAST_MOMENTS).await;
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM or SIGINT.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn defect(ended: Result<Ended, tokio::task::JoinError>) -> Failure {
    Failure::Software(match ended {
        Ok((name, Ok(()))) => anyhow!("the task {name} ended by itself"),
        Ok((name, Err(error))) => match error.downcast::<store::Error>() {
            Ok(error) => return super::store_failure(error),
            Err(error) => anyhow::Error::new(error).context(format!("the task {name} ended")),
        },
        Err(error) => anyhow::Error::new(error).context("a task ended"),
    })
}
