//! Lists and counts of registrations.

use std::collections::HashSet;
use std::sync::Arc;

use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};
use xxhash_rust::xxh3::xxh3_128;

use crate::accounts::directory::Directory;
use crate::http::App;
use crate::http::api::json;
use crate::http::api::select::{BATCH, select};
use crate::http::api::subject::Subject;
use crate::http::error::Error;
use crate::http::request::call::{Call, Format};
use crate::http::request::filter::Filters;
use crate::http::request::paging::{self, Paging};
use crate::http::request::request_id::RequestId;
use crate::http::response::body::{self, Rows, Style};
use crate::http::response::envelope::{Envelope, Success};
use crate::registration::{Common, Registration};
use crate::registry::{Listing, Position, Scope};

/// Lists of up to so many registrations are written in one piece and shared among those who ask for them within
/// the second; longer ones are written piece by piece as their callers take them.
const SHARED_ROWS: usize = 1024;

/// How many of an account's registrations are looked at for its name, so that a large one without any costs no more.
const SPEAKERS: usize = 16;

const CSV: HeaderValue = HeaderValue::from_static("text/csv; charset=utf-8; header=present");
const ATTACHMENT: HeaderValue =
    HeaderValue::from_static("attachment; filename=\"registrations.csv\"");
const X_NEXT_START_KEY: HeaderName = HeaderName::from_static("x-next-start-key");

/// A list that is to be shown.
#[derive(Debug)]
struct Found {
    rows: Rows,
    size: usize,
    revision: String,
    next_start_key: Option<String>,
}

/// Whether the account's user is known: a device of the directory, or one with a row within the last hour.
pub(crate) fn is_known(app: &App, account: &str, username: &[u8], directory: &Directory) -> bool {
    let is_device = std::str::from_utf8(username)
        .is_ok_and(|username| directory.device(account, username).is_some());
    is_device
        || !app
            .registry
            .known_aors(Scope::Account(account), username)
            .is_empty()
}

/// The list, as the caller wants it.
pub(crate) async fn list(
    app: &App,
    call: &Call,
    subject: Subject<'_>,
    id: &RequestId,
) -> Result<Response, Error> {
    let filters = Filters::parse(&call.params)?;
    let paging = Paging::parse(&call.params, &subject.name())?;
    let style = Style {
        format: call.format(),
        pretty: call.wants_pretty(),
        wire: app.settings.wire,
        now: app.clock.unix_seconds(),
    };
    let found = match paging {
        Some(paging) if subject.username.is_some() => {
            page_of_user(app, subject, &filters, &paging, style).await
        }
        Some(paging) => page(app, subject, &filters, &paging, style).await,
        None if filters.is_empty() && subject.username.is_none() => {
            if let Some(unchanged) = unchanged(call, &revision(subject.count(app).1)) {
                return Ok(unchanged);
            }
            whole(app, subject, style).await
        }
        None => Found::of(select(app, subject, &filters, style.now).await),
    };
    if let Some(unchanged) = unchanged(call, &found.revision) {
        return Ok(unchanged);
    }
    let success = Success {
        auth_token: call.token(),
        page_size: Some(found.size),
        revision: &found.revision,
        start_key: call.params.get("start_key"),
        next_start_key: found.next_start_key.as_deref(),
    };
    let mut response = match style.format {
        Format::Json => {
            let envelope = app.envelope(id);
            let (mut head, mut tail) = (Vec::new(), Vec::new());
            Envelope::open(&success, &mut head);
            envelope.close(&success, &mut tail);
            json(body::json(head, found.rows, tail, style))
        }
        Format::Csv => csv(found.rows, found.next_start_key.as_deref(), style),
    };
    validators(&mut response, &found.revision);
    Ok(response)
}

/// The number of registrations.
pub(crate) async fn count(
    app: &App,
    call: &Call,
    subject: Subject<'_>,
    id: &RequestId,
) -> Result<Response, Error> {
    let filters = Filters::parse(&call.params)?;
    let (count, sum) = if filters.is_empty() {
        subject.count(app)
    } else {
        let found = select(app, subject, &filters, app.clock.unix_seconds()).await;
        (found.registrations.len(), found.revision)
    };
    let revision = revision(sum);
    let with_accounts = subject.scope == Scope::System && asks_for_accounts(call);
    // Names come from the directory, whose changes the revision does not show.
    if !with_accounts && let Some(unchanged) = unchanged(call, &revision) {
        return Ok(unchanged);
    }
    let data = if with_accounts {
        serde_json::json!({"accounts": accounts(app, subject).await, "count": count}).to_string()
    } else {
        format!("{{\"count\":{count}}}")
    };
    let mut response = json(enveloped(app, call, id, &data, &revision));
    validators(&mut response, &revision);
    Ok(response)
}

fn asks_for_accounts(call: &Call) -> bool {
    call.params.get("accounts") == Some("true")
}

/// Every account that has rows, of those asked for. Others are served in between, however many there are.
async fn accounts(app: &App, subject: Subject<'_>) -> Vec<serde_json::Value> {
    let directory = Arc::clone(&app.directory.borrow());
    let mut all = app.registry.accounts();
    if let Some(seen) = subject.accounts {
        let seen: HashSet<&str> = seen.iter().map(String::as_str).collect();
        all.retain(|(id, _)| seen.contains(&**id));
    }
    let mut accounts = Vec::new();
    for batch in all.chunks(BATCH) {
        accounts.extend(
            batch
                .iter()
                .map(|(id, count)| account(app, &directory, id, *count)),
        );
        tokio::task::yield_now().await;
    }
    accounts
}

/// An account with its number, and its name and realm: what the directory says, else what its registrations say. Those
/// of one account say the same as a rule; where they do not, the first in the order of lists that says anything counts.
fn account(app: &App, directory: &Directory, id: &Arc<str>, count: usize) -> serde_json::Value {
    let known = directory.account(id);
    let mut name = known.and_then(|known| known.name.clone());
    let mut realm = known.and_then(|known| known.realm.clone());
    if name.is_none() || realm.is_none() {
        let first = app.registry.page(Scope::Account(id), None, SPEAKERS);
        let said = |what: fn(&Common) -> &Option<Arc<str>>| {
            let mut each = first.registrations.iter();
            each.find_map(|(_, one)| what(&one.common).clone())
        };
        name = name.or_else(|| said(|common| &common.account_name));
        realm = realm.or_else(|| said(|common| &common.account_realm));
    }
    let mut account = serde_json::Map::new();
    account.insert("count".to_owned(), count.into());
    account.insert("id".to_owned(), (**id).into());
    for (key, value) in [("name", name), ("realm", realm)] {
        if let Some(value) = value {
            account.insert(key.to_owned(), (*value).into());
        }
    }
    serde_json::Value::Object(account)
}

/// A small answer in its envelope.
pub(crate) fn enveloped(
    app: &App,
    call: &Call,
    id: &RequestId,
    data: &str,
    revision: &str,
) -> Vec<u8> {
    let success = Success {
        auth_token: call.token(),
        revision,
        ..Success::default()
    };
    let mut out = Vec::with_capacity(512);
    Envelope::open(&success, &mut out);
    out.extend_from_slice(data.as_bytes());
    app.envelope(id).close(&success, &mut out);
    if call.wants_pretty() {
        body::indented(&out)
    } else {
        out
    }
}

/// The revision that callers see: it changes with the sum of the rows' digests, and with that only.
pub(crate) fn revision(sum: u64) -> String {
    hex::encode(xxh3_128(&sum.to_le_bytes()).to_be_bytes())
}

/// The whole list, shared with others who ask for it now.
async fn whole(app: &App, subject: Subject<'_>, style: Style) -> Found {
    let Some(scope) = subject.only() else {
        return Found::of(subject.list(app).await);
    };
    let (size, sum) = app.registry.count(scope);
    let shared = style.format == Format::Json && !style.pretty && size <= SHARED_ROWS;
    if shared && let Some(text) = app.rendered.get(scope, sum, style.now) {
        return Found {
            rows: Rows::Written(text),
            size,
            revision: revision(sum),
            next_start_key: None,
        };
    }
    let listing = app.registry.list(scope);
    if !shared || listing.registrations.len() > SHARED_ROWS {
        return Found::of(listing);
    }
    let text = body::write_array(&listing.registrations, style);
    app.rendered.put(scope, listing.revision, style.now, &text);
    Found {
        size: listing.registrations.len(),
        rows: Rows::Written(text),
        revision: revision(listing.revision),
        next_start_key: None,
    }
}

/// One page of a list.
async fn page(
    app: &App,
    subject: Subject<'_>,
    filters: &Filters,
    paging: &Paging,
    style: Style,
) -> Found {
    let mut found: Vec<(Position, Arc<Registration>)> = Vec::new();
    let mut after = paging.after.clone();
    let mut more = false;
    let filtered = !filters.is_empty();
    'looking: loop {
        let wanted = paging.size - found.len();
        let batch = if filtered { BATCH } else { wanted };
        let page = subject.page(app, after.as_ref(), batch).await;
        after = page.registrations.last().map(|(place, _)| place.clone());
        for (place, one) in page.registrations {
            if !filters.match_one(&one, style.wire, style.now) {
                continue;
            }
            if found.len() == paging.size {
                more = true;
                break 'looking;
            }
            found.push((place, one));
        }
        if !page.more {
            break;
        }
        if !filtered && found.len() == paging.size {
            more = true;
            break;
        }
        tokio::task::yield_now().await;
    }
    Found::page(found, more, subject)
}

/// One page of a user's list, which is short.
async fn page_of_user(
    app: &App,
    subject: Subject<'_>,
    filters: &Filters,
    paging: &Paging,
    style: Style,
) -> Found {
    let all = select(app, subject, filters, style.now).await.registrations;
    let rows = all
        .into_iter()
        .map(|one| (Position::of_registration(&one), one));
    let is_next =
        |(place, _): &(Position, _)| paging.after.as_ref().is_none_or(|after| place > after);
    let mut rows = rows.filter(is_next);
    let found = rows.by_ref().take(paging.size).collect();
    Found::page(found, rows.next().is_some(), subject)
}

fn sum<'a>(registrations: impl Iterator<Item = &'a Arc<Registration>>) -> u64 {
    registrations.fold(0, |sum, one| sum.wrapping_add(one.digest()))
}

fn csv(rows: Rows, next_start_key: Option<&str>, style: Style) -> Response {
    let mut response = Response::new(body::csv(rows, style));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, CSV);
    headers.insert(header::CONTENT_DISPOSITION, ATTACHMENT);
    if let Some(key) = next_start_key.and_then(|key| HeaderValue::from_str(key).ok()) {
        headers.insert(X_NEXT_START_KEY, key);
    }
    response
}

fn etag(revision: &str) -> String {
    format!("W/\"{revision}\"")
}

/// The answer to a caller who holds this revision already.
fn unchanged(call: &Call, revision: &str) -> Option<Response> {
    if !call.headers.contains_key(header::IF_NONE_MATCH) || !call.holds(&etag(revision)) {
        return None;
    }
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    validators(&mut response, revision);
    Some(response)
}

fn validators(response: &mut Response, revision: &str) {
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(&etag(revision)) {
        headers.insert(header::ETAG, etag);
    }
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, no-cache"),
    );
}

impl Found {
    /// A page, and whether there is a next one.
    fn page(found: Vec<(Position, Arc<Registration>)>, more: bool, subject: Subject<'_>) -> Self {
        let next_start_key = found
            .last()
            .filter(|_| more)
            .map(|(place, _)| paging::next_start_key(place, &subject.name()));
        let registrations: Vec<_> = found.into_iter().map(|(_, one)| one).collect();
        // That there is a next page is part of the answer, so that nobody is told "not modified" on the last page.
        let sum = sum(registrations.iter()).wrapping_add(u64::from(more));
        Self {
            size: registrations.len(),
            rows: Rows::Each(registrations),
            revision: revision(sum),
            next_start_key,
        }
    }

    fn of(listing: Listing) -> Self {
        Self {
            size: listing.registrations.len(),
            revision: revision(listing.revision),
            rows: Rows::Each(listing.registrations),
            next_start_key: None,
        }
    }
}
