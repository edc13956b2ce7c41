//! Answers in their envelope: successes, errors, and the methods of a resource.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::envelope::{Envelope, Source, Success};
use super::indent::indented;
use super::revision::Revision;
use crate::http::App;
use crate::http::error::Error;
use crate::http::request::call::Call;
use crate::http::request::format::Layout;
use crate::http::request::request_id::RequestId;

/// The headers that an answer gets, and some to spare: room for them is made once.
const HEADERS: usize = 12;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// How many phones did what they were asked for.
pub(crate) const X_NOTIFIED: HeaderName = HeaderName::from_static("x-notified");

/// A JSON answer.
pub(crate) fn json(body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.reserve(HEADERS);
    headers.insert(header::CONTENT_TYPE, JSON);
    response
}

/// A small answer in its envelope.
pub(crate) fn enveloped(
    app: &App,
    call: &Call,
    id: &RequestId,
    data: &str,
    revision: &Revision,
) -> Response {
    enveloped_in(&app.envelope(id), call, data, revision)
}

/// A small answer in this envelope.
pub(crate) fn enveloped_in(
    envelope: &Envelope<'_>,
    call: &Call,
    data: &str,
    revision: &Revision,
) -> Response {
    let success = Success {
        auth_token: call.token(),
        revision: revision.as_str(),
        ..Success::default()
    };
    let mut out = Vec::with_capacity(512);
    Envelope::open(&success, &mut out);
    out.extend_from_slice(data.as_bytes());
    envelope.close(&success, &mut out);
    json(laid_out(out, call.layout()))
}

/// The methods of a resource.
pub(crate) fn allowed(methods: &'static str) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    let methods = HeaderValue::from_static(methods);
    response.headers_mut().insert(header::ALLOW, methods);
    response
}

/// The answer to a request that is refused or failed.
pub(crate) fn refuse(app: &App, id: &RequestId, error: &Error, layout: Layout) -> Response {
    let body = app.envelope(id).error(error);
    let mut response = json(laid_out(body, layout));
    *response.status_mut() = error.status();
    let headers = response.headers_mut();
    match error {
        Error::MethodNotAllowed { allow } => {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        Error::TooManyRequests { retry_after } | Error::TooManyStreams { retry_after } => {
            // Rounded up, so that a caller who waits that long is not refused again.
            let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, seconds.max(1).into());
        }
        Error::DatastoreUnreachable | Error::FleetUnreachable { .. } | Error::Overloaded => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        Error::Notify(_) => {
            headers.insert(X_NOTIFIED, HeaderValue::from_static("0"));
        }
        Error::InvalidCredentials => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Error::Misdirected
        | Error::BadHost
        | Error::CrossSite
        | Error::HeadUnreadable
        | Error::UriTooLong
        | Error::HeadTooLarge
        | Error::HeadTooSlow
        | Error::BodyTooLarge { .. }
        | Error::BodyNotJson { .. }
        | Error::BodyIncomplete
        | Error::BodyTooSlow
        | Error::Parameter { .. }
        | Error::Forbidden
        | Error::Ambiguous { .. }
        | Error::UnknownAccount { .. }
        | Error::UnknownUser { .. }
        | Error::UnknownDevice { .. }
        | Error::UnknownNode { .. }
        | Error::NotFound
        | Error::NoHistory(_)
        | Error::FleetReadOnly
        | Error::Flush(_)
        | Error::Fault => {}
    }
    response
}

/// JSON, laid out as its caller wants it.
pub(crate) fn laid_out(json: Vec<u8>, layout: Layout) -> Vec<u8> {
    match layout {
        Layout::Compact => json,
        Layout::Indented => indented(&json),
    }
}

impl App {
    /// The envelope of the answer to the request `id`, now.
    pub(crate) fn envelope<'a>(&'a self, id: &'a RequestId) -> Envelope<'a> {
        Envelope {
            request_id: id.as_str(),
            node: &self.settings.node,
            version: &self.settings.version,
            now: self.clock.unix(),
            source: Source::Node(self.registry.source_of_answers()),
        }
    }
}
