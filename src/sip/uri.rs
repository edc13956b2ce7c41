//! Where a URI points, whatever else stands in it.
//!
//! Phones write URIs that RFC 3261 forbids, and Kamailio stores them: hosts with `_`, tokens with `=` and `"`, users
//! with a second `@`. So this is a scanner and not a parser: it looks for the host, and nothing else in the URI can
//! cost it. Where the URI is as the RFC wants it, the answer is that of a strict parser (a property test compares).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Transport;

/// RFC 3261, 19.1.2: the port of a `sip:` URI that names none.
const DEFAULT_PORT: u16 = 5060;

/// The port of a `sips:` URI, or one over TLS, that names none.
const DEFAULT_TLS_PORT: u16 = 5061;

/// Schemes that name no host: a number, a name, a mailbox.
const WITHOUT_HOST: [&str; 4] = ["tel", "tels", "urn", "mailto"];

/// Where a URI points: its host and port, and the parameters behind them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UriAddress<'a> {
    /// The host as it stands in the URI: in its case, IPv6 in brackets.
    pub host: &'a [u8],
    /// The port. Where the URI has none, 5061 for `sips:` or `transport=tls`, else 5060; absent where what stands
    /// there is not a port.
    pub port: Option<u16>,
    /// The `transport` parameter, where it is one that we know.
    pub transport: Option<Transport>,
    /// From the first `;` behind the host.
    params: &'a [u8],
}

/// What kind of URI it is, as far as the host is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scheme {
    Sip,
    Sips,
    Other,
    Missing,
}

/// What stands where a port may stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Port {
    Given(u16),
    Default,
    Bad,
}

/// Host and port, and what follows them.
struct Authority<'a> {
    host: &'a [u8],
    port: Port,
    rest: &'a [u8],
}

impl<'a> UriAddress<'a> {
    /// Where the URI in a `contact` or `received` column points; `None` where no host can be told.
    #[must_use]
    pub fn parse(uri: &'a [u8]) -> Option<Self> {
        let (scheme, rest) = scheme(unwrapped(uri))?;
        let rest = match scheme {
            Scheme::Sip | Scheme::Sips => rest,
            // Anything may look like these two: they need an address, or an `@` or `//` before the host.
            Scheme::Other => {
                let has_host = rest.starts_with(b"//") || rest.contains(&b'@');
                has_host.then_some(rest)?
            }
            Scheme::Missing => {
                let has_host = is_address(rest) || rest.contains(&b'@');
                has_host.then_some(rest)?
            }
        };
        let rest = rest.trim_ascii_start();
        let rest = rest.strip_prefix(b"//").unwrap_or(rest);
        let Authority { host, port, rest } = Authority::at(behind_user(rest))?;
        let start = rest.iter().position(|byte| matches!(byte, b';' | b'?'));
        let params = start.map_or(&[][..], |start| &rest[start..]);
        let transport = param(params, "transport");
        let transport = transport
            .and_then(|name| std::str::from_utf8(name).ok())
            .and_then(Transport::from_name);
        let is_secure = scheme == Scheme::Sips || transport == Some(Transport::Tls);
        let port = match (port, scheme) {
            (Port::Given(port), _) => Some(port),
            (Port::Default, Scheme::Sip | Scheme::Sips) if is_secure => Some(DEFAULT_TLS_PORT),
            (Port::Default, Scheme::Sip | Scheme::Sips) => Some(DEFAULT_PORT),
            (Port::Default, Scheme::Other | Scheme::Missing) | (Port::Bad, _) => None,
        };
        Some(Self {
            host,
            port,
            transport,
            params,
        })
    }

    /// The host alone: IPv6 without brackets.
    #[must_use]
    pub fn bare_host(&self) -> &'a [u8] {
        without_brackets(self.host)
    }

    /// The value of the URI parameter `name` (in any case), without quotes; empty where it has none.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&'a [u8]> {
        param(self.params, name)
    }
}

impl<'a> Authority<'a> {
    /// The host that `text` begins with, and its port.
    fn at(text: &'a [u8]) -> Option<Self> {
        let end = host_end(text)?;
        let (host, rest) = text.split_at(end);
        if host.is_empty() {
            return None;
        }
        let rest = rest.trim_ascii_start();
        let Some(after) = rest.strip_prefix(b":") else {
            // `[::1]5060`: what follows is neither a port nor anything else that may stand there.
            let is_bad = rest.first().is_some_and(|byte| !is_delimiter(*byte));
            let port = if is_bad { Port::Bad } else { Port::Default };
            return Some(Self { host, port, rest });
        };
        let after = after.trim_ascii_start();
        let ends = |byte: &u8| is_delimiter(*byte) && !matches!(byte, b':' | b'=');
        let end = after.iter().position(ends).unwrap_or(after.len());
        let (port, rest) = after.split_at(end);
        let port = port_of(port).map_or(Port::Bad, Port::Given);
        Some(Self { host, port, rest })
    }
}

/// The port that these digits are.
pub(super) fn port_of(digits: &[u8]) -> Option<u16> {
    // Not even the sign that a number may have in Rust.
    let digits = digits.iter().all(u8::is_ascii_digit).then_some(digits)?;
    let port = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (port != 0).then_some(port)
}

/// `host` without the brackets of IPv6.
pub(super) fn without_brackets(host: &[u8]) -> &[u8] {
    let inner = host.strip_prefix(b"[");
    let inner = inner.and_then(|inner| inner.strip_suffix(b"]"));
    inner.unwrap_or(host)
}

/// The value of a parameter in `;name=value;…`, which may be quoted; headers (`?…`) are not looked at.
pub(super) fn param<'a>(params: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut rest = params;
    while let Some(after) = rest.strip_prefix(b";") {
        let end = value_end(after, |byte| matches!(byte, b';' | b'?'));
        let (one, next) = after.split_at(end);
        let equals = one.iter().position(|byte| *byte == b'=');
        let (own, value) = one.split_at(equals.unwrap_or(one.len()));
        if own.trim_ascii().eq_ignore_ascii_case(name.as_bytes()) {
            let value = value.strip_prefix(b"=").unwrap_or(value).trim_ascii();
            let inner = value.strip_prefix(b"\"");
            let inner = inner.and_then(|inner| inner.strip_suffix(b"\""));
            return Some(inner.unwrap_or(value));
        }
        rest = next;
    }
    None
}

/// Where a value ends: at the first byte that `ends` it and stands neither in quotes nor in angle brackets; quotes and
/// brackets that are never closed are bytes like others.
pub(super) fn value_end(text: &[u8], ends: impl Fn(u8) -> bool) -> usize {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        if ends(*byte) {
            return at;
        }
        let closing = match byte {
            b'"' => Some(b'"'),
            b'<' => Some(b'>'),
            _ => None,
        };
        let rest = &text[at + 1..];
        let length = closing.and_then(|closing| rest.iter().position(|byte| *byte == closing));
        at += 1 + length.map_or(0, |length| length + 1);
    }
    text.len()
}

/// The URI of a name-addr (`"Name" <uri>;…`), or all of it.
fn unwrapped(text: &[u8]) -> &[u8] {
    let text = text.trim_ascii();
    if matches!(scheme(text), Some((Scheme::Sip | Scheme::Sips, _))) {
        // Brackets within are the URI's own.
        let lost = text.strip_suffix(b">").filter(|it| !it.contains(&b'<'));
        return lost.unwrap_or(text);
    }
    let name_end = match text.strip_prefix(b"\"") {
        Some(name) => name.iter().position(|byte| *byte == b'"').unwrap_or(0),
        None => 0,
    };
    let Some(open) = text[name_end..].iter().position(|byte| *byte == b'<') else {
        return text;
    };
    let uri = &text[name_end + open + 1..];
    let close = value_end(uri, |byte| byte == b'>');
    uri[..close].trim_ascii()
}

/// The scheme of a URI and what follows it; `None` for one without a host.
fn scheme(uri: &[u8]) -> Option<(Scheme, &[u8])> {
    let Some(colon) = uri.iter().position(|byte| *byte == b':') else {
        return Some((Scheme::Missing, uri));
    };
    let name = &uri[..colon];
    let rest = &uri[colon + 1..];
    let is = |scheme: &str| name.eq_ignore_ascii_case(scheme.as_bytes());
    if is("sip") {
        return Some((Scheme::Sip, rest));
    }
    if is("sips") {
        return Some((Scheme::Sips, rest));
    }
    if WITHOUT_HOST.into_iter().any(is) {
        return None;
    }
    let is_scheme = name.first().is_some_and(u8::is_ascii_alphabetic)
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte));
    Some(if is_scheme {
        (Scheme::Other, rest)
    } else {
        (Scheme::Missing, uri)
    })
}

/// What follows the user and password, if there are any. Both may hold whatever a URI may, and often more.
fn behind_user(text: &[u8]) -> &[u8] {
    // `192.0.2.1:443;token=a@b`: nobody's name is an address with a parameter.
    if is_address(text) {
        return text;
    }
    let Some(at) = text.iter().position(|byte| *byte == b'@') else {
        return text;
    };
    let mut host = &text[at + 1..];
    while let Some(at) = further_at(host) {
        host = &host[at + 1..];
    }
    host
}

/// Where a further `@` ends the user, as in `user@example.com@192.0.2.1`: one in the value of a parameter or a header
/// does not.
fn further_at(text: &[u8]) -> Option<usize> {
    let mut start = value_end(text, |byte| matches!(byte, b';' | b'?' | b'@'));
    loop {
        match text.get(start)? {
            b'@' => return Some(start),
            b'=' => start += value_end(&text[start..], |byte| matches!(byte, b';' | b'&')),
            _ => {
                let rest = &text[start + 1..];
                start += 1 + value_end(rest, |byte| {
                    matches!(byte, b';' | b'?' | b'&' | b'=' | b'@')
                });
            }
        }
    }
}

/// Whether the text begins with an IP address, and nothing but a port, parameters and headers follow it.
fn is_address(text: &[u8]) -> bool {
    let Some(Authority { host, port, rest }) = Authority::at(text) else {
        return false;
    };
    let Ok(bare) = std::str::from_utf8(without_brackets(host)) else {
        return false;
    };
    let is_ip = || bare.parse::<Ipv4Addr>().is_ok() || is_ipv6(bare);
    port != Port::Bad && matches!(rest.first(), None | Some(b';' | b'?')) && is_ip()
}

/// Whether it is an IPv6 address, with or without a zone.
fn is_ipv6(text: &str) -> bool {
    let address = text.split_once('%').map_or(text, |(address, _)| address);
    address.parse::<Ipv6Addr>().is_ok()
}

/// Where the host ends that `text` begins with; `None` for a bracket that is not closed.
fn host_end(text: &[u8]) -> Option<usize> {
    if text.starts_with(b"[") {
        return Some(1 + text.iter().position(|byte| *byte == b']')?);
    }
    let end_from = |start: usize, ends: fn(u8) -> bool| {
        let end = text[start..].iter().position(|byte| ends(*byte));
        end.map_or(text.len(), |end| start + end)
    };
    let end = end_from(0, is_delimiter);
    let whole = end_from(end, |byte| is_delimiter(byte) && byte != b':');
    // One with a port is not an IPv6 address: that has two colons.
    let has_colons = memchr::memchr_iter(b':', &text[end..whole])
        .nth(1)
        .is_some();
    let is_bare_ipv6 = || std::str::from_utf8(&text[..whole]).is_ok_and(is_ipv6);
    Some(if has_colons && is_bare_ipv6() {
        whole
    } else {
        end
    })
}

/// Whether no host goes on behind this byte.
fn is_delimiter(byte: u8) -> bool {
    IS_DELIMITER[usize::from(byte)]
}

/// Looked up, because every byte of every contact is asked about.
const IS_DELIMITER: [bool; 256] = {
    let mut is = [false; 256];
    let mut control = 0;
    while control <= b' ' as usize {
        is[control] = true;
        control += 1;
    }
    is[0x7f] = true;
    let others = b":;?=&,/#<>\"@";
    let mut at = 0;
    while at < others.len() {
        is[others[at] as usize] = true;
        at += 1;
    }
    is
};

#[cfg(test)]
mod tests;
