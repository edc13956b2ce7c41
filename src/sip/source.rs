//! Where a phone really is: the address that its own packets come from, as far as proxies and Kamailio have noted it.

use std::borrow::Cow;
use std::net::IpAddr;

use percent_encoding::percent_decode;

use super::uri::{UriAddress, param, port_of, value_end, without_brackets};

/// What a phone's source was read from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SourceFrom {
    /// The `received` parameter of the Path URI that is nearest to the phone: the word of the edge proxy.
    Path,
    /// The `received` column: whence the packet came to Kamailio.
    Received,
    /// The `alias` parameter of the contact, as Kamailio's `set_contact_alias()` writes it.
    Alias,
}

/// The source of a phone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source<'a> {
    /// Its address; IPv6 without brackets.
    pub host: Cow<'a, [u8]>,
    /// Its port, where one can be told.
    pub port: Option<u16>,
    /// What both were read from.
    pub from: SourceFrom,
}

impl SourceFrom {
    /// The name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Received => "received",
            Self::Alias => "alias",
        }
    }
}

impl<'a> Source<'a> {
    /// The source that these columns tell: the first of Path, `received` and the contact's alias that has one.
    #[must_use]
    pub fn of(
        path: Option<&'a [u8]>,
        received: Option<&'a [u8]>,
        contact: &'a [u8],
    ) -> Option<Self> {
        path.and_then(of_path)
            .or_else(|| of_received(received?))
            .or_else(|| of_alias(contact))
    }
}

/// RFC 3327, 5.1: each proxy puts its URI before those that are there, so the last is nearest to the phone.
fn of_path(path: &[u8]) -> Option<Source<'_>> {
    let nearest = last_of_list(path);
    let close = nearest.iter().rposition(|byte| *byte == b'>');
    let behind = close.map_or(&[][..], |close| nearest[close + 1..].trim_ascii());
    let within = || UriAddress::parse(nearest)?.param("received");
    let value = within().or_else(|| param(behind, "received"))?;
    let value: Cow<'_, [u8]> = percent_decode(value).into();
    let tell = |value: &[u8]| {
        let (host, port) = compact(value).or_else(|| {
            let address = UriAddress::parse(value)?;
            Some((address.bare_host(), address.port))
        })?;
        Some((host.to_vec(), port))
    };
    let (host, port) = tell(&value)?;
    Some(Source {
        host: host.into(),
        port,
        from: SourceFrom::Path,
    })
}

fn of_received(received: &[u8]) -> Option<Source<'_>> {
    let address = UriAddress::parse(received)?;
    Some(Source {
        host: address.bare_host().into(),
        port: address.port,
        from: SourceFrom::Received,
    })
}

fn of_alias(contact: &[u8]) -> Option<Source<'_>> {
    let (host, port) = compact(UriAddress::parse(contact)?.param("alias")?)?;
    Some(Source {
        host: host.into(),
        port,
        from: SourceFrom::Alias,
    })
}

/// `address~port~protocol`, as Kamailio writes aliases, and the Path with `received_format` 1.
pub(super) fn compact(value: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let mut parts = value.split(|byte| *byte == b'~');
    let (host, port) = (without_brackets(parts.next()?), parts.next()?);
    // Other programs have an `alias` of their own.
    std::str::from_utf8(host).ok()?.parse::<IpAddr>().ok()?;
    Some((host, port_of(port)))
}

/// The last element of a header with several, separated by commas.
fn last_of_list(mut list: &[u8]) -> &[u8] {
    let mut nearest: &[u8] = &[];
    while !list.is_empty() {
        let end = value_end(list, |byte| byte == b',');
        let one = list[..end].trim_ascii();
        if !one.is_empty() {
            nearest = one;
        }
        list = list.get(end + 1..).unwrap_or_default();
    }
    nearest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(
        path: &str,
        received: &str,
        contact: &str,
    ) -> Option<(String, Option<u16>, &'static str)> {
        let filled = |text: &'static str| (!text.is_empty()).then_some(text.as_bytes());
        let leak = |text: &str| -> &'static str { text.to_owned().leak() };
        let source = Source::of(
            filled(leak(path)),
            filled(leak(received)),
            leak(contact).as_bytes(),
        )?;
        let host = String::from_utf8_lossy(&source.host).into_owned();
        Some((host, source.port, source.from.as_str()))
    }

    #[test]
    fn path_nearest_to_the_phone() {
        let cases = [
            (
                "<sip:10.0.0.9;lr;received=sip:203.0.113.5:40001>",
                ("203.0.113.5", Some(40001)),
            ),
            (
                "<sip:far.example.net;lr;received=sip:10.0.0.1:5060>,<sip:near.example.net;lr;received=sip:203.0.113.5:40001%3Btransport%3Dtcp>",
                ("203.0.113.5", Some(40001)),
            ),
            (
                "<sip:u@edge:5060;received=\"sip:203.0.113.5:40001;transport=ws\";lr>",
                ("203.0.113.5", Some(40001)),
            ),
            (
                "<sip:edge;lr>;received=\"sip:203.0.113.5:40001\"",
                ("203.0.113.5", Some(40001)),
            ),
            (
                "<sip:edge;lr;received=sip:[2001:db8::5]:40001>",
                ("2001:db8::5", Some(40001)),
            ),
            (
                "<sip:edge;lr;received=sip:%5B2001:db8::5%5D:40001%3Btransport%3Dtls;ob>",
                ("2001:db8::5", Some(40001)),
            ),
            (
                "<sip:edge;lr;received=203.0.113.5~40001~2>",
                ("203.0.113.5", Some(40001)),
            ),
            (
                "<sip:edge;lr;received=[2001:db8::5]~40001~1>",
                ("2001:db8::5", Some(40001)),
            ),
            (
                "<sip:edge;lr;received=203.0.113.5:40001>",
                ("203.0.113.5", Some(40001)),
            ),
            ("<sip:edge;lr;received=203.0.113.5>", ("203.0.113.5", None)),
            (
                "<sip:edge;lr;received=sip:203.0.113.5>",
                ("203.0.113.5", Some(5060)),
            ),
            (
                "<sip:edge;lr;RECEIVED=sip:203.0.113.5:1>",
                ("203.0.113.5", Some(1)),
            ),
            (
                "sip:edge;lr;received=sip:203.0.113.5:40001",
                ("203.0.113.5", Some(40001)),
            ),
            (
                "<sip:a,b@edge;lr;received=sip:203.0.113.5:40001>, ",
                ("203.0.113.5", Some(40001)),
            ),
        ];
        for (path, (host, port)) in cases {
            let expected = Some((host.to_owned(), port, "path"));
            assert_eq!(
                told(path, "sip:198.51.100.1:5060", "sip:a@b"),
                expected,
                "{path}"
            );
        }
    }

    #[test]
    fn what_the_nearest_proxy_does_not_say_is_asked_of_the_next() {
        let contact = "sip:u@10.0.0.1:5060;alias=203.0.113.20~40001~2";
        let edge = "<sip:far;lr;received=sip:203.0.113.5:1>,<sip:near;lr>";
        let received = "sip:198.51.100.1:5070;transport=tcp";
        let column = Some(("198.51.100.1".to_owned(), Some(5070), "received"));
        let alias = Some(("203.0.113.20".to_owned(), Some(40001), "alias"));
        assert_eq!(told(edge, received, contact), column);
        assert_eq!(told("", received, contact), column);
        assert_eq!(told("<sip:near;lr;received=>", received, contact), column);
        assert_eq!(told("<sip:near;lr;received=%>", received, contact), column);
        assert_eq!(told(edge, "", contact), alias);
        assert_eq!(told("", "rubbish", contact), alias);
        assert_eq!(told("", "", "sip:u@10.0.0.1"), None);
    }

    #[test]
    fn aliases() {
        let ip = |ip: &str, port| Some((ip.to_owned(), port, "alias"));
        for (param, expected) in [
            (
                "alias=203.0.113.20~40001~2",
                ip("203.0.113.20", Some(40001)),
            ),
            (
                "ob;ALIAS=203.0.113.20~40001~1;x",
                ip("203.0.113.20", Some(40001)),
            ),
            ("alias=[2001:db8::1]~5060~3", ip("2001:db8::1", Some(5060))),
            ("alias=2001:db8::1~5060~3", ip("2001:db8::1", Some(5060))),
            ("alias=203.0.113.20~99999~2", ip("203.0.113.20", None)),
            ("alias", None),
            ("alias=desk", None),
            ("alias=desk~1~2", None),
            ("x=alias=203.0.113.20~1~2", None),
        ] {
            let contact = format!("sip:u@10.0.0.1:5060;{param}");
            assert_eq!(told("", "", &contact), expected, "{param}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            path in "[<>\"@;:,=?%~a\\[\\]received]{0,40}", other in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let _ = Source::of(Some(path.as_bytes()), Some(&other), path.as_bytes());
            let _ = Source::of(Some(&other), None, &other);
        }
    }
}
