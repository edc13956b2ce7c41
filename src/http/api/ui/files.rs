//! The page's files: all that is below `src/ui` when the program is built.

use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use xxhash_rust::xxh3::xxh3_64;

use crate::http::request::call::holds;
use crate::http::response::answer::allowed;

/// The methods that a file has.
const METHODS: &str = "GET, HEAD, OPTIONS";

/// What a folder shows.
const INDEX: &str = "index.html";

/// A file of the page.
#[derive(Debug)]
pub(crate) struct File {
    /// Below `src/ui`.
    path: &'static str,
    /// Its media type.
    kind: &'static str,
    bytes: &'static [u8],
}

/// All of them; `build.rs` lists them.
static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// Answers a request for what is at `path` below `/ui/`.
pub(super) fn answer(path: &str, request: &Parts) -> Response {
    let path = if path.is_empty() { INDEX } else { path };
    let Some(file) = FILES.iter().find(|file| file.path == path) else {
        return plain(StatusCode::NOT_FOUND, "There is no such page.\n");
    };
    match request.method {
        Method::GET | Method::HEAD => file.answer(request),
        Method::OPTIONS => allowed(METHODS),
        _ => {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed.\n");
            let allow = HeaderValue::from_static(METHODS);
            response.headers_mut().insert(header::ALLOW, allow);
            response
        }
    }
}

impl File {
    /// The file, unless the caller has it: scripts and styles are kept, and asked about at each use, so that a page is
    /// never put together from two versions. The page itself is not kept.
    fn answer(&self, request: &Parts) -> Response {
        let kind = HeaderValue::from_static(self.kind);
        if self.kind.starts_with("text/html") {
            let mut response = Response::new(Body::from(self.bytes));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, kind);
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            return response;
        }
        let etag = format!("W/\"{:016x}\"", xxh3_64(self.bytes));
        let mut response = Response::default();
        if holds(&request.headers, &etag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            *response.body_mut() = Body::from(self.bytes);
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if let Ok(etag) = HeaderValue::try_from(etag) {
            headers.insert(header::ETAG, etag);
        }
        response
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
