//! What no single value shows: keys that contradict each other.

use std::path::Path;

use super::Config;
use crate::document::Findings;

/// Files that SQLite keeps beside a database.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Reports the contradictions in `config`.
pub(super) fn check(config: &Config, findings: &mut Findings) {
    if config.kamailio.tables.is_empty() {
        findings.report_key(
            "kamailio.table",
            "there is no table; name at least one, for instance \"location\"",
        );
    }
    if config.http.listen.is_empty() && config.http.socket.is_none() {
        findings.report_key(
            "http.listen",
            "there is nothing to listen on; set `listen` or `socket` in [http]",
        );
    }
    let database = &config.kamailio.database;
    for (key, path) in writable(config) {
        if is_of_database(path, database) {
            findings.report_key(
                key,
                format!(
                    "{} belongs to Kamailio's database, which is never written; choose another path",
                    path.display()
                ),
            );
        }
    }
    if config
        .http
        .socket
        .as_deref()
        .is_some_and(|socket| is_of_database(socket, &config.store.path))
    {
        findings.report_key(
            "http.socket",
            "the socket stands where the store is; choose another path",
        );
    }
}

/// The files that we write.
fn writable(config: &Config) -> impl Iterator<Item = (&'static str, &Path)> {
    let store = ("store.path", config.store.path.as_path());
    let socket = config.http.socket.as_deref();
    let tokens = config.auth.tokens_file.as_deref();
    std::iter::once(store)
        .chain(socket.map(|path| ("http.socket", path)))
        .chain(tokens.map(|path| ("auth.tokens_file", path)))
}

fn is_of_database(path: &Path, database: &Path) -> bool {
    path == database
        || COMPANIONS.iter().any(|companion| {
            let mut name = database.as_os_str().to_owned();
            name.push(companion);
            path == Path::new(&name)
        })
}
