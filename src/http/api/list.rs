//! Lists of registrations: whole, or page by page; in the usual order, or in that of one of their keys.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use xxhash_rust::xxh3::Xxh3;

use super::select::{BATCH, select, sorted, turn};
use super::subject::Subject;
use crate::http::App;
use crate::http::auth::access::Caller;
use crate::http::error::Error;
use crate::http::request::call::Call;
use crate::http::request::fields::{fields, sort};
use crate::http::request::filter::Filters;
use crate::http::request::format::{Format, Layout};
use crate::http::request::paging::{self, Paging, Place};
use crate::http::request::request_id::RequestId;
use crate::http::response::answer::json;
use crate::http::response::body::{self, Rows, Style};
use crate::http::response::envelope::{Envelope, Success};
use crate::http::response::revision::{Revision, unchanged, validated};
use crate::registration::Registration;
use crate::registration::item::sort::Sort;
use crate::registry::{Listing, Position};

/// Lists of up to so many registrations are written in one piece, and shared by all requests for them within the second;
/// longer ones are written piece by piece as their callers take them.
const SHARED_ROWS: usize = 1024;

const CSV: HeaderValue = HeaderValue::from_static("text/csv; charset=utf-8; header=present");
const LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");
const ATTACHMENT: HeaderValue =
    HeaderValue::from_static("attachment; filename=\"registrations.csv\"");
const X_NEXT_START_KEY: HeaderName = HeaderName::from_static("x-next-start-key");
const X_TOTAL: HeaderName = HeaderName::from_static("x-total");

/// Which list is asked for.
#[derive(Debug)]
struct Wanted {
    filters: Filters,
    sort: Option<Sort>,
    paging: Option<Paging>,
    /// What tells the keys of its pages from those of others.
    name: Vec<u8>,
    style: Style,
}

/// A list that is to be shown.
#[derive(Debug)]
struct Found {
    rows: Rows,
    size: usize,
    /// How many there are on all pages.
    total: usize,
    revision: Revision,
    next_start_key: Option<String>,
}

/// The list, as the caller wants it.
pub(crate) async fn list(
    app: &App,
    call: &Call,
    subject: Subject<'_>,
    caller: &Caller,
    id: &RequestId,
) -> Result<Response, Error> {
    let wanted = Wanted::parse(app, call, subject)?;
    let is_plain = wanted.is_plain() && subject.username.is_none();
    let is_whole = is_plain && wanted.paging.is_none() && wanted.style.fields.is_none();
    if is_whole && subject.fleet.is_none() && call.is_conditional() {
        let (total, sum) = subject.count(app);
        if let Some(unchanged) = unchanged(call, &Revision::of(sum)) {
            return Ok(counted(unchanged, total));
        }
    }
    let found = match &wanted.paging {
        Some(paging) if is_plain => page(app, subject, &wanted, paging).await?,
        None if is_whole && subject.fleet.is_none() => whole(app, subject, &wanted.style).await,
        _ => selected(app, subject, caller, &wanted).await?,
    };
    if let Some(unchanged) = unchanged(call, &found.revision) {
        return Ok(counted(unchanged, found.total));
    }
    let success = Success {
        auth_token: call.token(),
        page_size: Some(found.size),
        revision: found.revision.as_str(),
        start_key: call.params.get("start_key"),
        next_start_key: found.next_start_key.as_deref(),
        oldest: None,
    };
    let style = wanted.style;
    let response = match style.format {
        Format::Json => {
            let (mut head, mut tail) = (Vec::with_capacity(512), Vec::with_capacity(512));
            Envelope::open(&success, &mut head);
            subject.envelope(app, id).close(&success, &mut tail);
            json(body::json(head, found.rows, tail, style))
        }
        Format::Csv => {
            let mut response = plain(body::csv(found.rows, style), CSV, found.next_start_key);
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_DISPOSITION, ATTACHMENT);
            response
        }
        Format::Lines => plain(body::lines(found.rows, style), LINES, found.next_start_key),
    };
    Ok(counted(validated(response, &found.revision), found.total))
}

/// The whole list, shared with others who ask for it now.
async fn whole(app: &App, subject: Subject<'_>, style: &Style) -> Found {
    let Some(scope) = subject.only() else {
        return Found::of(subject.list(app).await);
    };
    let (size, sum) = app.registry.count(scope);
    let shared =
        style.format == Format::Json && style.layout == Layout::Compact && size <= SHARED_ROWS;
    if shared && let Some(text) = app.cache.get(scope, sum, style.view.now) {
        return Found::written(text, size, sum);
    }
    let listing = app.registry.list(scope);
    if !shared || listing.registrations.len() > SHARED_ROWS {
        return Found::of(listing);
    }
    let text = body::write_array(&listing.registrations, style);
    let (size, sum) = (listing.registrations.len(), listing.revision);
    app.cache.put(scope, sum, style.view.now, &text);
    Found::written(text, size, sum)
}

/// One page of a list as it stands in the registry, or in the fleet's database.
async fn page(
    app: &App,
    subject: Subject<'_>,
    wanted: &Wanted,
    paging: &Paging,
) -> Result<Found, Error> {
    let after = paging.after.as_ref().map(|place| &place.position);
    let (page, total) = match subject.fleet {
        None => {
            let page = subject.page(app, after, paging.size).await;
            (page, subject.count(app).0)
        }
        Some(fleet) => fleet.page(subject.of_fleet(), after, paging.size).await?,
    };
    let place = page.registrations.last().filter(|_| page.more);
    let place = place.map(|(position, _)| Place::of(position.clone()));
    let rows = page.registrations.into_iter().map(|(_, one)| one).collect();
    Ok(wanted.show(rows, place, total).await)
}

/// What has to be looked for: some of a list, or a list in another order.
async fn selected(
    app: &App,
    subject: Subject<'_>,
    caller: &Caller,
    wanted: &Wanted,
) -> Result<Found, Error> {
    let Wanted { paging, style, .. } = wanted;
    let _turn = turn(app, subject, caller).await;
    let found = match subject.fleet {
        None => select(app, subject, &wanted.filters, &style.view).await,
        Some(fleet) => {
            let of = subject.of_fleet();
            fleet.select(of, &wanted.filters, &style.view).await?
        }
    };
    let mut rows = found.registrations;
    let total = rows.len();
    let after = paging.as_ref().and_then(|paging| paging.after.as_ref());
    // They are in the usual order.
    let begin = after.map_or(0, |after| {
        rows.partition_point(|one| Position::of_registration(one) <= after.position)
    });
    let most = paging.as_ref().map_or(usize::MAX, |paging| paging.size);
    let (rows, place) = match wanted.sort {
        None => {
            let more = rows.len() - begin > most;
            rows.truncate(begin.saturating_add(most));
            let rows = rows.split_off(begin);
            let last = rows.last().filter(|_| more);
            let place = last.map(|one| Place::of(Position::of_registration(one)));
            (rows, place)
        }
        Some(sort) => {
            let after = after.and_then(|after| Some((after.value.clone()?, begin)));
            let more = most.saturating_add(1);
            let mut ranked = sorted(rows, sort, &style.view, after, more).await;
            let more = ranked.len() > most;
            ranked.truncate(most);
            let place = ranked.last().filter(|_| more).map(|last| Place {
                value: Some(last.value.clone()),
                position: Position::of_registration(&last.row),
            });
            (ranked.into_iter().map(|one| one.row).collect(), place)
        }
    };
    Ok(wanted.show(rows, place, total).await)
}

impl Wanted {
    fn parse(app: &App, call: &Call, subject: Subject<'_>) -> Result<Self, Error> {
        let params = &call.params;
        let reach = subject.reach(app);
        let filters = Filters::parse(params, reach)?;
        let sort = sort(params, reach)?;
        let mut name = subject.name();
        if sort.is_some() {
            // A key of a list in another order leads nowhere.
            name.push(0);
            name.extend(params.get("sort").unwrap_or_default().bytes());
        }
        Ok(Self {
            filters,
            sort,
            paging: Paging::parse(params, &name, sort.is_some())?,
            name,
            style: Style {
                format: call.format(),
                layout: call.layout(),
                fields: fields(params, reach)?.map(Into::into),
                view: subject.view(app),
            },
        })
    }

    /// Whether it is the list as it stands in the registry, or a page of that.
    fn is_plain(&self) -> bool {
        self.filters.is_empty() && self.sort.is_none()
    }

    /// These rows, and the place after which more follow.
    async fn show(&self, rows: Vec<Arc<Registration>>, more: Option<Place>, total: usize) -> Found {
        Found {
            size: rows.len(),
            total,
            revision: self.revision(&rows, more.is_some()).await,
            next_start_key: more.map(|place| paging::next_start_key(&place, &self.name)),
            rows: Rows::Each(rows),
        }
    }

    /// The revision of these rows. Whether there is a next page is part of the answer: a page that becomes the last one
    /// has changed.
    async fn revision(&self, rows: &[Arc<Registration>], more: bool) -> Revision {
        let fields = self.style.fields.as_deref();
        if self.sort.is_none() && fields.is_none() {
            let sum = |sum: u64, one: &Arc<Registration>| sum.wrapping_add(one.digest());
            return Revision::of(rows.iter().fold(u64::from(more), sum));
        }
        // The order may change although nothing that is shown does.
        let mut hash = Xxh3::new();
        for batch in rows.chunks(BATCH) {
            for one in batch {
                let digest = fields.map_or(one.digest(), |fields| one.digest_of(fields));
                hash.update(&digest.to_le_bytes());
            }
            tokio::task::yield_now().await;
        }
        hash.update(&[u8::from(more)]);
        Revision::of(hash.digest())
    }
}

/// The answer with the number of all that match, on this page or not.
fn counted(mut response: Response, total: usize) -> Response {
    response.headers_mut().insert(X_TOTAL, total.into());
    response
}

/// A list without an envelope.
fn plain(body: Body, kind: HeaderValue, next_start_key: Option<String>) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind);
    if let Some(key) = next_start_key.and_then(|key| HeaderValue::from_str(&key).ok()) {
        headers.insert(X_NEXT_START_KEY, key);
    }
    response
}

impl Found {
    fn of(listing: Listing) -> Self {
        let size = listing.registrations.len();
        Self {
            size,
            total: size,
            revision: Revision::of(listing.revision),
            rows: Rows::Each(listing.registrations),
            next_start_key: None,
        }
    }

    fn written(text: Bytes, size: usize, sum: u64) -> Self {
        Self {
            rows: Rows::Written(text),
            size,
            total: size,
            revision: Revision::of(sum),
            next_start_key: None,
        }
    }
}
