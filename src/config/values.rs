//! Parsers of single values; each error is a sentence for the operator with the mend in it.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use super::{LogFormat, Param, Wire};
use crate::document::{Item, Value, nearest, quoted, shown};

/// Bytes of a Unix socket's path (`sun_path` less its NUL, unix(7)).
const SOCKET_PATH: usize = 107;

/// The two forms of Kamailio's JSON-RPC address.
const JSONRPC_EXAMPLES: &str =
    "\"http://127.0.0.1:5060/RPC\" or \"unixgram:/run/kamailio/kamailio_rpc.sock\"";

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

/// The levels of the log.
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// What may be filled into `[kamailio] proxy_path`.
const PROXY_PATH_NAMES: [&str; 3] = ["ip", "port", "proto"];

/// What may be filled into the parameters of `[flush] also`.
const ALSO_NAMES: [&str; 3] = ["aor", "username", "realm"];

/// An absolute path.
pub(super) fn path(item: &Item) -> Result<PathBuf, String> {
    match optional_path(item)? {
        Some(path) => Ok(path),
        None => Err("the path is empty; remove the line for the default".to_owned()),
    }
}

/// The path of Kamailio's database.
pub(super) fn database(item: &Item) -> Result<PathBuf, String> {
    match database_url(item.text()?) {
        Some(refusal) => Err(refusal),
        None => path(item),
    }
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
            "{scheme} is not supported, only the SQLite file that Kamailio's db_sqlite writes; write its path, for instance {DATABASE_EXAMPLE}"
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
pub(super) fn optional_path(item: &Item) -> Result<Option<PathBuf>, String> {
    let text = item.text()?;
    if text.is_empty() {
        return Ok(None);
    }
    absolute(text).map(Some)
}

/// The path of a Unix socket, or the empty string for none.
pub(super) fn socket(item: &Item) -> Result<Option<PathBuf>, String> {
    let path = optional_path(item)?;
    socket_path(item.text()?)?;
    Ok(path)
}

fn socket_path(path: &str) -> Result<(), String> {
    if path.len() > SOCKET_PATH {
        return Err(format!(
            "the path of a Unix socket has at most {SOCKET_PATH} bytes; use a shorter one"
        ));
    }
    Ok(())
}

fn absolute(text: &str) -> Result<PathBuf, String> {
    let quoted = quoted(text);
    let path = Path::new(text);
    if text.contains('\0') {
        Err("the path contains a NUL byte; remove it".to_owned())
    } else if !path.is_absolute() {
        Err(format!(
            "{quoted} is relative; write the whole path, starting with /"
        ))
    } else if text.ends_with('/') {
        Err(format!("{quoted} is a directory; name a file in it"))
    } else {
        Ok(path.to_owned())
    }
}

/// The name of a usrloc table.
pub(super) fn table(item: &Item) -> Result<String, String> {
    let text = item.text()?;
    let quoted = quoted(text);
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !text.is_empty() && text.chars().all(good) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{quoted} is not a table name; letters, digits and _ make one, for instance \"location\""
        ))
    }
}

/// Kamailio's JSON-RPC address; what passes here passes `kamailio::Endpoint` too.
pub(super) fn jsonrpc(item: &Item) -> Result<String, String> {
    let text = item.text()?;
    let quoted = quoted(text);
    let wrong = match text.split_once(':') {
        Some(("unixgram", path)) => {
            return socket_path(path)
                .and_then(|()| absolute(path))
                .map(|_| text.to_owned());
        }
        Some(("https", _)) => {
            "https is not supported: calls go over plain HTTP, on loopback".to_owned()
        }
        Some(("http", _)) => match mistake_in_http(text) {
            None => return Ok(text.to_owned()),
            Some(mistake) => mistake,
        },
        _ => format!("{quoted} is not the address of a JSON-RPC server"),
    };
    Err(format!("{wrong}; write for instance {JSONRPC_EXAMPLES}"))
}

fn mistake_in_http(text: &str) -> Option<String> {
    let quoted = quoted(text);
    let uri: http::Uri = match text.parse() {
        Ok(uri) => uri,
        Err(error) => return Some(format!("{quoted} is not a URL ({error})")),
    };
    let Some(authority) = uri.authority() else {
        return Some(format!("{quoted} has no host"));
    };
    let port = authority.port_u16().filter(|port| *port != 0);
    if authority.as_str().contains('@') {
        Some("a user name in the URL is not supported".to_owned())
    } else if authority.host().is_empty() {
        Some(format!("{quoted} has no host"))
    } else if authority.as_str() != authority.host() && port.is_none() {
        Some(format!("{quoted} has a bad port"))
    } else {
        None
    }
}

/// A realm, or the empty string for none.
pub(super) fn realm(item: &Item) -> Result<Option<String>, String> {
    let text = item.text()?;
    let quoted = quoted(text);
    let bad = |c: char| c.is_whitespace() || c.is_control() || "@<>\"/;,?".contains(c);
    match text.chars().find(|c| bad(*c)) {
        Some(' ') => Err(format!("the realm {quoted} contains a space; remove it")),
        Some(c) => Err(format!(
            "the realm {quoted} contains {c:?}; a realm is a host name"
        )),
        None if text.is_empty() => Ok(None),
        None => Ok(Some(text.to_owned())),
    }
}

/// One side of `[kamailio] advertise`: an IP address or a host name.
pub(super) fn host(text: &str) -> Result<String, String> {
    let quoted = quoted(text);
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let name = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-' || c == '_';
    if bare.parse::<IpAddr>().is_ok() || (!text.is_empty() && text.chars().all(name)) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{quoted} is not an address; write an IP address without a port, for instance \"203.0.113.5\""
        ))
    }
}

/// The template of `proxy_path`, or the empty string for none.
pub(super) fn proxy_path(item: &Item) -> Result<Option<String>, String> {
    let text = item.text()?;
    placeholders(text, &PROXY_PATH_NAMES)?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// Checks that each `{name}` in `text` is one of `names`.
fn placeholders(text: &str, names: &[&str]) -> Result<(), String> {
    let known = || format!("{{{}}}", names.join("}, {"));
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let close = rest[at..].find('}').map(|length| at + length);
        let name = match close {
            Some(close) if close > at => &rest[at + 1..close],
            _ => {
                return Err(format!(
                    "a brace has no partner; placeholders are {}",
                    known()
                ));
            }
        };
        if !names.contains(&name) {
            let name = if shown(text) == text { name } else { "…" };
            return Err(format!(
                "nothing fills {{{name}}}; placeholders are {}",
                known()
            ));
        }
        rest = &rest[close.unwrap_or(at) + 1..];
    }
    Ok(())
}

/// A parser of addresses to listen on, each once.
pub(super) fn addresses() -> impl FnMut(&Item) -> Result<SocketAddr, String> {
    let mut seen = HashSet::new();
    move |item| {
        let address = address(item)?;
        if address.port() == 0 || seen.insert(address) {
            Ok(address)
        } else {
            Err(format!("\"{address}\" is listed twice; remove one"))
        }
    }
}

fn address(item: &Item) -> Result<SocketAddr, String> {
    let text = item.text()?;
    let quoted = quoted(text);
    text.parse().map_err(|_| {
        let port = text.trim_start_matches("localhost").trim_start_matches(':');
        let mend = match (text.parse::<IpAddr>(), port.parse::<u16>()) {
            (Ok(ip), _) => SocketAddr::new(ip, 8000).to_string(),
            (Err(_), Ok(port)) => format!("127.0.0.1:{port}"),
            (Err(_), Err(_)) => "127.0.0.1:8000".to_owned(),
        };
        format!("{quoted} is not an address with a port; write for instance \"{mend}\"")
    })
}

/// The dialect of the items.
pub(super) fn wire(item: &Item) -> Result<Wire, String> {
    let choices = [("document", Wire::Document), ("kazoo-4.3", Wire::Kazoo43)];
    choice(item.text()?, &choices)
}

/// How log lines are written.
pub(super) fn log_format(item: &Item) -> Result<LogFormat, String> {
    let choices = [
        ("auto", LogFormat::Auto),
        ("text", LogFormat::Text),
        ("json", LogFormat::Json),
        ("journald", LogFormat::Journald),
    ];
    choice(item.text()?, &choices)
}

fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let quoted = quoted(text);
    let found = choices.iter().find(|(name, _)| *name == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<_> = choices
            .iter()
            .map(|(name, _)| format!("\"{name}\""))
            .collect();
        format!("{quoted} is not one of {}", names.join(", "))
    })
}

/// An origin for CORS.
pub(super) fn origin(item: &Item) -> Result<String, String> {
    let text = item.text()?;
    let quoted = quoted(text);
    let mend = "write \"*\" or for instance \"https://panel.example.com\"";
    let bare = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    match bare {
        _ if text == "*" => Ok(text.to_owned()),
        Some(host) if host.ends_with('/') => Err(format!(
            "{quoted} ends with a slash, which no browser sends; remove it"
        )),
        Some(host)
            if host.parse::<http::uri::Authority>().is_ok() && !host.contains(['@', '*']) =>
        {
            Ok(text.to_ascii_lowercase())
        }
        _ => Err(format!("{quoted} is not an origin; {mend}")),
    }
}

/// A name that a `Host` header may have; in lower case and without a final dot.
pub(super) fn host_name(item: &Item) -> Result<String, String> {
    let text = item.text()?;
    let quoted = quoted(text);
    let mend = "write the name alone, for instance \"sip.example.com\"";
    if text.contains("://") {
        return Err(format!("{quoted} is a URL; {mend}"));
    }
    if text.contains('*') {
        return Err(format!(
            "{quoted} is a pattern, and each name must be listed; {mend}"
        ));
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<IpAddr>().is_ok() {
        return Err(format!(
            "{quoted} is an address, and addresses are always allowed; remove it"
        ));
    }
    if text.contains(':') {
        return Err(format!("{quoted} has a port, and any port will do; {mend}"));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    if is_host_name(name) {
        Ok(name.to_ascii_lowercase())
    } else {
        Err(format!("{quoted} is not a host name; {mend}"))
    }
}

/// Whether these are the letters, digits, `-`, `_` and dots of a host name.
fn is_host_name(name: &str) -> bool {
    let good = |label: &str| {
        let part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !label.is_empty() && label.len() <= 63 && label.chars().all(part)
    };
    name.len() <= 253 && name.split('.').all(good)
}

/// Where browsers reach the API, or the empty string for no such place.
pub(super) fn public_url(item: &Item) -> Result<Option<String>, String> {
    let text = item.text()?;
    if text.is_empty() {
        return Ok(None);
    }
    let mend = "write for instance \"https://sip.example.com\"";
    let quoted = quoted(text);
    let uri: Option<http::Uri> = text.parse().ok();
    let parts = uri.as_ref().and_then(|uri| {
        let scheme = uri.scheme_str()?;
        Some((scheme, uri.authority()?)).filter(|_| matches!(scheme, "http" | "https"))
    });
    let Some((_, authority)) = parts else {
        return Err(format!("{quoted} is not an http or https URL; {mend}"));
    };
    let host = authority.host();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = host.strip_suffix('.').unwrap_or(host);
    let port = authority.as_str() == host || authority.port_u16().is_some_and(|port| port != 0);
    if authority.as_str().contains('@') {
        Err(format!("{quoted} has a user name in it; {mend}"))
    } else if text.contains(['?', '#']) {
        Err(format!("{quoted} has more than a path in it; {mend}"))
    } else if !port {
        Err(format!("{quoted} has a bad port; {mend}"))
    } else if bare.parse::<IpAddr>().is_err() && !is_host_name(name) {
        Err(format!("{quoted} has a bad host name; {mend}"))
    } else {
        Ok(Some(text.to_owned()))
    }
}

/// A text that is not empty and has no space.
pub(super) fn word(item: &Item) -> Result<String, String> {
    let text = item.text()?;
    let quoted = quoted(text);
    if text.is_empty() || text.contains(char::is_whitespace) {
        Err(format!(
            "{quoted} is empty or has a space in it; write one word"
        ))
    } else {
        Ok(text.to_owned())
    }
}

/// A method of Kamailio's RPC.
pub(super) fn method(item: &Item) -> Result<String, String> {
    let text = word(item)?;
    let quoted = quoted(&text);
    if text == "ul.flush" {
        Err(
            "ul.flush writes Kamailio's memory to its database and removes nothing; leave it out"
                .to_owned(),
        )
    } else if text.contains('.') {
        Ok(text)
    } else {
        Err(format!(
            "{quoted} is not a method; write for instance \"htable.delete\""
        ))
    }
}

/// A parameter of a method of Kamailio's RPC.
pub(super) fn param(item: &Item) -> Result<Param, String> {
    match &item.value {
        Value::String(text) => {
            placeholders(text, &ALSO_NAMES)?;
            Ok(Param::Text(text.clone()))
        }
        Value::Integer(number) => Ok(Param::Integer(*number)),
        _ => Err(item.expected("a string or an integer")),
    }
}

/// A whole number from 1 to `most`.
pub(super) fn count(item: &Item, most: usize) -> Result<usize, String> {
    match item.value {
        Value::Integer(number) => usize::try_from(number)
            .ok()
            .filter(|number| (1..=most).contains(number))
            .ok_or_else(|| format!("{number} is out of range; use 1 to {most}")),
        _ => Err(item.expected("a whole number")),
    }
}

/// How many accounts `/metrics` may name; each is a series in the monitoring's database.
pub(super) fn metrics_accounts(item: &Item) -> Result<usize, String> {
    match item.value {
        Value::Integer(0) => Ok(0),
        _ => count(item, 1000).map_err(|_| "use a whole number from 0 to 1000".to_owned()),
    }
}

/// The burst of a bucket.
pub(super) fn burst(item: &Item) -> Result<u32, String> {
    match item.value {
        Value::Integer(number) => u32::try_from(number)
            .map_err(|_| format!("{number} is out of range; use 0 to {}", u32::MAX)),
        _ => Err(item.expected("a whole number")),
    }
}

/// The rate of a bucket.
pub(super) fn per_second(item: &Item) -> Result<f64, String> {
    let number = match item.value {
        #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
        Value::Integer(number) => number as f64,
        Value::Float(number) => number,
        _ => return Err(item.expected("a number")),
    };
    if (0.0..=1e9).contains(&number) {
        Ok(number)
    } else {
        Err(format!(
            "{number} is out of range; use 0 (no limit) to 1000000000"
        ))
    }
}

/// A part of `text` in quotes; the whole where that holds what may be a secret, of which this may be the very part.
fn part_of(part: &str, text: &str) -> String {
    quoted(if shown(text) == text { part } else { text })
}

/// Levels of the log: one, or several with targets.
pub(super) fn level(item: &Item) -> Result<String, String> {
    let text = item.text()?;
    for part in text.split(',') {
        let (target, level) = match part.split_once('=') {
            Some((target, level)) => (Some(target), level),
            None => (None, part),
        };
        if target.is_some_and(|target| target.is_empty() || target.contains(char::is_whitespace)) {
            let part = part_of(part, text);
            return Err(format!(
                "{part} has a bad target; write for instance \"usrlocd::http=debug\""
            ));
        }
        if !LEVELS.contains(&level) {
            let meant = nearest(&level.to_lowercase(), LEVELS.into_iter());
            let mend = match meant {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => format!("use one of {}", LEVELS.join(", ")),
            };
            let level = part_of(level, text);
            return Err(format!("{level} is not a log level; {mend}"));
        }
    }
    Ok(text.to_owned())
}
