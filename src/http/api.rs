//! Answers requests to the API: every check, in the one order that the contract names.
//!
//! What cannot be read, rate, token, access, account, method, user, query: the first that fails is the answer.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use futures_util::FutureExt;
use http::request::Parts;
use http::{HeaderValue, Method, Request, StatusCode, header};

use super::access::{Caller, Right, authenticate};
use super::call::Call;
use super::envelope::Envelope;
use super::error::Error;
use super::limits::{Empty, Key};
use super::peer::Peer;
use super::registrations::{self, Subject};
use super::request_id::{RequestId, X_REQUEST_ID};
use super::route::{Route, What, Whose};
use super::{App, cors, flush};
use crate::directory::Directory;
use crate::metrics::Bucket;
use crate::view::{Scope, SourceState};

/// How long a request waits while what an earlier run kept is still being read.
const RESTORE_PATIENCE: Duration = Duration::from_secs(2);

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Answers whatever has no route of its own.
pub(super) async fn handle(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    request: Request<Body>,
) -> Response {
    let id = app.request_ids.of(request.headers());
    let (parts, body) = request.into_parts();
    let is_head = parts.method == Method::HEAD;
    let cors = cors::Asked::of(&parts.headers, &app.settings.cors_origins);
    let answer = AssertUnwindSafe(answer(&app, peer, &id, parts, body)).catch_unwind();
    let mut response = match answer.await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => refuse(&app, &id, &error),
        Err(_) => {
            tracing::error!(
                request_id = id.as_str(),
                "answering a request panicked; this is a defect"
            );
            refuse(&app, &id, &Error::Fault)
        }
    };
    response.headers_mut().insert(X_REQUEST_ID, id.header());
    cors.apply(response.headers_mut());
    if is_head {
        without_body(response)
    } else {
        response
    }
}

/// Answers a method that `/livez` and its like do not have.
pub(super) async fn method_not_allowed(
    State(app): State<Arc<App>>,
    request: Request<Body>,
) -> Response {
    let id = app.request_ids.of(request.headers());
    let allow = "GET, HEAD";
    let mut response = refuse(&app, &id, &Error::MethodNotAllowed { allow });
    response.headers_mut().insert(X_REQUEST_ID, id.header());
    response
}

async fn answer(
    app: &Arc<App>,
    peer: Peer,
    id: &RequestId,
    parts: Parts,
    body: Body,
) -> Result<Response, Error> {
    let route = Route::parse(parts.uri.path());
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let settings = &app.settings;
    let call = Call::read(parts, body, settings.body_bytes, settings.header_timeout).await?;
    let origin = Key::Client(peer.origin());
    take_tokens(app, origin, &call)?;
    let route = route.ok_or(Error::NotFound)?;
    if call.method == Method::OPTIONS {
        return Ok(options(&route));
    }
    let caller =
        authenticate(app, peer, &call).map_err(|refused| turn_away(app, origin, refused))?;
    if let Caller::Token(_) | Caller::Kazoo(_) = caller {
        take_tokens(app, Key::token(&caller.to_string()), &call)?;
    }
    let directory = Arc::clone(&app.directory.borrow());
    let restored = app.view.wait_restored();
    // Should it take longer, `authorize` says that nothing is known yet.
    let _ = tokio::time::timeout(RESTORE_PATIENCE, restored).await;
    let account = authorize(app, &caller, &route, &call.method, &directory)?;
    if !route.allows(&call.method) {
        let allow = route.allow();
        return Err(Error::MethodNotAllowed { allow });
    }
    let scope = account.as_deref().map_or(Scope::System, Scope::Account);
    if let (Scope::Account(account), What::User(username)) = (scope, &route.what)
        && !registrations::is_known(app, account, username.as_bytes(), &directory)
    {
        let username = username.lossy().into_owned();
        return Err(Error::UnknownUser { username });
    }
    let subject = Subject {
        scope,
        username: match &route.what {
            What::User(username) => Some(username.as_bytes()),
            What::List | What::Count => None,
        },
    };
    if call.method == Method::DELETE {
        let who = flush::Who {
            caller: &caller,
            peer,
            query: &query,
        };
        return flush::flush(app, &call, subject, &who, id, &directory).await;
    }
    let response = match route.what {
        What::List | What::User(_) => registrations::list(app, &call, subject, id)?,
        What::Count => registrations::count(app, &call, subject, id)?,
    };
    // The directory changes in one moment with the registrations. If that was in between, these may be those of
    // another account than the one that the caller may see.
    let now = Arc::clone(&app.directory.borrow());
    if !Arc::ptr_eq(&now, &directory) {
        authorize(app, &caller, &route, &call.method, &now)?;
    }
    Ok(response)
}

/// Takes a request out of the buckets of `key`.
fn take_tokens(app: &App, key: Key, call: &Call) -> Result<(), Error> {
    let limits = app.limits.borrow();
    let too_many = |bucket, Empty { retry_after }| {
        app.metrics.http.limited(bucket);
        Error::TooManyRequests { retry_after }
    };
    let requests = |empty| too_many(Bucket::Requests, empty);
    limits.request(key).map_err(requests)?;
    if call.method == Method::DELETE && !flush::is_dry(&call.params) {
        let deletes = |empty| too_many(Bucket::Deletes, empty);
        limits.delete(key).map_err(deletes)?;
    }
    Ok(())
}

/// What a caller without a good token is told.
fn turn_away(app: &App, origin: Key, refused: bool) -> Error {
    if refused && let Err(Empty { retry_after }) = app.limits.borrow().failure(origin) {
        app.metrics.http.limited(Bucket::Failures);
        return Error::TooManyRequests { retry_after };
    }
    Error::InvalidCredentials
}

/// The account that is asked for, if the caller may and there is one.
fn authorize(
    app: &App,
    caller: &Caller,
    route: &Route,
    method: &Method,
    directory: &Directory,
) -> Result<Option<String>, Error> {
    let account = match &route.realm {
        Whose::System => None,
        Whose::Account(id) => Some(id.clone()),
        Whose::Own => Some(caller.only_account()?.to_owned()),
    };
    let right = match *method {
        Method::DELETE => Right::Flush,
        _ => Right::Read,
    };
    let sees = match &account {
        None => caller.sees_all(),
        Some(account) => caller.sees(account, directory),
    };
    if !sees || !caller.has(right) {
        return Err(Error::Forbidden);
    }
    // Before the tables have been read, nobody is known, and saying so would be a lie.
    if app.view.source().state == SourceState::Unavailable {
        return Err(Error::DatastoreUnreachable);
    }
    if let Some(id) = &account
        && directory.account(id).is_none()
        && !app.view.knows_account(id)
    {
        return Err(Error::UnknownAccount { id: id.clone() });
    }
    Ok(account)
}

fn options(route: &Route) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(route.allow()));
    response
}

/// The answer to a request that fails.
pub(super) fn refuse(app: &App, id: &RequestId, error: &Error) -> Response {
    let mut response = json(app.envelope(id).error(error));
    *response.status_mut() = error.status();
    let headers = response.headers_mut();
    match error {
        Error::MethodNotAllowed { allow } => {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        Error::TooManyRequests { retry_after } => {
            // Whole seconds, rounded up: who comes back then is let in.
            let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, seconds.max(1).into());
        }
        Error::DatastoreUnreachable => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        Error::InvalidCredentials => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Error::BodyTooLarge { .. }
        | Error::BodyNotJson { .. }
        | Error::BodyIncomplete
        | Error::BodyTooSlow
        | Error::Parameter { .. }
        | Error::Forbidden
        | Error::UnknownAccount { .. }
        | Error::UnknownUser { .. }
        | Error::NotFound
        | Error::Flush(_)
        | Error::Overloaded
        | Error::Fault => {}
    }
    response
}

/// A JSON answer.
pub(super) fn json(body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// The same answer without its body, for HEAD.
fn without_body(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    if let Some(length) = hyper::body::Body::size_hint(&body).exact()
        && parts.status != StatusCode::NO_CONTENT
        && parts.status != StatusCode::NOT_MODIFIED
    {
        parts.headers.insert(header::CONTENT_LENGTH, length.into());
    }
    Response::from_parts(parts, Body::empty())
}

impl App {
    /// What stands around an answer to the request `id`, now.
    pub(super) fn envelope<'a>(&'a self, id: &'a RequestId) -> Envelope<'a> {
        Envelope {
            request_id: id.as_str(),
            node: &self.settings.node,
            version: &self.settings.version,
            now: self.clock.unix(),
            source: self.view.source(),
        }
    }
}
