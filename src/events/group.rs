//! What phones have in common: the proxy's socket, the network that they come from, the account, the user agent.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

use super::Group;
use crate::registration::{Binding, Registration, Text};

/// By what events and phones are put into groups.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// The network that they come from: /24, or /48 for IPv6.
    Source,
    /// The user agent.
    UserAgent,
    /// The socket of the proxy.
    Proxy,
}

/// The groups of one phone as numbers, which cost little to keep and to compare.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Groups {
    proxy: Option<u64>,
    source: Option<u64>,
    account: Option<u64>,
}

/// Whose phones are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Realm {
    /// All of them.
    System,
    /// Those of the phone's own account.
    Account,
}

impl By {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Source, Self::UserAgent, Self::Proxy];

    /// The name in `group=` and `--by`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::UserAgent => "user_agent",
            Self::Proxy => "proxy",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == name)
    }

    /// The group that a phone is in; `None` where that is not known.
    #[must_use]
    pub fn value(self, one: &Registration) -> Option<String> {
        match self {
            Self::Source => network_of(one),
            Self::UserAgent => user_agent_of(one),
            Self::Proxy => proxy_of(one),
        }
    }
}

impl Group {
    /// Every one, the smallest first where they are equally large.
    pub const ALL: [Self; 4] = [Self::Proxy, Self::Source, Self::Account, Self::All];

    /// The group of this kind that a phone is in; `None` where that is not known.
    #[must_use]
    pub fn value(self, one: &Registration) -> Option<String> {
        match self {
            Self::Proxy => proxy_of(one),
            Self::Source => network_of(one),
            Self::Account => one.account_id.as_deref().map(str::to_owned),
            Self::All => Some(String::new()),
        }
    }
}

impl Groups {
    /// Those of a phone.
    pub(super) fn of(one: &Registration) -> Self {
        let id = |group: Group| group.value(one).map(|value| value_id(group, &value));
        Self {
            proxy: id(Group::Proxy),
            source: id(Group::Source),
            account: id(Group::Account),
        }
    }

    /// The number of one of them; `None` where it is not known.
    pub(super) fn id(&self, realm: Realm, group: Group) -> Option<u64> {
        let within = |id: u64| Some(scoped(self.account?, id));
        let id = match group {
            Group::Proxy => self.proxy,
            Group::Source => self.source,
            // An account has the same phones whoever counts; but bursts are told to each by himself.
            Group::Account => self.account,
            Group::All => Some(value_id(Group::All, "")).filter(|_| realm == Realm::System),
        }?;
        match realm {
            Realm::System => Some(id),
            Realm::Account => within(id),
        }
    }

    /// The numbers of all of them.
    pub(super) fn ids(&self) -> impl Iterator<Item = u64> {
        let groups = *self;
        let of = move |realm| {
            Group::ALL
                .into_iter()
                .filter_map(move |it| groups.id(realm, it))
        };
        of(Realm::System).chain(of(Realm::Account))
    }
}

/// The number of a group that is told by its value, and to one account if it is named.
pub(super) fn group_id(account: Option<&str>, group: Group, value: &str) -> u64 {
    let id = value_id(group, value);
    match account {
        Some(account) => scoped(value_id(Group::Account, account), id),
        None => id,
    }
}

fn value_id(group: Group, value: &str) -> u64 {
    xxh3_64_with_seed(value.as_bytes(), group as u64)
}

fn scoped(account: u64, id: u64) -> u64 {
    xxh3_64_with_seed(&id.to_le_bytes(), account)
}

/// A number for the user and the device: the `instance`, or where there is none the user alone.
pub(super) fn device(binding: &Binding) -> u64 {
    number_of(binding, binding.instance.as_ref())
}

/// A number for the user and the phone: the `instance`, or where there is none the contact.
pub(super) fn phone(binding: &Binding) -> u64 {
    let instance = binding.instance.as_ref().filter(|text| !text.is_empty());
    number_of(binding, instance.or(Some(&binding.contact)))
}

fn number_of(binding: &Binding, further: Option<&Text>) -> u64 {
    let mut hash = Xxh3::new();
    let texts = [Some(&binding.username), binding.domain.as_ref(), further];
    for text in texts {
        let bytes = text.map_or(&[][..], Text::as_bytes);
        hash.update(&bytes.len().to_le_bytes());
        hash.update(bytes);
    }
    hash.digest()
}

/// The network of the phone's own address.
fn network_of(one: &Registration) -> Option<String> {
    let source = one.source.as_ref()?;
    network(&source.address.host.lossy())
}

/// The network of an address: `198.51.100.0/24`, or `2001:db8:1::/48`; `None` where it is not one.
#[must_use]
pub fn network(address: &str) -> Option<String> {
    let address: IpAddr = address.trim_matches(['[', ']']).parse().ok()?;
    Some(match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            format!("{}/24", Ipv4Addr::new(a, b, c, 0))
        }
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            format!("{}/48", Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
    })
}

fn user_agent_of(one: &Registration) -> Option<String> {
    let agent = one.binding.user_agent.as_ref()?;
    (!agent.is_empty()).then(|| agent.lossy().into_owned())
}

/// The socket of the proxy as Kamailio spells them: `udp:203.0.113.5:5060`.
fn proxy_of(one: &Registration) -> Option<String> {
    let (host, port) = one.common.proxy_address.as_ref()?;
    let mut socket = String::with_capacity(32);
    if let Some(protocol) = one.common.proxy_protocol {
        socket.push_str(protocol.as_str());
        socket.push(':');
    }
    socket.push_str(host);
    if let Some(port) = port {
        // Writing to a string does not fail.
        let _ = write!(socket, ":{port}");
    }
    Some(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_of_24_and_48_bits() {
        for (address, expected) in [
            ("198.51.100.7", Some("198.51.100.0/24")),
            ("::ffff:198.51.100.7", Some("198.51.100.0/24")),
            ("2001:db8:1:2::5", Some("2001:db8:1::/48")),
            ("[2001:db8:1:2::5]", Some("2001:db8:1::/48")),
            ("phone.example.com", None),
            ("", None),
        ] {
            assert_eq!(network(address).as_deref(), expected, "{address}");
        }
    }
}
