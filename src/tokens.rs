//! Our own tokens: the file that lists them, and the check of one that a caller presents.
//!
//! A token is 256 random bits; the file holds its SHA-256 only. Nothing here shows a token or its hash, in `Debug`
//! or in a message. [`TokenSet`] is pure; [`load`], [`add`] and [`revoke`] touch the file.

mod file;
mod parse;

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use thiserror::Error;

pub use crate::document::Problems;
pub use file::{Loaded, Stanza, TokenFileError, add, load, revoke};
pub use parse::{expiry, parse};

/// The prefix of usrlocd's tokens, by which people and secret scanners recognise them.
pub const PREFIX: &str = "usrlocd_";

/// Random bytes of a token.
const RANDOM_BYTES: usize = 32;

/// All tokens that are good.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TokenSet {
    tokens: Vec<Arc<Token>>,
}

/// One of usrlocd's tokens, without the secret.
#[derive(Clone, PartialEq)]
pub struct Token {
    /// What logs and the audit show; unique.
    pub name: String,
    /// The accounts that it may see.
    pub accounts: Accounts,
    /// What it may do.
    pub rights: Rights,
    /// The Unix second from which on it is refused.
    pub expires: Option<i64>,
    digest: [u8; RANDOM_BYTES],
}

/// Whose registrations a token may see.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Accounts {
    /// Every account's.
    All,
    /// Those of these account ids and of their descendants; at least one.
    List(Vec<String>),
}

/// What a token may do; at least one of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rights {
    /// List and count.
    pub read: bool,
    /// Flush.
    pub flush: bool,
}

/// Why a token is refused.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Refused {
    /// Not one of usrlocd's tokens.
    #[error("unknown token")]
    Unknown,
    /// Its time is over.
    #[error("the token `{name}` has expired")]
    Expired {
        /// The token's name.
        name: String,
    },
}

/// The system has no random numbers for us.
#[derive(Debug, Error)]
#[error("the system does not provide random numbers")]
pub struct NoRandomness(#[source] getrandom::Error);

impl TokenSet {
    /// The token that `presented` is, at `now` (Unix seconds).
    ///
    /// Takes the same time whichever token matches, and whether one does.
    ///
    /// # Errors
    /// If it is not one of usrlocd's, or has expired.
    pub fn verify(&self, presented: &str, now: i64) -> Result<&Arc<Token>, Refused> {
        let digest = digest(presented);
        let mut found = Choice::from(0);
        let mut index = 0_u64;
        for (candidate, token) in (0_u64..).zip(&self.tokens) {
            let equal = token.digest.ct_eq(&digest);
            index.conditional_assign(&candidate, equal);
            found |= equal;
        }
        let token = usize::try_from(index)
            .ok()
            .filter(|_| bool::from(found))
            .and_then(|index| self.tokens.get(index))
            .ok_or(Refused::Unknown)?;
        token.valid(now)
    }

    /// The token with this `sha256`, as the file has it, at `now` (Unix seconds). Takes a time that tells of the hash, and so
    /// is for hashes that are known to be of a good token.
    ///
    /// # Errors
    /// If there is none, or it has expired.
    pub fn find(&self, sha256: &str, now: i64) -> Result<&Arc<Token>, Refused> {
        let mut digest = [0; RANDOM_BYTES];
        hex::decode_to_slice(sha256, &mut digest).map_err(|_| Refused::Unknown)?;
        let found = self.tokens.iter().find(|token| token.digest == digest);
        found.ok_or(Refused::Unknown)?.valid(now)
    }

    /// The tokens in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Token>> {
        self.tokens.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there is none, so that every caller over TCP is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }
}

impl Token {
    /// The hash of its characters, as the file has it.
    #[must_use]
    pub fn sha256(&self) -> String {
        hex::encode(self.digest)
    }

    /// [`sha256`](Self::sha256) as bytes.
    #[must_use]
    pub fn digest(&self) -> &[u8] {
        &self.digest
    }

    fn valid(self: &Arc<Self>, now: i64) -> Result<&Arc<Self>, Refused> {
        if self.expires.is_some_and(|expires| expires <= now) {
            return Err(Refused::Expired {
                name: self.name.clone(),
            });
        }
        Ok(self)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("name", &self.name)
            .field("accounts", &self.accounts)
            .field("rights", &self.rights)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::List(ids) => f.write_str(&ids.join(",")),
        }
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.read, self.flush) {
            (true, true) => "read,flush",
            (true, false) => "read",
            (false, true) => "flush",
            (false, false) => "none",
        })
    }
}

/// A new token, to be shown once: [`PREFIX`] and 64 hex digits.
///
/// # Errors
/// When the system does not provide random numbers.
pub fn new_token() -> Result<String, NoRandomness> {
    let mut bytes = [0; RANDOM_BYTES];
    getrandom::fill(&mut bytes).map_err(NoRandomness)?;
    Ok(format!("{PREFIX}{}", hex::encode(bytes)))
}

/// The `sha256` of a token, as the file has it.
#[must_use]
pub fn sha256_hex(token: &str) -> String {
    hex::encode(digest(token))
}

/// The moment as the file has it: an RFC 3339 date-time in UTC.
#[must_use]
pub fn show_expiry(unix: i64) -> String {
    Timestamp::from_second(unix).map_or_else(|_| unix.to_string(), |moment| moment.to_string())
}

fn digest(token: &str) -> [u8; RANDOM_BYTES] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests;
