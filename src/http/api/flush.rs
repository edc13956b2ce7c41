//! DELETE: picks the registrations to flush, has them flushed, and says what became of it.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::sync::Arc;

use axum::response::Response;
use http::{HeaderName, HeaderValue};

use super::asked::Asked;
use super::intents;
use super::newest::leave_newest;
use super::select::pick;
use super::subject::Subject;
use crate::accounts::directory::Directory;
use crate::flush::{self, Actor, FailureKind, Outcome, Request};
use crate::http::App;
use crate::http::auth::access::Caller;
use crate::http::auth::authorization::{Covered, FlushAuthorization};
use crate::http::auth::credential::Credential;
use crate::http::auth::peer::Peer;
use crate::http::error::{Cause, Error, Incomplete, Problem};
use crate::http::request::call::Call;
use crate::http::request::chosen::chosen;
use crate::http::request::filter::Filters;
use crate::http::request::flush_params::{dry_run, keep_newest, narrows, refuse_unknown};
use crate::http::request::params::Params;
use crate::http::request::request_id::RequestId;
use crate::http::request::ruids::{RUIDS, has_ruid};
use crate::http::request::secret::Secret;
use crate::http::response::answer::enveloped_in;
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
    let filters = Filters::parse(&call.params, subject.reach(app))?;
    let dry_run = dry_run(&call.params)?;
    let keep = keep_newest(&call.params, subject.username)?;
    let exactly = !filters.is_empty() || keep > 0 || chosen.is_some();
    if subject.scope == Scope::System && !exactly {
        return Err(Error::parameter("q", Problem::NothingChosen));
    }
    let mut picked = pick(app, subject, &filters, who.caller).await?;
    if let Some(chosen) = &chosen {
        picked.retain(|one| has_ruid(chosen, one));
    }
    let picked = leave_newest(picked, keep);
    let would = would_flush(&picked);
    let parts = parts(subject, picked);
    let credential = Credential::of(app, call);
    let authorization = |covered| {
        Arc::new(FlushAuthorization::new(
            app,
            who.peer,
            credential.clone(),
            covered,
            directory,
            subject.fleet.map(|asked| Arc::clone(&asked.known)),
        ))
    };
    let authorizations: Vec<_> = parts
        .iter()
        .map(|part| authorization(part.covered()))
        .collect();
    // Others were served in between, and what is picked is of the directory that there is now.
    let check = || FlushAuthorization::check_each(authorizations.iter().map(AsRef::as_ref));
    check()?;
    if dry_run {
        return ok(app, call, subject, id, X_WOULD_FLUSH, would).await;
    }
    let mut further = match subject.username {
        // Nodes know their own.
        Some(username) if !exactly && subject.fleet.is_none() => {
            further(app, subject.scope, username, directory)
        }
        Some(_) | None => Vec::new(),
    };
    let filters = filters_of(who.query.reveal(), chosen.as_ref());
    let requests = parts.into_iter().zip(&authorizations);
    let requests = requests.map(|(part, authorization)| Request {
        actor: actor(&part, subject, who, id, &filters),
        registrations: part.picked,
        further: std::mem::take(&mut further),
        exactly,
        authorization: Arc::clone(authorization) as _,
    });
    let outcome = carry_out(app, subject.fleet, requests.collect(), id).await?;
    if subject.fleet.is_none() {
        // Whoever watches is told before the caller is.
        app.events.has_followed(app.registry.last_entry()).await;
    }
    if is_withdrawn(&outcome) {
        // Nothing was done: the answer is that of a request that comes now.
        check()?;
    }
    match incomplete(outcome, subject.fleet.is_some()) {
        Ok(flushed) => ok(app, call, subject, id, X_FLUSHED, flushed).await,
        Err(incomplete) => Err(Error::Flush(incomplete)),
    }
}

/// What is flushed of one account, or of what belongs to none.
struct Part {
    account: Option<Arc<str>>,
    picked: Vec<Arc<Registration>>,
}

impl Part {
    /// What the caller must be allowed to flush.
    fn covered(&self) -> Covered<'_> {
        match &self.account {
            Some(id) => Covered::Account(id),
            None if self.picked.is_empty() => Covered::Nothing,
            None => Covered::NoAccount,
        }
    }
}

/// What was picked, account by account; one part at least, so that the audit has a record.
fn parts(subject: Subject<'_>, picked: Vec<Arc<Registration>>) -> Vec<Part> {
    if let Scope::Account(id) = subject.scope {
        let account = Some(id.into());
        return vec![Part { account, picked }];
    }
    let mut parts: BTreeMap<Option<Arc<str>>, Vec<_>> = BTreeMap::new();
    for one in picked {
        parts.entry(one.account_id.clone()).or_default().push(one);
    }
    if parts.is_empty() {
        parts.insert(None, Vec::new());
    }
    let part = |(account, picked)| Part { account, picked };
    parts.into_iter().map(part).collect()
}

/// How many would go: all but those that cannot be named to Kamailio.
fn would_flush(picked: &[Arc<Registration>]) -> u64 {
    let aors = picked.iter().map(|one| one.binding.address_of_record());
    aors.filter(|aor| aor.for_rpc().is_ok()).count() as u64
}

/// Flushes in a task of its own, which confirms and audits to the end even if the caller does not wait.
async fn carry_out(
    app: &Arc<App>,
    fleet: Option<&Asked>,
    requests: Vec<Request>,
    id: &RequestId,
) -> Result<Outcome, Error> {
    let task = if let Some(asked) = fleet {
        let doing = intents::flush(Arc::clone(app), asked.clone(), requests);
        app.flushes.spawn(doing)
    } else {
        let (flusher, id) = (Arc::clone(&app.flush), id.as_str().to_owned());
        app.flushes.spawn(async move {
            let outcome = flush::flush_all(&*flusher, requests).await;
            outcome.map_err(|error| {
                tracing::error!(request_id = id, %error, source = error.source(), "a flush failed");
                Error::Fault
            })
        })
    };
    match task.await {
        Ok(outcome) => outcome,
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
fn incomplete(outcome: Outcome, is_of_fleet: bool) -> Result<u64, Incomplete> {
    let Outcome { flushed, failed } = outcome;
    if failed.is_empty() {
        return Ok(flushed);
    }
    // Of a fleet the node's Kamailio is meant, so that the reasons tell more.
    let all =
        |kind| !is_of_fleet && flushed == 0 && failed.iter().all(|failure| failure.kind == kind);
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

fn actor(part: &Part, subject: Subject<'_>, who: &Who<'_>, id: &RequestId, filters: &str) -> Actor {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Actor {
        token: who.caller.to_string(),
        client: who.peer.to_string(),
        request_id: id.as_str().to_owned(),
        account_id: part.account.as_deref().map(str::to_owned),
        username: subject.username.map(lossy),
        filters: filters.to_owned(),
    }
}

/// What a query chooses, as it was sent, without the token that may stand among them; of ruids how many there are.
pub(super) fn filters_of(query: &str, chosen: Option<&BTreeSet<String>>) -> String {
    let filter = |pair: &str| {
        let (name, value) = Params::parse(pair).iter().next().map(owned)?;
        match name.as_str() {
            RUIDS => Some(format!("{RUIDS}={}", value.split(',').count())),
            name => narrows(name).then(|| pair.to_owned()),
        }
    };
    let filters = query.split('&').filter_map(filter);
    let chosen = chosen.map(|ruids| format!("{RUIDS}={}", ruids.len()));
    filters.chain(chosen).collect::<Vec<_>>().join("&")
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// `data: "ok"`.
async fn ok(
    app: &App,
    call: &Call,
    subject: Subject<'_>,
    id: &RequestId,
    header: HeaderName,
    number: u64,
) -> Result<Response, Error> {
    let revision = Revision::of(subject.revision(app).await?);
    let mut response = enveloped_in(&subject.envelope(app, id), call, "\"ok\"", &revision);
    response
        .headers_mut()
        .insert(header, HeaderValue::from(number));
    Ok(response)
}
