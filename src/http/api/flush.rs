//! DELETE: picks the registrations to flush, has them flushed, and says what became of it.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::sync::Arc;

use axum::response::Response;
use http::{HeaderName, HeaderValue};

use super::newest::leave_newest;
use super::select::select;
use super::subject::Subject;
use crate::accounts::directory::Directory;
use crate::flush::{Actor, FailureKind, Outcome, Request};
use crate::http::App;
use crate::http::auth::access::Caller;
use crate::http::auth::authorization::FlushAuthorization;
use crate::http::auth::credential::Credential;
use crate::http::auth::peer::Peer;
use crate::http::error::{Cause, Error, Incomplete};
use crate::http::request::call::Call;
use crate::http::request::chosen::{RUIDS, chosen, has_ruid};
use crate::http::request::filter::Filters;
use crate::http::request::flush_params::{dry_run, keep_newest, narrows, refuse_unknown};
use crate::http::request::params::Params;
use crate::http::request::request_id::RequestId;
use crate::http::request::secret::Secret;
use crate::http::response::answer::enveloped;
use crate::http::response::revision::Revision;
use crate::registration::{Registration, Text, columns_of};
use crate::registry::Scope;

const X_FLUSHED: HeaderName = HeaderName::from_static("x-flushed");
const X_WOULD_FLUSH: HeaderName = HeaderName::from_static("x-would-flush");

/// Who asks for a flush.
#[derive(Debug)]
pub(crate) struct Who<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) peer: Peer,
    /// The query as it was sent.
    pub(crate) query: Secret<'a>,
}

/// Flushes what the caller asks for; nothing, where anything in the query is in doubt.
pub(crate) async fn flush(
    app: &Arc<App>,
    call: &Call,
    subject: Subject<'_>,
    who: &Who<'_>,
    id: &RequestId,
    directory: &Arc<Directory>,
) -> Result<Response, Error> {
    refuse_unknown(&call.params)?;
    let chosen = chosen(call.body())?;
    let filters = Filters::parse(&call.params)?;
    let dry_run = dry_run(&call.params)?;
    let keep = keep_newest(&call.params, subject.username)?;
    let now = app.clock.unix_seconds();
    let mut picked = select(app, subject, &filters, now).await.registrations;
    if let Some(chosen) = &chosen {
        picked.retain(|one| has_ruid(chosen, one));
    }
    let picked = leave_newest(picked, keep);
    let exactly = !filters.is_empty() || keep > 0 || chosen.is_some();
    let authorization = FlushAuthorization::new(
        app,
        who.peer,
        Credential::of(app, call),
        subject.scope,
        directory,
    );
    // Others were served in between, and what is picked is of the directory that there is now.
    authorization.check()?;
    if dry_run {
        let would = would_flush(&picked);
        return Ok(ok(app, call, subject, id, X_WOULD_FLUSH, would));
    }
    let further = match subject.username {
        Some(username) if !exactly => further(app, subject.scope, username, directory),
        Some(_) | None => Vec::new(),
    };
    let authorization = Arc::new(authorization);
    let request = Request {
        registrations: picked,
        further,
        exactly,
        actor: actor(subject, who, id, chosen.as_ref()),
        authorization: Arc::clone(&authorization) as _,
    };
    let outcome = carry_out(app, request, id).await?;
    // Whoever watches is told before the caller is.
    app.events.has_followed(app.registry.last_entry()).await;
    if is_withdrawn(&outcome) {
        // Nothing was done: the answer is that of a request that comes now.
        authorization.check()?;
    }
    match incomplete(outcome) {
        Ok(flushed) => Ok(ok(app, call, subject, id, X_FLUSHED, flushed)),
        Err(incomplete) => Err(Error::Flush(incomplete)),
    }
}

/// How many would go: all but those that cannot be named to Kamailio.
fn would_flush(picked: &[Arc<Registration>]) -> u64 {
    let aors = picked.iter().map(|one| one.binding.address_of_record());
    aors.filter(|aor| aor.for_rpc().is_ok()).count() as u64
}

/// Flushes in a task of its own, which confirms and audits to the end even if the caller does not wait.
async fn carry_out(app: &Arc<App>, request: Request, id: &RequestId) -> Result<Outcome, Error> {
    let flusher = Arc::clone(&app.flush);
    let task = app
        .flushes
        .spawn(async move { flusher.flush(request).await });
    match task.await {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(error)) => {
            tracing::error!(request_id = id.as_str(), %error, source = error.source(), "a flush failed");
            Err(Error::Fault)
        }
        Err(error) => {
            tracing::error!(request_id = id.as_str(), %error, "a flush was aborted");
            Err(Error::Fault)
        }
    }
}

/// Whether the caller's right was withdrawn before anything was removed.
fn is_withdrawn(Outcome { flushed, failed }: &Outcome) -> bool {
    let mut kinds = failed.iter().map(|failure| failure.kind);
    *flushed == 0 && !failed.is_empty() && kinds.all(|kind| kind == FailureKind::Withdrawn)
}

/// How many were flushed, if nothing failed.
fn incomplete(outcome: Outcome) -> Result<u64, Incomplete> {
    let Outcome { flushed, failed } = outcome;
    if failed.is_empty() {
        return Ok(flushed);
    }
    let all = |kind| flushed == 0 && failed.iter().all(|failure| failure.kind == kind);
    let cause = if all(FailureKind::Unreachable) {
        Cause::Unreachable
    } else if all(FailureKind::Timeout) {
        Cause::Timeout
    } else {
        Cause::Unconfirmed
    };
    Err(Incomplete {
        cause,
        flushed,
        failed,
    })
}

/// The user's addresses of record: Kamailio may have them in memory although a row lags behind.
fn further(
    app: &App,
    scope: Scope<'_>,
    username: &[u8],
    directory: &Directory,
) -> Vec<(Text, Option<Text>)> {
    let mut aors: BTreeSet<_> = app
        .registry
        .known_aors(scope, username)
        .into_iter()
        .collect();
    let device = device_aor(scope, username, directory);
    aors.extend(device.filter(|device| !aors.iter().any(|known| is_same(known, device))));
    aors.into_iter().collect()
}

/// Whether Kamailio knows the device by an address of record that has a row: the directory may spell it in another case,
/// and with `use_domain=0` rows have no domain.
fn is_same(known: &(Text, Option<Text>), device: &(Text, Option<Text>)) -> bool {
    let same = |one: &Text, other: &Text| one.as_bytes().eq_ignore_ascii_case(other.as_bytes());
    let is_same_domain = match (&known.1, &device.1) {
        (Some(known), Some(device)) => same(known, device),
        (None, _) | (_, None) => true,
    };
    is_same_domain && same(&known.0, &device.0)
}

/// The address of record of a device that the directory names: the domain in lower case, as Kamailio keeps it, and the
/// user as it stands there. Unless Kamailio is case-sensitive it reads that in lower case.
fn device_aor(
    scope: Scope<'_>,
    username: &[u8],
    directory: &Directory,
) -> Option<(Text, Option<Text>)> {
    let Scope::Account(account) = scope else {
        return None;
    };
    let device = directory.device(account, std::str::from_utf8(username).ok()?)?;
    let realm = directory.account(account)?.realm.as_deref()?;
    let realm = realm.to_ascii_lowercase();
    let (username, domain) = columns_of(device.username.as_bytes(), realm.as_bytes());
    Some((username, Some(domain)))
}

fn actor(
    subject: Subject<'_>,
    who: &Who<'_>,
    id: &RequestId,
    chosen: Option<&BTreeSet<String>>,
) -> Actor {
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
        filters: filters_of(who.query.reveal(), chosen),
    }
}

/// What a query chooses, as it was sent, without the token that may stand among them; and how many ruids the body does.
fn filters_of(query: &str, chosen: Option<&BTreeSet<String>>) -> String {
    let is_filter = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        let name = Params::parse(name);
        name.iter().any(|(name, _)| narrows(name))
    };
    let filters = query.split('&').filter(is_filter).map(str::to_owned);
    let chosen = chosen.map(|ruids| format!("{RUIDS}={}", ruids.len()));
    filters.chain(chosen).collect::<Vec<_>>().join("&")
}

/// `data: "ok"`.
fn ok(
    app: &App,
    call: &Call,
    subject: Subject<'_>,
    id: &RequestId,
    header: HeaderName,
    number: u64,
) -> Response {
    let sum = match subject.username {
        Some(username) => app.registry.list_user(subject.scope, username).revision,
        None => app.registry.count(subject.scope).1,
    };
    let mut response = enveloped(app, call, id, "\"ok\"", &Revision::of(sum));
    response
        .headers_mut()
        .insert(header, HeaderValue::from(number));
    response
}
