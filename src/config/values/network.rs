//! Addresses, URLs, host names and realms.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use super::paths::{absolute, socket_path};
use crate::document::{Item, Value, quoted};

/// The two forms of Kamailio's JSON-RPC address.
const JSONRPC_EXAMPLES: &str =
    "\"http://127.0.0.1:5060/RPC\" or \"unixgram:/run/kamailio/kamailio_rpc.sock\"";

/// Kamailio's JSON-RPC address; what passes here passes `kamailio::Endpoint` too.
pub(in crate::config) fn jsonrpc(item: &Item) -> Result<String, String> {
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

/// Kamailio's JSON-RPC address, or a table with those of several by their `server_id`.
pub(in crate::config) fn jsonrpcs(item: &Item) -> Result<BTreeMap<Option<i64>, String>, String> {
    let Value::Table(entries) = &item.value else {
        return Ok(BTreeMap::from([(None, jsonrpc(item)?)]));
    };
    let mut addresses = BTreeMap::new();
    for (name, item) in entries {
        let id = name.text.parse().ok().filter(|id: &i64| *id >= 0);
        let id = id.ok_or_else(|| {
            format!(
                "{} is not a server_id; use numbers as keys",
                quoted(&name.text)
            )
        })?;
        let address = jsonrpc(item)?;
        // Removals at one Kamailio go one at a time, and it answers for its own registrations alone.
        if addresses.values().any(|other| *other == address) {
            return Err(format!(
                "{} stands there twice; each Kamailio has an address of its own",
                quoted(&address)
            ));
        }
        addresses.insert(Some(id), address);
    }
    if addresses.is_empty() {
        return Err("the table names no Kamailio; write for instance { 1 = \"http://10.0.0.1:5060/RPC\", 2 = \"http://10.0.0.2:5060/RPC\" }".to_owned());
    }
    Ok(addresses)
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
pub(in crate::config) fn realm(item: &Item) -> Result<Option<String>, String> {
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
pub(in crate::config) fn host(text: &str) -> Result<String, String> {
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

/// A parser of addresses to listen on, each once.
pub(in crate::config) fn addresses() -> impl FnMut(&Item) -> Result<SocketAddr, String> {
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
        let hint = match (text.parse::<IpAddr>(), port.parse::<u16>()) {
            (Ok(ip), _) => SocketAddr::new(ip, 8000).to_string(),
            (Err(_), Ok(port)) => format!("127.0.0.1:{port}"),
            (Err(_), Err(_)) => "127.0.0.1:8000".to_owned(),
        };
        format!("{quoted} is not an address with a port; write for instance \"{hint}\"")
    })
}

/// An origin for CORS.
pub(in crate::config) fn origin(item: &Item) -> Result<String, String> {
    let text = item.text()?;
    let quoted = quoted(text);
    let hint = "write \"*\" or for instance \"https://panel.example.com\"";
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
        _ => Err(format!("{quoted} is not an origin; {hint}")),
    }
}

/// A name that a `Host` header may have; in lower case and without a final dot.
pub(in crate::config) fn host_name(item: &Item) -> Result<String, String> {
    let text = item.text()?;
    let quoted = quoted(text);
    let hint = "write the name alone, for instance \"sip.example.com\"";
    if text.contains("://") {
        return Err(format!("{quoted} is a URL; {hint}"));
    }
    if text.contains('*') {
        return Err(format!(
            "{quoted} is a pattern, and each name must be listed; {hint}"
        ));
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<IpAddr>().is_ok() {
        return Err(format!(
            "{quoted} is an address, and addresses are always allowed; remove it"
        ));
    }
    if text.contains(':') {
        return Err(format!("{quoted} has a port, and any port will do; {hint}"));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    if is_host_name(name) {
        Ok(name.to_ascii_lowercase())
    } else {
        Err(format!("{quoted} is not a host name; {hint}"))
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
pub(in crate::config) fn public_url(item: &Item) -> Result<Option<String>, String> {
    let text = item.text()?;
    if text.is_empty() {
        return Ok(None);
    }
    let hint = "write for instance \"https://sip.example.com\"";
    let quoted = quoted(text);
    let uri: Option<http::Uri> = text.parse().ok();
    let parts = uri.as_ref().and_then(|uri| {
        let scheme = uri.scheme_str()?;
        Some((scheme, uri.authority()?)).filter(|_| matches!(scheme, "http" | "https"))
    });
    let Some((_, authority)) = parts else {
        return Err(format!("{quoted} is not an http or https URL; {hint}"));
    };
    let host = authority.host();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = host.strip_suffix('.').unwrap_or(host);
    let port = authority.as_str() == host || authority.port_u16().is_some_and(|port| port != 0);
    if authority.as_str().contains('@') {
        Err(format!("{quoted} has a user name in it; {hint}"))
    } else if text.contains(['?', '#']) {
        Err(format!("{quoted} has more than a path in it; {hint}"))
    } else if !port {
        Err(format!("{quoted} has a bad port; {hint}"))
    } else if bare.parse::<IpAddr>().is_err() && !is_host_name(name) {
        Err(format!("{quoted} has a bad host name; {hint}"))
    } else {
        Ok(Some(text.to_owned()))
    }
}
