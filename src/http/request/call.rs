//! A request, read: what the caller asks for, in whichever way it is spelled.
//!
//! Reading checks the form only: whether the body is too large, too slow or not JSON. Access is checked later.

use std::fmt;
use std::time::Duration;

use axum::body::Body;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use serde_json::Value;

use crate::http::error::Error;
use crate::http::request::format::{self, Format, Layout};
use crate::http::request::params::Params;
use crate::http::request::secret::Secret;

/// Carries a token.
pub(crate) const X_AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// Asks for an indented answer.
const X_PRETTY_PRINT: HeaderName = HeaderName::from_static("x-pretty-print");

/// A request, read. `Debug` shows names and no values, which may be tokens.
pub(crate) struct Call {
    /// The method that is meant: DELETE also where a POST says `verb=delete`.
    pub(crate) method: Method,
    /// The query.
    pub(crate) params: Params,
    /// The head of the request.
    pub(crate) headers: HeaderMap,
    body: Option<Value>,
}

impl Call {
    /// Reads a request, whose body may have `limit` bytes and take `timeout`.
    pub(crate) async fn read(
        parts: Parts,
        body: Body,
        limit: usize,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let params = Params::parse(parts.uri.query().unwrap_or_default());
        let body = if body.is_end_stream() {
            None
        } else {
            tokio::time::timeout(timeout, read_json(body, limit))
                .await
                .map_err(|_| Error::BodyTooSlow)??
        };
        let mut call = Self {
            method: parts.method,
            params,
            headers: parts.headers,
            body,
        };
        if call.method == Method::POST && call.says_delete() {
            call.method = Method::DELETE;
        }
        Ok(call)
    }

    /// The token, from one of the places where it may stand.
    pub(crate) fn token(&self) -> Option<Secret<'_>> {
        header_of(&self.headers, &X_AUTH_TOKEN)
            .or_else(|| self.in_body("auth_token"))
            .or_else(|| self.params.get("auth_token"))
            .or_else(|| bearer(&self.headers))
            .map(Secret::new)
    }

    /// Whether there is a token in the body.
    pub(crate) fn has_token_in_body(&self) -> bool {
        self.in_body("auth_token").is_some()
    }

    /// Whether the caller means a DELETE, whatever the method.
    pub(crate) fn says_delete(&self) -> bool {
        let in_body = self.in_body("verb");
        says_delete(&self.params) || in_body.is_some_and(is_delete)
    }

    /// How the answer is to be laid out.
    pub(crate) fn layout(&self) -> Layout {
        layout_of(&self.headers, || self.params.get("pretty_print"))
    }

    /// Whether the caller has an answer already, and asks whether it has changed.
    pub(crate) fn is_conditional(&self) -> bool {
        self.headers.contains_key(header::IF_NONE_MATCH)
    }

    /// How a list is to be written: as the query says, else as the `Accept` header prefers, else JSON.
    pub(crate) fn format(&self) -> Format {
        if let Some(accept) = self.params.get("accept") {
            return match accept {
                "csv" | "text/csv" => Format::Csv,
                _ => Format::Json,
            };
        }
        format::accepted(&self.headers)
    }

    /// The body, where there is one.
    pub(crate) fn body(&self) -> Option<&Value> {
        self.body.as_ref()
    }

    /// Whether the caller has the answer with this `ETag`.
    pub(crate) fn holds(&self, etag: &str) -> bool {
        holds(&self.headers, etag)
    }

    /// A text of the JSON body, at its top or under `data`.
    fn in_body(&self, name: &str) -> Option<&str> {
        let body = self.body.as_ref()?;
        body.get("data")
            .and_then(|data| data.get(name))
            .or_else(|| body.get(name))?
            .as_str()
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("method", &self.method)
            .field("params", &self.params)
            .field("headers", &self.headers.keys())
            .finish_non_exhaustive()
    }
}

/// How an answer to the request is to be laid out, whatever the answer is.
pub(crate) fn layout(request: &Parts) -> Layout {
    let query = request.uri.query().unwrap_or_default();
    // Most do not have it, and need not be parsed for it.
    let params = if query.contains("pretty_print") {
        Params::parse(query)
    } else {
        Params::default()
    };
    layout_of(&request.headers, || params.get("pretty_print"))
}

fn layout_of<'a>(headers: &HeaderMap, param: impl FnOnce() -> Option<&'a str>) -> Layout {
    let wanted = |text: &str| text.eq_ignore_ascii_case("true");
    let header = header_of(headers, &X_PRETTY_PRINT);
    if header.is_some_and(wanted) || param().is_some_and(wanted) {
        Layout::Indented
    } else {
        Layout::Compact
    }
}

async fn read_json(body: Body, limit: usize) -> Result<Option<Value>, Error> {
    if body.size_hint().lower() > limit as u64 {
        return Err(Error::BodyTooLarge { limit });
    }
    let bytes = Limited::new(body, limit)
        .collect()
        .await
        .map_err(|error| {
            if error.is::<LengthLimitError>() {
                Error::BodyTooLarge { limit }
            } else {
                Error::BodyIncomplete
            }
        })?
        .to_bytes();
    if bytes.trim_ascii().is_empty() {
        return Ok(None);
    }
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| Error::BodyNotJson {
        line: error.line(),
        column: error.column(),
    })?;
    if value.is_object() {
        Ok(Some(value))
    } else {
        Err(Error::BodyNotJson { line: 1, column: 1 })
    }
}

/// Whether a caller has the answer with this `ETag`.
pub(crate) fn holds(headers: &HeaderMap, etag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim() == "*" || opaque(tag) == opaque(etag))
}

/// Whether a query tunnels a DELETE.
pub(crate) fn says_delete(params: &Params) -> bool {
    params.get("verb").is_some_and(is_delete)
}

fn is_delete(verb: &str) -> bool {
    verb.eq_ignore_ascii_case("delete")
}

/// The token of these headers.
pub(crate) fn token_in(headers: &HeaderMap) -> Option<Secret<'_>> {
    header_of(headers, &X_AUTH_TOKEN)
        .or_else(|| bearer(headers))
        .map(Secret::new)
}

fn header_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let authorization = header_of(headers, &header::AUTHORIZATION)?;
    let (scheme, token) = authorization.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}
