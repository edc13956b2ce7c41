//! The other end of a connection.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The other end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Peer {
    /// A host, over TCP.
    Host(IpAddr),
    /// A process here, over the Unix socket.
    Process {
        /// Its user.
        uid: u32,
        /// Whether it has full access.
        trusted: bool,
    },
}

/// What the buckets of a client are kept by: a host, or a network of IPv6, or a user.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Origin {
    /// A host, or all hosts of its /64.
    Host(IpAddr),
    /// A local user.
    User(u32),
}

impl Peer {
    /// One of which nothing is known, without any rights.
    pub(crate) const UNKNOWN: Self = Self::Process {
        uid: u32::MAX,
        trusted: false,
    };

    /// Where its requests are counted.
    pub(crate) fn origin(self) -> Origin {
        match self {
            Self::Host(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
                Some(address) => Origin::Host(address.into()),
                // One customer has a /64 of addresses at least (RFC 6177).
                None => Origin::Host(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into()),
            },
            Self::Host(address) => Origin::Host(address),
            Self::Process { uid, .. } => Origin::User(uid),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(address) => address.fmt(f),
            Self::Process { uid, .. } => write!(f, "unix:{uid}"),
        }
    }
}
