//! The directory: accounts and devices that an operator (or Kazoo) names, to own what Kamailio's rows do not say.
//!
//! One JSON file: `{"accounts":[{"id","name","realm","parent"}],"devices":[{"id","account_id","username",…}]}`.
//! Parsed whole and checked before it takes effect; an empty directory is a good one.

mod file;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use thiserror::Error;

use crate::registration::Text;

/// An account.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its id, as in the API's paths.
    pub id: Arc<str>,
    /// Its name, for people.
    pub name: Option<Arc<str>>,
    /// The SIP domain of its phones.
    pub realm: Option<Arc<str>>,
    /// The id of the account above it.
    pub parent: Option<Arc<str>>,
}

/// A device.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Its id.
    pub id: Text,
    /// The account that it belongs to.
    pub account_id: Arc<str>,
    /// The SIP user that it registers as.
    pub username: Arc<str>,
    /// The user who owns it.
    pub owner_id: Option<Text>,
    /// What kind of document it is; `device` where it says nothing.
    #[serde(rename = "type")]
    pub kind: Option<Arc<str>>,
    /// Its presence id.
    pub presence_id: Option<Text>,
    /// Whether the end of its registration is not notified.
    pub suppress_unregister_notify: Option<bool>,
}

/// Accounts and devices, ready to be looked up.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Directory {
    accounts: HashMap<Arc<str>, Account>,
    by_realm: HashMap<String, Arc<str>>,
    /// By account, then by username in lower case.
    devices: HashMap<Arc<str>, HashMap<Arc<str>, Device>>,
}

/// Why a directory file was refused: it is no JSON of the right shape, or contradicts itself.
#[derive(PartialEq, Eq, Debug, Error)]
#[error("{line}:{column}: {message}")]
pub struct Error {
    /// Line of what is wrong, from 1.
    pub line: usize,
    /// Column, from 1, in bytes.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl Directory {
    /// Reads a directory file.
    ///
    /// # Errors
    /// When it is no JSON of the right shape, names something twice or not at all, or its accounts form a ring.
    pub fn parse(text: &str) -> Result<Self, Error> {
        file::parse(text)
    }

    /// The account with this id.
    #[must_use]
    pub fn account(&self, id: &str) -> Option<&Account> {
        self.accounts.get(id)
    }

    /// The account with this realm, in any case.
    #[must_use]
    pub fn account_of_realm(&self, realm: &str) -> Option<&Account> {
        self.accounts
            .get(self.by_realm.get(&realm.to_ascii_lowercase())?)
    }

    /// The device of the account that registers as `username`, in any case.
    #[must_use]
    pub fn device(&self, account_id: &str, username: &str) -> Option<&Device> {
        let devices = self.devices.get(account_id)?;
        devices.get(username.to_ascii_lowercase().as_str())
    }

    /// Whether `id` is `ancestor` or lies below it.
    #[must_use]
    pub fn is_within(&self, id: &str, ancestor: &str) -> bool {
        id == ancestor || self.ancestors(id).any(|above| above == ancestor)
    }

    /// How many accounts and devices there are.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let devices = self.devices.values().map(HashMap::len).sum();
        (self.accounts.len(), devices)
    }

    /// The ids above `id`, from its parent up.
    fn ancestors(&self, id: &str) -> impl Iterator<Item = &str> {
        let parent = |id: &str| self.accounts.get(id)?.parent.as_deref();
        std::iter::successors(parent(id), move |id| parent(id))
    }
}
