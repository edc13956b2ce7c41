//! The order of lists: username (in any case), then contact.

use std::sync::Arc;

use crate::registration::Binding;

/// A place in the order of lists, as bytes that compare like the rows: lower-cased username, contact, domain,
/// exact username, table, ruid; each ended by 0 0, with a zero byte inside written as 0 1.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Position(Arc<[u8]>);

impl Position {
    /// The place of this row.
    pub(super) fn of(binding: &Binding) -> Self {
        let mut key = group(binding);
        part(&mut key, binding.key.table.as_bytes());
        part(&mut key, binding.key.ruid.0.as_bytes());
        Self(key.into())
    }

    /// A place as it was given out, for [`View::page`](super::View::page) to go on from; any bytes will do.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The place just before all rows of the user, whatever the case of the username.
    #[must_use]
    pub fn before_user(username: &[u8]) -> Self {
        Self::from_bytes(&user_prefix(username))
    }

    /// The bytes, to be given out.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The place before all rows of the user, whatever the username's case. Rows of this user start with it.
pub(super) fn user_prefix(username: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(username.len() + 2);
    part(&mut key, &username.to_ascii_lowercase());
    key
}

/// What rows that count once have in common: username, contact and domain.
pub(super) fn group(binding: &Binding) -> Vec<u8> {
    let mut key = Vec::with_capacity(128);
    part(&mut key, &binding.username.as_bytes().to_ascii_lowercase());
    part(&mut key, binding.contact.as_bytes());
    match &binding.domain {
        Some(domain) => {
            key.push(1);
            part(&mut key, domain.as_bytes());
        }
        None => key.push(0),
    }
    part(&mut key, binding.username.as_bytes());
    key
}

fn part(key: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        key.push(*byte);
        if *byte == 0 {
            key.push(1);
        }
    }
    key.extend_from_slice(&[0, 0]);
}
