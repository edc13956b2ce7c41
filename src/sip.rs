//! SIP addresses as usrloc's columns hold them: contact URIs, sources, sockets.
//!
//! Pure and best effort: what does not parse is `None`, never a guess. The bytes of the table stay the truth;
//! what is read here is for showing only.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use sip_uri::{Host, Scheme, SipUri};

/// RFC 3261, 19.1.2: the port of a `sip:` URI that names none.
const DEFAULT_PORT: u16 = 5060;

/// The port of a `sips:` URI, or one over TLS, that names none.
const DEFAULT_TLS_PORT: u16 = 5061;

/// A transport protocol of SIP, in the spelling of Kamailio's sockets and Kazoo's `proxy_protocol`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// SCTP.
    Sctp,
    /// WebSocket (RFC 7118).
    Ws,
    /// WebSocket over TLS.
    Wss,
}

/// Where a URI points: its host and port, and the transport it names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UriAddress {
    host: Host,
    /// The port; where the URI has none, 5061 for `sips:` or `transport=tls`, else 5060.
    pub port: u16,
    /// The `transport` parameter, where it is one that we know.
    pub transport: Option<Transport>,
}

/// A listening socket of Kamailio, from a `socket` column: `udp:10.0.0.5:5060`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Socket {
    /// Its transport, as far as the column tells: a WebSocket appears as TCP or TLS.
    pub transport: Transport,
    /// Its address; IPv6 in brackets.
    pub address: String,
    /// Its port.
    pub port: u16,
}

impl Transport {
    /// Each, in the order of the variants.
    pub const ALL: [Self; 6] = [
        Self::Udp,
        Self::Tcp,
        Self::Tls,
        Self::Sctp,
        Self::Ws,
        Self::Wss,
    ];

    /// The transport with this name, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|transport| transport.as_str().eq_ignore_ascii_case(name))
    }

    /// The name in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Sctp => "sctp",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl UriAddress {
    /// Where the SIP or SIPS URI in a `contact` or `received` column points.
    #[must_use]
    pub fn parse(uri: &[u8]) -> Option<Self> {
        let uri: SipUri = String::from_utf8_lossy(uri).parse().ok()?;
        let transport = uri
            .param("transport")
            .and_then(Option::as_deref)
            .and_then(Transport::from_name);
        let secure = uri.scheme() == Scheme::Sips || transport == Some(Transport::Tls);
        let default = if secure {
            DEFAULT_TLS_PORT
        } else {
            DEFAULT_PORT
        };
        let port = uri.port().filter(|port| *port != 0).unwrap_or(default);
        Some(Self {
            host: uri.host().clone(),
            port,
            transport,
        })
    }

    /// The host as it stands in a URI: IPv6 in brackets.
    #[must_use]
    pub fn uri_host(&self) -> String {
        self.host.to_string()
    }

    /// The host alone: IPv6 without brackets.
    #[must_use]
    pub fn bare_host(&self) -> String {
        self.host.bare().to_string()
    }
}

impl Socket {
    /// Reads a `socket` column (`proto:address:port`).
    #[must_use]
    pub fn parse(socket: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(socket).ok()?;
        let (transport, rest) = text.split_once(':')?;
        let (address, port) = rest.rsplit_once(':')?;
        let bare = address
            .strip_prefix('[')
            .and_then(|inner| inner.strip_suffix(']'));
        let address = match bare {
            Some(inner) => format!("[{}]", inner.parse::<Ipv6Addr>().ok()?),
            None if address.is_empty() || address.contains(':') => return None,
            None => address.to_owned(),
        };
        Some(Self {
            transport: Transport::from_name(transport)?,
            address,
            port: port.parse().ok()?,
        })
    }

    /// What carries the phone's messages: WebSocket where the phone came over one (`received` says
    /// `transport=ws` for `wss` too), else the socket's own transport.
    #[must_use]
    pub fn transport_from(&self, received: Option<&UriAddress>) -> Transport {
        match received.and_then(|received| received.transport) {
            Some(Transport::Wss) => Transport::Wss,
            Some(Transport::Ws) if self.transport == Transport::Tls => Transport::Wss,
            Some(Transport::Ws) => Transport::Ws,
            _ => self.transport,
        }
    }
}

/// Whether `host` (a name, an address, IPv6 with or without brackets) is the loopback interface.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(uri: &str) -> Option<(String, u16)> {
        UriAddress::parse(uri.as_bytes()).map(|address| (address.uri_host(), address.port))
    }

    #[test]
    fn contact_uris_of_real_phones() {
        let cases = [
            ("sip:user_1@192.0.2.10:5062", "192.0.2.10", 5062),
            (
                "sip:user_2@192.168.1.20:5060;line=abc",
                "192.168.1.20",
                5060,
            ),
            ("sip:user_3@192.0.2.30;transport=tls", "192.0.2.30", 5061),
            ("sip:user_3@192.0.2.30;transport=Tls", "192.0.2.30", 5061),
            ("sips:user_4@phone4.example.net", "phone4.example.net", 5061),
            ("sip:user_5@[2001:db8::10]:5070", "[2001:db8::10]", 5070),
            ("sip:user_5@[2001:db8::10]", "[2001:db8::10]", 5060),
            (
                "sip:7jv9k2@df7jal23ls0d.invalid;transport=ws",
                "df7jal23ls0d.invalid",
                5060,
            ),
            (
                "SIP:user@10.0.0.1;TRANSPORT=TCP;alias=1.2.3.4~5060~2",
                "10.0.0.1",
                5060,
            ),
            ("sip:a;b=c@10.0.0.1:5080;ob", "10.0.0.1", 5080),
            ("sip:*72#1@10.0.0.1:5080", "10.0.0.1", 5080),
            ("sip:us%20er@10.0.0.1", "10.0.0.1", 5060),
            ("sip:10.0.0.1:0", "10.0.0.1", 5060),
        ];
        for (uri, host, port) in cases {
            assert_eq!(address(uri), Some((host.to_owned(), port)), "{uri}");
        }
    }

    #[test]
    fn what_is_no_sip_uri_has_no_address() {
        for uri in [
            "",
            "*",
            "tel:+4420",
            "not a uri",
            "sip:",
            "sip:u@h:99999",
            "sip:u@[::1",
        ] {
            assert_eq!(address(uri), None, "{uri}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_do_not_hide_the_host() {
        let contact = b"sip:bin\xff@192.0.2.1:5062";
        assert_eq!(
            UriAddress::parse(contact).map(|address| address.port),
            Some(5062)
        );
    }

    #[test]
    fn sockets_and_their_transport() {
        let tls = Socket::parse(b"tls:[2001:db8::5]:7001").unwrap();
        assert_eq!((tls.address.as_str(), tls.port), ("[2001:db8::5]", 7001));
        let ws = UriAddress::parse(b"sip:192.0.2.9:40000;transport=ws");
        assert_eq!(tls.transport_from(ws.as_ref()), Transport::Wss);
        assert_eq!(tls.transport_from(None), Transport::Tls);
        let tcp = Socket::parse(b"tcp:10.0.0.5:5060").unwrap();
        assert_eq!(tcp.transport_from(ws.as_ref()), Transport::Ws);
        for bad in [
            "",
            "udp",
            "udp:10.0.0.5",
            "udp::5060",
            "xyz:10.0.0.5:5060",
            "udp:1.2.3.4:99999",
        ] {
            assert_eq!(Socket::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn loopback_in_every_spelling() {
        for host in ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "LocalHost"] {
            assert!(is_loopback(host), "{host}");
        }
        assert!(!is_loopback("10.0.0.1"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parsers_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut uri = b"sip:".to_vec();
            uri.extend_from_slice(&bytes);
            let _ = UriAddress::parse(&uri);
            let _ = Socket::parse(&bytes);
        }
    }
}
