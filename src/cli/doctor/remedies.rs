//! Remedies: commands to be copied into root's shell. None removes more than it says, and none that stops
//! Kamailio leaves it stopped.

use std::borrow::Cow;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::identity::{group_name, user_name};

/// Kamailio's unit on Debian, and on a Kazoo node.
const DEBIAN: &str = "kamailio";
const KAZOO: &str = "kazoo-kamailio";

/// Where units are.
const UNITS: [&str; 3] = [
    "etc/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];

/// The user and the group of Debian's Kamailio.
const USER: &str = "kamailio";

/// Kamailio's own statements that create tables.
const SCHEMA: &str = "/usr/share/kamailio/db_sqlite";

/// The lines that let a stock Debian configuration keep its registrations in SQLite.
pub(super) const EXAMPLE: &str = "/usr/share/doc/usrlocd/examples/kamailio-sqlite.cfg";

/// What the commands are about.
#[derive(Clone, Debug)]
pub(super) struct Site {
    /// Kamailio's database.
    pub(super) database: PathBuf,
    /// Kamailio's unit.
    pub(super) service: String,
    /// usrlocd's configuration.
    pub(super) config: PathBuf,
    /// The usrloc tables.
    pub(super) tables: Vec<String>,
    /// Whether the tables are on a server, and `database` means nothing.
    pub(super) on_server: bool,
}

impl Site {
    /// The same, with the tables on a server or not.
    pub(super) fn on_server(self, on_server: bool) -> Self {
        Self { on_server, ..self }
    }

    /// The site of this database on the machine whose root directory is `root`.
    /// `cfg` is what the running Kamailio was started with, where that is known.
    pub(super) fn new(
        root: &Path,
        cfg: Option<&Path>,
        database: &Path,
        config: &Path,
        tables: &[String],
    ) -> Self {
        let has = |service: &str| {
            let unit = format!("{service}.service");
            UNITS
                .iter()
                .any(|units| root.join(units).join(&unit).exists())
        };
        let instance = cfg.and_then(instance).filter(|_| has("kamailio@"));
        let is_kazoo = has(KAZOO) || (!has(DEBIAN) && database.starts_with("/etc/kazoo"));
        Self {
            database: database.to_owned(),
            service: match instance {
                Some(name) => format!("{DEBIAN}@{name}"),
                None => if is_kazoo { KAZOO } else { DEBIAN }.to_owned(),
            },
            config: config.to_owned(),
            tables: tables.to_vec(),
            on_server: false,
        }
    }

    /// What the unit reads variables from.
    pub(super) fn defaults(&self) -> String {
        format!("/etc/default/{}", self.service.replace('@', "-"))
    }

    /// Runs a statement while Kamailio is stopped, and starts it again whatever comes of it: with Kamailio running
    /// a writer's lock would make it lose rows.
    pub(super) fn stopped(&self, statement: &str) -> String {
        let service = &self.service;
        format!(
            "systemctl stop {service} && {} \"{statement}\"; systemctl start {service}",
            self.sqlite()
        )
    }

    /// The same for statements that a command writes.
    fn stopped_with(&self, statements: &str) -> String {
        let service = &self.service;
        format!(
            "systemctl stop {service} && {statements} | {}; systemctl start {service}",
            self.sqlite()
        )
    }

    /// Creates database and tables, where there is nothing yet.
    pub(super) fn create(&self) -> Vec<String> {
        let user = self.owner();
        let folder = self.database.parent().unwrap_or(Path::new("/"));
        vec![
            format!(
                "install -d -o {user} -g {user} -m 750 {}",
                shell(&folder.display())
            ),
            format!(
                "runuser -u {user} -- env DBENGINE=SQLITE DB_PATH={} kamdbctl create",
                shell(&self.database.display())
            ),
        ]
    }

    /// Creates missing usrloc tables; existing ones are kept, and SQLite reports them.
    pub(super) fn create_tables(&self) -> Vec<String> {
        self.tables
            .iter()
            .map(|table| self.stopped_with(&named(table)))
            .collect()
    }

    /// Lines of our own configuration.
    pub(super) fn configure(&self, lines: &str) -> String {
        format!("# {}\n{lines}", self.config.display())
    }

    /// `sqlite3` on the database as its owner: a file that root's leaves beside it would stop Kamailio's writing.
    fn sqlite(&self) -> String {
        let owner = self.owner();
        let database = shell(&self.database.display());
        if owner == "root" {
            format!("sqlite3 {database}")
        } else {
            format!("runuser -u {owner} -- sqlite3 {database}")
        }
    }

    /// Who owns the database, or will.
    fn owner(&self) -> String {
        let status = fs::metadata(&self.database);
        status.map_or_else(|_| USER.to_owned(), |status| user_name(status.uid()))
    }
}

/// The name of an instance of Debian's `kamailio@.service`, whose configuration is `/etc/kamailio/kamailio-NAME.cfg`.
fn instance(cfg: &Path) -> Option<&str> {
    let name = cfg.strip_prefix("/etc/kamailio").ok()?.to_str()?;
    name.strip_prefix("kamailio-")?.strip_suffix(".cfg")
}

/// Prints the statements that create a usrloc table with its attributes.
fn named(table: &str) -> String {
    if table == "location" {
        format!("cat {SCHEMA}/usrloc-create.sql")
    } else {
        format!("sed 's/location/{table}/g' {SCHEMA}/usrloc-create.sql")
    }
}

/// What lets a user read what is closed to it, and write nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening<'a> {
    /// Who shall read.
    pub(super) user: &'a str,
    /// The file or directory that is closed.
    pub(super) obstacle: &'a Path,
    /// The database's own directory.
    pub(super) folder: &'a Path,
    pub(super) is_directory: bool,
    /// The obstacle's group.
    pub(super) group: &'a str,
    /// Whether the machine has a group of Kamailio's.
    pub(super) has_kamailio: bool,
}

impl Opening<'_> {
    /// The command. Membership is given in Kamailio's own group alone: one in `root` or `adm` would open much more.
    pub(super) fn command(&self) -> String {
        let Self { user, group, .. } = self;
        let obstacle = shell(&self.obstacle.display());
        let bits = if self.is_directory { "g+x" } else { "g+r" };
        let is_ours = self.obstacle.starts_with(self.folder);
        if *group == USER {
            format!(
                "usermod -aG {USER} {user} && chmod {bits} {obstacle} && systemctl restart usrlocd"
            )
        } else if is_ours && self.has_kamailio {
            // New files of SQLite's get the directory's group.
            let folder = shell(&self.folder.display());
            format!(
                "chgrp {USER} {folder} {obstacle} && chmod g+rxs {folder} && chmod {bits} {obstacle} && usermod -aG {USER} {user} && systemctl restart usrlocd"
            )
        } else if self.is_directory {
            format!("setfacl -m u:{user}:x {obstacle}")
        } else {
            // Files that SQLite creates later must be readable as well.
            let folder = shell(&self.folder.display());
            format!(
                "setfacl -m u:{user}:rx,d:u:{user}:r {folder} && setfacl -m u:{user}:r {obstacle}"
            )
        }
    }
}

/// Whether the machine has a group of Kamailio's.
pub(super) fn has_kamailio_group() -> bool {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    groups
        .lines()
        .any(|line| line.split(':').next() == Some(USER))
}

/// Whose group a file has.
pub(super) fn group_of(path: &Path) -> String {
    fs::metadata(path).map_or_else(|_| "root".to_owned(), |status| group_name(status.gid()))
}

/// A word as the shell reads it.
pub(super) fn shell(word: &(impl ToString + ?Sized)) -> String {
    let word = word.to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    let quoted = if word.chars().all(is_plain) {
        Cow::Borrowed(&*word)
    } else {
        Cow::Owned(format!("'{}'", word.replace('\'', "'\\''")))
    };
    quoted.into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(database: &Path) -> Site {
        Site {
            database: database.to_owned(),
            service: DEBIAN.to_owned(),
            config: "/etc/usrlocd/usrlocd.toml".into(),
            tables: vec!["location".to_owned(), "vip".to_owned()],
            on_server: false,
        }
    }

    #[test]
    fn what_is_stopped_is_started_and_nothing_is_dropped() {
        let site = site(Path::new("/nonexistent/a b"));
        let mut all = vec![site.stopped("select 1")];
        all.extend(site.create_tables());
        assert_eq!(all.len(), 3);
        for command in all {
            assert!(
                command.starts_with("systemctl stop kamailio && "),
                "{command}"
            );
            assert!(command.ends_with("; systemctl start kamailio"), "{command}");
            assert!(
                command.contains("runuser -u kamailio -- sqlite3 '/nonexistent/a b'"),
                "{command}"
            );
            assert!(!command.contains("drop "), "{command}");
        }
        let create = site.create().join("\n");
        assert!(create.contains("DBENGINE=SQLITE DB_PATH='/nonexistent/a b' kamdbctl create"));
    }

    #[test]
    fn the_unit_is_the_one_that_is_there() {
        let root = tempfile::TempDir::new().unwrap();
        let site = |database: &str| {
            Site::new(
                root.path(),
                Some(Path::new("/etc/kamailio/kamailio-edge.cfg")),
                Path::new(database),
                Path::new("/c"),
                &[],
            )
        };
        let service = |database: &str| site(database).service;
        assert_eq!(service("/var/lib/kamailio/kamailio.sqlite"), DEBIAN);
        assert_eq!(service("/etc/kazoo/kamailio/db/kazoo.db"), KAZOO);
        let units = root.path().join(UNITS[0]);
        fs::create_dir_all(&units).unwrap();
        fs::write(units.join("kamailio.service"), "").unwrap();
        assert_eq!(service("/etc/kazoo/kamailio/db/kazoo.db"), DEBIAN);
        fs::write(units.join("kazoo-kamailio.service"), "").unwrap();
        assert_eq!(service("/var/lib/kamailio/kamailio.sqlite"), KAZOO);
        fs::write(units.join("kamailio@.service"), "").unwrap();
        let edge = site("/var/lib/kamailio/kamailio.sqlite");
        assert_eq!(edge.service, "kamailio@edge");
        assert_eq!(edge.defaults(), "/etc/default/kamailio-edge");
    }

    #[test]
    fn nobody_is_put_into_another_group_than_kamailios() {
        let folder = Path::new("/var/lib/kamailio");
        let of = |obstacle: &str, is_directory, group, has_kamailio| {
            Opening {
                user: "usrlocd",
                obstacle: Path::new(obstacle),
                folder,
                is_directory,
                group,
                has_kamailio,
            }
            .command()
        };
        let database = "/var/lib/kamailio/kamailio.sqlite";
        assert_eq!(
            of(database, false, "kamailio", true),
            "usermod -aG kamailio usrlocd && chmod g+r /var/lib/kamailio/kamailio.sqlite && systemctl restart usrlocd"
        );
        for group in ["root", "adm", "0"] {
            for has_kamailio in [true, false] {
                for (obstacle, is_directory) in [
                    (database, false),
                    ("/var/lib/kamailio", true),
                    ("/root", true),
                ] {
                    let command = of(obstacle, is_directory, group, has_kamailio);
                    assert!(!command.contains(&format!("-aG {group}")), "{command}");
                    assert!(!command.contains("chgrp kamailio /root"), "{command}");
                    let is_given =
                        command.contains("chgrp kamailio") || command.contains("setfacl");
                    assert!(is_given, "{command}");
                }
            }
        }
    }
}
