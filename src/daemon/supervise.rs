//! Supervises the tasks and handles signals.

use std::future::Future;
use std::io;
use std::time::Duration;

use anyhow::anyhow;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::notify::Manager;
use super::reload::{Arrived, Live};
use super::{Failure, Reload};
use crate::consumers::store;

/// The time that the writer of a file gets to finish before the file is read again.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// How long after SIGTERM the store may still be written: a stop takes 10 s at most, even on a busy machine.
const HURRY: Duration = Duration::from_secs(6);

/// How long tasks are waited for after that.
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

/// The signals that the daemon handles.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Tasks {
    /// No task yet. From here on signals wait for [`supervise`](Self::supervise): a SIGHUP at the moment of readiness
    /// must not end the process.
    pub(super) fn new() -> Result<Self, Failure> {
        Ok(Self {
            draining: CancellationToken::new(),
            stopping: CancellationToken::new(),
            hurry: CancellationToken::new(),
            answering: JoinSet::new(),
            others: JoinSet::new(),
            signals: Signals::new().map_err(|error| Failure::System(error.into()))?,
        })
    }

    /// Cancelled when a stop must not take much longer.
    pub(super) fn hurry(&self) -> CancellationToken {
        self.hurry.clone()
    }

    /// Cancelled when no more requests are taken.
    pub(super) fn draining(&self) -> CancellationToken {
        self.draining.clone()
    }

    /// Starts a task that drains requests once its token is cancelled; it returns whether all were.
    pub(super) fn start_draining<T: Future<Output = bool> + Send + 'static>(
        &mut self,
        name: &'static str,
        task: impl FnOnce(CancellationToken) -> T,
    ) {
        let task = task(self.draining.clone());
        self.answering.spawn(async move {
            if !task.await {
                tracing::warn!(task = name, "requests in progress were cut off");
            }
            (name, Ok(()))
        });
    }

    /// Starts a task that ends once its token is cancelled.
    pub(super) fn start<T: Future<Output = io::Result<()>> + Send + 'static>(
        &mut self,
        name: &'static str,
        task: impl FnOnce(CancellationToken) -> T,
    ) {
        let task = task(self.stopping.clone());
        self.others.spawn(async move { (name, task.await) });
    }

    /// Runs until a signal to stop, or until a task ends although none should.
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
                    live.reload_all(reload()).await;
                    manager.reloaded();
                }
                update = live.next_update() => match update {
                    Arrived::Touched => {
                        tokio::time::sleep(DEBOUNCE).await;
                        live.reload_touched(&reload);
                    }
                    Arrived::Directory(read) => live.apply_directory(*read),
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
                tracing::warn!("stopping before everything is done: still waiting for a disk or for Kamailio");
                result
            }
            () = signals.stop() => Err(Failure::Failed(anyhow!("stopped by a second signal before all requests were drained"))),
        }
    }
}

/// Ends the tasks that answer requests, and then the others.
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

/// Cancels `hurry` when there is little time left, and returns when there is none.
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
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn defect(ended: Result<Ended, tokio::task::JoinError>) -> Failure {
    Failure::Software(match ended {
        Ok((name, Ok(()))) => anyhow!("the task {name} ended unexpectedly"),
        Ok((name, Err(error))) => match error.downcast::<store::Error>() {
            Ok(error) => return Failure::of_store(error),
            Err(error) => anyhow::Error::new(error).context(format!("the task {name} ended")),
        },
        Err(error) => anyhow::Error::new(error).context("a task ended"),
    })
}
