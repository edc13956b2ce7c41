//! The registration model: what a row of usrloc means, independent of where it is read or shown.
//!
//! Pure data: no I/O, no clock. A [`Binding`] is one row of `location` with its attributes, byte for byte as
//! Kamailio wrote it; a [`Changeset`] is what became of bindings since the last one.

mod aor;
mod attributes;
mod cell;
mod cells;
mod changeset;
mod columns;
mod encoding;
pub mod intern;
pub mod item;
mod name;
mod on_node;
#[cfg(test)]
pub(crate) mod testing;
mod text;

use std::borrow::Borrow;
use std::ops::Deref;
use std::sync::Arc;

use crate::sip::{SourceFrom, Transport};
pub use aor::{AddressOfRecord, Unaskable};
pub use attributes::{Attributes, Object, Shape, Shapes};
pub use cell::Cell;
pub use cells::{Cells, Texts};
pub use changeset::{Change, Changes, Changeset};
pub use columns::{Binding, Column, Kind};
pub use encoding::{Bytes, Decoded, write_text};
pub use name::{Name, columns_of};
pub use on_node::{NodeState, OnNode, Successor, lower_shown, shown};
pub use text::Text;

/// The unique id of a contact in usrloc (`uloc-<start>-<pid>-<counter>`): kept on refresh and across restarts of
/// Kamailio, new for a new contact.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Ruid(pub Text);

/// What identifies a binding: its usrloc table and its ruid there.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Key {
    /// The usrloc table, for instance `location`.
    pub table: Arc<str>,
    /// The row's `ruid`.
    pub ruid: Ruid,
}

/// When a binding ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Expiry {
    /// Never: `expires` is 0 in usrloc.
    Permanent,
    /// At this Unix second; the binding is valid while it lies in the future.
    At(i64),
}

/// A number of usrloc's. Kamailio's have 32 bits; the greatest of 64 bits is taken for none, so that one that may be
/// absent takes no more room than one that is there.
pub type Number = nonmax::NonMaxI64;

/// The Unix second that stands for a time that is not known: no phone registered then.
pub const TIME_UNKNOWN: i64 = -1;

/// A registration: a binding with all that is known about it besides, as the API shows it (the *item* of
/// contract and seed).
#[derive(Clone, PartialEq, Debug)]
pub struct Registration {
    details: Details,
    digest: u64,
}

/// What a registration is made of. Which account, device and proxy it belongs to was resolved before.
#[derive(Clone, PartialEq, Debug)]
pub struct Details {
    /// The row and its attributes.
    pub binding: Arc<Binding>,
    /// `last_modified` of the row when its ruid was first seen, Unix seconds.
    pub first_registration: i64,
    /// How often it was refreshed since.
    pub refreshes: u32,
    /// The account that owns it.
    pub account_id: Option<Arc<str>>,
    /// The SIP user in its original case, as far as known.
    pub username: Text,
    /// The device (or other document) that the phone authenticated as.
    pub authorizing_id: Option<Text>,
    /// The user who owns the device.
    pub owner_id: Option<Text>,
    /// The presence id, `user@realm`.
    pub presence_id: Option<Text>,
    /// Host (IPv6 in brackets) and port of the contact URI.
    pub contact_address: Option<Address>,
    /// Where the phone itself is, as far as proxies and Kamailio saw it.
    pub source: Option<SourceAddress>,
    /// What it has in common with others.
    pub common: Arc<Common>,
}

/// A host and its port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    /// The host.
    pub host: Text,
    /// The port; absent where what stands there is not a port.
    pub port: Option<u16>,
}

/// The address that a phone's packets come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceAddress {
    /// Its host (without brackets) and port.
    pub address: Address,
    /// What it was read from.
    pub from: SourceFrom,
}

/// What many registrations have in common: all of an account's that came in by one socket, for instance.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Common {
    /// The realm in its original case; absent where the row has no domain and no default is configured.
    pub realm: Option<Arc<str>>,
    /// The owning account's name.
    pub account_name: Option<Arc<str>>,
    /// The owning account's realm.
    pub account_realm: Option<Arc<str>>,
    /// What `authorizing_id` names: `device` and the like.
    pub authorizing_type: Option<Arc<str>>,
    /// Whether Kazoo keeps silent when this registration ends.
    pub suppress_unregister_notify: bool,
    /// Whether Kazoo tells the former contact that it was replaced.
    pub register_overwrite_notify: bool,
    /// Advertised host and port of the socket that received the REGISTER.
    pub proxy_address: Option<(Arc<str>, Option<u16>)>,
    /// What carries the phone's messages.
    pub proxy_protocol: Option<Transport>,
    /// The SIP URI that media servers send to for this phone.
    pub proxy_path: Option<Arc<str>>,
    /// The node that it is on, in a fleet's answer.
    pub node: Option<OnNode>,
}

/// A registration as it is kept: what the directory says of it is looked up again.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The row of usrloc.
    pub binding: Arc<Binding>,
    /// When its ruid was first seen: `last_modified` of then, Unix seconds.
    pub first_registration: i64,
    /// How often it was refreshed since.
    pub refreshes: u32,
    /// The id of the account that owns it.
    pub account: Option<Arc<str>>,
}

/// What is known of a binding from before its row was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Life {
    /// `last_modified` of the row when its ruid was first seen, Unix seconds.
    pub first_registration: i64,
    /// How often it was refreshed since.
    pub refreshes: u32,
}

/// A row that a flush took out of the lists although Kamailio's table may still have it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hidden {
    /// The row. It shows again when it comes from a REGISTER after the flush (`last_modified` later than `at`).
    pub key: Key,
    /// Its [`row_fingerprint`](Binding::row_fingerprint): a row that changed without
    /// becoming newer than the flush leaves a doubt, and Kamailio is asked.
    pub fingerprint: u64,
    /// When it was flushed, Unix seconds.
    pub at: i64,
}

/// A row that went, remembered for an hour so that its account and username stay known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tombstone {
    /// The account that owned it.
    pub account: Option<Arc<str>>,
    /// The row's `username`.
    pub username: Text,
    /// The row's `domain`.
    pub domain: Option<Text>,
    /// When it went, Unix seconds.
    pub at: i64,
}

impl Registration {
    /// The registration of these details, which never change.
    #[must_use]
    pub fn new(details: Details) -> Self {
        let digest = details.digest();
        Self { details, digest }
    }

    /// The same registration with other things in common.
    #[must_use]
    pub fn with_common(&self, common: Arc<Common>) -> Self {
        Self::new(Details {
            common,
            ..self.details.clone()
        })
    }

    /// A digest of what the item shows, equal across restarts: all keys but `expires`, which counts down by itself.
    /// The sum of the digests of a list's items is the list's revision.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }
}

impl Life {
    /// That of a binding that was first seen at this Unix second, and not refreshed since.
    #[must_use]
    pub fn since(first_registration: i64) -> Self {
        Self {
            first_registration,
            refreshes: 0,
        }
    }

    /// That of a binding that was `known` before, if it was.
    #[must_use]
    pub fn of(binding: &Binding, known: Option<&Details>) -> Self {
        let Some(known) = known else {
            return Self::since(binding.last_modified);
        };
        let former = &*known.binding;
        let is_refreshed =
            (former.last_modified, former.cseq) != (binding.last_modified, binding.cseq);
        Self {
            refreshes: known.refreshes.saturating_add(u32::from(is_refreshed)),
            ..known.life()
        }
    }
}

impl Details {
    /// What is to be kept when the row is read again.
    #[must_use]
    pub fn life(&self) -> Life {
        Life {
            first_registration: self.first_registration,
            refreshes: self.refreshes,
        }
    }
}

impl From<&Registration> for Stored {
    fn from(registration: &Registration) -> Self {
        Self {
            binding: Arc::clone(&registration.binding),
            first_registration: registration.first_registration,
            refreshes: registration.refreshes,
            account: registration.account_id.clone(),
        }
    }
}

impl Deref for Registration {
    type Target = Details;

    fn deref(&self) -> &Details {
        &self.details
    }
}

impl Borrow<[u8]> for Ruid {
    fn borrow(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl From<&str> for Ruid {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl Expiry {
    /// The Unix second at which it ends; `None` for a permanent contact.
    #[must_use]
    pub fn end(self) -> Option<i64> {
        match self {
            Self::Permanent => None,
            Self::At(end) => Some(end),
        }
    }

    /// Whether a binding with this expiry is valid at `now` (Unix seconds): permanent, or ending later.
    #[must_use]
    pub fn is_valid_at(self, now: i64) -> bool {
        match self {
            Self::Permanent => true,
            Self::At(end) => end > now,
        }
    }
}

impl Binding {
    /// The address of record, from the bytes of the table.
    #[must_use]
    pub fn address_of_record(&self) -> AddressOfRecord {
        AddressOfRecord::new(&self.username, self.domain.as_ref())
    }
}
