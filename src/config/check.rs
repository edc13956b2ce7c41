//! What no single value shows: keys that contradict each other.

use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Config, Kamailio, flapping};
use crate::document::{Findings, shown};

/// Files that SQLite keeps beside a database.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Reports the contradictions in `config`.
pub(super) fn check(config: &Config, findings: &mut Findings) {
    if config.kamailio.tables.is_empty() {
        findings.report_key(
            "kamailio.table",
            "no table is given; name at least one, for instance \"location\"",
        );
    }
    if config.http.listen.is_empty() && config.http.socket.is_none() {
        findings.report_key(
            "http.listen",
            "nothing to listen on; set `listen` or `socket` in [http]",
        );
    }
    flapping::check(config, findings);
    server(config, findings);
    if config.fleet.url.is_some() && config.fleet.url_file.is_some() {
        findings.report_key(
            "fleet.url_file",
            "both `url` and `url_file` are set; remove one",
        );
    }
    let database = &config.kamailio.database;
    for (key, path) in writable(config) {
        if is_of_database(path, database) {
            findings.report_key(
                key,
                format!(
                    "{} belongs to Kamailio's database, which is never written; choose another path",
                    shown(&path.to_string_lossy())
                ),
            );
        }
    }
    let history = &config.history.path;
    if is_of_database(history, &config.store.path) || is_of_database(&config.store.path, history) {
        findings.report_key(
            "history.path",
            "the history has the same path as the store; choose another path",
        );
    }
    for (database, name) in [(&config.store.path, "store"), (history, "history")] {
        let socket = config.http.socket.as_deref();
        if socket.is_some_and(|socket| is_of_database(socket, database)) {
            findings.report_key(
                "http.socket",
                format!("the socket has the same path as the {name}; choose another path"),
            );
        }
    }
}

/// Reports contradictions in what is said of a database server.
fn server(config: &Config, findings: &mut Findings) {
    let kamailio = &config.kamailio;
    let default = Kamailio::default().database;
    let is_given = kamailio.server.is_some() || kamailio.database != default;
    if kamailio.database_file.is_some() && is_given {
        findings.report_key(
            "kamailio.database_file",
            "both `database` and `database_file` are set; remove one",
        );
    } else if !kamailio.is_on_server() && !kamailio.server_ids.is_empty() {
        findings.report_key(
            "kamailio.server_id",
            "`server_id` applies to a database server only; with SQLite each Kamailio has its own file",
        );
    } else if !kamailio.is_on_server() && !kamailio.jsonrpc_by_id.is_empty() {
        findings.report_key(
            "kamailio.jsonrpc",
            "a table of addresses applies to a database server only; with SQLite each Kamailio has its own file",
        );
    }
}

/// The files that we write.
fn writable(config: &Config) -> impl Iterator<Item = (&'static str, &Path)> {
    let store = ("store.path", config.store.path.as_path());
    let socket = config.http.socket.as_deref();
    let tokens = config.auth.tokens_file.as_deref();
    let history = ("history.path", config.history.path.as_path());
    [store, history]
        .into_iter()
        .chain(socket.map(|path| ("http.socket", path)))
        .chain(tokens.map(|path| ("auth.tokens_file", path)))
}

/// Whether `path` leads to the database or to a file that SQLite keeps beside it.
fn is_of_database(path: &Path, database: &Path) -> bool {
    // SQLite puts the others beside the file that a link leads to.
    let names = [Some(database.to_owned()), database.canonicalize().ok()];
    names.into_iter().flatten().any(|database| {
        is_same_file(path, &database)
            || COMPANIONS
                .iter()
                .any(|companion| is_same_file(path, &with_suffix(&database, companion)))
    })
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Whether both paths lead to one file, by links of either kind too; or would, were it there.
#[must_use]
pub fn is_same_file(a: &Path, b: &Path) -> bool {
    let identity = |it: Metadata| (it.dev(), it.ino());
    match (a.metadata(), b.metadata()) {
        (Ok(a), Ok(b)) => identity(a) == identity(b),
        (Err(_), Err(_)) => a == b || place(a).is_some_and(|a| Some(a) == place(b)),
        _ => a == b,
    }
}

/// Where a file that is not there would be made.
fn place(path: &Path) -> Option<PathBuf> {
    // A link to where nothing is leads there.
    let target = path.read_link().map(|target| match path.parent() {
        Some(directory) => directory.join(target),
        None => target,
    });
    let path = target.unwrap_or_else(|_| path.to_owned());
    Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn knows_the_database_by_every_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("lib")).unwrap();
        symlink(at("lib"), at("alias")).unwrap();
        let database = at("lib/kamailio.sqlite");
        symlink(&database, at("later")).unwrap();
        let absent = [
            "lib/kamailio.sqlite",
            "lib/../lib/kamailio.sqlite",
            "alias/kamailio.sqlite",
            "later",
        ];
        for name in absent {
            assert!(is_of_database(&at(name), &database), "{name}");
        }
        fs::write(&database, "x").unwrap();
        fs::write(at("lib/kamailio.sqlite-wal"), "x").unwrap();
        symlink("lib/kamailio.sqlite", at("soft")).unwrap();
        fs::hard_link(&database, at("hard")).unwrap();
        fs::hard_link(at("lib/kamailio.sqlite-wal"), at("log")).unwrap();
        fs::write(at("lib/other.sqlite"), "x").unwrap();
        for name in absent
            .iter()
            .chain(&["soft", "hard", "log", "alias/kamailio.sqlite-shm"])
        {
            assert!(is_of_database(&at(name), &database), "{name}");
        }
        // The configured name may be the link.
        assert!(is_of_database(&database, &at("soft")));
        assert!(is_of_database(&at("lib/kamailio.sqlite-wal"), &at("soft")));
        for name in ["lib/other.sqlite", "lib/absent.sqlite", "kamailio.sqlite"] {
            assert!(!is_of_database(&at(name), &database), "{name}");
        }
    }
}
