//! Cross-origin calls from browsers, as Kazoo allows them: off unless origins are configured.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::http::auth::cross_site::{ANY, is_allowed};

const HEADERS: HeaderValue = HeaderValue::from_static(
    "content-type, depth, user-agent, x-http-method-override, x-file-size, x-requested-with, if-modified-since, \
     x-file-name, cache-control, x-auth-token, x-kazoo-cluster-id, if-match, if-none-match, authorization, \
     x-request-id, x-pretty-print",
);
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "content-type, x-auth-token, x-request-id, x-kazoo-cluster-id, location, etag, retry-after, x-flushed, \
     x-would-flush, x-next-start-key, x-total",
);
const METHODS: HeaderValue = HeaderValue::from_static("OPTIONS, GET, HEAD, POST, DELETE");
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

/// What a browser asks.
#[derive(Debug)]
pub(crate) struct Asked {
    /// The origin to name in the answer.
    origin: Option<HeaderValue>,
    /// Whether answers differ by origin.
    varies: bool,
}

impl Asked {
    /// What these headers ask, where these origins may call.
    pub(crate) fn of(headers: &HeaderMap, origins: &[String]) -> Self {
        if origins.iter().any(|origin| origin == ANY) {
            let asked = headers.contains_key(header::ORIGIN);
            return Self {
                origin: asked.then(|| HeaderValue::from_static(ANY)),
                varies: false,
            };
        }
        let origin = headers
            .get(header::ORIGIN)
            .filter(|origin| is_allowed(origin, origins));
        Self {
            origin: origin.cloned(),
            varies: true,
        }
    }

    /// Answers it.
    pub(crate) fn apply(self, headers: &mut HeaderMap) {
        if self.varies {
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        let Some(origin) = self.origin else {
            return;
        };
        let answers: [(HeaderName, HeaderValue); 5] = [
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin),
            (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
            (header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED),
            (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
        ];
        headers.extend(answers);
    }
}
