//! What every request passes, whatever its path: the request's id, the rules about names and other sites, CORS,
//! compression, and a net for panics.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::FutureExt;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version, header};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use thiserror::Error;

use super::request_metrics::Watch;
use super::{compression, cors};
use crate::http::App;
use crate::http::api;
use crate::http::auth::cross_site::{self, Verdict};
use crate::http::auth::peer::Peer;
use crate::http::error::Error;
use crate::http::request::call;
use crate::http::request::format::{Layout, settle_coding};
use crate::http::request::request_id::{RequestId, X_REQUEST_ID};
use crate::http::response::answer::refuse;
use crate::http::response::page;

/// Ends an answer whose writing panicked: the caller sees that it is incomplete.
#[derive(Debug, Error)]
#[error("writing the answer panicked")]
struct Broken;

/// Answers a request of `peer`, and counts it.
pub(super) async fn answer(app: &Arc<App>, peer: Peer, request: Request<Incoming>) -> Response {
    let watch = Watch::start(&app.metrics, request.uri().path());
    let request = request.map(|body| {
        if body.is_end_stream() {
            Body::empty()
        } else {
            Body::new(body)
        }
    });
    let next = |context, request| api::answer(app, context, request);
    let response = around(app, peer, request, next).await;
    watch.answered(response.status());
    response
}

/// Answers a request on a connection for which there is no room.
pub(super) fn turn_away(app: &App, request: Request<Incoming>) -> Response {
    let (parts, _) = request.into_parts();
    let id = app.request_ids.of(&parts.headers);
    let cors = cors_of(app, &parts);
    let error = app.settings.hosts.check(&parts).err();
    let error = error.unwrap_or(Error::Overloaded);
    let mut response = refuse(app, &id, &error, call::layout(&parts));
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    identified(response, id, cors, page::has(parts.uri.path()))
}

/// The answer that `next` gives, unless the request is refused before.
pub(crate) async fn around<F>(
    app: &Arc<App>,
    peer: Peer,
    request: Request<Body>,
    next: impl Fn(api::Context, Request<Body>) -> F,
) -> Response
where
    F: Future<Output = Response>,
{
    let (mut parts, body) = request.into_parts();
    let id = app.request_ids.of(&parts.headers);
    let cors = cors_of(app, &parts);
    let (version, method) = (parts.version, parts.method.clone());
    let is_page = page::has(parts.uri.path());
    conceal(&mut parts.headers);
    settle_coding(&mut parts.headers);
    let response = match check(app, peer, &parts) {
        Ok(verdict) => {
            let context = api::Context {
                peer,
                id: id.clone(),
                verdict,
            };
            let request = Request::from_parts(parts, body);
            let next = |request| next(context.clone(), request);
            let answer = AssertUnwindSafe(compression::around(request, next));
            if let Ok(response) = answer.catch_unwind().await {
                guarded(response, &id)
            } else {
                report(&id);
                refuse(app, &id, &Error::Fault, Layout::Compact)
            }
        }
        Err(error) => refuse(app, &id, &error, call::layout(&parts)),
    };
    let response = delimited(response, version, &method);
    identified(response, id, cors, is_page)
}

/// What a request may do, by where it comes from; an error where it uses a name that is not ours, or where a page of
/// another site would change something.
fn check(app: &App, peer: Peer, request: &Parts) -> Result<Verdict, Error> {
    if let Err(error) = app.settings.hosts.check(request) {
        tracing::debug!(host = ?request.headers.get(header::HOST), %error, "refused a request");
        return Err(error);
    }
    let verdict = cross_site::judge(request, peer, &app.settings.cors_origins);
    if verdict == Verdict::ReadOnly && cross_site::may_change(request) {
        let origin = request.headers.get(header::ORIGIN);
        tracing::debug!(client = %peer, ?origin, "refused a request from a page of another site");
        return Err(Error::CrossSite);
    }
    Ok(verdict)
}

/// The answer with its length, if that is known, and without its body where HEAD asks. An answer of HTTP/1.0 whose length
/// the caller cannot know in another way ends the connection.
fn delimited(mut response: Response, version: Version, method: &Method) -> Response {
    let length = response.body().size_hint().exact();
    let has_body = !matches!(
        response.status(),
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    );
    if let Some(length) = length {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    if version < Version::HTTP_11 && !(has_body && length.is_some()) {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
        // To an answer of HTTP/1.1 hyper would add `keep-alive` here, as the caller asked for it.
        *response.version_mut() = version;
    }
    if *method == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    response
}

/// The answer with the headers that every answer has, and those that every answer of the page has.
pub(super) fn identified(
    mut response: Response,
    id: RequestId,
    cors: Option<cors::Asked>,
    is_page: bool,
) -> Response {
    let headers = response.headers_mut();
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    headers.insert(X_REQUEST_ID, id.into_header());
    if is_page {
        page::protect(headers);
    }
    if let Some(cors) = cors {
        cors.apply(headers);
    }
    response
}

/// What a browser asks of the API; the operator's resources are not for web pages.
fn cors_of(app: &App, request: &Parts) -> Option<cors::Asked> {
    let origins = &app.settings.cors_origins;
    let path = request.uri.path();
    let is_api = path.starts_with("/v2/") || path.starts_with("/v1/");
    (is_api && !origins.is_empty()).then(|| cors::Asked::of(&request.headers, origins))
}

/// Keeps tokens out of everything that shows these headers with `Debug`.
pub(crate) fn conceal(headers: &mut HeaderMap) {
    for name in [call::X_AUTH_TOKEN, header::AUTHORIZATION, header::COOKIE] {
        if let Some(value) = headers.get_mut(name) {
            value.set_sensitive(true);
        }
    }
}

fn report(id: &RequestId) {
    tracing::error!(
        request_id = id.as_str(),
        "answering a request panicked; this is a defect"
    );
}

/// The answer, with a net under a body that is still to be written.
fn guarded(response: Response, id: &RequestId) -> Response {
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    let id = id.clone();
    response.map(|body| Body::new(Guarded { body, id }))
}

/// A body that ends with an error where it would panic.
#[derive(Debug)]
struct Guarded {
    body: Body,
    id: RequestId,
}

impl hyper::body::Body for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let body = &mut self.body;
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(body).poll_frame(context)));
        polled.unwrap_or_else(|_| {
            report(&self.id);
            // What is left of it cannot be trusted.
            self.body = Body::empty();
            Poll::Ready(Some(Err(axum::Error::new(Broken))))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
