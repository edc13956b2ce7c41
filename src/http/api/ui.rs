//! `/ui/`: the page for operators. Its files are in the program; it works with the API like any other client, logs in to a
//! session, and has a few summaries of its own below `/ui/data/`.

mod accounts;
mod asker;
mod data;
mod files;
mod flushes;
pub(crate) mod health;
pub(crate) mod overview;
mod owner;
mod session;
pub(crate) mod summaries;

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use xxhash_rust::xxh3::xxh3_64;

use super::Context;
use crate::http::App;
use crate::http::auth::admission::admit_stranger;
use crate::http::error::Error;
use crate::http::request::call::{self, Call};
use crate::http::request::format::ranges;
use crate::http::request::request_id::RequestId;
use crate::http::response::answer::{json, laid_out, refuse};
use crate::http::response::envelope::{Envelope, Success};
use crate::http::response::page::{self, FOLDER};
use crate::http::response::revision::Revision;

/// Whether a request is for the page, and not for the API.
pub(crate) fn is_for_page(app: &App, request: &Parts) -> bool {
    let path = request.uri.path();
    let is_read = matches!(request.method, Method::GET | Method::HEAD);
    let is_start = || path == "/" && is_read && accepts_html(request);
    app.settings.ui && (page::has(path) || is_start())
}

/// Answers it.
pub(crate) async fn answer(
    app: &Arc<App>,
    context: &Context,
    request: Parts,
    body: Body,
) -> Response {
    let layout = call::layout(&request);
    let path = request.uri.path().to_owned();
    let answered = match path.strip_prefix(FOLDER) {
        Some("session") => session::answer(app, context, request, body).await,
        Some(path) if path.starts_with(data::FOLDER) => {
            data::answer(app, context, path, request).await
        }
        other => admit_stranger(app, context.peer).map(|()| match other {
            None => start(app),
            Some(path) => files::answer(path, &request),
        }),
    };
    answered.unwrap_or_else(|error| {
        let mut response = refuse(app, &context.id, &error, layout);
        keep_nowhere(&mut response);
        response
    })
}

/// The way from `/` to the page.
fn start(app: &App) -> Response {
    // A browser that came through the proxy, and one that did not, both find it by a relative address.
    let page = if app.settings.below_path {
        FOLDER.trim_start_matches('/')
    } else {
        FOLDER
    };
    let mut response = Response::default();
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, HeaderValue::from_static(page));
    headers.insert(header::VARY, header::ACCEPT.into());
    response
}

fn accepts_html(request: &Parts) -> bool {
    ranges(&request.headers, &header::ACCEPT)
        .any(|(kind, quality)| kind == "text/html" && quality > 0)
}

/// What the page is told, in the envelope of a success. It never has the token in it: the page is not to know it.
fn reply(app: &App, call: &Call, id: &RequestId, data: &str, page: Page<'_>) -> Response {
    let revision = Revision::of(xxh3_64(data.as_bytes()));
    let success = Success {
        revision: revision.as_str(),
        page_size: page.size,
        start_key: call.params.get("start_key").filter(|_| page.size.is_some()),
        next_start_key: page.next,
        ..Success::default()
    };
    let mut out = Vec::with_capacity(data.len() + 512);
    Envelope::open(&success, &mut out);
    out.extend_from_slice(data.as_bytes());
    app.envelope(id).close(&success, &mut out);
    let mut response = json(laid_out(out, call.layout()));
    keep_nowhere(&mut response);
    response
}

/// What a list has beside its items.
#[derive(Clone, Copy, Debug, Default)]
struct Page<'a> {
    size: Option<usize>,
    next: Option<&'a str>,
}

fn keep_nowhere(response: &mut Response) {
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
}

/// The error of a method that a resource of the page does not have.
fn refused(allow: &'static str) -> Error {
    Error::MethodNotAllowed { allow }
}
