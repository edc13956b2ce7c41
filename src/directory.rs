//! The directory: accounts and devices that an operator (or Kazoo) names, to own what Kamailio's rows do not say.
//!
//! One JSON file: `{"accounts":[{"id","name","realm","parent"}],"devices":[{"id","account_id","username",…}]}`.
//! Parsed whole and checked before it takes effect; an empty directory is a good one.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use thiserror::Error;

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
    pub id: Arc<str>,
    /// The account that it belongs to.
    pub account_id: Arc<str>,
    /// The SIP user that it registers as.
    pub username: Arc<str>,
    /// The user who owns it.
    pub owner_id: Option<Arc<str>>,
    /// What kind of document it is; `device` where it says nothing.
    #[serde(rename = "type")]
    pub kind: Option<Arc<str>>,
    /// Its presence id.
    pub presence_id: Option<Arc<str>>,
    /// Whether the end of its registration is not notified.
    pub suppress_unregister_notify: Option<bool>,
}

/// Accounts and devices, ready to be looked up.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Directory {
    accounts: HashMap<Arc<str>, Account>,
    by_realm: HashMap<String, Arc<str>>,
    devices: HashMap<(Arc<str>, String), Device>,
}

/// Why a directory file was refused.
#[derive(Debug, Error)]
pub enum Error {
    /// It is not JSON of the right shape.
    #[error("{line}:{column}: {message}")]
    Shape {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// It contradicts itself.
    #[error("{line}:1: {message}")]
    Content {
        /// The line that names what is wrong.
        line: usize,
        /// What is wrong.
        message: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    accounts: Vec<Account>,
    #[serde(default)]
    devices: Vec<Device>,
}

impl Directory {
    /// Reads a directory file.
    ///
    /// # Errors
    /// When it is no JSON of the right shape, names something twice or not at all, or its accounts form a ring.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let file: File = serde_json::from_str(text).map_err(|error| Error::Shape {
            line: error.line(),
            column: error.column(),
            message: error.to_string(),
        })?;
        let content = |name: &str, message: String| Error::Content {
            line: line_of(text, name),
            message,
        };
        let mut directory = Self::default();
        for account in file.accounts {
            if let Some(realm) = &account.realm
                && directory
                    .by_realm
                    .insert(realm.to_ascii_lowercase(), Arc::clone(&account.id))
                    .is_some()
            {
                return Err(content(
                    realm,
                    format!("two accounts have the realm \"{realm}\""),
                ));
            }
            if let Some(twin) = directory.accounts.insert(Arc::clone(&account.id), account) {
                return Err(content(
                    &twin.id,
                    format!("two accounts have the id \"{}\"", twin.id),
                ));
            }
        }
        directory
            .check_tree()
            .map_err(|(id, message)| content(&id, message))?;
        for device in file.devices {
            if !directory.accounts.contains_key(&device.account_id) {
                let message = format!(
                    "device \"{}\" names the account \"{}\", which is not there",
                    device.id, device.account_id
                );
                return Err(content(&device.id, message));
            }
            let user = (
                Arc::clone(&device.account_id),
                device.username.to_ascii_lowercase(),
            );
            if let Some(twin) = directory.devices.insert(user, device) {
                let message = format!(
                    "two devices of the account \"{}\" have the username \"{}\"",
                    twin.account_id, twin.username
                );
                return Err(content(&twin.id, message));
            }
        }
        Ok(directory)
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
        self.devices
            .get(&(Arc::from(account_id), username.to_ascii_lowercase()))
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
        (self.accounts.len(), self.devices.len())
    }

    /// The ids above `id`, from its parent up.
    fn ancestors(&self, id: &str) -> impl Iterator<Item = &str> {
        let parent = |id: &str| self.accounts.get(id)?.parent.as_deref();
        std::iter::successors(parent(id), move |id| parent(id))
    }

    fn check_tree(&self) -> Result<(), (Arc<str>, String)> {
        for account in self.accounts.values() {
            if let Some(parent) = &account.parent
                && !self.accounts.contains_key(parent)
            {
                let message = format!(
                    "account \"{}\" names the parent \"{parent}\", which is not there",
                    account.id
                );
                return Err((Arc::clone(&account.id), message));
            }
            if self
                .ancestors(&account.id)
                .take(self.accounts.len())
                .any(|above| *above == *account.id)
            {
                let message = format!("account \"{}\" lies below itself", account.id);
                return Err((Arc::clone(&account.id), message));
            }
        }
        Ok(())
    }
}

/// The line (from 1) in which `name` stands last in quotes, else the first.
fn line_of(text: &str, name: &str) -> usize {
    let at = text.rfind(&format!("\"{name}\"")).unwrap_or(0);
    text[..at].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = r#"{"accounts": [
        {"id": "top"},
        {"id": "mid", "parent": "top", "realm": "Mid.example.com", "name": "Middle"},
        {"id": "low", "parent": "mid"}],
      "devices": [{"id": "d1", "account_id": "mid", "username": "Bob", "owner_id": "u1"}]}"#;

    #[test]
    fn looks_up_in_any_case() {
        let directory = Directory::parse(TREE).unwrap();
        assert_eq!(
            directory
                .account_of_realm("mid.EXAMPLE.com")
                .unwrap()
                .id
                .as_ref(),
            "mid"
        );
        assert_eq!(directory.device("mid", "bOB").unwrap().id.as_ref(), "d1");
        assert_eq!(directory.device("low", "bob"), None);
    }

    #[test]
    fn an_account_includes_its_descendants() {
        let directory = Directory::parse(TREE).unwrap();
        assert!(directory.is_within("low", "top") && directory.is_within("low", "low"));
        assert!(!directory.is_within("top", "low") && !directory.is_within("unknown", "top"));
    }

    #[test]
    fn refuses_with_the_line() {
        let cases = [
            ("{\n\"accounts\": [}", "2:14"),
            (
                "{\"accounts\": [\n{\"id\": \"a\", \"parent\": \"b\"}]}",
                "2:1: account \"a\" names the parent \"b\"",
            ),
            (
                "{\"accounts\": [\n{\"id\": \"a\"},\n{\"id\": \"a\"}]}",
                "3:1: two accounts have the id",
            ),
            (
                "{\"accounts\": [{\"id\": \"a\", \"parent\": \"a\"}]}",
                "1:1: account \"a\" lies below itself",
            ),
            (
                "{\"devices\": [{\"id\": \"d\", \"account_id\": \"a\", \"username\": \"u\"}]}",
                "1:1: device \"d\" names",
            ),
            ("{\"account\": []}", "unknown field"),
        ];
        for (text, expected) in cases {
            let message = Directory::parse(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_ring_of_accounts_ends() {
        let ring = r#"{"accounts": [{"id": "a", "parent": "b"}, {"id": "b", "parent": "c"}, {"id": "c", "parent": "b"}]}"#;
        assert!(
            Directory::parse(ring)
                .unwrap_err()
                .to_string()
                .contains("below itself")
        );
    }
}
