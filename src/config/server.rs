//! The server where Kamailio keeps its tables, and how they are read there.

use std::fmt;
use std::path::PathBuf;

use jiff::tz::TimeZone;

use crate::document::{Item, Value, quoted, without_secrets};

/// Schemes of URLs of servers that are supported.
const SCHEMES: [&str; 4] = ["postgres", "postgresql", "mysql", "mariadb"];

/// What such a URL looks like.
const EXAMPLE: &str = "\"postgres://usrlocd:PASSWORD@db.example.com/kamailio\"";

/// The server where Kamailio keeps its tables, by its URL. Shown without user, password and query.
#[derive(Clone, PartialEq, Eq)]
pub struct Server(String);

/// What `[kamailio] database` names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Database {
    File(PathBuf),
    Server(Server),
}

impl Server {
    /// The server that a URL names.
    ///
    /// # Errors
    /// What is wrong with it, without the URL, which may hold a password.
    pub fn parse(url: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = url.trim().split_once("://").filter(|it| is_scheme(it.0)) else {
            return Err(format!(
                "not the URL of a PostgreSQL, MySQL or MariaDB server, for instance {EXAMPLE}"
            ));
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, further) = rest.split_at(end);
        if further.contains('@') || authority.matches('@').count() > 1 {
            return Err(
                "in the user and the password of the URL, write @ as %40, / as %2F, ? as %3F and # as %23"
                    .to_owned(),
            );
        }
        let database = further.split(['?', '#']).next().unwrap_or_default();
        if database.trim_start_matches('/').is_empty() {
            return Err(format!(
                "the URL names no database; write it after the host, as in {EXAMPLE}"
            ));
        }
        // The driver takes these spellings.
        let scheme = match &*scheme.to_ascii_lowercase() {
            "postgres" | "postgresql" => "postgres",
            _ => "mysql",
        };
        Ok(Self(format!("{scheme}://{rest}")))
    }

    /// The URL with all that is secret in it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_secrets(&self.0))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether a URL of this scheme may name a server that is supported.
pub(super) fn is_scheme(scheme: &str) -> bool {
    SCHEMES.contains(&&*scheme.to_ascii_lowercase())
}

/// `local`, or the name of a time zone.
pub(super) fn timezone(item: &Item) -> Result<String, String> {
    let text = item.text()?;
    if text == "local" || TimeZone::get(text).is_ok() {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{} is not a time zone; use \"local\", \"UTC\" or a name such as \"Europe/Berlin\"",
        quoted(text)
    ))
}

/// A `server_id`, or a list of them.
pub(super) fn ids(item: &Item) -> Result<Vec<i64>, String> {
    let id = |item: &Item| match item.value {
        Value::Integer(id) if id >= 0 => Ok(id),
        _ => Err(item.expected("a number, usrloc's server_id")),
    };
    match &item.value {
        Value::Array(items) => items.iter().map(id).collect(),
        _ => Ok(vec![id(item)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_secrets() {
        for (url, shown) in [
            ("postgres://u:secret@h:5433/d", "postgres://…@h:5433/d"),
            (
                "postgresql://u:secret@h/d?sslmode=require",
                "postgres://…@h/d?…",
            ),
            ("MariaDB://u:secret@h/d", "mysql://…@h/d"),
            (
                "postgres:///d?host=/run/postgresql&password=secret",
                "postgres:///d?…",
            ),
        ] {
            let server = Server::parse(url).unwrap();
            assert_eq!(server.to_string(), shown);
            assert_eq!(format!("{server:?}"), shown);
            assert!(!url.contains("u:secret") || server.url().contains("u:secret"));
        }
    }

    #[test]
    fn what_is_no_url_of_a_server_is_refused_without_telling_it() {
        for url in [
            "redis://u:secret@h/0",
            "secret",
            "postgres://u:se/secret@h/d",
            "postgres://u:a@secret@h/d",
            "postgres://u:secret@h",
            "postgres://u:secret@h/?sslmode=require",
        ] {
            let refused = Server::parse(url).unwrap_err();
            assert!(!refused.contains("secret"), "{refused}");
        }
    }
}
