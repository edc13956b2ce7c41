//! The item: a [`Registration`](super::Registration) as the API shows it, key by key.
//!
//! One table of fields serves JSON, CSV, filters, revisions and the API's description, so that they cannot differ.

mod condition;
mod fold;
pub mod json;
pub mod search;
pub mod sort;

use std::borrow::Cow;
use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

use super::{Address, Details, Expiry, Number, Successor, TIME_UNKNOWN};
use crate::clock::gregorian;
use crate::sip::Transport;
pub use condition::Condition;

/// How ports and unknown addresses are spelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Wire {
    /// As the API document shows: ports are strings, unknown `network_*` say `"undefined"`.
    #[default]
    Document,
    /// As Kazoo 4.3 really answers: contact and proxy ports are integers, unknown `network_*` are absent.
    Kazoo43,
}

/// The value of a field.
#[derive(Clone, PartialEq, Debug)]
pub enum Value<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// A port, written as a string.
    Port(u16),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction: `q`.
    Number(f64),
    /// `true` or `false`.
    Flag(bool),
    /// How much a phone flaps.
    Flap(Flap),
    /// The registration of the same phone that came later.
    Successor(&'a Successor),
}

/// How much a phone flaps, as items show it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flap {
    /// The sum of the penalties that are left, rounded to hundreds.
    pub score: u32,
    /// How often it was lost within 24 hours, to the hour.
    pub losses_24h: u32,
    /// Whether it flaps.
    pub flapping: bool,
}

/// A registration as it is shown.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// The registration.
    pub registration: &'a Details,
    /// How it is spelled.
    pub wire: Wire,
    /// When it is shown, Unix seconds.
    pub now: i64,
    /// How much its phone flaps, where there is something to say.
    pub flap: Option<Flap>,
}

/// What kind of value a field has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A string.
    Text,
    /// A whole number.
    Integer,
    /// A number with a fraction.
    Number,
    /// `true` or `false`.
    Flag,
    /// An object with the keys of [`struct@Flap`].
    Flap,
    /// An object with the keys of [`struct@Successor`].
    Successor,
}

macro_rules! fields {
    (
        |$item:ident, $binding:ident, $common:ident, $wire:ident, $now:ident|
        $($(#[doc = $doc:literal])* $field:ident = $name:literal, $kind:expr => $value:expr;)*
    ) => {
        /// A key of the item.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Field {
            $($(#[doc = $doc])* $field,)*
        }

        impl Field {
            /// Every field, in the order of the document and of CSV columns; the last ones are not in every list: see
            /// [`USUAL`](Self::USUAL).
            pub const ALL: &[Self] = &[$(Self::$field),*];

            /// The key in JSON, CSV and filters.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$field => $name,)*
                }
            }

            /// What it means, for the API's description.
            #[must_use]
            pub fn description(self) -> &'static str {
                match self {
                    $(Self::$field => concat!($($doc),*).trim_ascii_start(),)*
                }
            }

            /// The kind of its value.
            #[must_use]
            pub fn kind(self, $wire: Wire) -> Kind {
                use Kind::{Flag, Flap, Integer, Number, Successor, Text};
                match self {
                    $(Self::$field => $kind,)*
                }
            }
        }

        impl Details {
            /// The value of `field` at `now` (Unix seconds); `None` where it is not known. How much a phone flaps is
            /// not known here: see [`Item`].
            #[must_use]
            pub fn value(&self, field: Field, $wire: Wire, $now: i64) -> Option<Value<'_>> {
                let ($item, $binding, $common) = (self, &*self.binding, &*self.common);
                match field {
                    $(Field::$field => $value,)*
                }
            }
        }
    };
}

// Each field with its key, the kind of its value, and that value.
fields! {
    |item, binding, common, wire, now|
    /// The SIP user.
    Username = "username", Text => own(Some(&item.username));
    /// User of the From header; equal to the username here.
    FromUser = "from_user", Text => own(Some(&item.username));
    /// User of the To header; equal to the username here.
    ToUser = "to_user", Text => own(Some(&item.username));
    /// The SIP domain.
    Realm = "realm", Text => text(common.realm.as_deref());
    /// Host of the From header; equal to the realm here.
    FromHost = "from_host", Text => text(common.realm.as_deref());
    /// Host of the To header; equal to the realm here.
    ToHost = "to_host", Text => text(common.realm.as_deref());
    /// Name of the owning account.
    AccountName = "account_name", Text => text(common.account_name.as_deref());
    /// Realm of the owning account.
    AccountRealm = "account_realm", Text => text(common.account_realm.as_deref());
    /// Id of the device that authenticated.
    AuthorizingId = "authorizing_id", Text => own(item.authorizing_id.as_ref());
    /// Type of the authorizing document.
    AuthorizingType = "authorizing_type", Text => text(common.authorizing_type.as_deref());
    /// Id of the user who owns the device.
    OwnerId = "owner_id", Text => own(item.owner_id.as_ref());
    /// Presence id.
    PresenceId = "presence_id", Text => own(item.presence_id.as_ref());
    /// Whether the end of this registration is not notified.
    SuppressUnregisterNotify = "suppress_unregister_notify", Flag => Some(Value::Flag(common.suppress_unregister_notify));
    /// Whether an overwritten contact is notified.
    RegisterOverwriteNotify = "register_overwrite_notify", Flag => Some(Value::Flag(common.register_overwrite_notify));
    /// Call-ID of the REGISTER.
    CallId = "call_id", Text => column(binding.call_id.as_ref());
    /// User-Agent of the REGISTER.
    UserAgent = "user_agent", Text => column(binding.user_agent.as_ref());
    /// The contact URI.
    Contact = "contact", Text => column(Some(&binding.contact));
    /// The contact URI as sent.
    OriginalContact = "original_contact", Text => column(Some(&binding.contact));
    /// Host of the contact URI.
    ContactIp = "contact_ip", Text => host(item.contact_address.as_ref());
    /// Port of the contact URI.
    ContactPort = "contact_port", port_kind(wire) => port(item.contact_address.as_ref()?.port, wire);
    /// The phone's own address, as the first proxy that it reached saw it.
    NetworkIp = "network_ip", Text => host(item.source_address()).or_else(|| undefined(wire));
    /// The phone's own port, as the first proxy that it reached saw it.
    NetworkPort = "network_port", Text => {
        let known = item.source_address().and_then(|address| address.port);
        port(known, Wire::Document).or_else(|| undefined(wire))
    };
    /// The phone's own address, absent where unknown.
    SourceIp = "source_ip", Text => host(item.source_address());
    /// The phone's own port, absent where unknown.
    SourcePort = "source_port", Text => port(item.source_address()?.port, Wire::Document);
    /// What the phone's own address was read from: `path`, `received` or `alias`.
    SourceFrom = "source_from", Text => text(item.source.as_ref().map(|source| source.from.as_str()));
    /// Advertised address of the receiving socket.
    ProxyIp = "proxy_ip", Text => text(common.proxy_address.as_ref().map(|(host, _)| &**host));
    /// Advertised port of the receiving socket.
    ProxyPort = "proxy_port", port_kind(wire) => port(common.proxy_address.as_ref()?.1, wire);
    /// Transport of the receiving socket.
    ProxyProtocol = "proxy_protocol", Text => text(common.proxy_protocol.map(Transport::as_str));
    /// SIP URI towards the phone's proxy.
    ProxyPath = "proxy_path", Text => text(common.proxy_path.as_deref());
    /// Gregorian second of the last REGISTER.
    EventTimestamp = "event_timestamp", Integer => moment(binding.last_modified);
    /// Gregorian second of the last REGISTER.
    LastRegistration = "last_registration", Integer => moment(binding.last_modified);
    /// Gregorian second of the first REGISTER seen.
    InitialRegistration = "initial_registration", Integer => moment(item.first_registration);
    /// Always false in a list.
    FirstRegistration = "first_registration", Flag => Some(Value::Flag(false));
    /// Whole seconds that remain, at least 1.
    Expires = "expires", Integer =>
        binding.expiry.end().map(|end| Value::Integer(end.saturating_sub(now).max(1)));
    /// Present and true where the contact never expires.
    Permanent = "permanent", Flag => (binding.expiry == Expiry::Permanent).then_some(Value::Flag(true));
    /// Unix second of expiry.
    ExpiresAt = "expires_at", Integer => binding.expiry.end().map(Value::Integer);
    /// Seconds that were granted.
    GrantedExpires = "granted_expires", Integer => {
        let end = binding.expiry.end()?;
        moment(binding.last_modified)?;
        Some(Value::Integer(end.saturating_sub(binding.last_modified)))
    };
    /// usrloc's id of the contact.
    Ruid = "ruid", Text => column(Some(&binding.key.ruid.0));
    /// Path header value.
    Path = "path", Text => column(binding.path.as_ref());
    /// `+sip.instance`.
    Instance = "instance", Text => column(binding.instance.as_ref());
    /// `reg-id`.
    RegId = "reg_id", Integer => number(binding.reg_id);
    /// Preference of the contact, 0 to 1.
    Q = "q", Number => binding.q.map(Value::Number);
    /// Bit mask of supported methods.
    Methods = "methods", Integer => number(binding.methods);
    /// usrloc flags.
    Flags = "flags", Integer => number(binding.flags);
    /// Branch flags of the contact.
    Cflags = "cflags", Integer => number(binding.cflags);
    /// `CSeq` of the last REGISTER.
    Cseq = "cseq", Integer => number(binding.cseq);
    /// Kamailio's server id.
    ServerId = "server_id", Integer => number(binding.server_id);
    /// How much the phone flaps; absent where it was not lost of late.
    Flap = "flap", Flap => None;
    /// The node that the phone is registered on. In a fleet's answers only.
    Node = "node", Text => text(common.node.as_ref().map(|node| &*node.name));
    /// The state of that node. In a fleet's answers only.
    NodeState = "node_state", Text => text(common.node.as_ref().map(|node| node.state.as_str()));
    /// The same phone, registered later on another node. In a fleet's answers only.
    SupersededBy = "superseded_by", Successor =>
        common.node.as_ref()?.superseded_by.as_ref().map(Value::Successor);
    /// Id of the owning account; absent where there is none. Shown where `fields` names it, and not otherwise.
    AccountId = "account_id", Text => text(item.account_id.as_deref());
}

impl Value<'_> {
    /// The value as text: how CSV shows it and filters compare it.
    #[must_use]
    pub fn to_text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Port(number) => number.to_string().into(),
            Self::Integer(number) => number.to_string().into(),
            Self::Number(number) => number.to_string().into(),
            Self::Flag(flag) => if *flag { "true" } else { "false" }.into(),
            Self::Flap(flap) => flap.to_string().into(),
            Self::Successor(successor) => successor.to_string().into(),
        }
    }

    /// Appends what tells this value from every other of the same field.
    fn write_digest(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => {
                out.extend_from_slice(&text.len().to_le_bytes());
                out.extend_from_slice(text.as_bytes());
            }
            Self::Port(number) => out.extend_from_slice(&number.to_le_bytes()),
            Self::Integer(number) => out.extend_from_slice(&number.to_le_bytes()),
            Self::Number(number) => out.extend_from_slice(&number.to_le_bytes()),
            Self::Flag(flag) => out.push(u8::from(*flag)),
            Self::Successor(successor) => out.extend_from_slice(successor.to_string().as_bytes()),
            // It is no part of a registration.
            Self::Flap(_) => {}
        }
    }
}

impl Field {
    /// The fields that an item of a fleet has unless others are named: all but the account's id.
    pub const OF_FLEET: &[Self] = match Self::ALL.split_last() {
        Some((Self::AccountId, usual)) => usual,
        _ => Self::ALL,
    };

    /// The fields that an item of one node has unless others are named: those without the node.
    pub const USUAL: &[Self] = match Self::OF_FLEET {
        [usual @ .., Self::Node, Self::NodeState, Self::SupersededBy] => usual,
        _ => Self::OF_FLEET,
    };

    /// Every field that the answers of one node have.
    pub fn of_node() -> impl Iterator<Item = Self> {
        let all = Self::ALL.iter().copied();
        all.filter(|field| !field.is_of_fleet())
    }

    /// Whether only a fleet's answers have it.
    #[must_use]
    pub fn is_of_fleet(self) -> bool {
        matches!(self, Self::Node | Self::NodeState | Self::SupersededBy)
    }

    /// The field with this key.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|field| field.name() == name)
    }
}

impl Details {
    /// The address that the phone's packets come from.
    fn source_address(&self) -> Option<&Address> {
        self.source.as_ref().map(|source| &source.address)
    }

    /// See [`Registration::digest`](super::Registration::digest).
    pub(super) fn digest(&self) -> u64 {
        let fields = Field::OF_FLEET
            .iter()
            .filter(|field| **field != Field::Expires);
        self.digest_by(fields.copied())
    }

    /// The same of these fields alone: `expires` changes with a new deadline, and not by counting down.
    #[must_use]
    pub fn digest_of(&self, fields: &[Field]) -> u64 {
        let at_rest = |field: &Field| match field {
            Field::Expires => Field::ExpiresAt,
            field => *field,
        };
        self.digest_by(fields.iter().map(at_rest))
    }

    fn digest_by(&self, fields: impl Iterator<Item = Field>) -> u64 {
        let mut content = Vec::with_capacity(1024);
        for field in fields {
            if let Some(value) = self.value(field, Wire::Document, 0) {
                content.push(field as u8);
                value.write_digest(&mut content);
            }
        }
        xxh3_64(&content)
    }
}

impl<'a> Item<'a> {
    /// The value of `field`; `None` where it is not known.
    #[must_use]
    pub fn value(&self, field: Field) -> Option<Value<'a>> {
        match field {
            Field::Flap => self.flap.map(Value::Flap),
            field => self.registration.value(field, self.wire, self.now),
        }
    }
}

/// As JSON.
impl fmt::Display for Flap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            score,
            losses_24h,
            flapping,
        } = self;
        write!(
            f,
            "{{\"score\":{score},\"losses_24h\":{losses_24h},\"flapping\":{flapping}}}"
        )
    }
}

fn text(value: Option<&str>) -> Option<Value<'_>> {
    value.map(|text| Value::Text(text.into()))
}

fn own(value: Option<&super::Text>) -> Option<Value<'_>> {
    value.map(|text| Value::Text(text.lossy()))
}

fn column(value: Option<&super::Text>) -> Option<Value<'_>> {
    own(value.filter(|text| !text.is_empty()))
}

fn number(value: Option<Number>) -> Option<Value<'static>> {
    value.map(|number| Value::Integer(number.get()))
}

fn host(address: Option<&Address>) -> Option<Value<'_>> {
    own(address.map(|address| &address.host))
}

fn port(port: Option<u16>, wire: Wire) -> Option<Value<'static>> {
    let port = port?;
    Some(match wire {
        Wire::Document => Value::Port(port),
        Wire::Kazoo43 => Value::Integer(i64::from(port)),
    })
}

fn port_kind(wire: Wire) -> Kind {
    match wire {
        Wire::Document => Kind::Text,
        Wire::Kazoo43 => Kind::Integer,
    }
}

/// A Unix second as Kazoo writes it.
fn moment(unix: i64) -> Option<Value<'static>> {
    (unix != TIME_UNKNOWN).then(|| Value::Integer(gregorian(unix)))
}

fn undefined(wire: Wire) -> Option<Value<'static>> {
    (wire == Wire::Document).then_some(Value::Text("undefined".into()))
}
