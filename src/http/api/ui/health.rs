//! `/ui/data/health`: what `usrlocd doctor` says. Whoever may not see all learns what is well and what is not, and no more:
//! the texts name files and addresses of this machine.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::asker::Asker;
use crate::http::App;

/// How long findings are good for.
const FRESH: Duration = Duration::from_secs(10);

/// Checks take at most this part of the time: they read all of Kamailio's table.
const SHARE: u32 = 20;

/// How long a request waits for checks.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a check found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The check's name.
    pub name: String,
    /// How it is.
    pub state: Health,
    /// What was found, in words.
    pub text: String,
    /// What to do about it: lines for a shell or a file.
    pub advice: Vec<String>,
}

/// How something is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Health {
    /// As it should be.
    Ok,
    /// To be looked at.
    Warning,
    /// Broken.
    Error,
}

/// Checks everything; takes seconds, and blocks.
pub type Examine = Arc<dyn Fn() -> Vec<Finding> + Send + Sync>;

/// What was found last.
pub(crate) struct Findings {
    examine: Examine,
    last: Arc<Mutex<Option<Last>>>,
    /// One examination at a time, also when nobody waits for it any more.
    turn: Arc<Semaphore>,
}

#[derive(Clone, Debug)]
struct Last {
    at: Duration,
    took: Duration,
    findings: Arc<Vec<Finding>>,
}

impl Findings {
    pub(crate) fn new(examine: Examine) -> Self {
        Self {
            examine,
            last: Arc::default(),
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// The findings of now, or of a short while ago; `None` where that takes too long and nothing was found before.
    async fn now(&self, app: &App) -> Option<Arc<Vec<Finding>>> {
        let found = tokio::time::timeout(PATIENCE, self.fresh(app)).await;
        found.ok().flatten().or_else(|| Some(self.last()?.findings))
    }

    async fn fresh(&self, app: &App) -> Option<Arc<Vec<Finding>>> {
        let turn = Arc::clone(&self.turn).acquire_owned().await.ok()?;
        let now = app.clock.monotonic();
        if let Some(last) = self.last()
            && now.saturating_sub(last.at) < FRESH.max(last.took * SHARE)
        {
            return Some(last.findings);
        }
        let (examine, last) = (Arc::clone(&self.examine), Arc::clone(&self.last));
        let clock = Arc::clone(&app.clock);
        let examined = tokio::task::spawn_blocking(move || {
            let findings = Arc::new(examine());
            let at = clock.monotonic();
            *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Last {
                at,
                took: at.saturating_sub(now),
                findings: Arc::clone(&findings),
            });
            drop(turn);
            findings
        });
        examined.await.ok()
    }

    fn last(&self) -> Option<Last> {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl fmt::Debug for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Findings").finish_non_exhaustive()
    }
}

/// What the caller may know of it.
pub(super) async fn health(app: &App, asker: &Asker) -> Value {
    let details = asker.accounts.is_none();
    let Some(findings) = app.findings.now(app).await else {
        let finding = json!({
            "name": "doctor",
            "state": "warning",
            "text": "The checks take too long. Run them on the machine:",
            "advice": "sudo usrlocd doctor",
        });
        return json!({"findings": [finding], "details": details});
    };
    let shown = findings.iter().map(|finding| {
        let (name, state) = (&finding.name, finding.state.as_str());
        if details {
            let advice = (!finding.advice.is_empty()).then(|| finding.advice.join("\n"));
            json!({"name": name, "state": state, "text": finding.text, "advice": advice})
        } else {
            json!({"name": name, "state": state})
        }
    });
    json!({"findings": shown.collect::<Vec<_>>(), "details": details})
}

impl Health {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}
