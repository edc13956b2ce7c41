//! References to components, and the headers of answers.

use serde_json::{Map, Value, json};

/// A reference to a component.
pub(super) fn reference(kind: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{kind}/{name}")})
}

/// References to these parameters.
pub(super) fn named(names: &[&str]) -> Vec<Value> {
    names
        .iter()
        .map(|name| reference("parameters", name))
        .collect()
}

/// JSON, as `schema` says.
pub(super) fn json_content(schema: &Value) -> Value {
    json!({"application/json": {"schema": schema}})
}

/// Headers that every answer has, or may have.
const OF_ALL: &[&str] = &["X-Content-Type-Options", "X-Request-ID"];
const MAYBE: &[&str] = &[
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Headers",
    "Access-Control-Expose-Headers",
    "Access-Control-Max-Age",
    "Content-Encoding",
    "Vary",
];

/// Headers: name, type, description.
const HEADERS: &[(&str, &str, &str)] = &[
    ("X-Request-ID", "string", "The request's id"),
    ("X-Content-Type-Options", "string", "`nosniff`"),
    ("ETag", "string", "The revision, as a weak validator"),
    (
        "Cache-Control",
        "string",
        "`private, no-cache`: ask with `If-None-Match`",
    ),
    (
        "Vary",
        "string",
        "The headers of the request that the answer depends on",
    ),
    (
        "Content-Encoding",
        "string",
        "`gzip`, if the request accepts it",
    ),
    (
        "Content-Disposition",
        "string",
        "The name of a file, with CSV",
    ),
    (
        "X-Flushed",
        "integer",
        "Number of bindings that were flushed",
    ),
    (
        "X-Would-Flush",
        "integer",
        "Number of bindings that a flush would pick",
    ),
    (
        "X-Notified",
        "integer",
        "Number of phones that answered 2xx",
    ),
    (
        "X-Would-Notify",
        "integer",
        "Number of phones that would be asked",
    ),
    (
        "X-Next-Start-Key",
        "string",
        "Where the next page of a CSV or NDJSON list starts",
    ),
    (
        "X-Total",
        "integer",
        "Number of all registrations that match, on this page or not",
    ),
    (
        "X-Partial",
        "string",
        "The names of the fleet's nodes that are not live, or whose source is not, or whose rows cannot be read; only \
         with the fleet",
    ),
    ("Retry-After", "integer", "Seconds to wait"),
    ("Allow", "string", "The methods of the resource"),
    ("WWW-Authenticate", "string", "`Bearer`"),
    (
        "Access-Control-Allow-Origin",
        "string",
        "For browsers, if `[http] cors_origins` allows the origin",
    ),
    ("Access-Control-Allow-Methods", "string", "For browsers"),
    ("Access-Control-Allow-Headers", "string", "For browsers"),
    ("Access-Control-Expose-Headers", "string", "For browsers"),
    ("Access-Control-Max-Age", "integer", "For browsers"),
];

/// The headers of an answer: those that it has beside the ones of every answer, and those that it may have.
pub(super) fn with_headers(has: &[&str], may_have: &[&str]) -> Value {
    let mut headers = Map::new();
    for name in MAYBE.iter().chain(may_have) {
        headers.insert((*name).to_owned(), reference("headers", name));
    }
    for name in OF_ALL.iter().chain(has) {
        let (_, kind, description) = HEADERS
            .iter()
            .find(|(known, ..)| known == name)
            .expect("every header that is used is described");
        let header =
            json!({"description": description, "required": true, "schema": {"type": kind}});
        headers.insert((*name).to_owned(), header);
    }
    headers.into()
}

/// All headers, as components.
pub(super) fn headers() -> Value {
    let header = |(name, kind, description): &(&str, &str, &str)| {
        let header = json!({"description": description, "schema": {"type": kind}});
        ((*name).to_owned(), header)
    };
    HEADERS.iter().map(header).collect::<Map<_, _>>().into()
}
