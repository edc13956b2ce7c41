//! A database that nobody has named: it is looked for, and the right one wins.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use usrlocd::clock::{Clock, SystemClock};
use usrlocd::registry::{Scope, SourceState, Writer};

use crate::clock::{Running, insert};
use crate::oracle::PATIENCE;
use crate::support::table::Table;
use crate::support::{eventually, holds, tools, unix_now};

const PACKAGED: &str = "var/lib/kamailio/kamailio.sqlite";
const KAZOO: &str = "etc/kazoo/kamailio/db/kazoo.db";

/// A database with empty tables, put there at once.
fn make(root: &Path, name: &str) -> Table {
    let path = root.join(name);
    let folder = path.parent().expect("it is in one");
    fs::create_dir_all(folder).expect("an own directory is writable");
    let new = folder.join("new");
    for script in ["standard-create.sql", "usrloc-create.sql"] {
        let schema = fs::read_to_string(tools::schema(script)).expect("a schema is text");
        Table::at(&new).query(&schema);
    }
    fs::rename(&new, &path).expect("an own directory is writable");
    Table::at(&path)
}

struct Lab {
    _mirror: Running,
    registry: Arc<Writer>,
    root: TempDir,
}

impl Lab {
    fn new() -> Self {
        let root = TempDir::with_prefix("usrlocd-found-").expect("a temporary directory");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let registry = Arc::new(Writer::new(Arc::clone(&clock)));
        let default: PathBuf = root.path().join(PACKAGED);
        let discover = Some(root.path().to_owned());
        let mirror = Running::new(root.path(), &default, discover, &clock, &registry);
        Self {
            _mirror: mirror,
            registry,
            root,
        }
    }

    fn becomes(&self, state: SourceState, listed: usize) {
        eventually("the registry", PATIENCE, || {
            let found = (
                self.registry.source().state,
                self.registry.count(Scope::System).0,
            );
            holds(found == (state, listed), || format!("{found:?}"))
        });
    }
}

#[test]
fn empty_database_of_a_package_gives_way_to_one_that_comes_later() {
    let lab = Lab::new();
    lab.becomes(SourceState::Unavailable, 0);
    let packaged = make(lab.root.path(), PACKAGED);
    lab.becomes(SourceState::Live, 0);
    let kazoo = make(lab.root.path(), KAZOO);
    kazoo.query(&insert("alice", unix_now() + 600));
    lab.becomes(SourceState::Live, 1);
    // What has rows is the right one.
    packaged.query(&insert("bob", unix_now() + 600));
    kazoo.query(&insert("carol", unix_now() + 600));
    lab.becomes(SourceState::Live, 2);
    kazoo.query("delete from location");
    lab.becomes(SourceState::Live, 0);
}

#[test]
fn database_with_rows_is_kept() {
    let lab = Lab::new();
    let packaged = make(lab.root.path(), PACKAGED);
    packaged.query(&insert("alice", unix_now() + 600));
    lab.becomes(SourceState::Live, 1);
    make(lab.root.path(), KAZOO).query(&insert("bob", unix_now() + 600));
    // Longer than it takes to look again.
    let clock = SystemClock::new();
    eventually("time goes by", PATIENCE, || {
        let rows = names(&lab.registry);
        assert_eq!(rows, ["alice"]);
        let over = clock.monotonic() > Duration::from_secs(3);
        holds(over, || "not yet".to_owned())
    });
    packaged.query("delete from location");
    eventually("the other one is read", PATIENCE, || {
        let rows = names(&lab.registry);
        holds(rows == ["bob"], || format!("{rows:?}"))
    });
}

fn names(registry: &Writer) -> Vec<String> {
    let rows = registry.rows();
    rows.iter()
        .map(|row| row.username.lossy().into_owned())
        .collect()
}
