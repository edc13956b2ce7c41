//! Looks for Kamailio's database where nobody has said where it is, until there is one.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::config::discovery::{Discovery, Looked};

/// How long to wait after a look in vain.
const INTERVAL: Duration = Duration::from_secs(1);

/// Looks for the database, and says what it found.
#[derive(Debug)]
pub(super) struct Seeker {
    root: PathBuf,
    /// Told what was found.
    place: Arc<OnceLock<PathBuf>>,
    next: Duration,
    told: Vec<Looked>,
}

impl Seeker {
    /// Looks below `root`, and puts into `place` what it finds.
    pub(super) fn new(root: PathBuf, place: Arc<OnceLock<PathBuf>>) -> Self {
        Self {
            root,
            place,
            next: Duration::ZERO,
            told: Vec::new(),
        }
    }

    /// Looks when it is time; the database, once there is one. `now` is monotonic.
    pub(super) fn look(&mut self, now: Duration) -> Option<PathBuf> {
        if now < self.next {
            return None;
        }
        self.next = now + INTERVAL;
        let discovery = Discovery::look(&self.root);
        let Some(found) = discovery.found else {
            self.tell_absence(discovery.looked);
            return None;
        };
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
        self.place.get_or_init(|| found.database.clone());
        Some(found.database)
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

    #[test]
    fn keeps_looking_until_the_file_appears() {
        let root = tempfile::TempDir::new().unwrap();
        let place = Arc::new(OnceLock::new());
        let mut seeker = Seeker::new(root.path().to_owned(), Arc::clone(&place));
        assert_eq!(seeker.look(Duration::ZERO), None);
        let database = root.path().join("var/lib/kamailio/kamailio.sqlite");
        fs::create_dir_all(database.parent().unwrap()).unwrap();
        fs::write(&database, "x").unwrap();
        assert_eq!(seeker.look(INTERVAL / 2), None);
        assert_eq!(seeker.look(INTERVAL), Some(database.clone()));
        assert_eq!(place.get(), Some(&database));
    }
}
