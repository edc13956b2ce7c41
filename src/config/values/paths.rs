//! Paths of files and sockets.

use std::path::{Path, PathBuf};

use crate::config::server::{Database, Server, is_scheme};
use crate::document::{Item, is_no_path, quoted, shown};

/// Bytes of a Unix socket's path (`sun_path` less its NUL, unix(7)).
const SOCKET_PATH: usize = 107;

/// What `[kamailio] database` looks like.
const DATABASE_EXAMPLE: &str = "\"/var/lib/kamailio/kamailio.sqlite\"";

/// Schemes of servers and of Kamailio's other database modules, which may stand without `//`.
const SERVERS: [&str; 13] = [
    "mysql",
    "mariadb",
    "postgres",
    "postgresql",
    "redis",
    "rediss",
    "mongodb",
    "oracle",
    "unixodbc",
    "odbc",
    "cassandra",
    "text",
    "jdbc",
];

/// An absolute path.
pub(in crate::config) fn path(item: &Item) -> Result<PathBuf, String> {
    match optional_path(item)? {
        Some(path) => Ok(path),
        None => Err("the path is empty; remove the line for the default".to_owned()),
    }
}

/// Kamailio's database: the path of a file, or the URL of a server.
pub(in crate::config) fn database(item: &Item) -> Result<Database, String> {
    let text = item.text()?;
    let scheme = text.split_once(':').map(|(scheme, _)| scheme);
    if scheme.is_some_and(is_scheme) {
        return Server::parse(text).map(Database::Server);
    }
    match database_url(text) {
        Some(refusal) => Err(refusal),
        None => path(item).map(Database::File),
    }
}

/// Whether this may be the name of a file: no URL, and nothing with a secret in it. What may not be must be refused as it
/// was written, not as a file in the working directory.
#[must_use]
pub fn is_file_name(text: &str) -> bool {
    !is_no_path(text) && database_url(text).is_none()
}

/// Why `text` is refused, where it is a URL as in Kamailio's `db_url`. Tells nothing of a server's URL but its scheme: the
/// rest may hold a password.
fn database_url(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once(':')?;
    let scheme = scheme.to_ascii_lowercase();
    let good = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    if scheme.is_empty() || !scheme.chars().all(good) {
        return None;
    }
    let file = match scheme.as_str() {
        "sqlite" | "sqlite3" | "file" => true,
        // A relative path may have a colon in it.
        _ if !rest.starts_with('/') && !SERVERS.contains(&&*scheme) => return None,
        _ => false,
    };
    if !file {
        let scheme = shown(&scheme);
        return Some(format!(
            "{scheme} is not supported; write the path of the SQLite file that Kamailio's db_sqlite writes, for instance {DATABASE_EXAMPLE}, or the URL of a PostgreSQL, MySQL or MariaDB server"
        ));
    }
    let path = format!("/{}", rest.trim_start_matches('/'));
    let example = match shown(&path) {
        same if same == path && rest.starts_with('/') && !path.contains(['?', '#', '@', '%']) => {
            format!("here {}", quoted(&path))
        }
        _ => format!("for instance {DATABASE_EXAMPLE}"),
    };
    let slashes = if rest.starts_with("//") { "//" } else { "" };
    Some(format!(
        "write the path alone, without {scheme}:{slashes}, {example}"
    ))
}

/// An absolute path, or the empty string for none.
pub(in crate::config) fn optional_path(item: &Item) -> Result<Option<PathBuf>, String> {
    let text = item.text()?;
    if text.is_empty() {
        return Ok(None);
    }
    absolute(text).map(Some)
}

/// The path of a Unix socket, or the empty string for none.
pub(in crate::config) fn socket(item: &Item) -> Result<Option<PathBuf>, String> {
    let path = optional_path(item)?;
    socket_path(item.text()?)?;
    Ok(path)
}

pub(super) fn socket_path(path: &str) -> Result<(), String> {
    if path.len() > SOCKET_PATH {
        return Err(format!(
            "the path of a Unix socket has at most {SOCKET_PATH} bytes; use a shorter one"
        ));
    }
    Ok(())
}

pub(super) fn absolute(text: &str) -> Result<PathBuf, String> {
    let quoted = quoted(text);
    let path = Path::new(text);
    if text.contains('\0') {
        Err("the path contains a NUL byte; remove it".to_owned())
    } else if !path.is_absolute() {
        Err(format!(
            "{quoted} is relative; write the whole path, starting with /"
        ))
    } else if text.contains("://") {
        Err(format!(
            "{quoted} has a URL in it; write the path alone, starting with /"
        ))
    } else if text.ends_with('/') {
        Err(format!("{quoted} is a directory; name a file in it"))
    } else {
        Ok(path.to_owned())
    }
}
