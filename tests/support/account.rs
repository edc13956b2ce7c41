//! Accounts and devices as a Kazoo knows them, and what its Kamailio stores with a registration of theirs.

use serde_json::{Map, Value, json};

/// An account of the switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) realm: String,
}

/// A device of an account: what identifies who registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) owner_id: String,
    pub(crate) username: String,
    pub(crate) account: Account,
}

impl Account {
    /// An account whose id is the 32 digits that begin with `prefix`.
    pub(crate) fn new(prefix: &str, name: &str, realm: &str) -> Self {
        Self {
            id: id(prefix),
            name: name.to_owned(),
            realm: realm.to_owned(),
        }
    }

    /// A device of this account; its ids follow from `number`.
    pub(crate) fn device(&self, username: &str, number: u32) -> Device {
        Device {
            id: id(&format!("de{}{number:04x}", &self.id[..4])),
            owner_id: id(&format!("0b{}{number:04x}", &self.id[..4])),
            username: username.to_owned(),
            account: self.clone(),
        }
    }
}

impl Device {
    /// `AUTHORIZING@ACCOUNT`, the attribute `token`.
    pub(crate) fn token(&self) -> String {
        format!("{}@{}", self.id, self.account.id)
    }

    /// The attribute `custom_channel_vars`: one line of JSON.
    pub(crate) fn custom_channel_vars(&self) -> String {
        Value::Object(self.vars()).to_string()
    }

    /// The custom channel vars, to be changed by who needs them otherwise.
    pub(crate) fn vars(&self) -> Map<String, Value> {
        let vars = json!({
            "Account-ID": self.account.id,
            "Account-Name": self.account.name,
            "Account-Realm": self.account.realm,
            "Authorizing-ID": self.id,
            "Authorizing-Type": "device",
            "Owner-ID": self.owner_id,
            "Realm": self.account.realm,
            "Register-Overwrite-Notify": false,
            "Suppress-Unregister-Notifications": true,
            "Username": self.username,
        });
        match vars {
            Value::Object(vars) => vars,
            other => unreachable!("an object literal is no {other}"),
        }
    }
}

fn id(prefix: &str) -> String {
    format!("{prefix:0<32}")
}
