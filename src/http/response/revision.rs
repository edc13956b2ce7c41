//! The revision of an answer: it changes with the content, and with that only. It is the weak `ETag` as well.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use xxhash_rust::xxh3::xxh3_128;

use crate::http::request::call::Call;

const VARY: HeaderValue = HeaderValue::from_static("accept");
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("private, no-cache");

/// The revision of rows whose digests have this sum.
pub(crate) fn revision(sum: u64) -> String {
    hex::encode(xxh3_128(&sum.to_le_bytes()).to_be_bytes())
}

/// The answer to a caller who has this revision already.
pub(crate) fn unchanged(call: &Call, revision: &str) -> Option<Response> {
    if !call.is_conditional() || !call.holds(&etag(revision)) {
        return None;
    }
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    Some(validated(response, revision))
}

/// The answer with what a caller needs to ask whether it has changed.
pub(crate) fn validated(mut response: Response, revision: &str) -> Response {
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::try_from(etag(revision)) {
        headers.insert(header::ETAG, etag);
    }
    headers.insert(header::VARY, VARY);
    headers.insert(header::CACHE_CONTROL, CACHE_CONTROL);
    response
}

fn etag(revision: &str) -> String {
    format!("W/\"{revision}\"")
}
