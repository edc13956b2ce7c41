//! Waking the thread that follows the tables: a bell, and a watch on the files that rings it. Watching opens no file.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

/// Wakes the thread.
#[derive(Debug, Default)]
pub(super) struct Bell {
    ring: Mutex<Ring>,
    rung: Condvar,
}

/// Why the thread is awake.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Ring {
    /// Its time is over.
    #[default]
    None,
    /// A file that is watched was touched.
    Touched,
    /// It is to end.
    Stop,
}

impl Bell {
    /// Sleeps until the bell rings, for `time` at most.
    pub(super) fn wait(&self, time: Duration) -> Ring {
        let quiet = |ring: &mut Ring| *ring == Ring::None;
        let (mut ring, _) = self
            .rung
            .wait_timeout_while(self.lock(), time, quiet)
            .unwrap_or_else(PoisonError::into_inner);
        let heard = *ring;
        if heard == Ring::Touched {
            *ring = Ring::None;
        }
        heard
    }

    /// Forgets that a file was touched.
    pub(super) fn silence(&self) {
        let mut ring = self.lock();
        if *ring == Ring::Touched {
            *ring = Ring::None;
        }
    }

    fn touch(&self) {
        let mut ring = self.lock();
        if *ring == Ring::None {
            *ring = Ring::Touched;
            self.rung.notify_one();
        }
    }

    fn stop(&self) {
        *self.lock() = Ring::Stop;
        self.rung.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the thread when it is dropped.
#[derive(Debug)]
pub(super) struct StopOnDrop(pub(super) Arc<Bell>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Rings the bell when a file is touched, as long as it lives.
#[derive(Debug)]
pub(super) struct Watch {
    _watcher: RecommendedWatcher,
}

impl Watch {
    /// Watches these files, and for those that are not there their directories. `None` where nothing can be watched;
    /// the slow tick goes on.
    pub(super) fn new(files: &[PathBuf], bell: &Arc<Bell>) -> Option<Self> {
        let names: HashSet<OsString> = files
            .iter()
            .filter_map(|file| file.file_name().map(ToOwned::to_owned))
            .collect();
        let bell = Arc::clone(bell);
        let on_event = move |event: notify::Result<notify::Event>| {
            // Our own reading opens files, which is an access.
            let matters = |event: &notify::Event| {
                let is_ours =
                    |path: &PathBuf| path.file_name().is_some_and(|it| names.contains(it));
                !event.kind.is_access() && event.paths.iter().any(is_ours)
            };
            if event.as_ref().map_or(true, matters) {
                bell.touch();
            }
        };
        let mut watcher = notify::recommended_watcher(on_event)
            .inspect_err(
                |error| tracing::debug!(%error, "cannot watch the tables; checking them now and then"),
            )
            .ok()?;
        let mut any = false;
        for file in files {
            any |= watch(&mut watcher, file);
        }
        any.then_some(Self { _watcher: watcher })
    }
}

/// Watches the file, or else where it will appear.
fn watch(watcher: &mut RecommendedWatcher, file: &Path) -> bool {
    let directory = file
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    watcher.watch(file, RecursiveMode::NonRecursive).is_ok()
        || watcher
            .watch(directory, RecursiveMode::NonRecursive)
            .is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_bell_rings_once_for_a_touched_file_and_always_for_the_end() {
        let bell = Arc::new(Bell::default());
        bell.touch();
        assert_eq!(bell.wait(LONG), Ring::Touched);
        assert_eq!(bell.wait(Duration::ZERO), Ring::None);
        bell.touch();
        bell.silence();
        assert_eq!(bell.wait(Duration::ZERO), Ring::None);
        drop(StopOnDrop(Arc::clone(&bell)));
        bell.touch();
        bell.silence();
        assert_eq!(bell.wait(LONG), Ring::Stop);
        assert_eq!(bell.wait(LONG), Ring::Stop);
    }

    #[test]
    fn rings_for_writes_to_a_file_and_for_one_that_appears_but_not_for_reading() {
        let folder = tempfile::tempdir().unwrap();
        let (database, log) = (folder.path().join("k.db"), folder.path().join("k.db-wal"));
        fs::write(&database, "x").unwrap();
        let bell = Arc::new(Bell::default());
        let files = [database.clone(), log.clone()];
        let watch = Watch::new(&files, &bell).unwrap();
        fs::read(&database).unwrap();
        fs::write(folder.path().join("other"), "x").unwrap();
        fs::write(&log, "x").unwrap();
        assert_eq!(bell.wait(LONG), Ring::Touched);
        drop(watch);
        let bell = Arc::new(Bell::default()); // the last one may still be rung for what was written before
        let _watch = Watch::new(&files, &bell).unwrap();
        fs::read(&database).unwrap();
        assert_eq!(bell.wait(at(50)), Ring::None);
        fs::write(&database, "y").unwrap();
        assert_eq!(bell.wait(LONG), Ring::Touched);
    }

    #[test]
    fn does_without_a_directory() {
        let folder = tempfile::tempdir().unwrap();
        let bell = Arc::new(Bell::default());
        assert!(Watch::new(&[folder.path().join("absent/k.db")], &bell).is_none());
    }
}
