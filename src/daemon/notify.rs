//! Notifications to systemd: readiness, the status line, watchdog keep-alives (`WATCHDOG=1`), reloads and the stop.
//!
//! Without systemd (`NOTIFY_SOCKET`) all of this does nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::kamailio_probe::Answers;
use crate::clock::Clock;
use crate::http::KamailioState;
use crate::registry::{Registry, Scope, Starting};

/// How often the status line is sent if it has changed.
const STATUS: Duration = Duration::from_secs(5);

/// The service manager, to report reloads and the stop to.
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
    /// The last sign of life that was reported.
    beat: Duration,
}

impl Manager {
    /// Reports readiness once it is reached, and the status from then on.
    pub(super) async fn report(self, parts: Parts, stop: CancellationToken) -> std::io::Result<()> {
        let started = parts.clock.monotonic();
        let mut reporter = Reporter {
            parts,
            started,
            status: String::new(),
            beat: Duration::ZERO,
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
                    // The supervisor handles the end of the pipeline.
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

    /// Reports readiness where there is nothing to wait for.
    pub(super) fn ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
        tracing::info!("ready");
        send(&[NotifyState::Ready]);
    }

    /// Reports that a reload begins.
    pub(super) fn reloading(&self) {
        if self.ready.load(Ordering::Relaxed)
            && let Ok(now) = NotifyState::monotonic_usec_now()
        {
            send(&[NotifyState::Reloading, now]);
        }
    }

    /// Reports that the reload is over, whether or not it succeeded.
    pub(super) fn reloaded(&self) {
        if self.ready.load(Ordering::Relaxed) {
            send(&[NotifyState::Ready]);
        }
    }

    /// Reports that the daemon stops.
    pub(super) fn stopping(&self) {
        // A reload reported after this would revoke it.
        self.ready.store(false, Ordering::Relaxed);
        send(&[
            NotifyState::Stopping,
            NotifyState::Status("draining requests"),
        ]);
    }
}

impl Reporter {
    /// Reports progress while a large store, a large table or a busy database is read.
    fn starting(&mut self) {
        let starting = self.parts.registry.starting().unwrap_or_default();
        let line = match self.parts.registry.trouble() {
            Some(trouble) => format!("starting: {trouble}"),
            None => format!("starting: {starting}"),
        };
        send(&[NotifyState::Status(&line)]);
        // Most starts are over before there is anything to report.
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
        // No more often than needed: each wake-up costs an idle daemon.
        let tick = watchdog.map_or(STATUS, |period| STATUS.min(period / 4));
        let mut ticks = tokio::time::interval(tick.max(Duration::from_millis(10)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reported = self.parts.clock.monotonic();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if watchdog.is_some() {
                self.keep_alive();
            }
            let now = self.parts.clock.monotonic();
            if now.saturating_sub(reported) + tick / 2 >= STATUS {
                reported = now;
                self.report_status();
            }
        }
    }

    /// Sends a keep-alive if the tail has worked since the last one: this timer alone proves nothing.
    fn keep_alive(&mut self) {
        let now = self.parts.clock.monotonic();
        let beat = now.saturating_sub(self.parts.registry.heartbeat().age(now));
        if beat > self.beat {
            self.beat = beat;
            send(&[NotifyState::Watchdog]);
        }
    }

    fn report_status(&mut self) {
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
            KamailioState::Unknown => "",
            KamailioState::Answers => "; kamailio ok",
            KamailioState::Unreachable(_) => "; kamailio does not answer",
        };
        format!("{registrations} {noun}; {state}{lag}{kamailio}")
    }
}

/// Reports a sign of life, and the status.
pub(super) fn alive(status: &str) {
    send(&[NotifyState::Watchdog, NotifyState::Status(status)]);
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "cannot notify systemd");
    }
}
