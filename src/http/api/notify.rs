//! POST `…/{USERNAME}/notify` and `…/devices/{DEVICE_ID}/sync`: picks the phones to be asked, has them asked, and says what
//! became of it.

use std::sync::Arc;

use axum::response::Response;
use http::{HeaderName, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::{Map, Value};

use super::asked::Asked as Fleet;
use super::flush::{Who, filters_of};
use super::intents;
use super::select::pick;
use super::subject::Subject;
use crate::accounts::directory::Directory;
use crate::flush::Actor;
use crate::http::App;
use crate::http::auth::authorization::{Covered, FlushAuthorization};
use crate::http::auth::credential::Credential;
use crate::http::error::{Error, Unheeded};
use crate::http::request::call::Call;

use crate::http::request::filter::Filters;
use crate::http::request::flush_params::dry_run;
use crate::http::request::notify_params::{Asked, asked, refuse_others};
use crate::http::request::request_id::RequestId;
use crate::http::request::route::{Route, What};
use crate::http::request::ruids::has_ruid;
use crate::http::response::answer::{X_NOTIFIED, enveloped_in};
use crate::http::response::revision::Revision;
use crate::metrics::Notified;
use crate::notify::{CHECK_SYNC, Outcome, Request, check};
use crate::registration::{Registration, Text};
use crate::registry::Scope;

const X_WOULD_NOTIFY: HeaderName = HeaderName::from_static("x-would-notify");

/// Asks the phones that the caller means; none, where anything in the request is in doubt.
pub(crate) async fn notify(
    app: &Arc<App>,
    call: &Call,
    route: &Route,
    subject: Subject<'_>,
    who: &Who<'_>,
    id: &RequestId,
    directory: &Arc<Directory>,
) -> Result<Response, Error> {
    let device = match &route.what {
        What::Sync(device) => Some(device),
        _ => None,
    };
    if let Some(device) = device {
        check_device(app, subject, device, directory).await?;
    }
    refuse_others(&call.params)?;
    let default = device.map(|_| CHECK_SYNC);
    let Asked { event, chosen } = asked(call.body(), &app.settings.notify_events, default)?;
    let filters = Filters::parse(&call.params, subject.reach(app))?;
    let dry_run = dry_run(&call.params)?;
    let mut picked = pick(app, subject, &filters, who.caller).await?;
    picked.retain(|one| {
        device.is_none_or(|device| is_of(device, one))
            && chosen.as_ref().is_none_or(|chosen| has_ruid(chosen, one))
    });
    let covered = match subject.scope {
        Scope::Account(id) => Covered::Account(id),
        Scope::System => Covered::NoAccount,
    };
    let credential = Credential::of(app, call);
    let in_fleet = subject.fleet.map(|asked| Arc::clone(&asked.known));
    let authorization =
        FlushAuthorization::new(app, who.peer, credential, covered, directory, in_fleet);
    // Others were served in between, and what is picked is of the directory that there is now.
    authorization.check()?;
    if dry_run {
        let (would, data) = would_notify(&picked);
        return ok(app, call, subject, id, (X_WOULD_NOTIFY, would), &data).await;
    }
    let filters = filters_of(who.query.reveal(), chosen.as_ref());
    let authorization = Arc::new(authorization);
    let request = Request {
        registrations: picked.clone(),
        event,
        actor: actor(subject, who, id, (device, filters)),
        authorization: Arc::clone(&authorization) as _,
    };
    let outcomes = carry_out(app, subject.fleet, request, id).await?;
    let none_sent = outcomes.iter().all(|one| one.counted() == Notified::Failed);
    if none_sent && !outcomes.is_empty() {
        // Where that is because the right was withdrawn, the answer is that of a request that comes now.
        authorization.check()?;
    }
    let (accepted, data) = judged(&picked, &outcomes)?;
    ok(app, call, subject, id, (X_NOTIFIED, accepted), &data).await
}

/// How many phones accepted, and what became of each; an error where some were asked and none did.
fn judged(picked: &[Arc<Registration>], outcomes: &[Outcome]) -> Result<(usize, Value), Error> {
    let data = told(picked, outcomes);
    let accepted = outcomes.iter().filter(|one| one.is_accepted()).count();
    if accepted > 0 || outcomes.is_empty() {
        return Ok((accepted, data));
    }
    let all_silent = outcomes.iter().all(Outcome::is_silent);
    Err(Error::Notify(Unheeded { all_silent, data }))
}

/// Refuses a device that neither the directory nor a registration knows.
async fn check_device(
    app: &App,
    subject: Subject<'_>,
    device: &Text,
    directory: &Directory,
) -> Result<(), Error> {
    let is_named = match subject.scope {
        Scope::Account(account) => directory.has_device(account, device.as_bytes()),
        Scope::System => false,
    };
    if is_named {
        return Ok(());
    }
    let listed = match subject.fleet {
        None => subject.list(app).await.registrations,
        Some(asked) => {
            let (none, view) = (Filters::default(), subject.view(app));
            asked.choose(subject.of_fleet(), &none, &view).await?
        }
    };
    if listed.iter().any(|one| is_of(device, one)) {
        return Ok(());
    }
    let id = device.lossy().into_owned();
    Err(Error::UnknownDevice { id })
}

fn is_of(device: &Text, one: &Registration) -> bool {
    one.authorizing_id.as_ref() == Some(device)
}

/// Who asks, for the audit. A device chooses as a filter does.
fn actor(
    subject: Subject<'_>,
    who: &Who<'_>,
    id: &RequestId,
    (device, filters): (Option<&Text>, String),
) -> Actor {
    let device = device.map(|device| {
        let id = percent_encode(device.as_bytes(), NON_ALPHANUMERIC);
        format!("filter_authorizing_id={id}")
    });
    let filters = Some(filters).filter(|filters| !filters.is_empty());
    let chosen: Vec<_> = device.into_iter().chain(filters).collect();
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Actor {
        token: who.caller.to_string(),
        client: who.peer.to_string(),
        request_id: id.as_str().to_owned(),
        account_id: match subject.scope {
            Scope::System => None,
            Scope::Account(id) => Some(id.to_owned()),
        },
        username: subject.username.map(lossy),
        filters: chosen.join("&"),
    }
}

/// Asks in a task of its own, which goes on and audits to the end even if the caller does not wait.
async fn carry_out(
    app: &Arc<App>,
    fleet: Option<&Fleet>,
    request: Request,
    id: &RequestId,
) -> Result<Vec<Outcome>, Error> {
    let task = if let Some(asked) = fleet {
        let doing = intents::notify(Arc::clone(app), asked.clone(), request);
        app.flushes.spawn(doing)
    } else {
        let notifier = Arc::clone(&app.notify);
        app.flushes
            .spawn(async move { Ok(notifier.notify(request).await) })
    };
    match task.await {
        Ok(outcomes) => outcomes,
        Err(error) => {
            tracing::error!(request_id = id.as_str(), %error, "a NOTIFY was aborted");
            Err(Error::Fault)
        }
    }
}

/// How many phones would be asked, and why others would not.
fn would_notify(picked: &[Arc<Registration>]) -> (usize, Value) {
    let checked: Vec<_> = picked.iter().map(|one| check(one)).collect();
    let told = picked.iter().zip(&checked).map(|(one, checked)| {
        let reason = match checked {
            Ok(()) => "not sent: dry run".to_owned(),
            Err(why) => why.to_string(),
        };
        contact(one, None, &reason)
    });
    let data = told.collect();
    (checked.iter().filter(|one| one.is_ok()).count(), data)
}

/// What became of each phone.
fn told(picked: &[Arc<Registration>], outcomes: &[Outcome]) -> Value {
    let each = picked.iter().zip(outcomes);
    each.map(|(one, outcome)| contact(one, outcome.status(), &outcome.reason()))
        .collect()
}

fn contact(one: &Registration, status: Option<u16>, reason: &str) -> Value {
    let text = |text: &Text| Value::from(text.lossy());
    let realm = one.common.realm.as_deref();
    let keys = [
        Some(("username", text(&one.username))),
        realm.map(|realm| ("realm", realm.into())),
        Some(("contact", text(&one.binding.contact))),
        Some(("ruid", text(&one.binding.key.ruid.0))),
        Some(("status", status.into())),
        Some(("reason", reason.into())),
        one.common
            .node
            .as_ref()
            .map(|node| ("node", node.name.as_ref().into())),
    ];
    let keys = keys.into_iter().flatten();
    let object: Map<_, _> = keys.map(|(key, value)| (key.to_owned(), value)).collect();
    object.into()
}

async fn ok(
    app: &App,
    call: &Call,
    subject: Subject<'_>,
    id: &RequestId,
    (header, number): (HeaderName, usize),
    data: &Value,
) -> Result<Response, Error> {
    let revision = Revision::of(subject.revision(app).await?);
    let envelope = subject.envelope(app, id);
    let mut response = enveloped_in(&envelope, call, &data.to_string(), &revision);
    response
        .headers_mut()
        .insert(header, HeaderValue::from(number));
    Ok(response)
}
