//! Kazoo's tokens: JSON web tokens, signed by Kazoo with RSA.
//!
//! Signature, `iss` and `exp` are checked here. `identity_sig`, by which Kazoo revokes its tokens, needs secrets
//! of its database, so that a revoked token is good here until it expires.
//!
//! Checking a signature takes longer than all the rest of a request, so what a good token says is remembered, as long
//! as the keys are the same ones.

mod recent;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

use self::recent::Recent;
use crate::accounts::directory::Directory;

/// A token's characters, at most: more is no token of Kazoo's.
const MAX_LENGTH: usize = 8192;

/// The public keys that sign Kazoo's tokens.
#[derive(Clone, Default)]
pub struct Keys {
    issuer: String,
    by_kid: HashMap<String, DecodingKey>,
    /// Claims whose signature and issuer are good.
    recent: Arc<Recent<Arc<Body>>>,
}

/// What a good token says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Claims {
    /// The account that it acts for.
    pub(crate) account_id: Arc<str>,
}

/// A key file that holds no key.
#[derive(Debug, Error)]
#[error("the key \"{kid}\" is no RSA public key in PEM")]
pub struct BadKey {
    /// The key's id.
    pub kid: String,
    #[source]
    source: jsonwebtoken::errors::Error,
}

/// Why a token is refused; never says anything of the token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub(crate) enum Refused {
    /// Not a token of ours, nor a JWT that could be Kazoo's.
    #[error("it is not known")]
    Unknown,
    /// Signed by somebody else, or for another issuer.
    #[error("its signature, issuer or claims are not good")]
    NotGood,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// It acts for an account that is not below its own.
    #[error("it acts for an account that is not below its own")]
    NotBelow,
}

#[derive(Deserialize, Debug)]
struct Body {
    account_id: Arc<str>,
    exp: i64,
    #[serde(rename = "as")]
    acting: Option<Acting>,
}

#[derive(Deserialize, Debug)]
struct Acting {
    account_id: Arc<str>,
}

impl Keys {
    /// Keys by their ids, in PEM.
    ///
    /// # Errors
    /// When one is no RSA public key.
    pub fn new<'a>(
        issuer: &str,
        pems: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, BadKey> {
        let key = |(kid, pem): (&str, &[u8])| match DecodingKey::from_rsa_pem(pem) {
            Ok(key) => Ok((kid.to_owned(), key)),
            Err(source) => Err(BadKey {
                kid: kid.to_owned(),
                source,
            }),
        };
        Ok(Self {
            issuer: issuer.to_owned(),
            by_kid: pems.into_iter().map(key).collect::<Result<_, _>>()?,
            recent: Arc::default(),
        })
    }

    /// What a token says, if it is good at `now` (Unix seconds).
    pub(crate) fn verify(
        &self,
        token: &str,
        now: i64,
        directory: &Directory,
    ) -> Result<Arc<Claims>, Refused> {
        if self.by_kid.is_empty() || token.len() > MAX_LENGTH {
            return Err(Refused::Unknown);
        }
        let digest = digest(token);
        let body = if let Some(body) = self.recent.get(&digest) {
            body
        } else {
            let body = Arc::new(self.open(token)?);
            if body.exp > now {
                self.recent.put(digest, Arc::clone(&body));
            }
            body
        };
        if body.exp <= now {
            self.recent.forget(&digest);
            return Err(Refused::Expired);
        }
        let account_id = match &body.acting {
            None => &body.account_id,
            Some(acting) if acting.account_id == body.account_id => &body.account_id,
            Some(acting) if directory.is_within(&acting.account_id, &body.account_id) => {
                &acting.account_id
            }
            Some(_) => return Err(Refused::NotBelow),
        };
        Ok(Arc::new(Claims {
            account_id: Arc::clone(account_id),
        }))
    }

    /// The claims of a token that is signed with one of the keys, for our issuer.
    fn open(&self, token: &str) -> Result<Body, Refused> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| Refused::Unknown)?;
        let key = header
            .kid
            .and_then(|kid| self.by_kid.get(&kid))
            .ok_or(Refused::Unknown)?;
        jsonwebtoken::decode::<Body>(token, key, &self.validation())
            .map(|good| good.claims)
            .map_err(|_| Refused::NotGood)
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

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("issuer", &self.issuer)
            .field("kids", &self.by_kid.keys())
            .finish_non_exhaustive()
    }
}

fn digest(token: &str) -> recent::Digest {
    Sha256::digest(token.as_bytes()).into()
}
