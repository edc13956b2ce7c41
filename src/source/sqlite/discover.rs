//! Looks for Kamailio's database where its path is not configured, until there is one that has rows.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::discovery::{Discovery, Found, Looked};
use crate::config::is_same_file;

/// From one look to the next.
const INTERVAL: Duration = Duration::from_secs(1);

/// Looks for the database, and logs what it found.
#[derive(Debug)]
pub(super) struct Search {
    root: PathBuf,
    /// usrlocd's own store, which is never what is looked for.
    store: PathBuf,
    found: Option<PathBuf>,
    next: Duration,
    /// The places without a database that were logged last.
    logged: Vec<Looked>,
}

impl Search {
    /// Looks below `root` for another file than our `store`.
    pub(super) fn new(root: PathBuf, store: PathBuf) -> Self {
        Self {
            root,
            store,
            found: None,
            next: Duration::ZERO,
            logged: Vec::new(),
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
                let server = discovery.server.map(|it| Looked {
                    place: it.server.to_string().into(),
                    finding: format!(
                        "is a database server ({}): restart usrlocd to follow it",
                        it.why
                    ),
                });
                self.log_absence(discovery.looked.into_iter().chain(server).collect());
            }
            return None;
        };
        if self.found.as_ref() == Some(&found.database) {
            return None;
        }
        if is_same_file(&found.database, &self.store) {
            self.log_own_store(&found);
            return None;
        }
        match self.found.replace(found.database.clone()) {
            Some(previous) => {
                tracing::warn!(
                    database = %found.database.display(),
                    why = found.why,
                    previous = %previous.display(),
                    "switching to another database: the previous one has no registrations; set the right one in [kamailio] database"
                );
            }
            None => log_found(&found, &discovery.others),
        }
        Some(found.database)
    }

    /// Logs that the database is usrlocd's own store, once.
    fn log_own_store(&mut self, found: &Found) {
        let looked = vec![Looked {
            place: found.database.clone(),
            finding: format!("is usrlocd's own store, and {}", found.why),
        }];
        self.log_absence(looked);
    }

    /// Logs where there is nothing, once for each outcome.
    fn log_absence(&mut self, looked: Vec<Looked>) {
        if looked == self.logged {
            return;
        }
        let places: Vec<String> = looked.iter().map(Looked::to_string).collect();
        tracing::warn!(
            "no Kamailio database found yet, still looking; if it is elsewhere, set [kamailio] database: {}",
            places.join("; ")
        );
        self.logged = looked;
    }
}

fn log_found(found: &Found, others: &[PathBuf]) {
    let others: Vec<_> = others.iter().map(|it| it.display().to_string()).collect();
    if others.is_empty() {
        tracing::info!(database = %found.database.display(), why = found.why, "found Kamailio's database");
    } else {
        tracing::warn!(
            database = %found.database.display(),
            why = found.why,
            others = others.join(", "),
            "found more than one database, using the first; set the right one in [kamailio] database"
        );
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
        let store = root.path().join("store.db");
        let mut search = Search::new(root.path().to_owned(), store);
        assert_eq!(search.look(Duration::ZERO), None);
        let database = root.path().join("var/lib/kamailio/kamailio.sqlite");
        fs::create_dir_all(database.parent().unwrap()).unwrap();
        fs::write(&database, "x").unwrap();
        assert_eq!(search.look(INTERVAL / 2), None);
        assert!(!search.has_found());
        assert_eq!(search.look(INTERVAL), Some(database));
        assert!(search.has_found());
    }

    fn make(root: &Path, name: &str) -> PathBuf {
        let database = root.join(name);
        fs::create_dir_all(database.parent().unwrap()).unwrap();
        fs::write(&database, "x").unwrap();
        database
    }

    #[test]
    fn switches_to_a_database_that_comes_later_and_first() {
        let root = tempfile::TempDir::new().unwrap();
        let store = root.path().join("store.db");
        let mut search = Search::new(root.path().to_owned(), store);
        let packaged = make(root.path(), "var/lib/kamailio/kamailio.sqlite");
        assert_eq!(search.look(Duration::ZERO), Some(packaged));
        assert_eq!(search.look(INTERVAL), None);
        let kazoo = make(root.path(), "etc/kazoo/kamailio/db/kazoo.db");
        assert_eq!(search.look(INTERVAL * 2), Some(kazoo));
        assert_eq!(search.look(INTERVAL * 3), None);
    }

    #[test]
    fn never_takes_the_own_store_for_it() {
        let root = tempfile::TempDir::new().unwrap();
        let store = make(root.path(), "var/lib/usrlocd/usrlocd.db");
        let name = root.path().join("var/lib/kamailio/kamailio.sqlite");
        fs::create_dir_all(name.parent().unwrap()).unwrap();
        fs::hard_link(&store, &name).unwrap();
        let mut search = Search::new(root.path().to_owned(), store);
        assert_eq!(search.look(Duration::ZERO), None);
        assert!(!search.has_found());
    }
}
