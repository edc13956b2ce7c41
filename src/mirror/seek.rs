//! Looks for Kamailio's database where nobody has said where it is, until there is one that has rows.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::config::discovery::{Discovery, Found, Looked};
use crate::config::is_same_file;

/// From one look to the next.
const INTERVAL: Duration = Duration::from_secs(1);

/// Where the database is, once that is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Place(Arc<Mutex<Option<PathBuf>>>);

impl Place {
    /// It is there.
    pub(super) fn put(&self, database: PathBuf) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(database);
    }

    /// Where it is.
    pub(super) fn get(&self) -> Option<PathBuf> {
        let place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        place.clone()
    }
}

/// Looks for the database, and says what it found.
#[derive(Debug)]
pub(super) struct Seeker {
    root: PathBuf,
    /// Our own store, which is never what is looked for.
    store: PathBuf,
    found: Option<PathBuf>,
    /// Told what was found.
    place: Place,
    next: Duration,
    told: Vec<Looked>,
}

impl Seeker {
    /// Looks below `root` for another file than our `store`, and puts into `place` what it finds.
    pub(super) fn new(root: PathBuf, store: PathBuf, place: Place) -> Self {
        Self {
            root,
            store,
            found: None,
            place,
            next: Duration::ZERO,
            told: Vec::new(),
        }
    }

    /// Whether there is a database.
    pub(super) fn has_found(&self) -> bool {
        self.found.is_some()
    }

    /// Looks when it is time; the database, where it is another than the last time. `now` is monotonic.
    pub(super) fn look(&mut self, now: Duration) -> Option<PathBuf> {
        if now < self.next {
            return None;
        }
        self.next = now + INTERVAL;
        let discovery = Discovery::look(&self.root);
        let Some(found) = discovery.found else {
            if self.found.is_none() {
                self.tell_absence(discovery.looked);
            }
            return None;
        };
        if self.found.as_ref() == Some(&found.database) {
            return None;
        }
        if is_same_file(&found.database, &self.store) {
            self.tell_store(&found);
            return None;
        }
        self.place.put(found.database.clone());
        if let Some(former) = self.found.replace(found.database.clone()) {
            tracing::warn!(
                database = %found.database.display(),
                why = found.why,
                former = %former.display(),
                "found another database, and reads that one from now on, for the former has no registration; name the right one in [kamailio] database"
            );
            return Some(found.database);
        }
        let others: Vec<String> = discovery
            .others
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        if others.is_empty() {
            tracing::info!(database = %found.database.display(), why = found.why, "found Kamailio's database");
        } else {
            tracing::warn!(
                database = %found.database.display(),
                why = found.why,
                others = others.join(", "),
                "found more than one database and took the first; name the right one in [kamailio] database"
            );
        }
        Some(found.database)
    }

    /// Says that the database is our own store, once.
    fn tell_store(&mut self, found: &Found) {
        let looked = vec![Looked {
            place: found.database.clone(),
            finding: format!("is usrlocd's own store, and {}", found.why),
        }];
        self.tell_absence(looked);
    }

    /// Says where there is nothing, once for each outcome.
    fn tell_absence(&mut self, looked: Vec<Looked>) {
        if looked == self.told {
            return;
        }
        let places: Vec<String> = looked.iter().map(Looked::to_string).collect();
        tracing::warn!(
            "found no database of Kamailio's and keeps looking; if it is elsewhere, name it in [kamailio] database: {}",
            places.join("; ")
        );
        self.told = looked;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    #[test]
    fn keeps_looking_until_the_file_appears() {
        let root = tempfile::TempDir::new().unwrap();
        let (store, place) = (root.path().join("store.db"), Place::default());
        let mut seeker = Seeker::new(root.path().to_owned(), store, place.clone());
        assert_eq!(seeker.look(Duration::ZERO), None);
        let database = root.path().join("var/lib/kamailio/kamailio.sqlite");
        fs::create_dir_all(database.parent().unwrap()).unwrap();
        fs::write(&database, "x").unwrap();
        assert_eq!(seeker.look(INTERVAL / 2), None);
        assert!(!seeker.has_found());
        assert_eq!(seeker.look(INTERVAL), Some(database.clone()));
        assert!(seeker.has_found());
        assert_eq!(place.get(), Some(database));
    }

    fn make(root: &Path, name: &str) -> PathBuf {
        let database = root.join(name);
        fs::create_dir_all(database.parent().unwrap()).unwrap();
        fs::write(&database, "x").unwrap();
        database
    }

    #[test]
    fn tells_of_a_database_that_comes_later_and_first() {
        let root = tempfile::TempDir::new().unwrap();
        let (store, place) = (root.path().join("store.db"), Place::default());
        let mut seeker = Seeker::new(root.path().to_owned(), store, place.clone());
        let packaged = make(root.path(), "var/lib/kamailio/kamailio.sqlite");
        assert_eq!(seeker.look(Duration::ZERO), Some(packaged));
        assert_eq!(seeker.look(INTERVAL), None);
        let kazoo = make(root.path(), "etc/kazoo/kamailio/db/kazoo.db");
        assert_eq!(seeker.look(INTERVAL * 2), Some(kazoo.clone()));
        assert_eq!(place.get(), Some(kazoo));
        assert_eq!(seeker.look(INTERVAL * 3), None);
    }

    #[test]
    fn never_takes_our_own_store_for_it() {
        let root = tempfile::TempDir::new().unwrap();
        let store = make(root.path(), "var/lib/usrlocd/usrlocd.db");
        let name = root.path().join("var/lib/kamailio/kamailio.sqlite");
        fs::create_dir_all(name.parent().unwrap()).unwrap();
        fs::hard_link(&store, &name).unwrap();
        let mut seeker = Seeker::new(root.path().to_owned(), store, Place::default());
        assert_eq!(seeker.look(Duration::ZERO), None);
        assert!(!seeker.has_found());
    }
}
