//! Asks Kamailio now and then whether it answers, so that monitoring and systemd know it before a flush does.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::kamailio::{Fault, Kamailio};
use crate::metrics::Metrics;

/// Between two questions, as long as it answers.
const INTERVAL: Duration = Duration::from_secs(30);

/// Between two questions while it does not.
const RETRY: Duration = Duration::from_secs(5);

/// So many questions in a row without an answer are more than a restart of Kamailio's.
const BELIEVED: u32 = 2;

/// Whether Kamailio answered the last question; `None` before the first.
pub(super) type Answers = watch::Receiver<Option<bool>>;

/// Who asks.
#[derive(Debug)]
pub(super) struct Probe {
    kamailio: Kamailio,
    metrics: Arc<Metrics>,
    answers: watch::Sender<Option<bool>>,
    /// Questions without an answer in a row.
    failures: u32,
}

impl Probe {
    pub(super) fn new(kamailio: Kamailio, metrics: Arc<Metrics>) -> Self {
        Self {
            kamailio,
            metrics,
            answers: watch::Sender::new(None),
            failures: 0,
        }
    }

    /// Where it tells what came of it.
    pub(super) fn answers(&self) -> Answers {
        self.answers.subscribe()
    }

    /// Asks until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) -> std::io::Result<()> {
        loop {
            let Some(answer) = stop.run_until_cancelled(self.kamailio.uptime()).await else {
                return Ok(());
            };
            let pause = self.note(answer.err().as_ref());
            if stop
                .run_until_cancelled(tokio::time::sleep(pause))
                .await
                .is_none()
            {
                return Ok(());
            }
        }
    }

    /// Notes what came of a question; until the next one. That Kamailio does not answer is said once: without
    /// JSON-RPC lists are served all the same, and some have none on purpose.
    fn note(&mut self, fault: Option<&Fault>) -> Duration {
        self.metrics.kamailio.is_up(fault.is_none());
        self.answers.send_replace(Some(fault.is_none()));
        let Some(fault) = fault else {
            if self.failures >= BELIEVED {
                tracing::info!("Kamailio answers JSON-RPC again");
            }
            self.failures = 0;
            return INTERVAL;
        };
        self.failures = self.failures.saturating_add(1);
        if self.failures == BELIEVED {
            let cause = std::error::Error::source(fault);
            let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
            tracing::warn!(
                "Kamailio does not answer JSON-RPC; lists go on, flushes fail: {fault}{cause}; run `usrlocd doctor`"
            );
        }
        RETRY
    }
}
