//! The revision of an answer: it changes with the content, and with that only. It is the weak `ETag` as well.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use xxhash_rust::xxh3::xxh3_128;

use crate::http::request::call::Call;

const VARY: HeaderValue = HeaderValue::from_static("accept");
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("private, no-cache");

/// What an `ETag` has around the revision.
const OPEN: &str = "W/\"";
const CLOSE: &str = "\"";
const DIGITS: usize = 32;

/// A revision: 32 hexadecimal digits.
#[derive(Clone, Debug)]
pub(crate) struct Revision {
    etag: [u8; OPEN.len() + DIGITS + CLOSE.len()],
}

impl Revision {
    /// That of rows whose digests have this sum.
    pub(crate) fn of(sum: u64) -> Self {
        let mut etag = *b"W/\"00000000000000000000000000000000\"";
        let hash = xxh3_128(&sum.to_le_bytes()).to_be_bytes();
        hex::encode_to_slice(hash, &mut etag[OPEN.len()..][..DIGITS])
            .expect("32 digits have room for 16 bytes");
        Self { etag }
    }

    /// Its digits.
    pub(crate) fn as_str(&self) -> &str {
        &self.etag()[OPEN.len()..][..DIGITS]
    }

    /// The `ETag` that it makes.
    fn etag(&self) -> &str {
        std::str::from_utf8(&self.etag).expect("it is ASCII")
    }
}

/// The answer to a caller who has this revision already.
pub(crate) fn unchanged(call: &Call, revision: &Revision) -> Option<Response> {
    if !call.is_conditional() || !call.holds(revision.etag()) {
        return None;
    }
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    Some(validated(response, revision))
}

/// The answer with what a caller needs to ask whether it has changed.
pub(crate) fn validated(mut response: Response, revision: &Revision) -> Response {
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(revision.etag()) {
        headers.insert(header::ETAG, etag);
    }
    headers.insert(header::VARY, VARY);
    headers.insert(header::CACHE_CONTROL, CACHE_CONTROL);
    response
}
