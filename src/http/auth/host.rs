//! Which names a `Host` header may have, so that no web page reaches the API by a name of its own (DNS rebinding). Pure, but
//! for the look-up of this machine's names.
//!
//! A browser lets a page talk to the host that it came from. The owner of that host's name can make it resolve to this
//! machine, or to a port that is forwarded to it. The `Host` header gives such a request away.

use std::fs;
use std::net::{IpAddr, Ipv6Addr};

use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Version, header};

use crate::http::error::Error;

/// Where the system has its fully qualified name.
const HOSTS_FILE: &str = "/etc/hosts";
const RESOLVER_FILE: &str = "/etc/resolv.conf";

/// The names that a `Host` header may have, in lower case and without a final dot.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hosts(Vec<String>);

/// A `Host`, or what an `Origin` names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Named<'a> {
    /// A name or an address, as it stands there.
    host: &'a str,
    /// The digits behind the colon.
    port: Option<&'a str>,
}

impl Hosts {
    /// `localhost`, this machine's names, `names`, and the host of `public_url`.
    #[must_use]
    pub fn new(node: &str, names: &[String], public_url: Option<&str>) -> Self {
        let whole = |file| fs::read_to_string(file).unwrap_or_default();
        let mut hosts = own_names(node, &whole(HOSTS_FILE), &whole(RESOLVER_FILE));
        hosts.push("localhost".to_owned());
        hosts.extend(names.iter().map(|name| normal(name)));
        let uri = public_url.and_then(|url| url.parse::<http::Uri>().ok());
        hosts.extend(uri.as_ref().and_then(|uri| uri.host()).map(normal));
        hosts.sort_unstable();
        hosts.dedup();
        Self(hosts)
    }

    /// Refuses a request whose `Host` is neither one of the names nor an address.
    pub(crate) fn check(&self, request: &Parts) -> Result<(), Error> {
        let (uri, headers) = (&request.uri, &request.headers);
        let stated = headers.get_all(header::HOST).iter();
        let stated = stated.map(|value| value.to_str().ok());
        let target = uri.authority().map(|it| Some(it.as_str()));
        let mut all = stated.chain(target);
        let allowed = |text: Option<&str>| text.and_then(Named::of).is_some_and(|it| self.has(it));
        if !all.all(allowed) {
            return Err(Error::Misdirected);
        }
        match headers.get_all(header::HOST).iter().count() {
            1 => Ok(()),
            // HTTP/1.0 knows no Host, and no browser speaks it.
            0 if request.version < Version::HTTP_11 => Ok(()),
            // RFC 9112, 3.2.
            _ => Err(Error::BadHost),
        }
    }

    fn has(&self, named: Named<'_>) -> bool {
        let is_named = |name: &String| without_dot(named.host).eq_ignore_ascii_case(name);
        self.0.iter().any(is_named) || named.is_address()
    }
}

impl<'a> Named<'a> {
    /// What `text`, `HOST[:PORT]`, names; `None` where it is not of that form.
    pub(crate) fn of(text: &'a str) -> Option<Self> {
        let (host, port) = match text.find(']') {
            Some(end) if text.starts_with('[') => text.split_at(end + 1),
            _ => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let port = match port.strip_prefix(':') {
            Some("") => None,
            Some(digits) if digits.bytes().all(|it| it.is_ascii_digit()) => Some(digits),
            None if port.is_empty() => None,
            Some(_) | None => return None,
        };
        let good = |c: char| c.is_ascii_alphanumeric() || "-._[]:%".contains(c);
        (!host.is_empty() && host.chars().all(good)).then_some(Self { host, port })
    }

    /// What a request is for: what its target names, else its `Host`.
    pub(crate) fn in_request(
        headers: &'a HeaderMap,
        target: Option<&'a Authority>,
    ) -> Option<Self> {
        let stated = || headers.get(header::HOST)?.to_str().ok();
        Self::of(target.map(Authority::as_str).or_else(stated)?)
    }

    /// Whether a page of `origin` (RFC 6454, 6.2) comes from here.
    pub(crate) fn is_of(self, origin: &str) -> bool {
        let (usual, other) = match origin.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => ("80", rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => ("443", rest),
            Some(_) | None => return false,
        };
        let number = |port: Option<&'a str>| port.map(|it| it.trim_start_matches('0').to_owned());
        Named::of(other).is_some_and(|other| {
            let unusual = |port: Option<String>| port.filter(|port| port != usual);
            let other_port = other.port.map(|it| it.trim_start_matches('0').to_owned());
            normal(self.host) == normal(other.host)
                && unusual(number(self.port)) == unusual(other_port)
        })
    }

    fn is_address(self) -> bool {
        let Some(bare) = self
            .host
            .strip_prefix('[')
            .and_then(|it| it.strip_suffix(']'))
        else {
            return without_dot(self.host).parse::<IpAddr>().is_ok();
        };
        // A zone (RFC 6874) names an interface of the caller's.
        let (address, _zone) = bare.split_once('%').unwrap_or((bare, ""));
        address.parse::<Ipv6Addr>().is_ok()
    }
}

/// This machine's name, short and fully qualified. `node` is either; the other is found in the files, where
/// `hostname --fqdn` finds it.
fn own_names(node: &str, hosts: &str, resolver: &str) -> Vec<String> {
    let node = normal(node);
    let short = node.split('.').next().unwrap_or_default().to_owned();
    if short.is_empty() {
        return Vec::new();
    }
    let is_own = |name: &String| {
        *name == short
            || name
                .strip_prefix(&*short)
                .is_some_and(|it| it.starts_with('.'))
    };
    let mut names = Vec::new();
    for line in hosts.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let line: Vec<String> = line.split_whitespace().skip(1).map(normal).collect();
        if line.contains(&node) || line.contains(&short) {
            names.extend(line.into_iter().filter(is_own));
        }
    }
    for line in resolver.lines() {
        let mut words = line.split_whitespace();
        if let Some("domain" | "search") = words.next()
            && let Some(domain) = words.next()
        {
            names.push(format!("{short}.{}", normal(domain)));
        }
    }
    names.extend([short, node]);
    names
}

fn without_dot(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

/// As names are compared (RFC 4343).
fn normal(host: &str) -> String {
    without_dot(host).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> Hosts {
        let names = ["Panel.Example.com.".to_owned()];
        Hosts::new("node-1", &names, Some("https://Sip.Example.com:8443/x"))
    }

    fn allowed(host: &str) -> bool {
        Named::of(host).is_some_and(|named| hosts().has(named))
    }

    #[test]
    fn addresses_and_our_own_names_pass_in_every_spelling() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:8000",
            "203.0.113.7:1",
            "127.0.0.1.",
            "[::1]",
            "[::1]:8000",
            "[2001:DB8::1]:443",
            "[fe80::1%25eth0]:8000",
            "localhost",
            "LocalHost.:8000",
            "localhost:",
            "node-1",
            "NODE-1.:99",
            "panel.example.com",
            "PANEL.EXAMPLE.COM.:8000",
            "sip.example.com",
            "sip.example.com:8443",
        ] {
            assert!(allowed(host), "{host}");
        }
    }

    #[test]
    fn other_names_do_not() {
        for host in [
            "",
            ":8000",
            "evil.example",
            "evil.example:8000",
            "localhost.evil.example",
            "evil.localhost",
            "node-1.evil.example",
            "example.com",
            "xpanel.example.com",
            "localhost:8000:8000",
            "localhost:x",
            "localhost..",
            "user@localhost",
            "localhost@evil.example",
            "localhost:80@evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1.nip.io",
            "[::1].evil.example",
            "[evil.example]",
            "[::1",
            "localhost evil",
            "localhost, evil.example",
            "localhost/",
        ] {
            assert!(!allowed(host), "{host}");
        }
    }

    #[test]
    fn the_system_knows_the_whole_name() {
        let file = "127.0.0.1 localhost\n127.0.1.1 Box.example.com box # box.evil\n192.0.2.1 other.example box\n192.0.2.2 evil.example x";
        let sorted = |node: &str, hosts: &str, resolver: &str| {
            let mut names = own_names(node, hosts, resolver);
            names.sort_unstable();
            names.dedup();
            names
        };
        assert_eq!(sorted("box", file, ""), ["box", "box.example.com"]);
        assert_eq!(
            sorted("Box.example.com", "", ""),
            ["box", "box.example.com"]
        );
        let resolver = "nameserver 192.0.2.53\nsearch corp.example other.example\n";
        assert_eq!(sorted("box", "", resolver), ["box", "box.corp.example"]);
        assert!(sorted("", file, resolver).is_empty());
    }

    #[test]
    fn an_origin_is_the_host_or_not() {
        let same = |host: &str, origin: &str| Named::of(host).is_some_and(|it| it.is_of(origin));
        for (host, origin) in [
            ("localhost:8000", "http://localhost:8000"),
            ("LOCALHOST.:8000", "http://localhost:8000"),
            ("sip.example.com", "https://sip.example.com"),
            ("sip.example.com:443", "https://sip.example.com"),
            ("sip.example.com", "http://sip.example.com:80"),
            ("[::1]:8000", "http://[::1]:8000"),
        ] {
            assert!(same(host, origin), "{host} {origin}");
        }
        for (host, origin) in [
            ("localhost:8000", "http://localhost"),
            ("localhost:8000", "http://localhost:8001"),
            ("localhost", "http://localhost:443"),
            ("sip.example.com:443", "http://sip.example.com"),
            ("localhost:8000", "http://evil.example:8000"),
            ("localhost:8000", "null"),
            ("localhost:8000", "localhost:8000"),
            ("localhost:8000", ""),
            ("localhost:8000", "http://localhost:8000/"),
            ("localhost:8000", "http://u@localhost:8000"),
            ("localhost:8000", "file://localhost:8000"),
            (
                "localhost:8000",
                "http://localhost:8000, http://evil.example",
            ),
        ] {
            assert!(!same(host, origin), "{host} {origin}");
        }
    }
}
