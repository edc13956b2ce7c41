//! The way back to a phone: the proxies of its Path, and the alias in its contact.

use super::Transport;
use super::source::compact;
use super::uri::{UriAddress, value_end};

/// An element of a Path (RFC 3327): `<uri>;parameters`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hop<'a> {
    /// The URI between the brackets.
    pub uri: &'a [u8],
    /// What stands behind the brackets: nothing, or parameters from their `;` on.
    pub params: &'a [u8],
}

/// The proxies of a Path, the one nearest to the registrar first; `None` where anything in it is not a hop.
#[must_use]
pub fn route_set(mut path: &[u8]) -> Option<Vec<Hop<'_>>> {
    let mut hops = Vec::new();
    while !path.is_empty() {
        let end = value_end(path, |byte| byte == b',');
        hops.push(hop(path[..end].trim_ascii())?);
        path = path.get(end + 1..).unwrap_or_default();
    }
    (!hops.is_empty()).then_some(hops)
}

fn hop(text: &[u8]) -> Option<Hop<'_>> {
    let inner = text.strip_prefix(b"<")?;
    let close = inner.iter().position(|byte| *byte == b'>')?;
    let (uri, params) = (&inner[..close], inner[close + 1..].trim_ascii());
    let fits = UriAddress::parse(uri).is_some() && (params.is_empty() || params.starts_with(b";"));
    fits.then_some(Hop { uri, params })
}

/// The URI of the source that the contact's `alias=address~port~protocol` names, as Kamailio's `set_contact_alias()` writes
/// it and `handle_ruri_alias()` reads it.
#[must_use]
pub fn next_hop_of_alias(contact: &[u8]) -> Option<String> {
    let alias = UriAddress::parse(contact)?.param("alias")?;
    let (host, port) = compact(alias)?;
    let host = std::str::from_utf8(host).ok()?;
    let protocol = alias.split(|byte| *byte == b'~').nth(2)?;
    // Kamailio's `PROTO_UDP` and so on.
    let transport = match protocol {
        b"1" => Transport::Udp,
        b"2" => Transport::Tcp,
        b"3" => Transport::Tls,
        b"4" => Transport::Sctp,
        b"5" => Transport::Ws,
        b"6" => Transport::Wss,
        _ => return None,
    };
    let (open, close) = if host.contains(':') {
        ("[", "]")
    } else {
        ("", "")
    };
    Some(format!(
        "sip:{open}{host}{close}:{};transport={transport}",
        port?
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn uris(path: &str) -> Option<Vec<String>> {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let hops = route_set(path.as_bytes())?;
        let shown = hops
            .iter()
            .map(|hop| text(hop.uri) + "|" + &text(hop.params));
        Some(shown.collect())
    }

    #[test]
    fn a_path_is_a_list_of_hops() {
        assert_eq!(
            uris(
                "<sip:a@192.0.2.1;lr;x=1,2>, <sip:[2001:db8::1]:5061;lr>;ob ,<sips:b.example.com>"
            ),
            Some(vec![
                "sip:a@192.0.2.1;lr;x=1,2|".to_owned(),
                "sip:[2001:db8::1]:5061;lr|;ob".to_owned(),
                "sips:b.example.com|".to_owned(),
            ])
        );
        for none in [
            "",
            "sip:192.0.2.1;lr",
            "<sip:192.0.2.1;lr",
            "<>",
            "<tel:+15550100>",
            "<sip:192.0.2.1> x",
            "<sip:192.0.2.1>,,<sip:192.0.2.2>",
            "Edge <sip:192.0.2.1>",
        ] {
            assert_eq!(uris(none), None, "{none}");
        }
    }

    #[test]
    fn an_alias_is_a_uri() {
        for (contact, expected) in [
            (
                "sip:bob@10.0.0.7:5060;alias=192.0.2.7~5062~2",
                Some("sip:192.0.2.7:5062;transport=tcp"),
            ),
            (
                "sip:bob@10.0.0.7;alias=2001:db8::7~443~6",
                Some("sip:[2001:db8::7]:443;transport=wss"),
            ),
            ("sip:bob@10.0.0.7;alias=192.0.2.7~5062", None),
            ("sip:bob@10.0.0.7;alias=192.0.2.7~x~1", None),
            ("sip:bob@10.0.0.7;alias=192.0.2.7~5062~9", None),
            ("sip:bob@10.0.0.7;alias=bob~5062~1", None),
            ("sip:bob@10.0.0.7", None),
        ] {
            assert_eq!(
                next_hop_of_alias(contact.as_bytes()).as_deref(),
                expected,
                "{contact}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = route_set(&bytes);
            let _ = next_hop_of_alias(&bytes);
        }
    }
}
