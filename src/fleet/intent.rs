//! What one node is asked to do for the fleet, as the database has it between whoever asks and the node.

use std::pin::Pin;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::flush::Actor;
use crate::registration::{Key, Registration, Ruid, Text};

/// What a node is asked to do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// To flush registrations: of each account one part.
    Flush(Vec<Part>),
    /// To ask phones to act.
    Notify {
        /// What is asked of them, as the header `Event` has it.
        event: String,
        /// Which phones.
        part: Part,
    },
}

/// Registrations of one account, or such as belong to none.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Part {
    /// Who asks, and about which account.
    pub actor: Actor,
    /// Whether only these may go; otherwise all contacts of their addresses of record go.
    pub exactly: bool,
    /// Which registrations.
    pub rows: Vec<Chosen>,
}

/// A registration, by what tells it from all others of its node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Chosen {
    table: String,
    ruid: Octets,
    username: Octets,
    domain: Option<Octets>,
}

/// Text that need not be UTF-8.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Octets {
    Text(String),
    Bytes(Vec<u8>),
}

/// Does what a node is asked to do.
pub trait CarryOut: Send + Sync + 'static {
    /// Does it; returns what became of it, for whoever asked.
    fn carry_out(&self, work: Work) -> CarryingOut;
}

/// Work under way.
pub type CarryingOut = Pin<Box<dyn Future<Output = String> + Send>>;

impl Work {
    /// Its name in the database.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Flush(_) => "flush",
            Self::Notify { .. } => "notify",
        }
    }

    /// Who asks; nobody where there is nothing to be done.
    pub(super) fn actor(&self) -> Option<&Actor> {
        match self {
            Self::Flush(parts) => parts.first().map(|part| &part.actor),
            Self::Notify { part, .. } => Some(&part.actor),
        }
    }
}

impl Chosen {
    /// This one.
    #[must_use]
    pub fn of(one: &Registration) -> Self {
        let binding = &one.binding;
        Self {
            table: binding.key.table.to_string(),
            ruid: Octets::of(&binding.key.ruid.0),
            username: Octets::of(&binding.username),
            domain: binding.domain.as_ref().map(Octets::of),
        }
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> Key {
        Key {
            table: Arc::from(self.table.as_str()),
            ruid: Ruid(self.ruid.text()),
        }
    }

    /// The columns of its address of record: username and domain.
    #[must_use]
    pub fn aor(&self) -> (Text, Option<Text>) {
        let domain = self.domain.as_ref().map(Octets::text);
        (self.username.text(), domain)
    }
}

impl Octets {
    fn of(text: &Text) -> Self {
        let bytes = text.as_bytes();
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Bytes(bytes.to_owned()),
        }
    }

    fn text(&self) -> Text {
        match self {
            Self::Text(text) => text.as_bytes().into(),
            Self::Bytes(bytes) => bytes.as_slice().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_kept_as_they_are() {
        for bytes in [b"bob".as_slice(), b"", b"b\0b", b"b\xffb", "é".as_bytes()] {
            let octets = Octets::of(&bytes.into());
            let json = serde_json::to_string(&octets).unwrap();
            assert!(!json.contains('\0'), "{json}");
            let back: Octets = serde_json::from_str(&json).unwrap();
            assert_eq!(back.text().as_bytes(), bytes, "{json}");
        }
    }
}
