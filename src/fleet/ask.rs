//! Asks nodes to do something, by the database, and waits for what becomes of it.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::intent::Work;
use super::nodes::LIVE;
use super::{Error, Fleet, identity};
use crate::clock::Clock;
use crate::metrics::{IntentState, Metrics};

/// How often it is looked for what became of it.
const LOOK: Duration = Duration::from_millis(100);

/// How long the database may be away while an outcome is waited for: as long as a node has to begin.
const AWAY: Duration = Duration::from_secs(10);

/// What one node is asked to do.
#[derive(Clone, Debug)]
pub struct Intent {
    /// The id of the node.
    pub node: String,
    /// What.
    pub work: Work,
}

/// Why it is not known that a node did what it was asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unanswered {
    /// It has shown no sign of life for so long; it did not begin, and will not.
    Silent(Duration),
    /// It lives, yet it did not begin in time, and will not.
    NotBegun,
    /// It was stopped, so long ago; it did not begin, and will not.
    Stopped(Duration),
    /// It began, and has shown no sign of life for so long.
    Interrupted(Duration),
    /// It began, and was restarted before the end.
    Restarted,
    /// The database cannot be read, or has forgotten it.
    Unknown,
}

/// How it stands with one intent.
enum Standing {
    /// Not over.
    Open {
        /// Whether nobody may begin it any more.
        is_late: bool,
    },
    Over(Result<String, Unanswered>),
}

impl Fleet {
    /// Asks the nodes: all of them or, where that fails, none. Returns what to wait for.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn ask(&self, intents: &[Intent], metrics: &Metrics) -> Result<Vec<String>, Error> {
        let mut transaction = self.pool().begin().await?;
        let mut ids = Vec::with_capacity(intents.len());
        for Intent { node, work } in intents {
            let Some(actor) = work.actor() else { continue };
            let id = identity::random().map_err(|_| Error::Content)?;
            let work_json = serde_json::to_string(work).map_err(|_| Error::Content)?;
            let asking = sqlx::query(include_str!("../../sql/fleet/ask.sql"))
                .bind(&id)
                .bind(node)
                .bind(work.kind())
                .bind(actor.token.replace('\0', "\u{fffd}"))
                .bind(&actor.request_id)
                .bind(work_json);
            asking.execute(&mut *transaction).await?;
            ids.push(id);
        }
        transaction.commit().await?;
        metrics.fleet.intents(IntentState::Asked, ids.len());
        Ok(ids)
    }

    /// What becomes of these intents, in their order: what each node says of it, or why nothing is known. An intent that no
    /// node begins in time is withdrawn.
    pub async fn outcomes(
        &self,
        ids: &[String],
        clock: &dyn Clock,
        metrics: &Metrics,
    ) -> Vec<Result<String, Unanswered>> {
        let mut over: HashMap<String, Result<String, Unanswered>> = HashMap::new();
        let mut heard = clock.monotonic();
        while over.len() < ids.len() {
            tokio::time::sleep(LOOK).await;
            let open = ids.iter().filter(|id| !over.contains_key(*id));
            let open: Vec<String> = open.cloned().collect();
            match self.answers(&open, metrics).await {
                Ok(found) => {
                    heard = clock.monotonic();
                    over.extend(found);
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot see what became of an intent");
                    if clock.monotonic().saturating_sub(heard) > AWAY {
                        break;
                    }
                }
            }
        }
        let of = |id| over.remove(id).unwrap_or(Err(Unanswered::Unknown));
        ids.iter().map(of).collect()
    }

    /// Those of the intents that are over.
    async fn answers(
        &self,
        ids: &[String],
        metrics: &Metrics,
    ) -> Result<Vec<(String, Result<String, Unanswered>)>, Error> {
        let query = sqlx::query(include_str!("../../sql/fleet/answers.sql")).bind(ids);
        let rows = query.fetch_all(self.pool()).await?;
        let mut found = HashMap::new();
        for row in &rows {
            found.insert(row.try_get::<String, _>(0)?, Standing::of(row)?);
        }
        let (mut over, mut late) = (Vec::new(), Vec::new());
        for id in ids {
            match found.remove(id) {
                Some(Standing::Over(outcome)) => over.push((id.clone(), outcome)),
                Some(Standing::Open { is_late }) if is_late => late.push(id.clone()),
                Some(Standing::Open { .. }) => {}
                // Its node was forgotten.
                None => over.push((id.clone(), Err(Unanswered::Unknown))),
            }
        }
        if !late.is_empty() {
            // The next look has them, unless a node was faster after all.
            let expiring = sqlx::query(include_str!("../../sql/fleet/expire.sql")).bind(late);
            let expired = expiring.execute(self.pool()).await?.rows_affected();
            let expired = usize::try_from(expired).unwrap_or(usize::MAX);
            metrics.fleet.intents(IntentState::Expired, expired);
        }
        Ok(over)
    }
}

impl Standing {
    fn of(row: &PgRow) -> Result<Self, Error> {
        let state: &str = row.try_get(1)?;
        let is_late: bool = row.try_get(2)?;
        let is_restarted = row.try_get::<Option<bool>, _>(3)?.unwrap_or(false);
        let is_stopped: bool = row.try_get(4)?;
        let silent: f64 = row.try_get(5)?;
        let silent = Duration::try_from_secs_f64(silent.max(0.0)).unwrap_or(Duration::MAX);
        let is_silent = silent > LIVE;
        Ok(match state {
            "done" => {
                let outcome: Option<String> = row.try_get(6)?;
                Self::Over(outcome.ok_or(Unanswered::Unknown))
            }
            "expired" => Self::Over(Err(match () {
                () if is_stopped => Unanswered::Stopped(silent),
                () if is_silent => Unanswered::Silent(silent),
                () => Unanswered::NotBegun,
            })),
            "claimed" if is_restarted => Self::Over(Err(Unanswered::Restarted)),
            "claimed" if is_late && (is_silent || is_stopped) => {
                Self::Over(Err(Unanswered::Interrupted(silent)))
            }
            "claimed" => Self::Open { is_late: false },
            _ => Self::Open { is_late },
        })
    }
}

/// For the caller to read, after the name of the node.
impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(time) => {
                let seconds = time.as_secs();
                write!(f, "no answer from the node for {seconds} s; nothing was done")
            }
            Self::NotBegun => f.write_str(
                "the node did not take up the request within 10 s; nothing was done. Try again",
            ),
            Self::Stopped(time) => {
                let seconds = time.as_secs();
                write!(f, "the node was stopped {seconds} s ago; nothing was done")
            }
            Self::Interrupted(time) => {
                let seconds = time.as_secs();
                write!(
                    f,
                    "no answer from the node for {seconds} s; part of it may be done"
                )
            }
            Self::Restarted => f.write_str(
                "the node was restarted before it had finished; part of it may be done. Try again",
            ),
            Self::Unknown => f.write_str(
                "the outcome is not known, because the fleet's database cannot be read; it may be done",
            ),
        }
    }
}
