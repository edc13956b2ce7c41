//! What stands before every answer, whatever the path: the request's id, the rules about names and other sites, CORS,
//! and a net for panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Version, header};
use hyper::body::{Body as _, Frame, SizeHint};
use thiserror::Error;

use crate::http::App;
use crate::http::api::refuse;
use crate::http::auth::cross_site::{self, Verdict};
use crate::http::auth::peer::Peer;
use crate::http::error::Error;
use crate::http::request::call::asks_for_pretty;
use crate::http::request::negotiate;
use crate::http::request::request_id::{RequestId, X_REQUEST_ID};
use crate::http::server::cors;

/// Keeps browsers from taking an answer for something else than it says.
pub(crate) const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// Ends an answer whose writing panicked: the caller sees that it is not whole.
#[derive(Debug, Error)]
#[error("writing the answer panicked")]
struct Broken;

/// Stands before every answer.
pub(crate) async fn stand(
    State(app): State<Arc<App>>,
    mut request: Request<Body>,
    next: Next,
) -> Response {
    let id = app.request_ids.of(request.headers());
    let cors = cors_of(&app, &request);
    let version = request.version();
    conceal(request.headers_mut());
    negotiate::settle_coding(request.headers_mut());
    request.extensions_mut().insert(id.clone());
    let mut response = match let_in(&app, request) {
        Ok(request) => {
            let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
            if let Ok(response) = answer.await {
                guarded(response, &id)
            } else {
                report(&id);
                refuse(&app, &id, &Error::Fault, false)
            }
        }
        Err((error, pretty)) => refuse(&app, &id, &error, pretty),
    };
    end_without_length(version, &mut response);
    let headers = response.headers_mut();
    headers.insert(X_REQUEST_ID, id.header());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    if let Some(cors) = cors {
        cors.apply(headers);
    }
    response
}

/// The request, with what is to be known of where it comes from; why it is refused, and whether that is to be indented,
/// where it calls us by a name that is not ours, or a page of another site would change something.
fn let_in(app: &App, request: Request<Body>) -> Result<Request<Body>, (Error, bool)> {
    let named = app.settings.hosts.check(&request);
    let (mut parts, body) = request.into_parts();
    let refused = |error| (error, asks_for_pretty(&parts));
    if let Err(error) = named {
        tracing::debug!(host = ?parts.headers.get(header::HOST), %error, "a request was refused");
        return Err(refused(error));
    }
    let peer = parts.extensions.get().copied().unwrap_or(Peer::UNKNOWN);
    let verdict = cross_site::judge(&parts, peer, &app.settings.cors_origins);
    if verdict == Verdict::ReadOnly && cross_site::may_change(&parts) {
        let origin = parts.headers.get(header::ORIGIN);
        tracing::debug!(client = %peer, ?origin, "a page of another site was refused");
        return Err(refused(Error::CrossSite));
    }
    parts.extensions.insert(verdict);
    Ok(Request::from_parts(parts, body))
}

/// Ends a connection of HTTP/1.0 with an answer whose length its caller cannot know in another way.
fn end_without_length(version: Version, response: &mut Response) {
    let has_length = response.body().size_hint().exact().is_some()
        && !matches!(
            response.status(),
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
    if version < Version::HTTP_11 && !has_length {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
        // To an answer of HTTP/1.1 hyper would add `keep-alive` here, as the caller asked for it.
        *response.version_mut() = version;
    }
}

/// What a browser asks of the API; health and metrics are not for web pages.
pub(crate) fn cors_of<B>(app: &App, request: &Request<B>) -> Option<cors::Asked> {
    let path = request.uri().path();
    let is_api = path.starts_with("/v2/") || path.starts_with("/v1/");
    is_api.then(|| cors::Asked::of(request.headers(), &app.settings.cors_origins))
}

/// Keeps tokens out of whatever shows these headers with `Debug`.
pub(crate) fn conceal(headers: &mut HeaderMap) {
    for name in ["x-auth-token", header::AUTHORIZATION.as_str()] {
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
            // Whatever is left of it is in pieces.
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
