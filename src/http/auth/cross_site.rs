//! Which requests come from a page of another site. Pure.
//!
//! A browser sends what any page asks it to send, with the rights that it has: those of a cookie, or of a forwarded Unix
//! socket. But it also says where the page comes from (`Sec-Fetch-Site`, `Origin`), and no page can change that. Scripts
//! send neither.

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::http::auth::host::Named;
use crate::http::auth::peer::Peer;
use crate::http::request::call;
use crate::http::request::params::Params;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Stands for any origin among those that are configured.
pub(crate) const ANY: &str = "*";

/// What a request may do, by where it comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Anything that its token allows.
    Pass,
    /// Anything, if there is a token in its body.
    WithTokenInBody,
    /// Nothing that may change something.
    ReadOnly,
}

/// Where a request comes from, and what it may therefore do.
pub(crate) fn judge(request: &Parts, peer: Peer, origins: &[String]) -> Verdict {
    let headers = &request.headers;
    if !is_cross_site(request) {
        return Verdict::Pass;
    }
    let invited = matches!(peer, Peer::Host(_))
        && has_allowed_origin(headers, origins)
        && !headers.contains_key(header::COOKIE);
    if !invited {
        Verdict::ReadOnly
    } else if call::token_in(headers).is_some() {
        Verdict::Pass
    } else {
        Verdict::WithTokenInBody
    }
}

/// Whether the head of a request says that it may change something.
pub(crate) fn may_change(request: &Parts) -> bool {
    let is_safe =
        [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE].contains(&request.method);
    let query = request.uri.query().unwrap_or_default();
    !is_safe || (query.contains("verb") && call::says_delete(&Params::parse(query)))
}

fn is_cross_site(request: &Parts) -> bool {
    let headers = &request.headers;
    let fetched = |value: &HeaderValue| !matches!(value.as_bytes(), b"same-origin" | b"none");
    headers.get_all(SEC_FETCH_SITE).iter().any(fetched) || has_other_origin(headers, request)
}

fn has_other_origin(headers: &HeaderMap, request: &Parts) -> bool {
    let host = Named::in_request(headers, request.uri.authority());
    let is_host = |origin: &HeaderValue| {
        let origin = origin.to_str().ok();
        matches!((host, origin), (Some(host), Some(origin)) if host.is_of(origin))
    };
    let mut origins = headers.get_all(header::ORIGIN).iter();
    origins.any(|origin| !is_host(origin))
}

/// Whether the headers name one origin, and a configured one.
fn has_allowed_origin(headers: &HeaderMap, origins: &[String]) -> bool {
    let mut named = headers.get_all(header::ORIGIN).iter();
    match (named.next(), named.next()) {
        (Some(origin), None) => is_allowed(origin, origins),
        (_, _) => false,
    }
}

/// Whether browsers may call from this origin.
pub(crate) fn is_allowed(origin: &HeaderValue, origins: &[String]) -> bool {
    origins
        .iter()
        .any(|own| own == ANY || own.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
}
