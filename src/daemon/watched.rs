//! Watches files by their directories: who replaces a file makes a new one there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// Tells `changed` when one of `files` may have changed, for as long as the watcher lives.
pub(super) fn watch(files: BTreeSet<PathBuf>, changed: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let directories: BTreeSet<PathBuf> = files
        .iter()
        .filter_map(|file| file.parent().map(Path::to_owned))
        .filter(|directory| directory.is_dir())
        .collect();
    let changed = Arc::clone(changed);
    let told = move |event: notify::Result<Event>| {
        let matters = |event: &Event| {
            !event.kind.is_access() && event.paths.iter().any(|path| files.contains(path))
        };
        if event.as_ref().map_or(true, matters) {
            changed.notify_one();
        }
    };
    let mut watcher = notify::recommended_watcher(told)
        .inspect_err(|error| tracing::warn!(%error, "cannot watch files; SIGHUP still reloads"))
        .ok()?;
    for directory in directories {
        if let Err(error) = watcher.watch(&directory, RecursiveMode::NonRecursive) {
            tracing::warn!(%error, "cannot watch {}; SIGHUP still reloads", directory.display());
        }
    }
    Some(watcher)
}
