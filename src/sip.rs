//! SIP addresses as usrloc's columns hold them: contact URIs, sources, sockets.
//!
//! Pure and tolerant: what one part of a column cannot say costs that part and nothing else. The bytes of the table
//! stay the truth; what is read here is for showing only.

mod route;
mod source;
mod uri;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use route::{Hop, next_hop_of_alias, route_set};
pub use source::{Source, SourceFrom};
pub use uri::UriAddress;

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

/// A listening socket of Kamailio, from a `socket` column: `udp:10.0.0.5:5060`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Socket {
    /// Its transport, where it is one that we know; a WebSocket appears as TCP or TLS.
    pub transport: Option<Transport>,
    /// Its address; IPv6 in brackets.
    pub address: String,
    /// Its port, where there is a valid one.
    pub port: Option<u16>,
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

impl Socket {
    /// Reads a `socket` column (`proto:address:port`); `None` where no address can be told.
    #[must_use]
    pub fn parse(socket: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(socket);
        let (transport, rest) = text.trim().split_once(':')?;
        let is_ipv6 = |text: &str| text.parse::<Ipv6Addr>().is_ok();
        let (address, port) = match rest.rsplit_once(':') {
            Some((address, port)) if !is_ipv6(rest) && !port.ends_with(']') => (address, port),
            // Without a port a name may be anything.
            _ if is_ipv6(rest) || rest.parse::<Ipv4Addr>().is_ok() || rest.ends_with(']') => {
                (rest, "")
            }
            _ => return None,
        };
        let bare = uri::without_brackets(address.as_bytes()).len();
        let address = match address.parse::<Ipv6Addr>() {
            Ok(address) => format!("[{address}]"),
            Err(_) if bare == 0 => return None,
            Err(_) if bare < address.len() => {
                let inner = &address[1..=bare];
                let canonical = inner.parse().map(|ip: Ipv6Addr| ip.to_string());
                format!("[{}]", canonical.unwrap_or_else(|_| inner.to_owned()))
            }
            Err(_) if address.contains(':') => return None,
            Err(_) => address.to_owned(),
        };
        Some(Self {
            transport: Transport::from_name(transport),
            address,
            port: uri::port_of(port.as_bytes()),
        })
    }

    /// What carries the phone's messages: WebSocket where the phone came over one (`received` says
    /// `transport=ws` for `wss` too), else the socket's own transport.
    #[must_use]
    pub fn transport_from(&self, received: Option<Transport>) -> Option<Transport> {
        match received {
            Some(Transport::Wss) => Some(Transport::Wss),
            Some(Transport::Ws) if self.transport == Some(Transport::Tls) => Some(Transport::Wss),
            Some(Transport::Ws) => Some(Transport::Ws),
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

    #[test]
    fn sockets_and_their_transport() {
        let ws = UriAddress::parse(b"sip:192.0.2.9:40000;transport=WS").and_then(|it| it.transport);
        let tls = Socket::parse(b"tls:[2001:db8::5]:7001").unwrap();
        assert_eq!(tls.address, "[2001:db8::5]");
        assert_eq!(tls.port, Some(7001));
        assert_eq!(tls.transport_from(ws), Some(Transport::Wss));
        assert_eq!(tls.transport_from(None), Some(Transport::Tls));
        let tcp = Socket::parse(b"tcp:10.0.0.5:5060").unwrap();
        assert_eq!(tcp.transport_from(ws), Some(Transport::Ws));
        assert_eq!(
            tcp.transport_from(Some(Transport::Udp)),
            Some(Transport::Tcp)
        );
    }

    #[test]
    fn a_part_of_a_socket_costs_that_part_alone() {
        use Transport::{Udp, Wss};
        for (socket, transport, address, port) in [
            ("udp:10.0.0.5:5060", Some(Udp), "10.0.0.5", Some(5060)),
            (
                "UDP:proxy_1.example.net:5060",
                Some(Udp),
                "proxy_1.example.net",
                Some(5060),
            ),
            ("quic:10.0.0.5:5060", None, "10.0.0.5", Some(5060)),
            ("udp:10.0.0.5", Some(Udp), "10.0.0.5", None),
            ("udp:10.0.0.5:99999", Some(Udp), "10.0.0.5", None),
            ("udp:10.0.0.5:+5060", Some(Udp), "10.0.0.5", None),
            (
                "wss:[2001:DB8:0::5]:443",
                Some(Wss),
                "[2001:db8::5]",
                Some(443),
            ),
            (
                "udp:[fe80::1%eth0]:5060",
                Some(Udp),
                "[fe80::1%eth0]",
                Some(5060),
            ),
            ("udp:[2001:db8::5]", Some(Udp), "[2001:db8::5]", None),
            ("udp:2001:db8::5", Some(Udp), "[2001:db8::5]", None),
            ("udp:fe80::1%eth0:5060", None, "", None),
        ] {
            let expected = (!address.is_empty()).then(|| Socket {
                transport,
                address: address.to_owned(),
                port,
            });
            assert_eq!(Socket::parse(socket.as_bytes()), expected, "{socket}");
        }
        for none in ["", "udp", "udp:", "udp:garbage", "udp::5060", "udp:[]:5060"] {
            assert_eq!(Socket::parse(none.as_bytes()), None, "{none}");
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
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Socket::parse(&bytes);
        }
    }
}
