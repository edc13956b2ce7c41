//! The directory's file: read in one piece, each mistake with its place.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Account, Device, Directory, Error};
use crate::registration::Text;
use crate::registration::intern::Interner;

/// The outline of the file; what is in the lists keeps its place in the text.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Outline<'a> {
    #[serde(default, borrow)]
    accounts: Vec<&'a RawValue>,
    #[serde(default, borrow)]
    devices: Vec<&'a RawValue>,
}

/// A directory that is being read.
struct Reading<'a> {
    text: &'a str,
    directory: Directory,
    /// Where each account stands.
    places: HashMap<Arc<str>, &'a str>,
    /// The devices' ids, which are unique in their account.
    devices: HashSet<(Arc<str>, Text)>,
    /// What many devices have in common.
    shared: Interner<Arc<str>>,
}

pub(super) fn parse(text: &str) -> Result<Directory, Error> {
    let outline: Outline<'_> =
        serde_json::from_str(text).map_err(|error| shape(text, 0, &error))?;
    let mut reading = Reading {
        text,
        directory: Directory::default(),
        places: HashMap::new(),
        devices: HashSet::new(),
        shared: Interner::default(),
    };
    for account in outline.accounts {
        reading.add_account(account.get())?;
    }
    reading.check_tree()?;
    for device in outline.devices {
        reading.add_device(device.get())?;
    }
    Ok(reading.directory)
}

impl<'a> Reading<'a> {
    fn add_account(&mut self, text: &'a str) -> Result<(), Error> {
        let account: Account = self.read(text)?;
        let id = Arc::clone(&account.id);
        if let Some(realm) = &account.realm {
            let lower = realm.to_ascii_lowercase();
            if self
                .directory
                .by_realm
                .insert(lower, Arc::clone(&id))
                .is_some()
            {
                let message = format!("two accounts have the realm \"{realm}\"");
                return Err(self.content(text, "realm", message));
            }
        }
        self.directory
            .by_domain
            .entry(id.to_ascii_lowercase())
            .and_modify(|several| *several = None)
            .or_insert_with(|| Some(Arc::clone(&id)));
        if self
            .directory
            .accounts
            .insert(Arc::clone(&id), account)
            .is_some()
        {
            let message = format!("two accounts have the id \"{id}\"");
            return Err(self.content(text, "id", message));
        }
        self.places.insert(id, text);
        Ok(())
    }

    fn add_device(&mut self, text: &'a str) -> Result<(), Error> {
        let mut device: Device = self.read(text)?;
        let Some((account, _)) = self.directory.accounts.get_key_value(&device.account_id) else {
            let message = format!(
                "device \"{}\" names the account \"{}\", which is not there",
                device.id.lossy(),
                device.account_id
            );
            return Err(self.content(text, "account_id", message));
        };
        device.account_id = Arc::clone(account);
        device.kind = device.kind.map(|kind| self.shared.get(&kind));
        let account = Arc::clone(&device.account_id);
        if !self
            .devices
            .insert((Arc::clone(&account), device.id.clone()))
        {
            let message = format!(
                "two devices of the account \"{account}\" have the id \"{}\"",
                device.id.lossy()
            );
            return Err(self.content(text, "id", message));
        }
        let lower = device.username.to_ascii_lowercase();
        let lower = if lower == *device.username {
            Arc::clone(&device.username)
        } else {
            lower.into()
        };
        let devices = self
            .directory
            .devices
            .entry(Arc::clone(&account))
            .or_default();
        if let Some(twin) = devices.insert(lower, device) {
            let message = format!(
                "two devices of the account \"{account}\" have the username \"{}\"",
                twin.username
            );
            return Err(self.content(text, "username", message));
        }
        Ok(())
    }

    /// Every parent is there, and no account lies below itself. Looks at each account once, however deep they lie.
    fn check_tree(&self) -> Result<(), Error> {
        let mut good: HashSet<&str> = HashSet::new();
        for account in self.directory.accounts.values() {
            let mut path: HashSet<&str> = HashSet::new();
            let mut next = Some(account);
            while let Some(account) = next.filter(|account| !good.contains(&*account.id)) {
                if !path.insert(&account.id) {
                    let message = format!("account \"{}\" lies below itself", account.id);
                    return Err(self.of_account(&account.id, message));
                }
                let Some(parent) = &account.parent else { break };
                next = self.directory.accounts.get(parent);
                if next.is_none() {
                    let message = format!(
                        "account \"{}\" names the parent \"{parent}\", which is not there",
                        account.id
                    );
                    return Err(self.of_account(&account.id, message));
                }
            }
            good.extend(path);
        }
        Ok(())
    }

    fn of_account(&self, id: &str, message: String) -> Error {
        let text = self.places.get(id).copied().unwrap_or(self.text);
        self.content(text, "parent", message)
    }

    /// Reads one entry, which is a part of the whole text.
    fn read<T: Deserialize<'a>>(&self, entry: &'a str) -> Result<T, Error> {
        let at = self.offset(entry);
        serde_json::from_str(entry).map_err(|error| shape(self.text, at, &error))
    }

    /// A contradiction in the value of `key` of an entry.
    fn content(&self, entry: &str, key: &str, message: String) -> Error {
        let (line, column) = place(self.text, self.offset(entry) + key_in(entry, key));
        Error {
            line,
            column,
            message,
        }
    }

    /// Where an entry begins.
    fn offset(&self, entry: &str) -> usize {
        let begin = |text: &str| text.as_ptr().addr();
        begin(entry).saturating_sub(begin(self.text))
    }
}

/// Where `key` stands in an entry; its beginning, if nowhere.
fn key_in(entry: &str, key: &str) -> usize {
    let quoted = format!("\"{key}\"");
    let is_key = |at: &usize| {
        let after = entry.get(at + quoted.len()..).unwrap_or_default();
        after.trim_start().starts_with(':')
    };
    let mut found = entry.match_indices(&quoted).map(|(at, _)| at);
    found.find(is_key).unwrap_or(0)
}

/// The error in the part of `text` that begins at `begin`.
fn shape(text: &str, begin: usize, error: &serde_json::Error) -> Error {
    let (line, column) = place(text, begin);
    let column = match error.line() {
        0 | 1 => column - 1 + error.column(),
        _ => error.column(),
    };
    // The parser says the place once more at the end.
    let message = error.to_string();
    let message = message
        .rsplit_once(" at line ")
        .map_or(message.as_str(), |(message, _)| message);
    Error {
        line: line - 1 + error.line().max(1),
        column: column.max(1),
        message: message.to_owned(),
    }
}

/// Line and column (from 1) of the byte at `at`.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.as_bytes().get(..at).unwrap_or_default();
    let lines = before.split(|byte| *byte == b'\n');
    let column = lines.clone().next_back().map_or(0, <[u8]>::len);
    (lines.count(), column + 1)
}
