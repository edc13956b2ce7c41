//! What every answer below `/ui/` says to the browser: run nothing but the page's own files, send nothing elsewhere, and
//! stand in no other site's frame.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Where the page is.
pub(crate) const FOLDER: &str = "/ui/";

const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
     trusted-types 'none'",
);

/// Those headers. Every answer has `nosniff`.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// Whether `path` is one of the page.
pub(crate) fn has(path: &str) -> bool {
    path.starts_with(FOLDER) || path == "/ui"
}

/// Adds them.
pub(crate) fn protect(headers: &mut HeaderMap) {
    headers.extend(HEADERS);
}
