//! The page's files: all that is below `src/ui` when the program is built.
//!
//! The page itself is never kept by a browser. It names its scripts and styles below a folder that is called after their
//! content, `/ui/0123456789abcdef/`: those are kept for good, so that a later visit asks for nothing but the page, and
//! are never of two versions. Without that folder each is kept too, and asked about at each use.

use std::sync::LazyLock;

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::http::request::call::holds;
use crate::http::response::answer::allowed;

/// The methods that a file has.
const METHODS: &str = "GET, HEAD, OPTIONS";

/// What a folder shows.
const INDEX: &str = "index.html";

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const ASK: HeaderValue = HeaderValue::from_static("no-cache");
const FOR_GOOD: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

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

/// The folder of this very content, with its `/`.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Xxh3::new();
    for file in FILES {
        hash.update(file.path.as_bytes());
        hash.update(&xxh3_64(file.bytes).to_le_bytes());
    }
    format!("{:016x}/", hash.digest())
});

/// The page, with that folder in its addresses. They are relative: a proxy may have all of it below a path of its own.
static PAGE: LazyLock<Bytes> = LazyLock::new(|| {
    let page = FILES.iter().find(|file| file.path == INDEX);
    let page = String::from_utf8_lossy(page.map_or(&[], |page| page.bytes));
    page.replace("\"/ui/", &format!("\"{}", *VERSION)).into()
});

/// Answers a request for what is at `path` below `/ui/`.
pub(super) fn answer(path: &str, request: &Parts) -> Response {
    let named = path.strip_prefix(&**VERSION).filter(|rest| *rest != INDEX);
    let path = match named.unwrap_or(path) {
        "" if named.is_none() => INDEX,
        path => path,
    };
    let Some(file) = FILES.iter().find(|file| file.path == path) else {
        return plain(StatusCode::NOT_FOUND, "There is no such page.\n");
    };
    match request.method {
        Method::GET | Method::HEAD if path == INDEX => {
            kept(Body::from(PAGE.clone()), file.kind, NO_STORE)
        }
        Method::GET | Method::HEAD if named.is_some() => {
            kept(Body::from(file.bytes), file.kind, FOR_GOOD)
        }
        Method::GET | Method::HEAD => file.asked_about(request),
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
    /// The file, unless the caller has it.
    fn asked_about(&self, request: &Parts) -> Response {
        let etag = format!("W/\"{:016x}\"", xxh3_64(self.bytes));
        let mut response = if holds(&request.headers, &etag) {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            let headers = response.headers_mut();
            headers.insert(header::CACHE_CONTROL, ASK);
            response
        } else {
            kept(Body::from(self.bytes), self.kind, ASK)
        };
        if let Ok(etag) = HeaderValue::try_from(etag) {
            response.headers_mut().insert(header::ETAG, etag);
        }
        response
    }
}

/// Content of a media type, which a browser keeps as long as `cached` says.
fn kept(body: Body, kind: &'static str, cached: HeaderValue) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, cached);
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = kept(Body::from(text), "text/plain; charset=utf-8", NO_STORE);
    *response.status_mut() = status;
    response
}
