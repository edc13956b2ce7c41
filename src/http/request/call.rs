//! A request, read: what the caller asks for, whichever of the spellings is used.
//!
//! Reading checks form only: a body that is too large, too slow or no JSON. Who may do what comes later.

use std::fmt;
use std::time::Duration;

use axum::body::Body;
use http::request::Parts;
use http::{HeaderMap, Method, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use serde_json::Value;

use crate::http::error::Error;
use crate::http::request::negotiate;
use crate::http::request::params::Params;
use crate::http::request::secret::Secret;

const X_AUTH_TOKEN: &str = "x-auth-token";

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

/// How lists are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// JSON in the envelope.
    Json,
    /// Comma-separated values, bare.
    Csv,
}

impl Call {
    /// Reads a request; its body may have `limit` bytes and take `patience`.
    pub(crate) async fn read(
        parts: Parts,
        body: Body,
        limit: usize,
        patience: Duration,
    ) -> Result<Self, Error> {
        let params = Params::parse(parts.uri.query().unwrap_or_default());
        let body = if body.is_end_stream() {
            None
        } else {
            tokio::time::timeout(patience, read_json(body, limit))
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

    /// The token, from wherever the caller put it.
    pub(crate) fn token(&self) -> Option<Secret<'_>> {
        header_of(&self.headers, X_AUTH_TOKEN)
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

    /// Whether the answer is to be indented.
    pub(crate) fn wants_pretty(&self) -> bool {
        wants_pretty(&self.headers, || self.params.get("pretty_print"))
    }

    /// How a list is to be written: as the query says, else as the `Accept` header prefers, else JSON.
    pub(crate) fn format(&self) -> Format {
        if let Some(accept) = self.params.get("accept") {
            return match accept {
                "csv" | "text/csv" => Format::Csv,
                _ => Format::Json,
            };
        }
        negotiate::format(&self.headers)
    }

    /// The body, where there is one.
    pub(crate) fn body(&self) -> Option<&Value> {
        self.body.as_ref()
    }

    /// Whether the caller holds an answer with this `ETag`.
    pub(crate) fn holds(&self, etag: &str) -> bool {
        let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        self.headers
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|tag| tag.trim() == "*" || opaque(tag) == opaque(etag))
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

/// Whether a request wants its answer indented, whatever the answer is.
pub(crate) fn asks_for_pretty(request: &Parts) -> bool {
    let query = request.uri.query().unwrap_or_default();
    // Most have none, and need not be read for it.
    let params = if query.contains("pretty_print") {
        Params::parse(query)
    } else {
        Params::default()
    };
    wants_pretty(&request.headers, || params.get("pretty_print"))
}

fn wants_pretty<'a>(headers: &HeaderMap, param: impl FnOnce() -> Option<&'a str>) -> bool {
    let wanted = |text: &str| text.eq_ignore_ascii_case("true");
    let header = headers.get("x-pretty-print");
    header
        .and_then(|value| value.to_str().ok())
        .is_some_and(wanted)
        || param().is_some_and(wanted)
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

/// Whether a query tunnels a DELETE.
pub(crate) fn says_delete(params: &Params) -> bool {
    params.get("verb").is_some_and(is_delete)
}

fn is_delete(verb: &str) -> bool {
    verb.eq_ignore_ascii_case("delete")
}

/// The token of these headers.
pub(crate) fn token_in(headers: &HeaderMap) -> Option<Secret<'_>> {
    header_of(headers, X_AUTH_TOKEN)
        .or_else(|| bearer(headers))
        .map(Secret::new)
}

fn header_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let authorization = header_of(headers, header::AUTHORIZATION.as_str())?;
    let (scheme, token) = authorization.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}
