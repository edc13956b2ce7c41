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
    /// Ids in lower case, for those that are domains; `None` where several differ in case alone.
    by_domain: HashMap<String, Option<Arc<str>>>,
    /// By account, then by username in lower case.
    devices: HashMap<Arc<str>, HashMap<Arc<str>, Device>>,
}

/// Why a directory file was refused: it is not JSON of the right shape, or it contradicts itself.
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
    /// When it is not JSON of the right shape, names something twice or not at all, or its accounts form a cycle.
    pub fn parse(text: &str) -> Result<Self, Error> {
        file::parse(text)
    }

    /// The account with this id.
    #[must_use]
    pub fn account(&self, id: &str) -> Option<&Account> {
        self.accounts.get(id)
    }

    /// All accounts, in no order.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values()
    }

    /// The account whose phones register at this domain: the one with this realm, else the one with this id, each in
    /// any case (RFC 4343).
    #[must_use]
    pub fn account_of_realm(&self, realm: &str) -> Option<&Account> {
        let by_realm = self.by_realm.get(&realm.to_ascii_lowercase());
        let by_realm = by_realm.and_then(|id| self.accounts.get(id));
        by_realm
            .or_else(|| self.accounts.get(realm))
            .or_else(|| self.account_called(realm))
    }

    /// The account whose id is this domain in any spelling, where there is only one such account.
    #[must_use]
    pub fn account_called(&self, domain: &str) -> Option<&Account> {
        let id = self.by_domain.get(&domain.to_ascii_lowercase())?;
        self.accounts.get(id.as_ref()?)
    }

    /// The ids in lower case and in order, each with the account that it means as a domain.
    pub fn domains(&self) -> impl Iterator<Item = (&str, &str)> {
        let domains = self.by_domain.iter();
        let mut domains: Vec<_> = domains
            .filter_map(|(domain, id)| Some((&**domain, &**id.as_ref()?)))
            .collect();
        domains.sort_unstable();
        domains.into_iter()
    }

    /// The realms in lower case, in order, with the ids of their accounts.
    pub fn realms(&self) -> impl Iterator<Item = (&str, &str)> {
        let realms = self.by_realm.iter().map(|(realm, id)| (&**realm, &**id));
        realms
            .collect::<std::collections::BTreeMap<_, _>>()
            .into_iter()
    }

    /// The device of the account that registers as `username`, in any case.
    #[must_use]
    pub fn device(&self, account_id: &str, username: &str) -> Option<&Device> {
        let devices = self.devices.get(account_id)?;
        devices.get(username.to_ascii_lowercase().as_str())
    }

    /// Whether the account has a device with this id.
    #[must_use]
    pub fn has_device(&self, account_id: &str, id: &[u8]) -> bool {
        let devices = self.devices.get(account_id);
        devices.is_some_and(|all| all.values().any(|device| device.id.as_bytes() == id))
    }

    /// Whether `id` is `ancestor` or lies below it.
    #[must_use]
    pub fn is_within(&self, id: &str, ancestor: &str) -> bool {
        id == ancestor || self.ancestors(id).any(|above| above == ancestor)
    }

    /// `ancestor` and the accounts below it, by id.
    #[must_use]
    pub fn within(&self, ancestor: &str) -> Vec<String> {
        let below = self.accounts.keys().map(|id| &**id);
        let below = below.filter(|id| self.ancestors(id).any(|above| above == ancestor));
        let mut ids: Vec<String> = below.chain([ancestor]).map(str::to_owned).collect();
        ids.sort_unstable();
        ids
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
