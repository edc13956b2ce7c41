//! Answers requests: every check, in the one order that the contract names.
//!
//! What cannot be read, rate, token, access, account, method, user, query: the first that fails is the answer.

pub(crate) mod asked;
pub(crate) mod count;
pub(crate) mod flapping;
pub(crate) mod fleet;
pub(crate) mod flush;
pub(crate) mod history;
pub(crate) mod intents;
pub(crate) mod kept;
pub(crate) mod list;
pub(crate) mod metrics;
pub(crate) mod newest;
pub(crate) mod notify;
pub(crate) mod openapi;
pub(crate) mod operation;
pub(crate) mod select;
pub(crate) mod stream;
pub(crate) mod subject;
pub(crate) mod turns;
pub(crate) mod ui;
pub(crate) mod why;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use futures_util::FutureExt;
use http::request::Parts;
use http::{Method, Request};

use self::operation::Operation;
use self::subject::Subject;
use super::App;
use super::auth::account::Names;
use super::auth::admission::{admit, admit_stranger};
use super::auth::cross_site::{self, Verdict};
use super::auth::grant::Grant;
use super::auth::peer::Peer;
use super::error::{Error, Problem};
use super::request::call::{self, Call};
use super::request::reach;
use super::request::request_id::RequestId;
use super::request::route::{Route, What, Whose};
use super::request::secret::Secret;
use super::request::stream_params::StreamParams;
use super::response::answer::{allowed, refuse};
use super::socket::Socket;
use crate::registry::{Scope, SourceState};

/// How long a request waits while the registrations of the previous run are still being restored.
const RESTORE_TIMEOUT: Duration = Duration::from_secs(2);

/// What is known of a request before it is read.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// Where it comes from.
    pub(crate) peer: Peer,
    /// Its id.
    pub(crate) id: RequestId,
    /// What it may do, by the page that it comes from.
    pub(crate) verdict: Verdict,
}

/// Answers a request.
pub(crate) async fn answer(app: &Arc<App>, context: Context, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    if let Some(operation) = Operation::at(parts.uri.path()) {
        return operation.answer(app, &context.id, &parts);
    }
    if ui::is_for_page(app, &parts) {
        return ui::answer(app, &context, parts, body).await;
    }
    let layout = call::layout(&parts);
    match registrations(app, &context, parts, body).await {
        Ok(response) => response,
        Err(error) => refuse(app, &context.id, &error, layout),
    }
}

/// Refuses an account that is not known: one that has events is. Returns whether the user of the path has any.
async fn check_account_of(
    app: &App,
    grant: &Grant,
    call: &Call,
    route: &Route,
) -> Result<bool, Error> {
    let Err(unknown) = check_account(app, grant, &call.method).await else {
        return Ok(false);
    };
    if !matches!(unknown, Error::UnknownAccount { .. }) || !route.is_history() {
        return Err(unknown);
    }
    let account = Subject::of(grant.scope());
    let username = route.username();
    // Who has events has them in an account that is known by that.
    if username.is_some()
        && history::has_events(
            app,
            Subject {
                username,
                ..account
            },
        )
        .await
    {
        return Ok(true);
    }
    if history::has_events(app, account).await {
        return Ok(false);
    }
    Err(unknown)
}

/// Answers a request for registrations.
async fn registrations(
    app: &Arc<App>,
    context: &Context,
    parts: Parts,
    body: Body,
) -> Result<Response, Error> {
    let route = Route::parse(parts.uri.path());
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let socket = parts.extensions.get::<Socket>().cloned();
    let call = read(app, context.verdict, parts, body).await?;
    let route = match route {
        Some(route) if call.method != Method::OPTIONS => route,
        // Neither needs a token.
        other => {
            admit_stranger(app, context.peer)?;
            let route = other.ok_or(Error::NotFound)?;
            return Ok(allowed(route.allow()));
        }
    };
    let caller = admit(app, context.peer, &call, route.acts(&call.method))?;
    if app.asks_fleet(&call, &route) {
        let client = (caller, socket);
        return fleet::answer(app, &call, &route, client, (context, &query)).await;
    }
    let directory = Arc::clone(&app.directory.borrow());
    if let Whose::Account(id) = &route.realm
        && Names::of(app, &directory).need_rows(id)
    {
        restored(app, Scope::System).await?;
    }
    let mut grant = Grant::new(app, caller, directory, (&route, &call.method), None)?;
    let has_events = check_account_of(app, &grant, &call, &route).await?;
    if !route.allows(&call.method) {
        let allow = route.allow();
        return Err(Error::MethodNotAllowed { allow });
    }
    grant.find_accounts(app);
    let subject = Subject {
        scope: grant.scope(),
        accounts: grant.accounts.as_deref(),
        username: route.username(),
        fleet: None,
    };
    if let Err(unknown) = subject.check_user(app, &grant.directory)
        && !has_events
        && !(route.is_history() && history::has_events(app, subject).await)
    {
        return Err(unknown);
    }
    // Only a scope that is none is left.
    reach::asks_fleet(&call.params)?;
    if call.method == Method::DELETE && route.is_history() {
        return history::forget(app, &call, subject, &grant.caller, &context.id).await;
    }
    if call.method == Method::DELETE {
        let who = flush::Who {
            caller: &grant.caller,
            peer: context.peer,
            query: Secret::new(&query),
        };
        return flush::flush(app, &call, subject, &who, &context.id, &grant.directory).await;
    }
    if route.notifies(&call.method) {
        let who = flush::Who {
            caller: &grant.caller,
            peer: context.peer,
            query: Secret::new(&query),
        };
        return self::notify::notify(
            app,
            &call,
            &route,
            subject,
            &who,
            &context.id,
            &grant.directory,
        )
        .await;
    }
    if let Some(stream) = StreamParams::parse(&call.params, &call.headers, app.reach())? {
        if !matches!(route.what, What::List | What::User(_)) {
            return Err(Error::parameter("watch", Problem::NotAList));
        }
        let response = stream::open(app, &call, (context.peer, socket), &grant, subject, stream)?;
        grant.check_again(app, &route, &call.method)?;
        return Ok(response);
    }
    let response = match route.what {
        What::List | What::User(_) => {
            list::list(app, &call, subject, &grant.caller, &context.id).await?
        }
        What::Count => count::count(app, &call, subject, &grant.caller, &context.id).await?,
        What::History(_) => history::history(app, &call, subject, &context.id).await?,
        What::Why(_) => why::why(app, &call, subject, &context.id).await?,
        What::Flapping => flapping::flapping(app, &call, subject, &context.id).await?,
        // They have no other method.
        What::Notify(_) | What::Sync(_) | What::Nodes | What::Node(_) => {
            return Err(Error::Fault);
        }
    };
    grant.check_again(app, &route, &call.method)?;
    Ok(response)
}

/// Reads the request; refuses what a page of another site would have changed.
async fn read(app: &App, verdict: Verdict, parts: Parts, body: Body) -> Result<Call, Error> {
    let limits = Arc::clone(&app.limits.borrow());
    let changes = cross_site::may_change(&parts);
    let read = Call::read(parts, body, limits.body_bytes, limits.header_timeout).await;
    match verdict {
        Verdict::Pass => read,
        // It is not known whether the body has a token.
        Verdict::WithTokenInBody if changes && read.is_err() => Err(Error::CrossSite),
        Verdict::WithTokenInBody | Verdict::ReadOnly => {
            let call = read?;
            let invited = verdict == Verdict::WithTokenInBody && call.has_token_in_body();
            if !invited && (changes || call.says_delete()) {
                return Err(Error::CrossSite);
            }
            Ok(call)
        }
    }
}

/// Refuses an account that is not known; waits a little while that cannot be told.
async fn check_account(app: &App, grant: &Grant, method: &Method) -> Result<(), Error> {
    let scope = grant.scope();
    // A flush needs every registration.
    let needed = match *method {
        Method::DELETE => Scope::System,
        _ => scope,
    };
    restored(app, needed).await?;
    // Before the tables have been read, no account is known, and saying so would be wrong.
    if app.registry.source_of_answers().state == SourceState::Unavailable {
        return Err(Error::DatastoreUnreachable);
    }
    match scope {
        Scope::Account(id)
            if grant.directory.account(id).is_none() && !app.registry.knows_account(id) =>
        {
            Err(Error::UnknownAccount { id: id.to_owned() })
        }
        Scope::Account(_) | Scope::System => Ok(()),
    }
}

/// Waits a little until the registrations of `scope` are there.
async fn restored(app: &App, scope: Scope<'_>) -> Result<(), Error> {
    let restored = app.registry.wait_for(scope);
    tokio::pin!(restored);
    // As a rule they are, and no timer is needed.
    if restored.as_mut().now_or_never().is_some() {
        return Ok(());
    }
    let restored = tokio::time::timeout(RESTORE_TIMEOUT, restored).await;
    restored.map_err(|_| Error::DatastoreUnreachable)
}
