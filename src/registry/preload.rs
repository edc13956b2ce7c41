//! Accounts that are shown before everything has been restored.
//!
//! At a start whoever restores the registry first brings the accounts that are asked for, whole. Answers about them are
//! what they will be when all is there; about others nothing is said until then.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::source::ReportedSource;
use super::state::State;
use crate::registration::{Hidden, Registration, Tombstone};

/// How many accounts may be asked for at a time. Others ask again when one of these has come.
const WANTED: usize = 64;

/// How many accounts are brought early, at most: a storm of requests must not hold up the rest.
const ACCOUNTS: usize = 1024;

/// What is known early.
#[derive(Debug)]
pub(super) struct Preload {
    pub(super) state: State,
    /// How well that is known to equal the tables; `None` while nothing is brought.
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

    /// Whether the account can be answered for. If not, it is asked for.
    pub(super) fn has(&mut self, account: &str) -> bool {
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

    /// The next account that somebody waits for.
    pub(super) fn next(&mut self) -> Option<Arc<str>> {
        self.wanted.pop_front()
    }

    /// Says what holds for all accounts.
    pub(super) fn begin(
        &mut self,
        departed: Vec<Tombstone>,
        hidden: Vec<Hidden>,
        source: ReportedSource,
    ) {
        for departed in departed {
            self.state.tombstones.remember(departed);
        }
        for hidden in hidden {
            self.state.note_hidden(hidden);
        }
        self.source = Some(source);
    }

    /// Brings an account with all of its rows; `None` where it comes with all others.
    pub(super) fn bring(&mut self, account: &Arc<str>, rows: Option<&[Arc<Registration>]>) {
        let fate = if rows.is_some() {
            Fate::Here
        } else {
            Fate::Later
        };
        let mut nobody_cares = super::Effects::default();
        for row in rows.into_iter().flatten() {
            self.state.upsert(row, &mut nobody_cares);
        }
        self.state.arrange();
        self.asked.insert(Arc::clone(account), fate);
    }
}
