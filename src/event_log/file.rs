//! STUB
#![allow(missing_docs)]
use crate::clock::Clock;
use crate::events::json::LogId;
use crate::events::*;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
#[derive(Clone, Debug)]
pub struct Options {
    pub path: PathBuf,
    pub keep: Duration,
    pub size: u64,
}
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct Error;
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("too old")]
    TooOld,
    #[error("failed")]
    Failed(Error),
}
#[derive(Debug)]
pub struct History {
    events: Mutex<Vec<Event>>,
    log: Mutex<LogId>,
    clock: Arc<dyn Clock>,
    cursors: Mutex<std::collections::HashMap<String, (LogId, u64)>>,
}
#[derive(Clone, Debug)]
pub enum Of {
    All,
    Accounts(Vec<String>),
    User { account: String, username: String },
}
#[derive(Clone, Debug)]
pub struct Query {
    pub of: Of,
    pub from: Option<u64>,
    pub to: Option<u64>,
    pub types: Option<Vec<Type>>,
    pub reasons: Option<Vec<Reason>>,
    pub before: Option<u64>,
    pub limit: usize,
}
impl History {
    pub async fn open(_: Options, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        Ok(Self {
            events: Mutex::default(),
            log: Mutex::new(LogId(7)),
            clock,
            cursors: Mutex::default(),
        })
    }
    pub fn log(&self) -> LogId {
        *self.log.lock().unwrap()
    }
    pub async fn new_log(&self) -> Result<LogId, Error> {
        let mut l = self.log.lock().unwrap();
        l.0 += 1;
        Ok(*l)
    }
    pub fn newest(&self) -> u64 {
        self.events.lock().unwrap().last().map_or(0, |e| e.seq)
    }
    pub fn oldest(&self) -> u64 {
        self.events.lock().unwrap().first().map_or(1, |e| e.seq)
    }
    pub async fn append(&self, events: &[Arc<Event>]) -> Result<(), Error> {
        self.events
            .lock()
            .unwrap()
            .extend(events.iter().map(|e| (**e).clone()));
        Ok(())
    }
    pub async fn read(&self, after: u64, limit: usize) -> Result<Vec<Event>, ReadError> {
        Ok(self
            .events
            .lock()
            .unwrap()
            .iter()
            .filter(|e| e.seq > after)
            .take(limit)
            .cloned()
            .collect())
    }
    pub async fn since(&self, at: u64) -> Result<Vec<Event>, Error> {
        Ok(self
            .events
            .lock()
            .unwrap()
            .iter()
            .filter(|e| e.at >= at)
            .cloned()
            .collect())
    }
    pub async fn cursor(&self, c: &str) -> Result<Option<(LogId, u64)>, Error> {
        Ok(self.cursors.lock().unwrap().get(c).copied())
    }
    pub async fn put_cursor(&self, c: &str, at: (LogId, u64)) -> Result<(), Error> {
        self.cursors.lock().unwrap().insert(c.into(), at);
        Ok(())
    }
    pub async fn query(&self, _: &Query) -> Result<Vec<Event>, Error> {
        Ok(Vec::new())
    }
    pub async fn forget(&self, _: Option<&str>, _: &str, _: Option<&str>) -> Result<u64, Error> {
        Ok(0)
    }
    pub fn oldest_at(&self) -> Option<u64> {
        None
    }
    pub fn bytes(&self) -> u64 {
        0
    }
    pub fn events(&self) -> u64 {
        0
    }
}
