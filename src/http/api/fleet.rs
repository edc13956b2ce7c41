//! Lists, counts and nodes of the fleet, from its database: with the same checks, filters and forms as a node's own.

use std::sync::Arc;

use axum::response::Response;
use http::Method;
use xxhash_rust::xxh3::xxh3_64;

use super::asked::Asked;
use super::flush::Who;
use super::stream::of_fleet;
use super::subject::Subject;
use super::{Context, count, flapping, flush, history, list, why};
use crate::accounts::directory::Directory;
use crate::fleet::Forgotten;
use crate::http::auth::access::Caller;
use crate::http::auth::grant::Grant;
use crate::http::error::{Error, Problem};
use crate::http::request::call::Call;
use crate::http::request::reach::{self, Reach, SCOPE};
use crate::http::request::request_id::RequestId;
use crate::http::request::route::{Route, What, Whose};
use crate::http::request::secret::Secret;
use crate::http::request::stream_params::StreamParams;
use crate::http::response::answer::enveloped_in;
use crate::http::response::fleet::{self as response, partial};
use crate::http::response::revision::{Revision, unchanged, validated};
use crate::http::socket::Socket;
use crate::http::{Answers, App};
use crate::registry::Scope;

/// How long after its last event a subject is known, in milliseconds.
const KNOWN: u64 = 3_600_000;

impl App {
    /// Whether a request is for the fleet.
    pub(crate) fn asks_fleet(&self, call: &Call, route: &Route) -> bool {
        // A scope that is none is refused where its turn comes.
        let asks = reach::asks_fleet(&call.params).ok().flatten();
        self.settings.answers == Answers::OfFleet || asks.unwrap_or(route.is_of_nodes())
    }
}

/// Answers for the fleet.
pub(super) async fn answer(
    app: &Arc<App>,
    call: &Call,
    route: &Route,
    (caller, socket): (Caller, Option<Socket>),
    (context, query): (&Context, &str),
) -> Result<Response, Error> {
    let id = &context.id;
    let directory = Arc::clone(&app.directory.borrow());
    let Some(fleet) = &app.fleet else {
        // As for a query that is wrong, after the checks that come before.
        let _grant = Grant::new(app, caller, directory, (route, &call.method), None)?;
        return Err(Error::parameter(SCOPE, Problem::NoFleet));
    };
    let mut asked = Asked::new(fleet).await?;
    let account = match &route.realm {
        Whose::Account(id) => Some(id.as_str()),
        Whose::System | Whose::Own => None,
    };
    asked.find_accounts(&caller.named_with(account)).await?;
    let known = Arc::clone(&asked.known);
    let mut grant = Grant::new(app, caller, directory, (route, &call.method), Some(known))?;
    check_account(app, &grant, route, &asked).await?;
    if !route.allows(&call.method) {
        let allow = route.allow();
        return Err(Error::MethodNotAllowed { allow });
    }
    grant.find_accounts(app);
    let subject = Subject {
        scope: grant.scope(),
        accounts: grant.accounts.as_deref(),
        username: route.username(),
        fleet: Some(&asked),
    };
    check_user(app, &asked, subject, route, &grant.directory).await?;
    if reach::asks_fleet(&call.params)? == Some(false) {
        return Err(Error::parameter(SCOPE, Problem::NoNode));
    }
    if let What::Node(name) = &route.what {
        return forget(app, call, subject, &asked, (&grant.caller, id), name).await;
    }
    if call.method == Method::DELETE && route.is_history() {
        return history::forget(app, call, subject, &grant.caller, id).await;
    }
    if route.acts(&call.method) {
        let who = Who {
            caller: &grant.caller,
            peer: context.peer,
            query: Secret::new(query),
        };
        let response = if call.method == Method::DELETE {
            flush::flush(app, call, subject, &who, id, &grant.directory).await?
        } else {
            super::notify::notify(app, call, route, subject, &who, id, &grant.directory).await?
        };
        return Ok(partial(response, &asked.nodes));
    }
    if let Some(stream) = StreamParams::parse(&call.params, &call.headers, Reach::Fleet)? {
        if !matches!(route.what, What::List | What::User(_)) {
            return Err(Error::parameter("watch", Problem::NotAList));
        }
        let subject = (subject, &asked);
        let response = of_fleet::open(app, call, (context.peer, socket), &grant, subject, stream)?;
        grant.check_again(app, route, &call.method)?;
        return Ok(partial(response, &asked.nodes));
    }
    let response = match route.what {
        What::List | What::User(_) => list::list(app, call, subject, &grant.caller, id).await?,
        What::Count => count::count(app, call, subject, &grant.caller, id).await?,
        What::History(_) => history::history(app, call, subject, id).await?,
        What::Why(_) => why::why(app, call, subject, id).await?,
        What::Flapping => flapping::flapping(app, call, subject, id).await?,
        What::Nodes => list_nodes(app, call, subject, &asked, id)?,
        _ => return Err(Error::parameter(SCOPE, Problem::NotOfFleet)),
    };
    grant.check_again(app, route, &call.method)?;
    Ok(partial(response, &asked.nodes))
}

/// Answers which nodes there are; for those who may see all.
fn list_nodes(
    app: &App,
    call: &Call,
    subject: Subject<'_>,
    asked: &Asked,
    id: &RequestId,
) -> Result<Response, Error> {
    if subject.accounts.is_some() {
        return Err(Error::Forbidden);
    }
    let data = response::nodes(&asked.nodes).to_string();
    let revision = Revision::of(xxh3_64(data.as_bytes()));
    if let Some(unchanged) = unchanged(call, &revision) {
        return Ok(unchanged);
    }
    let envelope = subject.envelope(app, id);
    let response = enveloped_in(&envelope, call, &data, &revision);
    Ok(validated(response, &revision))
}

/// Forgets a node; for those who may do all on this machine.
async fn forget(
    app: &App,
    call: &Call,
    subject: Subject<'_>,
    asked: &Asked,
    (caller, id): (&Caller, &RequestId),
    name: &str,
) -> Result<Response, Error> {
    let Caller::Process { .. } = caller else {
        return Err(Error::Forbidden);
    };
    let forgotten = asked.fleet.forget(name).await;
    match forgotten.map_err(|error| asked.away(&error))? {
        Forgotten::Done => {
            tracing::info!(node = name, actor = %caller, request_id = id.as_str(), "a node of the fleet was forgotten");
            let envelope = subject.envelope(app, id);
            Ok(enveloped_in(&envelope, call, "\"ok\"", &Revision::of(0)))
        }
        Forgotten::Running => Err(Error::parameter("node", Problem::IsRunning)),
        Forgotten::Unknown => Err(Error::UnknownNode {
            name: name.to_owned(),
        }),
    }
}

/// Refuses an account that is neither in the directory nor has registrations, nor had some of late.
async fn check_account(
    app: &App,
    grant: &Grant,
    route: &Route,
    asked: &Asked,
) -> Result<(), Error> {
    let Scope::Account(id) = grant.scope() else {
        return Ok(());
    };
    if grant.directory.account(id).is_some() || grant.is_in_fleet() {
        return Ok(());
    }
    let subject = Subject {
        fleet: Some(asked),
        ..Subject::of(grant.scope())
    };
    if has_events(app, route, subject).await {
        return Ok(());
    }
    Err(Error::UnknownAccount { id: id.to_owned() })
}

/// Whether something happened that makes a subject known: at any time to what tells what happened, else within an hour.
async fn has_events(app: &App, route: &Route, subject: Subject<'_>) -> bool {
    let always = route.is_history() || route.what == What::Flapping;
    let now = u64::try_from(app.clock.unix().as_millis()).unwrap_or(u64::MAX);
    let from = (!always).then(|| now.saturating_sub(KNOWN));
    history::has_events_since(app, subject, from).await
}

/// Refuses a user who is neither a device of the directory nor registered, nor was of late.
async fn check_user(
    app: &App,
    asked: &Asked,
    subject: Subject<'_>,
    route: &Route,
    directory: &Directory,
) -> Result<(), Error> {
    let (Scope::Account(account), Some(username)) = (subject.scope, subject.username) else {
        return Ok(());
    };
    let name = String::from_utf8_lossy(username).into_owned();
    if directory.device(account, &name).is_some() {
        return Ok(());
    }
    let (first, _) = asked.page(subject.of_fleet(), None, 1).await?;
    let is_known = !first.registrations.is_empty() || has_events(app, route, subject).await;
    if !is_known {
        return Err(Error::UnknownUser { username: name });
    }
    Ok(())
}
