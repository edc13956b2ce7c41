//! Accounts that are served before an earlier run's rows have been restored.
//!
//! Reading all of them back takes a while. Accounts that are asked for meanwhile are read first, each with all of its
//! rows: answers about them are what they will be when everything is there. Questions about others wait.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::source::ReportedSource;
use super::state::State;
use super::{Registry, Scope, SourceReport, Writer};
use crate::registration::{Hidden, Registration, Tombstone};

/// How many accounts may be asked for at a time. Others ask again when one of these has come.
const WANTED: usize = 64;

/// How many accounts are preloaded, at most: a storm of requests must not hold up the rest.
const ACCOUNTS: usize = 1024;

/// What is known before everything is.
#[derive(Debug)]
pub(super) struct Preload {
    state: State,
    /// How well that is known to equal the tables; `None` while nothing is preloaded.
    pub(super) source: Option<ReportedSource>,
    wanted: VecDeque<Arc<str>>,
    /// Accounts that were asked for, and what became of that.
    asked: HashMap<Arc<str>, Fate>,
}

/// What became of an account that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Waits,
    Here,
    /// It comes with all others.
    Later,
}

impl Preload {
    pub(super) fn new(now: i64) -> Self {
        Self {
            state: State::new(now),
            source: None,
            wanted: VecDeque::new(),
            asked: HashMap::new(),
        }
    }

    /// The accounts that are here, once there may be any.
    pub(super) fn lists(&self) -> Option<&State> {
        self.source.as_ref().map(|_| &self.state)
    }

    /// Whether the account can be answered for. If not, it is asked for.
    fn has(&mut self, account: &str) -> bool {
        if let Some(fate) = self.asked.get(account) {
            return *fate == Fate::Here;
        }
        if self.wanted.len() < WANTED && self.asked.len() < ACCOUNTS {
            let account: Arc<str> = account.into();
            self.wanted.push_back(Arc::clone(&account));
            self.asked.insert(account, Fate::Waits);
        }
        false
    }

    /// Puts in an account with all of its rows; `None` where it comes with all others.
    fn put(&mut self, account: &Arc<str>, rows: Option<&[Arc<Registration>]>) {
        let fate = if rows.is_some() {
            Fate::Here
        } else {
            Fate::Later
        };
        for row in rows.into_iter().flatten() {
            self.state.upsert(row);
        }
        self.state.arrange();
        self.asked.insert(Arc::clone(account), fate);
    }
}

impl Registry {
    /// Waits until there is an answer for `scope`: until the registry has been [restored](Writer::restore) or, for an
    /// account, until that has been [preloaded](Writer::preload). Nothing that is read before that means anything.
    pub async fn wait_for(&self, scope: Scope<'_>) {
        // As a rule there is, and nothing has to be waited for.
        if self.can_answer(scope) {
            return;
        }
        // Before the next look: what comes after that look must not be missed.
        let mut progress = self.progress.subscribe();
        while !self.can_answer(scope) {
            // The sender lives as long as the registry.
            let _ = progress.changed().await;
        }
    }

    fn can_answer(&self, scope: Scope<'_>) -> bool {
        if self.content().preload.is_none() {
            return true;
        }
        let Scope::Account(id) = scope else {
            return false;
        };
        let mut content = self.content_to_change();
        let can_answer = content
            .preload
            .as_mut()
            .is_none_or(|preload| preload.has(id));
        drop(content);
        self.wanted.notify_one();
        can_answer
    }
}

impl Writer {
    /// Gives what holds for all accounts that are preloaded, and how well that is known to equal the tables.
    pub fn begin_preload(
        &self,
        tombstones: Vec<Tombstone>,
        hidden: Vec<Hidden>,
        source: SourceReport,
    ) {
        let (unix, monotonic) = (self.clock.unix(), self.clock.monotonic());
        let mut reported = ReportedSource::default();
        reported.replace(source, unix, monotonic);
        if let Some(preload) = &mut self.content_to_change().preload {
            for tombstone in tombstones {
                preload.state.tombstones.remember(tombstone);
            }
            for hidden in hidden {
                preload.state.note_hidden(hidden);
            }
            preload.source = Some(reported);
        }
    }

    /// An account that is asked for while the registry has not been restored; to be [preloaded](Self::preload).
    pub async fn wanted(&self) -> Arc<str> {
        loop {
            let next = |preload: &mut Preload| preload.wanted.pop_front();
            let wanted = self.content_to_change().preload.as_mut().and_then(next);
            if let Some(account) = wanted {
                return account;
            }
            self.wanted.notified().await;
        }
    }

    /// Shows an account before the registry has been restored: `rows` are all it has, none where it is not known. `None`
    /// has the questions about it wait for the rest.
    pub fn preload(&self, account: &Arc<str>, rows: Option<&[Arc<Registration>]>) {
        if let Some(preload) = &mut self.content_to_change().preload {
            preload.put(account, rows);
        }
        self.progress.send_replace(());
    }
}
