//! Who calls, and what they may do.

use std::fmt;
use std::sync::Arc;

use crate::http::App;
use crate::http::auth::account::Names;
use crate::http::auth::credential::Credential;
use crate::http::auth::jwt::{self, Claims, Refused};
use crate::http::auth::peer::Peer;
use crate::http::error::Error;
use crate::metrics::Refusal;
use crate::sessions::{Holder, Id};
use crate::tokens::{self, Accounts, Token};

/// A known caller.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// Root, or a member of the socket's group, over the Unix socket.
    Process {
        /// The user.
        uid: u32,
    },
    /// One with a token from the tokens file.
    Token(Arc<Token>),
    /// One with a token issued by Kazoo.
    Kazoo(Arc<Claims>),
}

/// What a caller wants to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Right {
    /// List and count.
    Read,
    /// Flush, and ask phones to act.
    Flush,
}

/// Why a caller is not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unknown {
    /// No token was presented.
    NoToken,
    /// One was, and is not good.
    Refused {
        /// The reason, as it is counted.
        counted: Refusal,
        /// The reason, as the debug log shows it.
        reason: Refused,
    },
}

/// Finds out who calls; counts the requests where it cannot.
pub(crate) fn authenticate(
    app: &App,
    peer: Peer,
    credential: &Credential,
) -> Result<Caller, Unknown> {
    let known = recognize(app, peer, credential);
    match &known {
        Ok(_) => {}
        Err(Unknown::NoToken) => app.metrics.http.refused(Refusal::Missing),
        Err(Unknown::Refused { counted, reason }) => {
            app.metrics.http.refused(*counted);
            tracing::debug!(client = %peer, refused = %reason, "refused a token");
        }
    }
    known
}

/// Resolves what is presented to a caller.
pub(crate) fn recognize(app: &App, peer: Peer, credential: &Credential) -> Result<Caller, Unknown> {
    if let Peer::Process { uid, trusted: true } = peer {
        return Ok(Caller::Process { uid });
    }
    match credential {
        Credential::Nothing => Err(Unknown::NoToken),
        Credential::Token(presented) => of_token(app, presented),
        Credential::Session(id) => of_session(app, *id).ok_or(Unknown::NoToken),
    }
}

/// Who is logged in. A session whose token is good no longer ends here.
fn of_session(app: &App, id: Id) -> Option<Caller> {
    let session = app.sessions.uses(id)?;
    let now = app.clock.unix_seconds();
    let caller = match &session.holder {
        Holder::Token { sha256 } => {
            let tokens = app.tokens.borrow();
            let token = tokens.find(sha256, now).ok();
            token.map(|token| Caller::Token(Arc::clone(token)))
        }
        Holder::Kazoo {
            signer,
            account_id,
            acting,
            expires,
        } => {
            let is_good = *expires > now && app.keys.borrow().know(signer);
            let account_id = account_id.as_str().into();
            let directory = app.directory.borrow();
            let claims = jwt::claims(&account_id, acting.as_deref(), *expires, &directory);
            claims.ok().filter(|_| is_good).map(Caller::Kazoo)
        }
    };
    if caller.is_none() {
        app.sessions.forget(id);
    }
    caller
}

fn of_token(app: &App, presented: &str) -> Result<Caller, Unknown> {
    let now = app.clock.unix_seconds();
    let expired = match app.tokens.borrow().verify(presented, now) {
        Ok(token) => return Ok(Caller::Token(Arc::clone(token))),
        Err(refused) => matches!(refused, tokens::Refused::Expired { .. }),
    };
    let directory = app.directory.borrow();
    let claims = app.keys.borrow().verify(presented, now, &directory);
    claims
        .map(Caller::Kazoo)
        .map_err(|reason| Unknown::Refused {
            counted: match reason {
                _ if expired => Refusal::Expired,
                Refused::Unknown => Refusal::Unknown,
                Refused::Expired => Refusal::Expired,
                Refused::NotGood | Refused::NotBelow => Refusal::Invalid,
            },
            reason,
        })
}

impl Caller {
    /// Whether the caller may do this at all.
    fn has(&self, right: Right) -> bool {
        match (self, right) {
            (Self::Process { .. } | Self::Kazoo(_), Right::Read | Right::Flush) => true,
            (Self::Token(token), Right::Read) => token.rights.read,
            (Self::Token(token), Right::Flush) => token.rights.flush,
        }
    }

    /// The Unix second from which on the caller's token is refused.
    pub(crate) fn expires(&self) -> Option<i64> {
        match self {
            Self::Process { .. } => None,
            Self::Token(token) => token.expires,
            Self::Kazoo(claims) => Some(claims.expires),
        }
    }

    /// The caller's own accounts; `None` for one who may see all.
    fn own(&self) -> Option<Vec<&str>> {
        match self {
            Self::Process { .. } => None,
            Self::Token(token) => match &token.accounts {
                Accounts::All => None,
                Accounts::List(ids) => Some(ids.iter().map(String::as_str).collect()),
            },
            Self::Kazoo(claims) => Some(vec![&claims.account_id]),
        }
    }

    /// Whether the caller may see the account: one of the caller's own, or one below it.
    fn sees(&self, account_id: &str, names: Names<'_>) -> bool {
        let Some(own) = self.own() else {
            return true;
        };
        let within = |own: &str| names.directory.is_within(account_id, own);
        own.iter().any(|own| within(own)) || own.iter().any(|own| within(&names.spelled(own)))
    }

    /// Whether the caller may do this with the account; with all that the caller may see, where there is none.
    pub(crate) fn may(
        &self,
        right: Right,
        account: Option<&str>,
        names: Names<'_>,
    ) -> Result<(), Error> {
        if self.has(right) && account.is_none_or(|account| self.sees(account, names)) {
            Ok(())
        } else {
            Err(Error::Forbidden)
        }
    }

    /// The ids of accounts that the caller's token names.
    pub(crate) fn named(&self) -> Vec<&str> {
        self.own().unwrap_or_default()
    }

    /// The ids of accounts on which its right to this one depends, as they are written and as domains.
    pub(crate) fn named_with(&self, account: Option<&str>) -> Vec<String> {
        let named = self.named().into_iter().chain(account);
        let mut ids: Vec<String> = named.map(str::to_owned).collect();
        let lower: Vec<_> = ids.iter().map(|id| id.to_ascii_lowercase()).collect();
        ids.extend(lower);
        ids.sort_unstable();
        ids.dedup();
        // The fleet's database has no text with a zero.
        ids.retain(|id| !id.contains('\0'));
        ids
    }

    /// The accounts that the caller may see, each once; `None` for one who may see all, and what is in no account.
    pub(crate) fn accounts(&self, names: Names<'_>) -> Option<Vec<String>> {
        let own = self.own()?.into_iter();
        let own = own.map(|id| names.spelled(id));
        let mut all: Vec<String> = own.flat_map(|id| names.directory.within(&id)).collect();
        all.sort_unstable();
        all.dedup();
        Some(all)
    }

    /// The account of a caller who has exactly one.
    pub(crate) fn only_account(&self, names: Names<'_>) -> Result<&str, Error> {
        match self.own().as_deref() {
            Some([only]) => Ok(only),
            Some(_) | None => Err(Error::Ambiguous {
                accounts: self.accounts(names).unwrap_or_default(),
            }),
        }
    }
}

/// The caller's name for log and audit; never the token.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { uid } => write!(f, "unix:{uid}"),
            Self::Token(token) => f.write_str(&token.name),
            Self::Kazoo(claims) => write!(f, "jwt:{}", claims.account_id),
        }
    }
}
