//! Kazoo's tokens: JSON web tokens, signed by Kazoo with RSA.
//!
//! Signature, `iss` and `exp` are checked here. `identity_sig`, by which Kazoo revokes its tokens, needs secrets
//! of its database, so that a revoked token is good here until it expires.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use thiserror::Error;

use crate::directory::Directory;

/// A token's characters, at most: more is no token of Kazoo's.
const MAX_LENGTH: usize = 8192;

/// The public keys that sign Kazoo's tokens.
#[derive(Clone, Default)]
pub struct Keys {
    issuer: String,
    keys: HashMap<String, DecodingKey>,
}

/// What a good token says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Claims {
    /// The account that it acts for.
    pub(super) account_id: Arc<str>,
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
pub(super) enum Refused {
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

#[derive(Deserialize)]
struct Body {
    account_id: Arc<str>,
    exp: i64,
    #[serde(rename = "as")]
    acting: Option<Acting>,
}

#[derive(Deserialize)]
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
            keys: pems.into_iter().map(key).collect::<Result<_, _>>()?,
        })
    }

    /// What a token says, if it is good at `now` (Unix seconds).
    pub(super) fn verify(
        &self,
        token: &str,
        now: i64,
        directory: &Directory,
    ) -> Result<Arc<Claims>, Refused> {
        if self.keys.is_empty() || token.len() > MAX_LENGTH {
            return Err(Refused::Unknown);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Refused::Unknown)?;
        let key = header
            .kid
            .and_then(|kid| self.keys.get(&kid))
            .ok_or(Refused::Unknown)?;
        let body = jsonwebtoken::decode::<Body>(token, key, &self.validation())
            .map_err(|_| Refused::NotGood)?
            .claims;
        if body.exp <= now {
            return Err(Refused::Expired);
        }
        let account_id = match body.acting {
            None => body.account_id,
            Some(acting) if acting.account_id == body.account_id => body.account_id,
            Some(acting) if directory.is_within(&acting.account_id, &body.account_id) => {
                acting.account_id
            }
            Some(_) => return Err(Refused::NotBelow),
        };
        Ok(Arc::new(Claims { account_id }))
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
            .field("kids", &self.keys.keys())
            .finish_non_exhaustive()
    }
}
