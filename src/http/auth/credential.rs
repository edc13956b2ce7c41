//! What a request presents to say who calls: a token, or the cookie of a session. A token beats the cookie.
//!
//! A browser sends the cookie by itself, so that a page of another site could use it: `cross_site` refuses that before
//! anybody looks here, and the cookie is `SameSite=Strict`. A request with a cookie and without what every browser says of
//! where it comes from is no browser's.

use std::fmt;

use http::{HeaderMap, header};

use crate::http::App;
use crate::http::request::call::Call;
use crate::sessions::Id;

/// What a request presents. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    /// Nothing, or the cookie of a session that is over.
    Nothing,
    /// A token.
    Token(String),
    /// The cookie of a session that is open.
    Session(Id),
}

impl Credential {
    /// That of a request. It is a use of its session.
    pub(crate) fn of(app: &App, call: &Call) -> Self {
        match Self::token(call) {
            Self::Nothing => Self::session(app, call),
            token => token,
        }
    }

    /// The session of a request, whatever token it has.
    pub(crate) fn session(app: &App, call: &Call) -> Self {
        if !app.settings.ui {
            return Self::Nothing;
        }
        let mut values = cookies(&call.headers, app.sessions.cookie());
        let session = values.find_map(|value| app.sessions.find(value));
        session.map_or(Self::Nothing, Self::Session)
    }

    /// That of a request whose cookie does not count.
    pub(crate) fn token(call: &Call) -> Self {
        let token = call.token();
        token.map_or(Self::Nothing, |token| {
            Self::Token(token.reveal().to_owned())
        })
    }
}

/// The values of the cookies that are called `name` (RFC 6265, 5.4).
fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let texts = headers.get_all(header::COOKIE).iter();
    texts
        .filter_map(|text| text.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter_map(move |(own, value)| (own == name).then_some(value))
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Token(_) => "Token(…)",
            Self::Session(_) => "Session(…)",
        })
    }
}
