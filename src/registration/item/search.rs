//! A search: words that stand somewhere in an item, and conditions that people type more easily than filters.

use std::net::IpAddr;

use ipnet::IpNet;
use memchr::memmem::Finder;

use super::Item;
use super::fold::{fold, folded};
use crate::registration::{Address, Details, Text};
use crate::sip::Transport;

/// Stands between two texts, so that no word is found across them: a word has no line breaks.
const BETWEEN: u8 = b'\n';

/// What an item must have, all of it.
#[derive(Clone, Debug, Default)]
pub struct Search {
    words: Vec<Part>,
    terms: Vec<Term>,
}

/// A condition of a search.
#[derive(Clone, Debug)]
pub enum Term {
    /// The SIP user is this.
    User(Whole),
    /// The realm is this.
    Realm(Whole),
    /// The id or the name of the account is this.
    Account(Whole),
    /// The User-Agent contains this.
    UserAgent(Part),
    /// The phone's own address or that of its contact is in this network.
    Ip(IpNet),
    /// The phone's messages are carried by this.
    Transport(Transport),
    /// The seconds that remain are so many; what never expires has none.
    Expires(Bound, i64),
    /// Whether the phone flaps.
    Flapping(bool),
    /// It is of this machine; whether the name that was given is that one's was found before.
    Node(bool),
    /// The node that it is on, in a fleet, is this.
    OnNode(Whole),
}

/// How a number compares with another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bound {
    /// Less.
    Below,
    /// Not more.
    AtMost,
    /// More.
    Above,
    /// Not less.
    AtLeast,
}

/// A part of a text, in any case.
#[derive(Clone, Debug)]
pub struct Part(Box<Finder<'static>>);

/// A whole text, in any case; or its beginning.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Whole {
    folded: Vec<u8>,
    is_beginning: bool,
}

impl Search {
    /// Adds a word, which stands somewhere in user, realm, contact, User-Agent or addresses.
    pub fn word(&mut self, word: &str) {
        self.words.push(Part::new(word));
    }

    /// Adds a condition.
    pub fn term(&mut self, term: Term) {
        self.terms.push(term);
    }

    /// Whether everything meets it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty() && self.terms.is_empty()
    }

    /// How many words and conditions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.len() + self.terms.len()
    }

    /// Whether time alone changes what meets it.
    #[must_use]
    pub fn moves(&self) -> bool {
        let moves = |term: &Term| matches!(term, Term::Expires(..) | Term::Flapping(_));
        self.terms.iter().any(moves)
    }

    /// Whether the item meets it. `room` is for its texts, and kept from one item to the next.
    #[must_use]
    pub fn matches(&self, item: &Item<'_>, room: &mut Vec<u8>) -> bool {
        if !self.terms.iter().all(|term| term.matches(item, room)) {
            return false;
        }
        if self.words.is_empty() {
            return true;
        }
        room.clear();
        write_texts(item.registration, room);
        self.words.iter().all(|word| word.is_in(room))
    }
}

impl Term {
    fn matches(&self, item: &Item<'_>, room: &mut Vec<u8>) -> bool {
        let one = item.registration;
        let mut is =
            |whole: &Whole, text: Option<&[u8]>| text.is_some_and(|text| whole.is(text, room));
        match self {
            Self::User(user) => is(user, Some(one.username.as_bytes())),
            Self::Realm(realm) => is(realm, one.common.realm.as_deref().map(str::as_bytes)),
            Self::Account(account) => {
                is(account, one.account_id.as_deref().map(str::as_bytes))
                    || is(
                        account,
                        one.common.account_name.as_deref().map(str::as_bytes),
                    )
            }
            Self::UserAgent(part) => one.binding.user_agent.as_ref().is_some_and(|agent| {
                room.clear();
                fold(agent.as_bytes(), room);
                part.is_in(room)
            }),
            Self::Ip(network) => {
                let source = one.source.as_ref().map(|source| &source.address);
                let addresses = [source, one.contact_address.as_ref()];
                let mut hosts = addresses.into_iter().flatten().filter_map(ip);
                hosts.any(|host| network.contains(&host))
            }
            Self::Transport(transport) => one.common.proxy_protocol == Some(*transport),
            Self::Expires(bound, wanted) => {
                let end = one.binding.expiry.end();
                end.is_some_and(|end| bound.holds(end.saturating_sub(item.now).max(1), *wanted))
            }
            Self::Flapping(wanted) => item.flap.is_some_and(|flap| flap.flapping) == *wanted,
            Self::Node(is_here) => *is_here,
            Self::OnNode(name) => {
                let node = one.common.node.as_ref();
                is(name, node.map(|node| node.name.as_bytes()))
            }
        }
    }
}

impl Bound {
    fn holds(self, own: i64, wanted: i64) -> bool {
        match self {
            Self::Below => own < wanted,
            Self::AtMost => own <= wanted,
            Self::Above => own > wanted,
            Self::AtLeast => own >= wanted,
        }
    }
}

impl Part {
    /// This part.
    #[must_use]
    pub fn new(part: &str) -> Self {
        Self(Box::new(Finder::new(&folded(part.as_bytes())).into_owned()))
    }

    fn is_in(&self, folded: &[u8]) -> bool {
        self.0.find(folded).is_some()
    }
}

impl Whole {
    /// This text; with a `*` at its end all that begin so.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let (text, is_beginning) = match text.strip_suffix('*') {
            Some(beginning) => (beginning, true),
            None => (text, false),
        };
        Self {
            folded: folded(text.as_bytes()),
            is_beginning,
        }
    }

    /// Whether it is this text. `room` is overwritten.
    #[must_use]
    pub fn is(&self, text: &[u8], room: &mut Vec<u8>) -> bool {
        room.clear();
        fold(text, room);
        if self.is_beginning {
            room.starts_with(&self.folded)
        } else {
            *room == self.folded
        }
    }
}

/// The address, where the host is one.
fn ip(address: &Address) -> Option<IpAddr> {
    let host = std::str::from_utf8(address.host.as_bytes()).ok()?;
    parse_ip(host)
}

/// An IP address as SIP writes it: IPv6 in brackets or not, with a zone or without.
#[must_use]
pub fn parse_ip(host: &str) -> Option<IpAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    let host = host.split_once('%').map_or(host, |(host, _)| host);
    host.parse().ok().map(|host: IpAddr| host.to_canonical())
}

/// Appends all that words are searched in.
fn write_texts(one: &Details, out: &mut Vec<u8>) {
    // As people write an address of record.
    fold(one.username.as_bytes(), out);
    if let Some(realm) = &one.common.realm {
        out.push(b'@');
        fold(realm.as_bytes(), out);
    }
    out.push(BETWEEN);
    // The contact's own address stands in it.
    fold(one.binding.contact.as_bytes(), out);
    out.push(BETWEEN);
    fold(
        one.binding.user_agent.as_ref().map_or(&[], Text::as_bytes),
        out,
    );
    if let Some(source) = &one.source {
        out.push(BETWEEN);
        write_address(&source.address, out);
    }
}

/// Appends `host:port`.
fn write_address(address: &Address, out: &mut Vec<u8>) {
    let host = address.host.as_bytes();
    let is_bare_v6 = host.contains(&b':') && !host.starts_with(b"[");
    if is_bare_v6 {
        out.push(b'[');
    }
    fold(host, out);
    if is_bare_v6 {
        out.push(b']');
    }
    if let Some(port) = address.port {
        out.push(b':');
        out.extend_from_slice(itoa::Buffer::new().format(port).as_bytes());
    }
}
