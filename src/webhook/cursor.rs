//! How far each hook is in the log: in memory, and in a file for the next start where there is one.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use super::Position;
use crate::event_log::{Error, History};
use crate::events::json::LogId;

/// Behind no event of any log.
const NOWHERE: Position = (LogId(0), 0);

/// What keeps positions for the next start. A failure has been reported where it happened.
pub trait CursorFile: Send + Sync + 'static {
    /// The position of this name.
    fn get(&self, name: &str) -> impl Future<Output = Option<Position>> + Send;

    /// Keeps a position.
    fn put(&self, name: &str, position: Position) -> impl Future<Output = ()> + Send;

    /// The names of all positions.
    fn names(&self) -> impl Future<Output = Vec<String>> + Send;

    /// Forgets a position.
    fn delete(&self, name: &str) -> impl Future<Output = ()> + Send;

    /// Whether positions of former times may have been lost.
    fn may_lack_some(&self) -> impl Future<Output = bool> + Send;

    /// Notes that whoever lost a position has one again.
    fn lacks_none(&self) -> impl Future<Output = ()> + Send;
}

/// The positions of all hooks.
#[derive(Debug)]
pub(super) struct Cursors<F> {
    /// What is known since the start; it counts, also where the file cannot be written.
    memory: Mutex<HashMap<String, Option<Position>>>,
    file: F,
}

impl<F: CursorFile> Cursors<F> {
    pub(super) fn new(file: F) -> Self {
        Self {
            memory: Mutex::default(),
            file,
        }
    }

    /// What the file has from former times.
    pub(super) async fn names(&self) -> Vec<String> {
        self.file.names().await
    }

    pub(super) async fn get(&self, name: &str) -> Option<Position> {
        let known = self.memory().get(name).copied();
        match known {
            Some(known) => known,
            None => self.file.get(name).await,
        }
    }

    /// Where positions were lost, those of these names are put behind no event of any log: what they missed is a gap.
    pub(super) async fn replace_lost(&self, names: impl Iterator<Item = String>) {
        if !self.file.may_lack_some().await {
            return;
        }
        for name in names {
            if self.file.get(&name).await.is_none() {
                self.put(&name, NOWHERE).await;
            }
        }
        self.file.lacks_none().await;
    }

    /// Notes a position in memory alone.
    pub(super) fn note(&self, name: &str, position: Position) {
        self.memory().insert(name.to_owned(), Some(position));
    }

    pub(super) async fn put(&self, name: &str, position: Position) {
        self.note(name, position);
        self.file.put(name, position).await;
    }

    pub(super) async fn delete(&self, name: &str) {
        self.memory().insert(name.to_owned(), None);
        self.file.delete(name).await;
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, HashMap<String, Option<Position>>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file of the history; without one a start begins anew.
impl CursorFile for Option<Arc<History>> {
    async fn get(&self, name: &str) -> Option<Position> {
        let history = self.as_ref()?;
        said(history.cursor(name).await).flatten()
    }

    async fn put(&self, name: &str, position: Position) {
        if let Some(history) = self {
            said(history.put_cursor(name, position).await);
        }
    }

    async fn names(&self) -> Vec<String> {
        match self {
            Some(history) => said(history.consumers().await).unwrap_or_default(),
            None => Vec::new(),
        }
    }

    async fn delete(&self, name: &str) {
        if let Some(history) = self {
            said(history.delete_cursor(name).await);
        }
    }

    async fn may_lack_some(&self) -> bool {
        match self {
            Some(history) => said(history.may_lack_cursors().await).unwrap_or_default(),
            None => false,
        }
    }

    async fn lacks_none(&self) {
        if let Some(history) = self {
            said(history.lacks_no_cursors().await);
        }
    }
}

/// What the history gave. That its file fails is said where events are written to it.
fn said<T>(result: Result<T, Error>) -> Option<T> {
    result
        .inspect_err(|error| tracing::debug!(%error, "cannot read or keep the cursor of a webhook"))
        .ok()
}
