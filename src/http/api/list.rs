//! Lists of registrations: whole, or page by page.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderName, HeaderValue, header};

use super::select::{BATCH, select};
use super::subject::Subject;
use crate::http::App;
use crate::http::error::Error;
use crate::http::request::call::Call;
use crate::http::request::filter::Filters;
use crate::http::request::format::{Format, Layout};
use crate::http::request::paging::{self, Paging};
use crate::http::request::request_id::RequestId;
use crate::http::response::answer::json;
use crate::http::response::body::{self, Rows, Style};
use crate::http::response::envelope::{Envelope, Success};
use crate::http::response::revision::{Revision, unchanged, validated};
use crate::registration::Registration;
use crate::registry::{Listing, Position};

/// Lists of up to so many registrations are written in one piece, and shared by all requests for them within the second;
/// longer ones are written piece by piece as their callers take them.
const SHARED_ROWS: usize = 1024;

const CSV: HeaderValue = HeaderValue::from_static("text/csv; charset=utf-8; header=present");
const LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");
const ATTACHMENT: HeaderValue =
    HeaderValue::from_static("attachment; filename=\"registrations.csv\"");
const X_NEXT_START_KEY: HeaderName = HeaderName::from_static("x-next-start-key");

/// A list that is to be shown.
#[derive(Debug)]
struct Found {
    rows: Rows,
    size: usize,
    revision: Revision,
    next_start_key: Option<String>,
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
        layout: call.layout(),
        wire: app.settings.wire,
        now: app.clock.unix_seconds(),
        flaps: app.flaps.now(),
    };
    let found = match paging {
        Some(paging) if subject.username.is_some() => {
            page_of_user(app, subject, &filters, &paging, &style).await
        }
        Some(paging) => page(app, subject, &filters, &paging, &style).await,
        None if filters.is_empty() && subject.username.is_none() => {
            if call.is_conditional()
                && let Some(unchanged) = unchanged(call, &Revision::of(subject.count(app).1))
            {
                return Ok(unchanged);
            }
            whole(app, subject, &style).await
        }
        None => Found::of(select(app, subject, &filters, style.now).await),
    };
    if let Some(unchanged) = unchanged(call, &found.revision) {
        return Ok(unchanged);
    }
    let success = Success {
        auth_token: call.token(),
        page_size: Some(found.size),
        revision: found.revision.as_str(),
        start_key: call.params.get("start_key"),
        next_start_key: found.next_start_key.as_deref(),
        oldest: None,
    };
    let response = match style.format {
        Format::Json => {
            let (mut head, mut tail) = (Vec::with_capacity(512), Vec::with_capacity(512));
            Envelope::open(&success, &mut head);
            app.envelope(id).close(&success, &mut tail);
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
    Ok(validated(response, &found.revision))
}

/// The whole list, shared with others who ask for it now.
async fn whole(app: &App, subject: Subject<'_>, style: &Style) -> Found {
    let Some(scope) = subject.only() else {
        return Found::of(subject.list(app).await);
    };
    let (size, sum) = app.registry.count(scope);
    let shared =
        style.format == Format::Json && style.layout == Layout::Compact && size <= SHARED_ROWS;
    if shared && let Some(text) = app.cache.get(scope, sum, style.now) {
        return Found {
            rows: Rows::Written(text),
            size,
            revision: Revision::of(sum),
            next_start_key: None,
        };
    }
    let listing = app.registry.list(scope);
    if !shared || listing.registrations.len() > SHARED_ROWS {
        return Found::of(listing);
    }
    let text = body::write_array(&listing.registrations, style);
    app.cache.put(scope, listing.revision, style.now, &text);
    Found {
        size: listing.registrations.len(),
        rows: Rows::Written(text),
        revision: Revision::of(listing.revision),
        next_start_key: None,
    }
}

/// One page of a list.
async fn page(
    app: &App,
    subject: Subject<'_>,
    filters: &Filters,
    paging: &Paging,
    style: &Style,
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
            if !filters.match_item(&style.item(&one)) {
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
    style: &Style,
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
    /// A page, and whether there is a next one.
    fn page(found: Vec<(Position, Arc<Registration>)>, more: bool, subject: Subject<'_>) -> Self {
        let next_start_key = found
            .last()
            .filter(|_| more)
            .map(|(place, _)| paging::next_start_key(place, &subject.name()));
        let registrations: Vec<_> = found.into_iter().map(|(_, one)| one).collect();
        // Whether there is a next page is part of the answer: a page that becomes the last one has changed.
        let sum = sum(registrations.iter()).wrapping_add(u64::from(more));
        Self {
            size: registrations.len(),
            rows: Rows::Each(registrations),
            revision: Revision::of(sum),
            next_start_key,
        }
    }

    fn of(listing: Listing) -> Self {
        Self {
            size: listing.registrations.len(),
            revision: Revision::of(listing.revision),
            rows: Rows::Each(listing.registrations),
            next_start_key: None,
        }
    }
}
