//! `/ui/data/…`: summaries that the page shows, of what its caller may see.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::Method;
use http::request::Parts;

use super::asker::Asker;
use super::{Page, accounts, flushes, health, overview, owner, refused, reply, session};
use crate::http::api::Context;
use crate::http::auth::admission::{admit, admit_stranger};
use crate::http::auth::credential::Credential;
use crate::http::error::{Error, Problem};
use crate::http::request::call::Call;
use crate::http::request::reach::SCOPE;
use crate::http::response::answer::allowed;
use crate::http::{Answers, App};

/// Where they are, below `/ui/`.
pub(super) const FOLDER: &str = "data/";

/// The methods that they have.
const METHODS: &str = "GET, HEAD, OPTIONS";

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
    let caller = admit(app, context.peer, &call, false)?;
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
    if app.settings.answers == Answers::OfFleet {
        // These are of a node; for the fleet the page asks the API alone.
        return Err(Error::parameter(SCOPE, Problem::NotOfFleet));
    }
    let asker = Asker::of(app, &caller)?;
    let data = match what {
        "overview" => {
            let made = overview::overview(app, &asker);
            app.summaries.get(app, "overview", &asker, made).await
        }
        "accounts" => {
            let made = accounts::accounts(app, &asker);
            app.summaries.get(app, "accounts", &asker, made).await
        }
        "health" => health::health(app, &asker).await.to_string().into(),
        "owner" => owner::owner(app, &call, &asker).await?.to_string().into(),
        "flushes" => return flushes::flushes(app, &call, &context.id, &asker).await,
        _ => return Err(Error::NotFound),
    };
    Ok(reply(app, &call, &context.id, &data, Page::default()))
}
