//! Sessions of the page: who has logged in, with the right of which token, and until when.
//!
//! A browser keeps 256 random bits in a cookie; here and in the store is only their SHA-256. A session has no right of its
//! own: whoever answers a request looks at each whether the [`Holder`]'s token is still good. A session ends 12 h after the
//! login, after an hour without use, when its token does, and by logging out. There is room for so many of a token and so
//! many in all; the one that was used longest ago makes room for a new one.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

/// Seconds from the login on.
const LONGEST: i64 = 12 * 3600;

/// Seconds without use.
const IDLE: i64 = 3600;

/// How many there are in all, at most.
const MOST: usize = 1024;

/// How many of one token, at most.
const EACH: usize = 64;

/// Seconds of use that may be lost in a crash.
const COARSE: i64 = 60;

/// How long a login and a logout wait for the store, which is busy at a start. What was not kept then is kept later.
const PATIENCE: Duration = Duration::from_secs(2);

/// Random bytes of a cookie.
const RANDOM_BYTES: usize = 32;

/// A session's name to the program: the SHA-256 of its cookie.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id(pub [u8; RANDOM_BYTES]);

/// By whose right a session acts: what is needed to look at that right again, and no secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// A token of the tokens file.
    Token {
        /// As the file has it.
        sha256: String,
    },
    /// A token that Kazoo issued.
    Kazoo {
        /// The key that signed it, with its issuer.
        signer: String,
        /// Whose it is.
        account_id: String,
        /// The account that it acts for, where it names one.
        acting: Option<String>,
        /// The Unix second from which on it is refused.
        expires: i64,
    },
}

/// A session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Its name.
    pub id: Id,
    /// By whose right it acts.
    pub holder: Holder,
    /// When it began, Unix seconds.
    pub began: i64,
    /// When it was last used.
    pub used: i64,
}

/// Keeps sessions for the next start.
pub trait Keep: fmt::Debug + Send + Sync + 'static {
    /// Writes the sessions of `put`, and forgets those of `remove`.
    fn keep<'a>(&'a self, put: &'a [Record], remove: &'a [Id]) -> Keeping<'a>;
}

/// What [`Keep::keep`] does.
pub type Keeping<'a> =
    Pin<Box<dyn Future<Output = Result<(), Box<dyn std::error::Error + Send + Sync>>> + Send + 'a>>;

/// The system has no random numbers for a cookie.
#[derive(Debug, Error)]
#[error("the system does not provide random numbers")]
pub struct NoRandomness(#[source] getrandom::Error);

/// The sessions that are open.
#[derive(Debug)]
pub struct Sessions {
    cookie: String,
    clock: Arc<dyn Clock>,
    keep: Arc<dyn Keep>,
    open: Mutex<Open>,
    /// One at a time writes what changed.
    saving: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Open {
    sessions: HashMap<Id, Session>,
    /// Those that ended, and are still kept.
    ended: Vec<Id>,
}

#[derive(Debug)]
struct Session {
    record: Record,
    /// Its last use, as it is kept; `None` where it is not kept yet.
    kept: Option<i64>,
}

impl Sessions {
    /// The sessions of the node with this id, of which earlier runs have left `records`.
    #[must_use]
    pub fn new(
        node: &str,
        records: Vec<Record>,
        keep: Arc<dyn Keep>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let now = clock.unix_seconds();
        let mut open = Open::default();
        for record in records {
            if record.is_over(now) {
                open.ended.push(record.id);
                continue;
            }
            let kept = Some(record.used);
            open.sessions.insert(record.id, Session { record, kept });
        }
        Self {
            // Cookies know no ports: each node has a name of its own.
            cookie: format!("usrlocd-session-{node}"),
            clock,
            keep,
            open: Mutex::new(open),
            saving: tokio::sync::Mutex::default(),
        }
    }

    /// The name of the cookie.
    #[must_use]
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// Begins a session; returns the cookie's value.
    ///
    /// # Errors
    /// When the system does not provide random numbers.
    pub async fn begin(&self, holder: Holder) -> Result<String, NoRandomness> {
        let mut bytes = [0; RANDOM_BYTES];
        getrandom::fill(&mut bytes).map_err(NoRandomness)?;
        let value = hex::encode(bytes);
        let now = self.clock.unix_seconds();
        let record = Record {
            id: Id::of(&value),
            holder,
            began: now,
            used: now,
        };
        self.open().begin(record);
        self.save_soon().await;
        Ok(value)
    }

    /// The session whose cookie has this value.
    #[must_use]
    pub fn find(&self, value: &str) -> Option<Id> {
        let id = Id::of(value);
        self.uses(id).map(|_| id)
    }

    /// A session that is used now, if it is still open.
    #[must_use]
    pub fn uses(&self, id: Id) -> Option<Record> {
        let now = self.clock.unix_seconds();
        let mut open = self.open();
        let session = open.sessions.get_mut(&id)?;
        if session.record.is_over(now) {
            open.end(id);
            return None;
        }
        session.record.used = session.record.used.max(now);
        Some(session.record.clone())
    }

    /// Ends a session at once; the store learns of it later.
    pub fn forget(&self, id: Id) {
        self.open().end(id);
    }

    /// Ends a session for good.
    pub async fn end(&self, id: Id) {
        self.forget(id);
        self.save_soon().await;
    }

    /// Keeps what changed, now and then, until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        let pause = Duration::from_secs(COARSE.unsigned_abs());
        while stop
            .run_until_cancelled(tokio::time::sleep(pause))
            .await
            .is_some()
        {
            self.save().await;
        }
        self.save_soon().await;
    }

    async fn save_soon(&self) {
        if tokio::time::timeout(PATIENCE, self.save()).await.is_err() {
            tracing::debug!("the store is busy; the sessions of the page are kept later");
        }
    }

    /// Keeps what changed, for the next start. A store that cannot be written is tried again the next time.
    pub async fn save(&self) {
        let _one_at_a_time = self.saving.lock().await;
        let now = self.clock.unix_seconds();
        let (put, remove) = self.open().changed(now);
        if put.is_empty() && remove.is_empty() {
            return;
        }
        if let Err(error) = self.keep.keep(&put, &remove).await {
            tracing::warn!(%error, "cannot keep the sessions of the page; after a restart some people must log in again, or are still logged in although they logged out");
            return;
        }
        self.open().is_kept(&put, &remove);
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn begin(&mut self, record: Record) {
        self.make_room(&record.holder, record.began);
        let kept = None;
        self.sessions.insert(record.id, Session { record, kept });
    }

    /// Ends those that are over, and those that are in the way of one more of this holder.
    fn make_room(&mut self, holder: &Holder, now: i64) {
        let over = self.those(|record| record.is_over(now));
        for id in over {
            self.end(id);
        }
        let own = self.those(|record| record.holder == *holder);
        if own.len() >= EACH {
            self.end(own[0]);
        }
        if self.sessions.len() >= MOST {
            let all = self.those(|_| true);
            self.end(all[0]);
        }
    }

    /// The sessions that are `wanted`; the one that was used longest ago first.
    fn those(&self, wanted: impl Fn(&Record) -> bool) -> Vec<Id> {
        let records = self.sessions.values().map(|session| &session.record);
        let mut found: Vec<&Record> = records.filter(|record| wanted(record)).collect();
        found.sort_unstable_by_key(|record| (record.used, record.began));
        found.into_iter().map(|record| record.id).collect()
    }

    fn end(&mut self, id: Id) {
        if self.sessions.remove(&id).is_some() {
            self.ended.push(id);
        }
    }

    /// What is to be written, and what is to be forgotten.
    fn changed(&mut self, now: i64) -> (Vec<Record>, Vec<Id>) {
        let over = self.those(|record| record.is_over(now));
        for id in over {
            self.end(id);
        }
        let is_changed = |session: &&Session| {
            let kept = session.kept;
            kept.is_none_or(|kept| session.record.used - kept >= COARSE)
        };
        let changed = self.sessions.values().filter(is_changed);
        let put = changed.map(|session| session.record.clone()).collect();
        (put, self.ended.clone())
    }

    fn is_kept(&mut self, put: &[Record], removed: &[Id]) {
        for record in put {
            if let Some(session) = self.sessions.get_mut(&record.id) {
                session.kept = Some(record.used);
            }
        }
        self.ended.retain(|id| !removed.contains(id));
    }
}

impl Record {
    /// Whether its time is over.
    fn is_over(&self, now: i64) -> bool {
        now >= self.ends() || now - self.used >= IDLE
    }

    /// The Unix second at which it ends, however much it is used.
    #[must_use]
    pub fn ends(&self) -> i64 {
        self.began.saturating_add(LONGEST)
    }
}

impl Id {
    fn of(value: &str) -> Self {
        Self(Sha256::digest(value.as_bytes()).into())
    }
}

/// Nothing by which a store could be searched.
impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}
