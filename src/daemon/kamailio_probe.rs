//! Asks Kamailio periodically whether it answers, so that monitoring and systemd notice before a flush does.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::event_log::Finder;
use crate::http::KamailioState;
use crate::kamailio::{Fault, Kamailio};
use crate::metrics::Metrics;

/// The interval between two questions while it answers.
const INTERVAL: Duration = Duration::from_secs(30);

/// The interval while it does not.
const RETRY: Duration = Duration::from_secs(5);

/// More unanswered questions in a row than a restart of Kamailio explains.
const THRESHOLD: u32 = 2;

/// Whether Kamailio answered the last question.
pub(super) type Answers = watch::Receiver<KamailioState>;

/// Asks periodically.
#[derive(Debug)]
pub(super) struct Probe {
    /// With its `server_id` where there are several.
    kamailios: Vec<(Option<i64>, Kamailio)>,
    metrics: Arc<Metrics>,
    answers: watch::Sender<KamailioState>,
    /// Who is to know when Kamailio was started, and the time.
    started: (Arc<Finder>, Arc<dyn Clock>),
    /// Unanswered questions in a row.
    failures: u32,
}

impl Probe {
    pub(super) fn new(
        kamailios: Vec<(Option<i64>, Kamailio)>,
        metrics: Arc<Metrics>,
        started: (Arc<Finder>, Arc<dyn Clock>),
    ) -> Self {
        Self {
            kamailios,
            metrics,
            started,
            answers: watch::Sender::new(KamailioState::Unknown),
            failures: 0,
        }
    }

    /// Where the latest result can be read.
    pub(super) fn answers(&self) -> Answers {
        self.answers.subscribe()
    }

    /// Asks until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) -> std::io::Result<()> {
        loop {
            let Some(trouble) = stop.run_until_cancelled(self.ask()).await else {
                return Ok(());
            };
            let pause = self.record(trouble);
            if stop
                .run_until_cancelled(tokio::time::sleep(pause))
                .await
                .is_none()
            {
                return Ok(());
            }
        }
    }

    /// Asks each Kamailio; why one does not answer.
    async fn ask(&self) -> Option<String> {
        let asked = self.kamailios.iter().map(|it| it.1.uptime());
        let answers = join_all(asked).await;
        let mut trouble = None;
        for ((id, _), answer) in self.kamailios.iter().zip(answers) {
            match answer {
                Ok(uptime) => {
                    let (flaps, clock) = &self.started;
                    let start = clock.unix().saturating_sub(uptime.lasted);
                    flaps.kamailio_started(u64::try_from(start.as_millis()).unwrap_or(u64::MAX));
                }
                Err(fault) => {
                    let which = id.map_or_else(String::new, |id| format!("server_id {id}: "));
                    trouble.get_or_insert(format!("{which}{}", explained(&fault)));
                }
            }
        }
        trouble
    }

    /// Records a result; returns the pause until the next question. That Kamailio does not answer is logged once: lists
    /// are served without JSON-RPC, and some run without it on purpose.
    fn record(&mut self, trouble: Option<String>) -> Duration {
        self.metrics.kamailio.is_up(trouble.is_none());
        self.answers.send_replace(match &trouble {
            None => KamailioState::Answers,
            Some(why) => KamailioState::Unreachable(why.as_str().into()),
        });
        let Some(why) = trouble else {
            if self.failures >= THRESHOLD {
                tracing::info!("Kamailio answers JSON-RPC again");
            }
            self.failures = 0;
            return INTERVAL;
        };
        self.failures = self.failures.saturating_add(1);
        if self.failures == THRESHOLD {
            tracing::warn!(
                "Kamailio does not answer JSON-RPC; listing works, flushes fail: {why}; run `usrlocd doctor`"
            );
        }
        RETRY
    }
}

fn explained(fault: &Fault) -> String {
    let cause = std::error::Error::source(fault);
    let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
    format!("{fault}{cause}")
}
