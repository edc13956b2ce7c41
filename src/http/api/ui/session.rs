//! `/ui/session`: logging in with a token, and logging out.
//!
//! The browser keeps a cookie that no script can read, and that it sends with no request of another site.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};

use super::{Page, refused, reply};
use crate::accounts::directory::Directory;
use crate::http::api::Context;
use crate::http::auth::access::{Caller, Right};
use crate::http::auth::account::Names;
use crate::http::auth::admission::{admit_by, admit_stranger};
use crate::http::auth::credential::Credential;
use crate::http::auth::cross_site::Verdict;
use crate::http::error::Error;
use crate::http::request::call::Call;
use crate::http::response::answer::allowed;
use crate::http::{Answers, App};
use crate::sessions::{Holder, Record};

/// The methods that it has.
const METHODS: &str = "POST, DELETE, OPTIONS";

/// Accounts that are named to the page, at most.
const ACCOUNTS: usize = 100;

/// Answers a request for `/ui/session`.
pub(super) async fn answer(
    app: &Arc<App>,
    context: &Context,
    request: Parts,
    body: Body,
) -> Result<Response, Error> {
    let limits = Arc::clone(&app.limits.borrow());
    let call = Call::read(request, body, limits.body_bytes, limits.header_timeout).await?;
    match call.method {
        Method::OPTIONS => {
            admit_stranger(app, context.peer)?;
            Ok(allowed(METHODS))
        }
        // An origin that may use the API with a token of its own may not log anybody in or out.
        Method::POST | Method::DELETE if context.verdict != Verdict::Pass => Err(Error::CrossSite),
        Method::POST => log_in(app, context, &call).await,
        Method::DELETE => log_out(app, context, &call).await,
        _ => {
            admit_stranger(app, context.peer)?;
            Err(refused(METHODS))
        }
    }
}

/// Begins a session by the right of the token that is presented; a cookie does not count.
async fn log_in(app: &App, context: &Context, call: &Call) -> Result<Response, Error> {
    let credential = Credential::token(call);
    let caller = admit_by(app, context.peer, call, &credential, false)?;
    let holder = match (&caller, &credential) {
        (Caller::Token(token), _) => Some(Holder::Token {
            sha256: token.sha256(),
        }),
        (Caller::Kazoo(_), Credential::Token(token)) => {
            let holder = app.keys.borrow().holder(token, app.clock.unix_seconds());
            Some(holder.map_err(|_| Error::InvalidCredentials)?)
        }
        // On the socket nobody needs to log in.
        (_, _) => None,
    };
    let Some(holder) = holder else {
        let told = told(app, &caller, None).to_string();
        return Ok(reply(app, call, &context.id, &told, Page::default()));
    };
    if let Credential::Session(former) = Credential::session(app, call) {
        app.sessions.forget(former);
    }
    let value = app.sessions.begin(holder).await.map_err(|error| {
        tracing::error!(%error, "cannot begin a session of the page");
        Error::Fault
    })?;
    tracing::debug!(token = %caller, client = %context.peer, "began a session of the page");
    let session = app
        .sessions
        .find(&value)
        .and_then(|id| app.sessions.uses(id));
    let told = told(app, &caller, session.as_ref()).to_string();
    let mut response = reply(app, call, &context.id, &told, Page::default());
    set_cookie(app, &value, "", &mut response);
    Ok(response)
}

/// Ends the session of the cookie, if there is one.
async fn log_out(app: &App, context: &Context, call: &Call) -> Result<Response, Error> {
    admit_stranger(app, context.peer)?;
    if let Credential::Session(id) = Credential::session(app, call) {
        app.sessions.end(id).await;
        tracing::debug!(client = %context.peer, "ended a session of the page");
    }
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    set_cookie(app, "", "; Max-Age=0", &mut response);
    Ok(response)
}

fn set_cookie(app: &App, value: &str, age: &str, response: &mut Response) {
    let name = app.sessions.cookie();
    let secure = if app.settings.https { "; Secure" } else { "" };
    let cookie = format!("{name}={value}; HttpOnly; SameSite=Strict; Path=/{secure}{age}");
    if let Ok(mut cookie) = HeaderValue::try_from(cookie) {
        cookie.set_sensitive(true);
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
}

/// Who is logged in, what he may do, and what the page has to know of this node.
pub(super) fn told(app: &App, caller: &Caller, session: Option<&Record>) -> serde_json::Value {
    let directory = Arc::clone(&app.directory.borrow());
    let names = Names::of(app, &directory);
    let has = |right: Right| caller.may(right, None, names).is_ok();
    let rights: Vec<&str> = [("read", Right::Read), ("flush", Right::Flush)]
        .into_iter()
        .filter_map(|(name, right)| has(right).then_some(name))
        .collect();
    let accounts = caller.accounts(names);
    let first = accounts.iter().flatten().take(ACCOUNTS);
    let first: Vec<_> = first.map(|id| account(id, &directory)).collect();
    let ends = session.map(Record::ends);
    let expires_at = [ends, caller.expires()].into_iter().flatten().min();
    let commands = match caller {
        Caller::Process { .. } => vec!["sudo usrlocd doctor", "sudo usrlocd token new --name NAME"],
        Caller::Token(_) | Caller::Kazoo(_) => vec!["sudo usrlocd doctor"],
    };
    serde_json::json!({
        "name": caller.to_string(),
        "rights": rights,
        "all_accounts": accounts.is_none(),
        "accounts": first,
        "node": app.settings.node,
        "version": app.settings.version,
        "expires_at": expires_at,
        "via": match caller {
            Caller::Process { .. } => "socket",
            Caller::Token(_) | Caller::Kazoo(_) => "token",
        },
        "commands": commands,
        // Whether the page can answer for the fleet: as this node does too, or always.
        "fleet": match (app.settings.answers, &app.fleet) {
            (Answers::OfFleet, _) => Some("only"),
            (Answers::OfNode, Some(_)) => Some("too"),
            (Answers::OfNode, None) => None,
        },
        "notify_events": app.settings.notify_events,
    })
}

fn account(id: &str, directory: &Directory) -> serde_json::Value {
    let name = directory.account(id).and_then(|it| it.name.as_deref());
    serde_json::json!({"id": id, "name": name.unwrap_or(id)})
}
