//! Waits for a moment when nobody writes Kamailio's file.
//!
//! [`Activity`] looks at the file and [`Pace`] decides; this polls, on a thread that may block, and only while a removal
//! waits.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::flush::turn::pace::Pace;
use crate::registry::Registry;
use crate::sqlite_file::{Activity, Reason};

/// The interval between two looks.
const LOOK: Duration = Duration::from_micros(100);

/// For a file that has not been written for this long there is no wait.
const AT_REST: Duration = Duration::from_secs(1);

/// The longest wait for a lock.
const LOCKED: Duration = Duration::from_secs(10);

/// Finds moments when nobody writes.
#[derive(Clone, Debug)]
pub(in crate::flush) struct Quiet {
    clock: Arc<dyn Clock>,
    registry: Arc<Registry>,
    pace: Arc<Mutex<Pace>>,
}

/// A quiet moment at which a removal begins.
#[derive(Debug)]
pub(in crate::flush) struct Begun {
    quiet: Quiet,
    /// `None` where the file cannot be looked at.
    activity: Option<Activity>,
    at: Duration,
}

/// Another program has held a lock on Kamailio's database all the time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::flush) struct Locked;

impl Quiet {
    pub(in crate::flush) fn new(clock: Arc<dyn Clock>, registry: Arc<Registry>) -> Self {
        Self {
            clock,
            registry,
            pace: Arc::new(Mutex::new(Pace::new())),
        }
    }

    /// Waits until a reader is in nobody's way: with a rollback journal a reader makes a commit fail, with a write-ahead
    /// log it does not.
    pub(in crate::flush) async fn wait_to_read(&self) {
        let Some(database) = self.registry.source_file() else {
            return;
        };
        if !Activity::open(&database).is_ok_and(|activity| activity.has_log()) {
            // A lock that is never released must not keep us from asking.
            let _begun: Result<Begun, Locked> = self.wait().await;
        }
    }

    /// Waits until nobody writes. Where the file cannot be looked at there is nothing to wait for.
    pub(in crate::flush) async fn wait(&self) -> Result<Begun, Locked> {
        let Some(database) = self.registry.source_file() else {
            return Ok(self.begun(None));
        };
        let stop = CancellationToken::new();
        let (quiet, stopped) = (self.clone(), stop.clone());
        // The thread stops with the wait.
        let _stop = stop.drop_guard();
        let look = move || quiet.look(&database, &stopped);
        let waited = tokio::task::spawn_blocking(look).await;
        waited.unwrap_or_else(|_| Ok(self.begun(None)))
    }

    fn look(&self, database: &Path, stopped: &CancellationToken) -> Result<Begun, Locked> {
        match self.look_again(database, stopped) {
            Ok(begun) => begun,
            Err(error) => {
                tracing::debug!(%error, "cannot tell whether Kamailio's database is being written");
                Ok(self.begun(None))
            }
        }
    }

    fn look_again(
        &self,
        database: &Path,
        stopped: &CancellationToken,
    ) -> Result<Result<Begun, Locked>, Reason> {
        let activity = Activity::open(database)?;
        let begin = self.clock.monotonic();
        let is_at_rest = activity.idle()? >= AT_REST;
        loop {
            let moment = activity.look()?;
            let now = self.clock.monotonic();
            let waited = now.saturating_sub(begin);
            let may_start = {
                let mut pace = self.pace();
                pace.saw(now, moment);
                is_at_rest && waited < LOOK && !moment.locked || pace.may_start(now, waited)
            };
            if may_start || stopped.is_cancelled() {
                return Ok(Ok(self.begun(Some(activity))));
            }
            if waited >= LOCKED {
                return Ok(Err(Locked));
            }
            std::thread::sleep(LOOK);
        }
    }

    fn begun(&self, activity: Option<Activity>) -> Begun {
        Begun {
            at: self.clock.monotonic(),
            quiet: self.clone(),
            activity,
        }
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Begun {
    /// Records the end of the removal of at most `contacts` contacts, and whether Kamailio has carried it out.
    pub(in crate::flush) fn ended(self, contacts: usize, done: bool) {
        let Some(Ok(moment)) = self.activity.as_ref().map(Activity::look) else {
            return;
        };
        let now = self.quiet.clock.monotonic();
        let took = done.then(|| now.saturating_sub(self.at));
        // For each contact its attributes and its row.
        let own = u32::try_from(contacts.saturating_mul(2)).unwrap_or(u32::MAX);
        self.quiet.pace().removed(now, took, own, moment);
    }
}
