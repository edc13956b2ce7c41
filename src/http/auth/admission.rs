//! Admission: a caller must be known, and must not ask too often.

use crate::http::App;
use crate::http::auth::access::{Caller, Unknown, authenticate};
use crate::http::auth::credential::Credential;
use crate::http::auth::limits::{Empty, Key};
use crate::http::auth::peer::Peer;
use crate::http::error::Error;
use crate::http::request::call::Call;
use crate::http::request::flush_params;
use crate::metrics::Bucket;

/// Finds out who calls, by a token or by a session, and takes the request out of the caller's buckets. Callers with a good
/// token and others never share a bucket, so that bad tokens cannot get a good one from the same address refused. `acts` says
/// whether the request is to change something or to disturb a phone.
pub(crate) fn admit(app: &App, peer: Peer, call: &Call, acts: bool) -> Result<Caller, Error> {
    admit_by(app, peer, call, &Credential::of(app, call), acts)
}

/// [`admit`], by this credential.
pub(crate) fn admit_by(
    app: &App,
    peer: Peer,
    call: &Call,
    credential: &Credential,
    acts: bool,
) -> Result<Caller, Error> {
    let client = Key::Client(peer.origin());
    match authenticate(app, peer, credential) {
        Ok(caller) => {
            let key = match (&caller, credential) {
                // With a session or without, it is the same token.
                (Caller::Token(token), _) => Key::token(token.digest(), peer.origin()),
                (Caller::Kazoo(_), Credential::Token(token)) => {
                    Key::token(token.as_bytes(), peer.origin())
                }
                (Caller::Kazoo(_), Credential::Session(id)) => Key::token(&id.0, peer.origin()),
                // On the socket the user decides, whatever token is sent.
                (_, _) => client,
            };
            take_tokens(app, key, call, acts)?;
            Ok(caller)
        }
        Err(unknown) => {
            admit_stranger(app, peer)?;
            if unknown != Unknown::NoToken {
                let failures = |empty| too_many(app, Bucket::Failures, empty);
                app.limits.borrow().failure(client).map_err(failures)?;
            }
            Err(Error::InvalidCredentials)
        }
    }
}

/// Takes a request without a good token out of its bucket.
pub(crate) fn admit_stranger(app: &App, peer: Peer) -> Result<(), Error> {
    let key = Key::Client(peer.origin());
    let requests = |empty| too_many(app, Bucket::Requests, empty);
    app.limits.borrow().stranger(key).map_err(requests)
}

/// Takes a request out of the buckets of `key`.
fn take_tokens(app: &App, key: Key, call: &Call, acts: bool) -> Result<(), Error> {
    let limits = app.limits.borrow();
    let requests = |empty| too_many(app, Bucket::Requests, empty);
    limits.request(key).map_err(requests)?;
    if acts && !flush_params::is_dry(&call.params) {
        let deletes = |empty| too_many(app, Bucket::Deletes, empty);
        limits.delete(key).map_err(deletes)?;
    }
    Ok(())
}

fn too_many(app: &App, bucket: Bucket, Empty { retry_after }: Empty) -> Error {
    app.metrics.http.limited(bucket);
    Error::TooManyRequests { retry_after }
}
