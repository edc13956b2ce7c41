//! What systemd is told: readiness, a line of status, the watchdog's food, reloads and the end.
//!
//! Without systemd (`NOTIFY_SOCKET`) all of this does nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::probe::Answers;
use crate::clock::Clock;
use crate::registry::{Registry, Scope, Starting};

/// How often a line of status is sent, if it changed.
const STATUS: Duration = Duration::from_secs(5);

/// The service manager, for those who tell it of reloads and the end.
#[derive(Clone, Debug, Default)]
pub(super) struct Manager {
    ready: Arc<AtomicBool>,
}

/// What the reports are made from.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) registry: Arc<Registry>,
    /// True once every row was read, or the tables are known to be unreadable for more than a moment.
    pub(super) settled: watch::Receiver<bool>,
    /// Whether Kamailio answers.
    pub(super) answers: Answers,
}

/// Reports until it is stopped.
#[derive(Debug)]
struct Reporter {
    parts: Parts,
    started: Duration,
    status: String,
    /// The last sign of life that was passed on.
    fed: Duration,
}

impl Manager {
    /// Says that it is ready once it is, and from then on how it is.
    pub(super) async fn report(self, parts: Parts, stop: CancellationToken) -> std::io::Result<()> {
        let started = parts.clock.monotonic();
        let mut reporter = Reporter {
            parts,
            started,
            status: String::new(),
            fed: Duration::ZERO,
        };
        let mut settled = reporter.parts.settled.clone();
        let mut ticks = tokio::time::interval(STATUS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                known = async { settled.wait_for(|settled| *settled).await.is_ok() } => {
                    if known {
                        break;
                    }
                    // The pipeline's end is the supervisor's business.
                    stop.cancelled().await;
                    return Ok(());
                }
                _ = ticks.tick() => reporter.starting(),
            }
        }
        self.ready.store(true, Ordering::Relaxed);
        reporter.ready();
        reporter.run(&stop).await;
        Ok(())
    }

    /// Says that a reload begins.
    pub(super) fn reloading(&self) {
        if self.ready.load(Ordering::Relaxed)
            && let Ok(now) = NotifyState::monotonic_usec_now()
        {
            send(&[NotifyState::Reloading, now]);
        }
    }

    /// Says that the reload is over, whatever came of it.
    pub(super) fn reloaded(&self) {
        if self.ready.load(Ordering::Relaxed) {
            send(&[NotifyState::Ready]);
        }
    }

    /// Says that it ends.
    pub(super) fn stopping(&self) {
        // A reload that is told of after this would revoke it.
        self.ready.store(false, Ordering::Relaxed);
        send(&[
            NotifyState::Stopping,
            NotifyState::Status("answers its last requests"),
        ]);
    }
}

impl Reporter {
    /// Says how far it is, while a large store, a large table or a busy database is read.
    fn starting(&mut self) {
        let starting = self.parts.registry.starting().unwrap_or_default();
        let line = match self.parts.registry.trouble() {
            Some(trouble) => format!("starting: {trouble}"),
            None => format!("starting: {starting}"),
        };
        send(&[NotifyState::Status(&line)]);
        // At first there is nothing to tell, and most starts take no longer.
        if !self.status.is_empty() {
            let Starting {
                restored,
                total,
                read,
            } = starting;
            tracing::info!(restored, total, read, "still starting");
        }
        self.status = line;
    }

    fn ready(&mut self) {
        let took = self.parts.clock.monotonic().saturating_sub(self.started);
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let registrations = self.parts.registry.count(Scope::System).0;
        let source = self.parts.registry.source().state.as_str();
        tracing::info!(registrations, source, ms, "ready");
        self.status = self.line();
        send(&[NotifyState::Ready, NotifyState::Status(&self.status)]);
    }

    async fn run(&mut self, stop: &CancellationToken) {
        let watchdog = sd_notify::watchdog_enabled();
        // Never more often than there is something to say: each time costs an idle daemon.
        let tick = watchdog.map_or(STATUS, |period| STATUS.min(period / 4));
        let mut ticks = tokio::time::interval(tick.max(Duration::from_millis(10)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = self.parts.clock.monotonic();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if watchdog.is_some() {
                self.feed();
            }
            let now = self.parts.clock.monotonic();
            if now.saturating_sub(told) + tick / 2 >= STATUS {
                told = now;
                self.tell();
            }
        }
    }

    /// Feeds the watchdog if the tail was at work since the last time: our own timer alone proves nothing.
    fn feed(&mut self) {
        let now = self.parts.clock.monotonic();
        let beat = now.saturating_sub(self.parts.registry.heartbeat().age(now));
        if beat > self.fed {
            self.fed = beat;
            send(&[NotifyState::Watchdog]);
        }
    }

    fn tell(&mut self) {
        let line = self.line();
        if line != self.status {
            send(&[NotifyState::Status(&line)]);
            self.status = line;
        }
    }

    fn line(&self) -> String {
        let registrations = self.parts.registry.count(Scope::System).0;
        let noun = if registrations == 1 {
            "registration"
        } else {
            "registrations"
        };
        let source = self.parts.registry.source();
        let state = source.state.as_str();
        let lag = source.lag;
        let lag = lag.map(|lag| format!(", lag {:.1} s", lag.as_secs_f64()));
        let lag = lag.unwrap_or_default();
        let kamailio = match *self.parts.answers.borrow() {
            None => "",
            Some(true) => "; kamailio ok",
            Some(false) => "; kamailio does not answer",
        };
        format!("{registrations} {noun}; {state}{lag}{kamailio}")
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "cannot tell systemd");
    }
}
