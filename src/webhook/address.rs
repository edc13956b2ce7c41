//! Which addresses are public. Pure.
//!
//! A webhook must not become a way into the network that usrlocd stands in: only what can be routed on the Internet is
//! called public (the IANA registries of special-purpose addresses, RFC 6890).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 networks that are not public, with the length of their prefix.
const NOT_PUBLIC: [([u8; 4], u32); 15] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

/// IPv6 networks below `2000::/3` that are not public: IETF protocols and Teredo, documentation.
const NOT_PUBLIC_6: [(Ipv6Addr, u32); 3] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Whether the address is public.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_4(address),
        IpAddr::V6(address) => is_public_6(address),
    }
}

/// Whether the host of a URL is one that is not public whatever a resolver says: such an address, or `localhost` and what
/// is below it (RFC 6761).
pub(super) fn is_private_host(host: &str) -> bool {
    if let Ok(address) = bare(host).parse() {
        return !is_public(address);
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// The host of a URL without the brackets of an IPv6 address.
pub(super) fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

fn is_public_4(address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    let is_in = |(network, length): &([u8; 4], u32)| {
        (bits ^ u32::from_be_bytes(*network)) >> (32 - length) == 0
    };
    !NOT_PUBLIC.iter().any(is_in)
}

fn is_public_6(address: Ipv6Addr) -> bool {
    let bits = address.to_bits();
    let segments = address.segments();
    let last_32 = Ipv4Addr::from(u32::try_from(bits & 0xffff_ffff).unwrap_or(0));
    match segments {
        // Mapped (RFC 4291), and translated by NAT64 (RFC 6052): those of the IPv4 address.
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => is_public_4(last_32),
        // 6to4 (RFC 3056): the IPv4 address is behind the prefix.
        [0x2002, high, low, ..] => {
            is_public_4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
        }
        _ => {
            let is_in = |(network, length): &(Ipv6Addr, u32)| {
                (bits ^ network.to_bits()) >> (128 - length) == 0
            };
            segments[0] & 0xe000 == 0x2000 && !NOT_PUBLIC_6.iter().any(is_in)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_routed_is_public() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2002:0101:0101::1",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
            assert!(!is_private_host(address), "{address}");
        }
        assert!(!is_private_host("crm.example.com"));
        assert!(!is_private_host("[2606:4700::1111]"));
        assert!(!is_private_host("localhost.example.com"));
    }

    #[test]
    fn what_is_not_is_not() {
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:0:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:0001::1",
            "2002:0a00:0001::1",
            "3fff::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
            assert!(is_private_host(address), "{address}");
        }
        for host in [
            "localhost",
            "LocalHost.",
            "a.localhost",
            "[::1]",
            "[fe80::1]",
        ] {
            assert!(is_private_host(host), "{host}");
        }
    }
}
