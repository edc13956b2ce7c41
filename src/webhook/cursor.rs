//! How far each hook is in the log: in memory, and in a file for the next start where there is one.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Mutex, PoisonError};

use super::Position;

/// What keeps positions for the next start. A failure has been reported where it happened.
pub trait CursorFile: Send + Sync + 'static {
    /// The position of this name.
    fn get(&self, name: &str) -> impl Future<Output = Option<Position>> + Send;

    /// Keeps a position.
    fn put(&self, name: &str, position: Position) -> impl Future<Output = ()> + Send;

    /// Forgets a position.
    fn delete(&self, name: &str) -> impl Future<Output = ()> + Send;
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

    pub(super) async fn get(&self, name: &str) -> Option<Position> {
        let known = self.memory().get(name).copied();
        match known {
            Some(known) => known,
            None => self.file.get(name).await,
        }
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
