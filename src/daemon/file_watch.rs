//! Watches files by their directories: a file that is replaced is a new one there.

use std::collections::BTreeSet;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// The files that may have changed since they were last taken.
#[derive(Debug, Default)]
pub(super) struct Touched {
    files: Mutex<BTreeSet<PathBuf>>,
    arrived: Notify,
}

impl Touched {
    /// Waits until there is a file.
    pub(super) async fn wait(&self) {
        self.arrived.notified().await;
    }

    /// Takes all of them.
    pub(super) fn take(&self) -> BTreeSet<PathBuf> {
        mem::take(&mut *self.files.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add<'a>(&self, files: impl Iterator<Item = &'a PathBuf>) {
        let mut touched = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        touched.extend(files.cloned());
        if !touched.is_empty() {
            self.arrived.notify_one();
        }
    }
}

/// Records in `touched` which of `files` may have changed, for as long as the watcher lives.
pub(super) fn watch(
    files: BTreeSet<PathBuf>,
    touched: &Arc<Touched>,
) -> Option<RecommendedWatcher> {
    let directories: BTreeSet<PathBuf> = files
        .iter()
        .filter_map(|file| file.parent().map(Path::to_owned))
        .filter(|directory| directory.is_dir())
        .collect();
    let touched = Arc::clone(touched);
    let handler = move |event: notify::Result<Event>| match event {
        Ok(event) if event.kind.is_access() => {}
        Ok(event) if !event.need_rescan() => {
            touched.add(event.paths.iter().filter(|path| files.contains(*path)));
        }
        // Some events were lost: it may be any of them.
        Ok(_) | Err(_) => touched.add(files.iter()),
    };
    let mut watcher = notify::recommended_watcher(handler)
        .inspect_err(|error| tracing::warn!(%error, "cannot watch files; SIGHUP still reloads"))
        .ok()?;
    for directory in directories {
        if let Err(error) = watcher.watch(&directory, RecursiveMode::NonRecursive) {
            tracing::warn!(%error, "cannot watch {}; SIGHUP still reloads", directory.display());
        }
    }
    Some(watcher)
}
