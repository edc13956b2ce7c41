//! Finds Kamailio's database where it is not configured: first on a Kazoo node, then where Debian's Kamailio
//! has it. Looks and reads; changes nothing.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::kamailio_cfg::KamailioCfg;
use super::server::Server;
use crate::cfg_lexer::{Kind, Lexer};

/// What one installation keeps: files that may name the database, in the order in which they decide, and where it
/// is as installed.
const INSTALLATIONS: [Installation; 2] = [
    Installation {
        name: "a Kazoo node",
        cfg: "etc/kazoo/kamailio/kamailio.cfg",
        files: &[
            "etc/kazoo/kamailio/local.cfg",
            "etc/kazoo/kamailio/defs.cfg",
            "etc/kazoo/kamailio/default.cfg",
            "etc/kazoo/kamailio/kamailio.cfg",
        ],
        database: "etc/kazoo/kamailio/db/kazoo.db",
    },
    Installation {
        name: "Debian's Kamailio",
        cfg: "etc/kamailio/kamailio.cfg",
        files: &[
            "etc/kamailio/kamailio-local.cfg",
            "etc/kamailio/kamailio.cfg",
            "etc/kamailio/kamctlrc",
        ],
        database: "var/lib/kamailio/kamailio.sqlite",
    },
];

/// How `db_sqlite` is spoken to in a `db_url`; the file's path follows.
const SCHEME: &str = "sqlite://";

/// Where systemd keeps what is enabled: each instance of Debian's `kamailio@.service` has a configuration of its own.
const ENABLED: &str = "etc/systemd/system/multi-user.target.wants";

/// The key of `kamctlrc` that names a SQLite file.
const CONTROL_KEY: &str = "DB_PATH=";

struct Installation {
    name: &'static str,
    /// What its Kamailio is started with.
    cfg: &'static str,
    files: &'static [&'static str],
    database: &'static str,
}

/// What a look at all places gave.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Discovery {
    /// The database, if there is one.
    pub found: Option<Found>,
    /// The server that holds the tables instead, if Kamailio's configuration says so.
    pub server: Option<FoundServer>,
    /// Further databases, which were not chosen.
    pub others: Vec<PathBuf>,
    /// The places that were looked at in vain, and why.
    pub looked: Vec<Looked>,
}

/// A database that is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Its file.
    pub database: PathBuf,
    /// Why it was looked for there, for instance `/etc/kamailio/kamailio.cfg line 12 names it`.
    pub why: String,
}

/// A database server, with the login that Kamailio has there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoundServer {
    /// Its URL.
    pub server: Server,
    /// For instance `/etc/kamailio/kamailio.cfg line 12 names it`.
    pub why: String,
}

/// A place without a database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Looked {
    /// The place.
    pub place: PathBuf,
    /// What is wrong there, for instance `does not exist`.
    pub finding: String,
}

impl Discovery {
    /// Looks at all places below `root`, which is `/` but for tests.
    #[must_use]
    pub fn look(root: &Path) -> Self {
        let mut discovery = Self::default();
        for installation in &INSTALLATIONS {
            discovery.ask(&root.join(installation.cfg));
            for file in installation.files {
                discovery.read(root, &root.join(file));
            }
            let why = format!("the default location of {}", installation.name);
            discovery.consider(root.join(installation.database), why);
        }
        for cfg in instances(root) {
            discovery.ask(&cfg);
            discovery.read(root, &cfg);
        }
        discovery
    }

    /// Considers the server where a Kamailio with this configuration keeps its tables. What is found before it counts, and
    /// it counts before the files that a configuration mentions without using them.
    fn ask(&mut self, cfg: &Path) {
        if self.found.is_some() || self.server.is_some() {
            return;
        }
        // What cannot be read is noted when its files are looked for.
        let cfg = KamailioCfg::read(cfg, &[]).unwrap_or_default();
        if let Some((url, place)) = cfg.login()
            && let Ok(server) = Server::parse(&url)
        {
            let why = format!("{place} names it");
            self.server = Some(FoundServer { server, why });
        }
    }

    /// Considers the databases that the file at `path` names.
    fn read(&mut self, root: &Path, path: &Path) {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Err(error) => return self.note(path.to_owned(), format!("cannot be read: {error}")),
        };
        for (line, database) in named(&String::from_utf8_lossy(&bytes)) {
            let below = database.trim_start_matches('/');
            let why = format!("{} line {line} names it", path.display());
            self.consider(root.join(below), why);
        }
    }

    fn consider(&mut self, database: PathBuf, why: String) {
        let chosen = self.found.as_ref().map(|found| &found.database);
        if chosen == Some(&database) || self.others.contains(&database) {
            return;
        }
        match std::fs::metadata(&database) {
            Ok(it) if !it.is_file() => self.note(database, "is not a file".to_owned()),
            Ok(it) if it.len() == 0 => self.note(database, "is empty".to_owned()),
            Ok(_) if chosen.is_some() => self.others.push(database),
            Ok(_) => self.found = Some(Found { database, why }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.note(database, "does not exist".to_owned());
            }
            Err(error) => self.note(database, format!("cannot be accessed: {error}")),
        }
    }

    fn note(&mut self, place: PathBuf, finding: String) {
        let looked = Looked { place, finding };
        if !self.looked.contains(&looked) {
            self.looked.push(looked);
        }
    }
}

impl fmt::Display for Looked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.place.display(), self.finding)
    }
}

/// The configurations of the enabled instances of `kamailio@.service`.
fn instances(root: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(root.join(ENABLED)) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut found: Vec<PathBuf> = names
        .filter_map(|unit| {
            let instance = unit.strip_prefix("kamailio@")?.strip_suffix(".service")?;
            Some(root.join(format!("etc/kamailio/kamailio-{instance}.cfg")))
        })
        .collect();
    found.sort();
    found
}

/// The absolute paths of databases that a `kamailio.cfg` or `kamctlrc` names, each with the number of its line.
fn named(text: &str) -> Vec<(usize, String)> {
    let of_cfg = Lexer::new(text).filter_map(|token| {
        let (Kind::Text(text) | Kind::Directive(_, text)) = token.kind else {
            return None;
        };
        Some((token.line, path(text.split_once(SCHEME)?.1)?))
    });
    let lines = text.lines().enumerate();
    let of_control = lines.filter_map(|(index, line)| {
        let value = line.trim_start().strip_prefix(CONTROL_KEY)?;
        Some((index + 1, path(value)?))
    });
    of_cfg.chain(of_control).collect()
}

/// The path that a text begins with, from the root.
fn path(text: &str) -> Option<String> {
    let rest = text.trim_start_matches(['"', '\'']);
    let end = rest
        .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '!' | ';' | ')' | ','))
        .unwrap_or(rest.len());
    let path = rest[..end].trim_start_matches('/');
    (rest.starts_with('/') && !path.is_empty()).then(|| format!("/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use tempfile::TempDir;

    fn root(files: &[(&str, &str)]) -> TempDir {
        let root = TempDir::new().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn nothing_says_where_it_looked() {
        let root = root(&[]);
        let discovery = Discovery::look(root.path());
        assert_eq!(discovery.found, None);
        let looked: Vec<String> = discovery.looked.iter().map(Looked::to_string).collect();
        assert_eq!(looked.len(), 2, "{looked:?}");
        assert!(looked[0].ends_with("etc/kazoo/kamailio/db/kazoo.db does not exist"));
        assert!(looked[1].ends_with("var/lib/kamailio/kamailio.sqlite does not exist"));
    }

    #[test]
    fn stock_places_are_found_and_kazoo_comes_first() {
        let debian = ("var/lib/kamailio/kamailio.sqlite", "x");
        let root_one = root(&[debian]);
        let found = Discovery::look(root_one.path()).found.unwrap();
        assert_eq!(found.database, root_one.path().join(debian.0));
        assert_eq!(found.why, "the default location of Debian's Kamailio");
        let root = root(&[debian, ("etc/kazoo/kamailio/db/kazoo.db", "x")]);
        let discovery = Discovery::look(root.path());
        assert_eq!(
            discovery.found.unwrap().why,
            "the default location of a Kazoo node"
        );
        assert_eq!(discovery.others, [root.path().join(debian.0)]);
    }

    #[test]
    fn what_kamailio_cfg_names_wins_over_the_stock_place() {
        let root = root(&[
            ("var/lib/kamailio/kamailio.sqlite", "x"),
            ("srv/sip/loc.db", "x"),
            (
                "etc/kamailio/kamailio.cfg",
                "#!KAMAILIO\n# DBURL \"sqlite:///srv/old.db\"\n#!define DBURL \"sqlite:///srv/sip/loc.db\"\n",
            ),
        ]);
        let found = Discovery::look(root.path()).found.unwrap();
        assert_eq!(found.database, root.path().join("srv/sip/loc.db"));
        assert!(
            found
                .why
                .ends_with("etc/kamailio/kamailio.cfg line 3 names it"),
            "{}",
            found.why
        );
    }

    #[test]
    fn enabled_instances_of_debians_kamailio_are_looked_at() {
        let wants = "etc/systemd/system/multi-user.target.wants";
        let unit = format!("{wants}/kamailio@edge.service");
        let root = root(&[
            (&unit, ""),
            ("srv/edge.db", "x"),
            ("srv/off.db", "x"),
            (
                "etc/kamailio/kamailio-edge.cfg",
                "#!define DBURL \"sqlite:///srv/edge.db\"\n",
            ),
            (
                "etc/kamailio/kamailio-off.cfg",
                "#!define DBURL \"sqlite:///srv/off.db\"\n",
            ),
        ]);
        let discovery = Discovery::look(root.path());
        let found = discovery.found.unwrap();
        assert_eq!(found.database, root.path().join("srv/edge.db"));
        assert!(
            found.why.ends_with("kamailio-edge.cfg line 1 names it"),
            "{}",
            found.why
        );
        assert_eq!(discovery.others, [] as [PathBuf; 0]);
    }

    #[test]
    fn the_server_that_usrloc_writes_to_is_found() {
        let kazoo = "#!substdef \"!KAZOO_DB_URL!postgres://kamailio:s@cret@db/kamailio!g\"\n";
        let usrloc = "include_file \"local.cfg\"\nmodparam(\"usrloc\", \"db_mode\", 1)\nmodparam(\"usrloc\", \"db_url\", \"KAZOO_DB_URL\")\n";
        let root_one = root(&[
            ("etc/kazoo/kamailio/local.cfg", kazoo),
            ("etc/kazoo/kamailio/kamailio.cfg", usrloc),
            ("etc/kazoo/kamailio/db/kazoo.db", "x"),
        ]);
        let server = Discovery::look(root_one.path()).server.unwrap();
        assert_eq!(
            server.server.url(),
            "postgres://kamailio:s%40cret@db/kamailio"
        );
        assert!(
            server.why.ends_with("kamailio.cfg line 3 names it"),
            "{}",
            server.why
        );
        assert!(!format!("{server:?}").contains("cret"), "{server:?}");
        // Debian's as installed names one that it does not use.
        let debian = "#!ifdef WITH_MYSQL\n#!define WITH_USRLOCDB\n#!endif\n#!trydef DBURL \"mysql://kamailio:kamailiorw@localhost/kamailio\"\n#!ifdef WITH_USRLOCDB\nmodparam(\"usrloc\", \"db_url\", DBURL)\nmodparam(\"usrloc\", \"db_mode\", 2)\n#!endif\n";
        let cfg = "etc/kamailio/kamailio.cfg";
        assert_eq!(Discovery::look(root(&[(cfg, debian)]).path()).server, None);
        let used = format!("#!define WITH_MYSQL\n{debian}");
        let found = Discovery::look(root(&[(cfg, &used)]).path()).server;
        let url = "mysql://kamailio:kamailiorw@localhost/kamailio";
        assert_eq!(found.unwrap().server.url(), url);
        // A Kazoo node's file comes first.
        let both = root(&[("etc/kazoo/kamailio/db/kazoo.db", "x"), (cfg, &used)]);
        assert_eq!(Discovery::look(both.path()).server, None);
    }

    #[test]
    fn unreadable_and_empty_places_are_told() {
        let root = root(&[
            ("etc/kamailio/kamailio.cfg/x", ""),
            ("var/lib/kamailio/kamailio.sqlite", ""),
        ]);
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let looked = Discovery::look(root.path()).looked;
        let text = looked.iter().map(Looked::to_string).collect::<String>();
        assert!(text.contains("kamailio.cfg cannot be read: "), "{text}");
        assert!(text.contains("kamailio.sqlite is empty"), "{text}");
    }

    #[test]
    fn each_spelling_of_a_database() {
        let one = |line: &str| named(line).into_iter().map(|(_, path)| path).next();
        for line in [
            "#!define DBURL \"sqlite:///a/b.db\"",
            "#!trydef DBURL \"sqlite:////a/b.db\"",
            "#!substdef \"!KAZOO_DB_URL!sqlite:///a/b.db!g\"",
            "modparam(\"usrloc\", \"db_url\", \"sqlite:///a/b.db\")",
            "DB_PATH=\"/a/b.db\"",
            "DB_PATH=/a/b.db",
            "modparam('usrloc', 'db_url', 'sqlite:///a/b.db')",
            "modparam(\"usrloc\",\n \"db_url\", \"sqlite://\"\n \"/a/b.db\")",
            "log_prefix=\"# // /*\" modparam(\"usrloc\", \"db_url\", \"sqlite:///a/b.db\")",
        ] {
            assert_eq!(one(line).as_deref(), Some("/a/b.db"), "{line}");
        }
        for line in [
            "##!define DBURL \"sqlite:///a/b.db\"",
            "// sqlite:///a/b.db",
            "/* \"sqlite:///a/b.db\" */",
            "children=4 # \"sqlite:///a/b.db\"",
            "# DB_PATH=/a/b.db",
            "#!define DBURL \"mysql://kamailio@localhost/kamailio\"",
            "#!define DBURL \"sqlite://relative\"",
            "",
        ] {
            assert_eq!(one(line), None, "{line}");
        }
    }
}
