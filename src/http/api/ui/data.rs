//! `/ui/data/…`: summaries that the page shows, of what its caller may see.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::Method;
use http::request::Parts;

use super::{Page, accounts, flushes, health, overview, refused, reply, session};
use crate::events::Viewer;
use crate::http::App;
use crate::http::api::Context;
use crate::http::auth::access::{Caller, Right};
use crate::http::auth::account::Names;
use crate::http::auth::admission::{admit, admit_stranger};
use crate::http::auth::credential::Credential;
use crate::http::error::Error;
use crate::http::request::call::Call;
use crate::http::response::answer::allowed;

/// Where they are, below `/ui/`.
pub(super) const FOLDER: &str = "data/";

/// The methods that they have.
const METHODS: &str = "GET, HEAD, OPTIONS";

/// What the one who asks may see.
#[derive(Debug)]
pub(super) struct Asker {
    /// The accounts that he may see, in order; `None` for one who may see all.
    pub(super) accounts: Option<Vec<String>>,
}

impl Asker {
    /// Whose lists he looks at.
    pub(super) fn viewer(&self) -> Viewer<'_> {
        match &self.accounts {
            None => Viewer::System,
            Some(accounts) => Viewer::Accounts(accounts),
        }
    }
}

/// Answers a request for what is at `path` below `/ui/`.
pub(super) async fn answer(
    app: &Arc<App>,
    context: &Context,
    path: &str,
    request: Parts,
) -> Result<Response, Error> {
    let limits = Arc::clone(&app.limits.borrow());
    let call = Call::read(request, Body::empty(), 0, limits.header_timeout).await?;
    if call.method == Method::OPTIONS {
        admit_stranger(app, context.peer)?;
        return Ok(allowed(METHODS));
    }
    let caller = admit(app, context.peer, &call)?;
    if !matches!(call.method, Method::GET | Method::HEAD) {
        return Err(refused(METHODS));
    }
    let what = path.strip_prefix(FOLDER).unwrap_or_default();
    if what == "session" {
        let session = match Credential::of(app, &call) {
            Credential::Session(id) => app.sessions.uses(id),
            Credential::Nothing | Credential::Token(_) => None,
        };
        let told = session::told(app, &caller, session.as_ref()).to_string();
        return Ok(reply(app, &call, &context.id, &told, Page::default()));
    }
    let asker = asker(app, &caller)?;
    let data = match what {
        "overview" => overview::overview(app, &asker).await,
        "accounts" => accounts::accounts(app, &asker).await.to_string(),
        "health" => health::health(app, &asker).await.to_string(),
        "flushes" => return flushes::flushes(app, &call, &context.id, &asker).await,
        _ => return Err(Error::NotFound),
    };
    Ok(reply(app, &call, &context.id, &data, Page::default()))
}

fn asker(app: &App, caller: &Caller) -> Result<Asker, Error> {
    let directory = Arc::clone(&app.directory.borrow());
    let names = Names::of(app, &directory);
    caller.may(Right::Read, None, names)?;
    let accounts = caller.accounts(names);
    Ok(Asker { accounts })
}
