//! A log in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::super::{CursorFile, Position, Source};
use crate::event_log::Missed;
use crate::events::json::LogId;
use crate::events::{Audience, Event, Happening, Kind, What};
use crate::registration::testing::{binding, registration};

/// A log that is pruned and becomes another as it is told.
#[derive(Debug)]
pub(super) struct Log {
    state: Mutex<State>,
    news: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    id: LogId,
    /// Whether events can be read on from, once they have been read.
    is_kept: bool,
    oldest: u64,
    events: Vec<Arc<Logged>>,
}

#[derive(Debug)]
pub(super) struct Logged(Event);

impl AsRef<Event> for Logged {
    fn as_ref(&self) -> &Event {
        &self.0
    }
}

impl Log {
    pub(super) fn new(id: u64) -> Arc<Self> {
        let state = State {
            id: LogId(id),
            is_kept: true,
            oldest: 1,
            events: Vec::new(),
        };
        Arc::new(Self {
            state: Mutex::new(state),
            news: watch::Sender::new(()),
        })
    }

    /// Registers this user of an account.
    pub(super) fn register(&self, username: &str, account: &str) {
        let mut state = self.state.lock().unwrap();
        let seq = state.newest() + 1;
        let contact = format!("sip:{username}@192.0.2.1");
        let binding = binding(&format!("ruid-{seq}"), username, &contact, 1_800_000_600);
        state.events.push(Arc::new(Logged(Event {
            seq,
            at: 1_800_000_000_000,
            commit: seq,
            what: What::Registration(Box::new(Happening {
                kind: Kind::Registered,
                audience: Audience::All,
                registration: registration(binding, Some(account)).into(),
                former: None,
                happened_at: None,
                replaces: None,
                flush: None,
                stats: None,
            })),
        })));
        drop(state);
        self.news.send_replace(());
    }

    /// Keeps no event before this one.
    pub(super) fn prune(&self, oldest: u64) {
        let mut state = self.state.lock().unwrap();
        state.oldest = oldest;
        state.events.retain(|it| it.0.seq >= oldest);
    }

    /// Keeps nothing, as where there is no history.
    pub(super) fn keep_nothing(&self) {
        self.state.lock().unwrap().is_kept = false;
    }

    /// Becomes another log, whose numbers go on.
    pub(super) fn become_another(&self, id: u64) {
        self.state.lock().unwrap().id = LogId(id);
        self.news.send_replace(());
    }
}

impl State {
    fn newest(&self) -> u64 {
        self.events.last().map_or(self.oldest - 1, |it| it.0.seq)
    }

    fn check(&self, position: Position) -> Result<(), Missed> {
        match position {
            (log, _) if log != self.id => Err(Missed::OtherLog),
            (_, seq) if seq > self.newest() => Err(Missed::OtherLog),
            (_, seq) if seq + 1 < self.oldest => Err(Missed::TooOld),
            _ => Ok(()),
        }
    }
}

impl Source for Log {
    type Cursor = Position;
    type Entry = Arc<Logged>;

    fn end(&self) -> Position {
        let state = self.state.lock().unwrap();
        (state.id, state.newest())
    }

    fn oldest(&self) -> u64 {
        self.state.lock().unwrap().oldest
    }

    fn after(&self, position: Position) -> Result<Position, Missed> {
        let state = self.state.lock().unwrap();
        if !state.is_kept {
            return Err(Missed::OtherLog);
        }
        state.check(position).map(|()| position)
    }

    fn position(cursor: &Position) -> Position {
        *cursor
    }

    async fn news(&self, cursor: &Position) {
        let mut news = self.news.subscribe();
        while self.end() == *cursor {
            news.changed().await.unwrap();
        }
    }

    async fn read(&self, cursor: &mut Position, limit: usize) -> Result<Vec<Arc<Logged>>, Missed> {
        let state = self.state.lock().unwrap();
        state.check(*cursor)?;
        let behind = state.events.iter().filter(|it| it.0.seq > cursor.1);
        let events: Vec<_> = behind.take(limit).cloned().collect();
        cursor.1 = events.last().map_or(cursor.1, |it| it.0.seq);
        Ok(events)
    }
}

/// A file of cursors that can be looked at.
#[derive(Clone, Debug)]
pub(super) struct File(watch::Sender<Written>);

/// What it has, and how often it was written.
#[derive(Debug, Default)]
struct Written {
    cursors: BTreeMap<String, Position>,
    times: usize,
    /// Whether it was begun anew.
    is_new: bool,
}

impl Default for File {
    fn default() -> Self {
        Self(watch::Sender::new(Written::default()))
    }
}

impl File {
    pub(super) fn has(&self) -> Vec<(String, Position)> {
        let written = self.0.borrow();
        written.cursors.clone().into_iter().collect()
    }

    pub(super) fn writes(&self) -> usize {
        self.0.borrow().times
    }

    /// It is deleted, and begun anew.
    pub(super) fn lose(&self) {
        self.0.send_modify(|written| {
            written.cursors.clear();
            written.is_new = true;
        });
    }

    pub(super) async fn wait(&self, name: &str, position: Position) {
        self.wait_until(|cursors| cursors.get(name) == Some(&position))
            .await;
    }

    pub(super) async fn wait_for_name(&self, name: &str) {
        self.wait_until(|cursors| cursors.contains_key(name)).await;
    }

    pub(super) async fn wait_empty(&self) {
        self.wait_until(BTreeMap::is_empty).await;
    }

    async fn wait_until(&self, is_so: impl Fn(&BTreeMap<String, Position>) -> bool) {
        let mut written = self.0.subscribe();
        written.wait_for(|it| is_so(&it.cursors)).await.unwrap();
    }
}

impl CursorFile for File {
    async fn get(&self, name: &str) -> Option<Position> {
        self.0.borrow().cursors.get(name).copied()
    }

    async fn put(&self, name: &str, position: Position) {
        self.0.send_modify(|written| {
            written.cursors.insert(name.to_owned(), position);
            written.times += 1;
        });
    }

    async fn names(&self) -> Vec<String> {
        self.0.borrow().cursors.keys().cloned().collect()
    }

    async fn delete(&self, name: &str) {
        self.0.send_modify(|written| {
            written.cursors.remove(name);
        });
    }

    async fn may_lack_some(&self) -> bool {
        self.0.borrow().is_new
    }

    async fn lacks_none(&self) {
        self.0.send_modify(|written| written.is_new = false);
    }
}
