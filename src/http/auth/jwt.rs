//! Kazoo's tokens: JSON web tokens that Kazoo signs with RSA.
//!
//! Signature, `iss` and `exp` are checked. `identity_sig`, by which Kazoo revokes tokens, cannot be: it needs secrets from
//! Kazoo's database. So a revoked token stays valid here until it expires.
//!
//! Checking a signature takes longer than all the rest of a request, so the claims of the tokens used last are kept, for as
//! long as the keys stay the same.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use quick_cache::sync::Cache;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::accounts::directory::Directory;
use crate::sessions::Holder;

/// Tokens whose claims are kept; some hundred bytes each.
const RECENT: usize = 4096;

/// A token's characters, at most: none of Kazoo's is longer.
const MAX_LENGTH: usize = 8192;

/// The public keys that sign Kazoo's tokens.
#[derive(Clone)]
pub struct Keys {
    issuer: String,
    by_kid: HashMap<String, Key>,
    /// Claims whose signature and issuer are good.
    recent: Arc<Cache<Digest, Arc<Body>>>,
}

#[derive(Clone)]
struct Key {
    key: DecodingKey,
    /// What tells it from every other key, and from the same one under another id or of another issuer.
    signer: Arc<str>,
}

/// SHA-256 of a token. Looking it up takes a time that tells of the hash, and nothing of a token that is good.
type Digest = [u8; 32];

/// What a good token says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Claims {
    /// The account that it acts for.
    pub(crate) account_id: Arc<str>,
    /// The Unix second from which on it is refused.
    pub(crate) expires: i64,
}

/// A file that does not hold a key.
#[derive(Debug, Error)]
#[error("the key \"{kid}\" is not an RSA public key in PEM")]
pub struct BadKey {
    /// The key's id.
    pub kid: String,
    #[source]
    source: jsonwebtoken::errors::Error,
}

/// Why a token is refused; never says anything of the token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub(crate) enum Refused {
    /// Neither in the tokens file nor a JWT that could be Kazoo's.
    #[error("unknown token")]
    Unknown,
    /// Signed by somebody else, or for another issuer.
    #[error("invalid signature, issuer or claims")]
    NotGood,
    /// Expired.
    #[error("expired")]
    Expired,
    /// It acts for an account that is not below its own.
    #[error("acts for an account that is not below its own")]
    NotBelow,
}

#[derive(Deserialize, Debug)]
struct Body {
    account_id: Arc<str>,
    exp: i64,
    #[serde(rename = "as")]
    acting: Option<Acting>,
    /// The key that signed it.
    #[serde(skip)]
    signer: Arc<str>,
}

#[derive(Deserialize, Debug)]
struct Acting {
    account_id: Arc<str>,
}

impl Keys {
    /// Keys by their ids, in PEM.
    ///
    /// # Errors
    /// When one is not an RSA public key.
    pub fn new<'a>(
        issuer: &str,
        pems: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, BadKey> {
        let key = |(kid, pem): (&str, &[u8])| match DecodingKey::from_rsa_pem(pem) {
            Ok(key) => {
                let signer = signer(issuer, kid, pem);
                Ok((kid.to_owned(), Key { key, signer }))
            }
            Err(source) => Err(BadKey {
                kid: kid.to_owned(),
                source,
            }),
        };
        Ok(Self {
            issuer: issuer.to_owned(),
            by_kid: pems.into_iter().map(key).collect::<Result<_, _>>()?,
            ..Self::default()
        })
    }

    /// What a token says, if it is good at `now` (Unix seconds).
    pub(crate) fn verify(
        &self,
        token: &str,
        now: i64,
        directory: &Directory,
    ) -> Result<Arc<Claims>, Refused> {
        let body = self.body(token, now)?;
        let acting = body.acting.as_ref().map(|acting| &*acting.account_id);
        claims(&body.account_id, acting, body.exp, directory)
    }

    /// What is needed to look at a token again that is good at `now`.
    pub(crate) fn holder(&self, token: &str, now: i64) -> Result<Holder, Refused> {
        let body = self.body(token, now)?;
        let acting = body.acting.as_ref();
        Ok(Holder::Kazoo {
            signer: body.signer.to_string(),
            account_id: body.account_id.to_string(),
            acting: acting.map(|acting| acting.account_id.to_string()),
            expires: body.exp,
        })
    }

    /// Whether the key is still one of those that sign tokens.
    pub(crate) fn know(&self, signer: &str) -> bool {
        self.by_kid.values().any(|key| &*key.signer == signer)
    }

    fn body(&self, token: &str, now: i64) -> Result<Arc<Body>, Refused> {
        if self.by_kid.is_empty() || token.len() > MAX_LENGTH {
            return Err(Refused::Unknown);
        }
        let digest = digest(token);
        let body = if let Some(body) = self.recent.get(&digest) {
            body
        } else {
            let body = Arc::new(self.open(token)?);
            if body.exp > now {
                self.recent.insert(digest, Arc::clone(&body));
            }
            body
        };
        if body.exp <= now {
            self.recent.remove(&digest);
            return Err(Refused::Expired);
        }
        Ok(body)
    }

    /// The claims of a token that is signed with one of the keys, for our issuer.
    fn open(&self, token: &str) -> Result<Body, Refused> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| Refused::Unknown)?;
        let key = header
            .kid
            .and_then(|kid| self.by_kid.get(&kid))
            .ok_or(Refused::Unknown)?;
        let good = jsonwebtoken::decode::<Body>(token, &key.key, &self.validation())
            .map_err(|_| Refused::NotGood)?;
        Ok(Body {
            signer: Arc::clone(&key.signer),
            ..good.claims
        })
    }

    fn validation(&self) -> Validation {
        let mut validation = Validation::new(Algorithm::RS256);
        validation.algorithms = vec![Algorithm::RS256, Algorithm::RS384, Algorithm::RS512];
        validation.set_issuer(&[&self.issuer]);
        validation.set_required_spec_claims(&["iss", "exp"]);
        // Checked above, against the injected clock and without leeway, as Kazoo does.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            by_kid: HashMap::new(),
            recent: Arc::new(Cache::new(RECENT)),
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("issuer", &self.issuer)
            .field("kids", &self.by_kid.keys())
            .finish_non_exhaustive()
    }
}

/// What a token says that acts for the account `acting`, by the directory.
pub(crate) fn claims(
    account_id: &Arc<str>,
    acting: Option<&str>,
    expires: i64,
    directory: &Directory,
) -> Result<Arc<Claims>, Refused> {
    let account_id = match acting {
        Some(acting) if *acting == **account_id => Arc::clone(account_id),
        Some(acting) if directory.is_within(acting, account_id) => acting.into(),
        Some(_) => return Err(Refused::NotBelow),
        None => Arc::clone(account_id),
    };
    Ok(Arc::new(Claims {
        account_id,
        expires,
    }))
}

fn signer(issuer: &str, kid: &str, pem: &[u8]) -> Arc<str> {
    let mut hash = Sha256::new();
    for part in [issuer.as_bytes(), kid.as_bytes(), pem] {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hex::encode(hash.finalize()).into()
}

fn digest(token: &str) -> Digest {
    Sha256::digest(token.as_bytes()).into()
}
