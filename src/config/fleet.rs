//! `[fleet]`: the database where nodes publish what they show.

use std::path::PathBuf;
use std::time::Duration;

use super::{Server, history, values};
use crate::document::{Item, Reader};

/// The longest name of a node: that of a host.
const LONGEST: usize = 253;

/// What a URL looks like.
const EXAMPLE: &str = "\"postgres://usrlocd:PASSWORD@db.example.com/fleet\"";

/// Where and as whom a node publishes what its lists show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fleet {
    /// The `PostgreSQL` database of the fleet.
    pub url: Option<Server>,
    /// The file that holds its URL instead; absolute.
    pub url_file: Option<PathBuf>,
    /// The name of this node; that of the host where there is none.
    pub node: Option<String>,
    /// Whether this node publishes what it shows, where there is a database.
    pub publish: bool,
    /// How long the database keeps this node's events; more than zero.
    pub history: Duration,
}

impl Default for Fleet {
    fn default() -> Self {
        Self {
            url: None,
            url_file: None,
            node: None,
            publish: true,
            history: Duration::from_hours(24 * 7),
        }
    }
}

impl Fleet {
    /// Whether there is a database of the fleet.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.url.is_some() || self.url_file.is_some()
    }

    /// The server that a URL names, which must be one that speaks as `PostgreSQL` does.
    ///
    /// # Errors
    /// What is wrong with it, without the URL, which may hold a password.
    pub fn parse_url(url: &str) -> Result<Server, String> {
        let server = Server::parse(url)?;
        if server.url().starts_with("postgres://") {
            Ok(server)
        } else {
            Err(format!(
                "the database of the fleet must be PostgreSQL, or speak its protocol, for instance {EXAMPLE}"
            ))
        }
    }
}

pub(super) fn apply(into: &mut Fleet, table: &mut Reader<'_>) {
    table.set("url", &mut into.url, url);
    table.set("url_file", &mut into.url_file, values::optional_path);
    table.set("node", &mut into.node, node);
    table.set("publish", &mut into.publish, values::flag);
    table.set("history", &mut into.history, history::keep);
}

/// A URL, or the empty string for none.
fn url(item: &Item) -> Result<Option<Server>, String> {
    let text = item.text()?;
    if text.is_empty() {
        return Ok(None);
    }
    Fleet::parse_url(text).map(Some)
}

/// The name of a node, or the empty string for that of the host.
fn node(item: &Item) -> Result<Option<String>, String> {
    if item.text()?.is_empty() {
        return Ok(None);
    }
    let name = values::word(item)?;
    if name.len() > LONGEST || name.contains(|c: char| c == ',' || c.is_control()) {
        return Err("a node's name is at most 253 bytes long and has no comma".to_owned());
    }
    Ok(Some(name))
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn the_password_is_never_shown() {
        let text = "[fleet]\nurl = \"postgres://u:secret@h/d?sslmode=require\"\nnode = \"k3\"\npublish = false\nhistory = \"2d\"\n";
        let config = Config::parse(text, "f").unwrap();
        let shown = format!("{config}{config:?}");
        assert!(!shown.contains("secret"), "{shown}");
        assert!(
            shown.contains(
                "url = \"postgres://…@h/d?…\"\nurl_file = \"\"\nnode = \"k3\"\npublish = false\nhistory = \"2d\""
            ),
            "{shown}"
        );
    }

    #[test]
    fn what_is_no_database_of_a_fleet_is_refused() {
        let text = "[fleet]\nurl = \"mysql://u:secret@h/d\"\nnode = \"a,b\"\n";
        insta::assert_snapshot!(Config::parse(text, "f").unwrap_err(), @r#"
        f:2:7: the database of the fleet must be PostgreSQL, or speak its protocol, for instance "postgres://usrlocd:PASSWORD@db.example.com/fleet"
        f:3:8: a node's name is at most 253 bytes long and has no comma
        "#);
        let text =
            "[fleet]\nurl = \"postgres://h/d\"\nurl_file = \"/etc/usrlocd/fleet\"\nnode = \"a b\"";
        insta::assert_snapshot!(Config::parse(text, "f").unwrap_err(), @r#"
        f:3:12: both `url` and `url_file` are set; remove one
        f:4:8: "a b" is empty or contains a space; write one word
        "#);
    }
}
