//! Answers requests to the API: every check, in the one order that the contract names.
//!
//! What cannot be read, rate, token, access, account, method, user, query: the first that fails is the answer.

pub(crate) mod chosen;
pub(crate) mod flush;
pub(crate) mod health;
pub(crate) mod keep_newest;
pub(crate) mod list;
pub(crate) mod openapi;
pub(crate) mod select;
pub(crate) mod subject;

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, Method, Request, StatusCode, header};

use crate::accounts::directory::Directory;
use crate::http::App;
use crate::http::api::list as registrations;
use crate::http::api::subject::Subject;
use crate::http::auth::access::{Caller, Right, Unknown, authenticate};
use crate::http::auth::account::Names;
use crate::http::auth::cross_site::{self, Verdict};
use crate::http::auth::peer::Peer;
use crate::http::error::Error;
use crate::http::request::call::{Call, asks_for_pretty};
use crate::http::request::request_id::RequestId;
use crate::http::request::route::{Route, What, Whose};
use crate::http::request::secret::Secret;
use crate::http::response::body::indented;
use crate::http::response::envelope::Envelope;
use crate::http::server::limits::{Empty, Key};
use crate::http::server::middleware as front;
use crate::metrics::Bucket;
use crate::registry::{Scope, SourceState};

/// How long a request waits while what an earlier run kept is still being read.
const RESTORE_PATIENCE: Duration = Duration::from_secs(2);

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Answers whatever has no route of its own.
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(id): Extension<RequestId>,
    Extension(verdict): Extension<Verdict>,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    let pretty = asks_for_pretty(&parts);
    let asked = Asked {
        peer,
        id: &id,
        verdict,
    };
    match answer(&app, asked, parts, body).await {
        Ok(response) => response,
        Err(error) => refuse(&app, &id, &error, pretty),
    }
}

/// Who asks, and what became known of it before the request was read.
#[derive(Clone, Copy, Debug)]
struct Asked<'a> {
    peer: Peer,
    id: &'a RequestId,
    verdict: Verdict,
}

impl Asked<'_> {
    /// Reads the request; refuses what a page of another site would have changed.
    async fn read(self, app: &App, parts: Parts, body: Body) -> Result<Call, Error> {
        let limits = Arc::clone(&app.limits.borrow());
        let changes = cross_site::may_change(&parts);
        let read = Call::read(parts, body, limits.body_bytes, limits.header_timeout).await;
        match self.verdict {
            Verdict::Pass => read,
            // Whether there is a token in it nobody knows.
            Verdict::WithTokenInBody if changes && read.is_err() => Err(Error::CrossSite),
            Verdict::WithTokenInBody | Verdict::ReadOnly => {
                let call = read?;
                let invited = self.verdict == Verdict::WithTokenInBody && call.has_token_in_body();
                if !invited && (changes || call.says_delete()) {
                    return Err(Error::CrossSite);
                }
                Ok(call)
            }
        }
    }
}

async fn answer(
    app: &Arc<App>,
    asked: Asked<'_>,
    parts: Parts,
    body: Body,
) -> Result<Response, Error> {
    let Asked { peer, id, .. } = asked;
    let route = Route::parse(parts.uri.path());
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let call = asked.read(app, parts, body).await?;
    let route = match route {
        Some(route) if call.method != Method::OPTIONS => route,
        // Neither needs a token.
        other => {
            stranger(app, peer)?;
            let route = other.ok_or(Error::NotFound)?;
            return Ok(allowed(route.allow()));
        }
    };
    let caller = admit(app, peer, &call)?;
    let directory = Arc::clone(&app.directory.borrow());
    let names = Names::of(app, &directory);
    if let Whose::Account(id) = &route.realm
        && names.need_rows(id)
    {
        let all = app.registry.wait_for(Scope::System);
        let restored = tokio::time::timeout(RESTORE_PATIENCE, all).await;
        restored.map_err(|_| Error::DatastoreUnreachable)?;
    }
    let account = authorize(&caller, &route, &call.method, names)?;
    let scope = account.as_deref().map_or(Scope::System, Scope::Account);
    is_known(app, scope, &call.method, &directory).await?;
    if !route.allows(&call.method) {
        let allow = route.allow();
        return Err(Error::MethodNotAllowed { allow });
    }
    if let (Scope::Account(account), What::User(username)) = (scope, &route.what)
        && !registrations::is_known(app, account, username.as_bytes(), &directory)
    {
        let username = username.lossy().into_owned();
        return Err(Error::UnknownUser { username });
    }
    let accounts = match scope {
        Scope::System => caller.accounts(names),
        Scope::Account(_) => None,
    };
    let subject = Subject {
        scope,
        accounts: accounts.as_deref(),
        username: match &route.what {
            What::User(username) => Some(username.as_bytes()),
            What::List | What::Count => None,
        },
    };
    if call.method == Method::DELETE {
        let who = flush::Who {
            caller: &caller,
            peer,
            query: Secret::new(&query),
        };
        return flush::flush(app, &call, subject, &who, id, &directory).await;
    }
    let response = match route.what {
        What::List | What::User(_) => registrations::list(app, &call, subject, id).await?,
        What::Count => registrations::count(app, &call, subject, id).await?,
    };
    // The directory changes in one moment with the registrations. If that was in between, these may be those of
    // another account than the one that the caller may see.
    let now = Arc::clone(&app.directory.borrow());
    if !Arc::ptr_eq(&now, &directory) {
        let names = Names::of(app, &now);
        authorize(&caller, &route, &call.method, names)?;
        if scope == Scope::System && caller.accounts(names) != accounts {
            // Whoever asks again is answered by the directory that there is now.
            return Err(Error::DatastoreUnreachable);
        }
    }
    Ok(response)
}

/// Lets in whoever is known and does not come too often. Each takes from the buckets of its kind alone: bad tokens never
/// have a good one of the same address refused.
fn admit(app: &App, peer: Peer, call: &Call) -> Result<Caller, Error> {
    let client = Key::Client(peer.origin());
    match authenticate(app, peer, call) {
        Ok(caller) => {
            let key = match (&caller, call.token()) {
                (Caller::Token(_) | Caller::Kazoo(_), Some(token)) => {
                    Key::token(token, peer.origin())
                }
                // On the socket the user decides, whatever token is brought.
                (_, _) => client,
            };
            take_tokens(app, key, call)?;
            Ok(caller)
        }
        Err(unknown) => {
            stranger(app, peer)?;
            if unknown != Unknown::NoToken {
                let failures = |empty| too_many(app, Bucket::Failures, empty);
                app.limits.borrow().failure(client).map_err(failures)?;
            }
            Err(Error::InvalidCredentials)
        }
    }
}

/// Takes a request out of the buckets of `key`.
fn take_tokens(app: &App, key: Key, call: &Call) -> Result<(), Error> {
    let limits = app.limits.borrow();
    let requests = |empty| too_many(app, Bucket::Requests, empty);
    limits.request(key).map_err(requests)?;
    if call.method == Method::DELETE && !flush::is_dry(&call.params) {
        let deletes = |empty| too_many(app, Bucket::Deletes, empty);
        limits.delete(key).map_err(deletes)?;
    }
    Ok(())
}

/// Takes a request without a good token out of its bucket.
fn stranger(app: &App, peer: Peer) -> Result<(), Error> {
    let key = Key::Client(peer.origin());
    let requests = |empty| too_many(app, Bucket::Requests, empty);
    app.limits.borrow().stranger(key).map_err(requests)
}

fn too_many(app: &App, bucket: Bucket, Empty { retry_after }: Empty) -> Error {
    app.metrics.http.limited(bucket);
    Error::TooManyRequests { retry_after }
}

/// The account that is asked for, if the caller may.
fn authorize(
    caller: &Caller,
    route: &Route,
    method: &Method,
    names: Names<'_>,
) -> Result<Option<String>, Error> {
    let account = match &route.realm {
        Whose::System => None,
        Whose::Account(id) => Some(names.spelled(id).into_owned()),
        Whose::Own => Some(names.spelled(caller.only_account(names)?).into_owned()),
    };
    let right = match *method {
        Method::DELETE => Right::Flush,
        _ => Right::Read,
    };
    caller.may(right, account.as_deref(), names)?;
    Ok(account)
}

/// Whether there is such an account; waits a little where that cannot be told yet.
async fn is_known(
    app: &App,
    scope: Scope<'_>,
    method: &Method,
    directory: &Directory,
) -> Result<(), Error> {
    // A flush changes what the registry has, which must be all by then.
    let needed = match *method {
        Method::DELETE => Scope::System,
        _ => scope,
    };
    let known = tokio::time::timeout(RESTORE_PATIENCE, app.registry.wait_for(needed)).await;
    // Before the tables have been read, nobody is known, and saying so would be a lie.
    if known.is_err() || app.registry.source_of_answers().state == SourceState::Unavailable {
        return Err(Error::DatastoreUnreachable);
    }
    match scope {
        Scope::Account(id)
            if directory.account(id).is_none() && !app.registry.knows_account(id) =>
        {
            Err(Error::UnknownAccount { id: id.to_owned() })
        }
        Scope::Account(_) | Scope::System => Ok(()),
    }
}

/// The answer to OPTIONS.
pub(crate) fn allowed(methods: &'static str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(methods));
    response
}

/// The answer to a request that fails; `pretty` indents it.
pub(crate) fn refuse(app: &App, id: &RequestId, error: &Error, pretty: bool) -> Response {
    let text = app.envelope(id).error(error);
    let mut response = json(if pretty { indented(&text) } else { text });
    *response.status_mut() = error.status();
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, front::NOSNIFF);
    match error {
        Error::MethodNotAllowed { allow } => {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        Error::TooManyRequests { retry_after } => {
            // Whole seconds, rounded up: who comes back then is let in.
            let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, seconds.max(1).into());
        }
        Error::DatastoreUnreachable | Error::Overloaded => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        Error::InvalidCredentials => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Error::Misdirected
        | Error::BadHost
        | Error::CrossSite
        | Error::HeadUnreadable
        | Error::UriTooLong
        | Error::HeadTooLarge
        | Error::HeadTooSlow
        | Error::BodyTooLarge { .. }
        | Error::BodyNotJson { .. }
        | Error::BodyIncomplete
        | Error::BodyTooSlow
        | Error::Parameter { .. }
        | Error::Forbidden
        | Error::Ambiguous { .. }
        | Error::UnknownAccount { .. }
        | Error::UnknownUser { .. }
        | Error::NotFound
        | Error::Flush(_)
        | Error::Fault => {}
    }
    response
}

/// A JSON answer.
pub(crate) fn json(body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

impl App {
    /// What stands around an answer to the request `id`, now.
    pub(crate) fn envelope<'a>(&'a self, id: &'a RequestId) -> Envelope<'a> {
        Envelope {
            request_id: id.as_str(),
            node: &self.settings.node,
            version: &self.settings.version,
            now: self.clock.unix(),
            source: self.registry.source_of_answers(),
        }
    }
}
