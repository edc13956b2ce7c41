//! The errors in the description: each with what its envelope says.

use serde_json::{Map, Value, json};

use super::components::{reference, with_headers};

/// One status that tells of an error.
struct Refusal {
    /// The component.
    name: &'static str,
    status: &'static str,
    description: &'static str,
    /// What `message` says.
    messages: &'static [&'static str],
    /// What `data` is: schemas, by their names.
    data: &'static [&'static str],
    /// Headers beside those of every answer.
    headers: &'static [&'static str],
}

const ALL: &[Refusal] = &[
    Refusal {
        name: "BadRequest",
        status: "400",
        description: "The request, a parameter or the body is invalid; `data` says which",
        messages: &["validation error"],
        data: &["Invalid"],
        headers: &[],
    },
    Refusal {
        name: "Unauthorized",
        status: "401",
        description: "No valid token",
        messages: &["invalid_credentials"],
        data: &["Reason"],
        headers: &["WWW-Authenticate"],
    },
    Refusal {
        name: "Forbidden",
        status: "403",
        description: "The token lacks the right; or the request would change something and comes from a page of another site \
                      (`Sec-Fetch-Site`, or an `Origin` that is not the `Host`)",
        messages: &["forbidden"],
        data: &["Reason"],
        headers: &[],
    },
    Refusal {
        name: "NotFound",
        status: "404",
        description: "No such account (`bad_identifier`), node (`bad_identifier`), SIP user (`bad identifier`) or path (`not_found`)",
        messages: &["bad_identifier", "bad identifier", "not_found"],
        data: &["UnknownAccount", "UnknownUser", "Reason"],
        headers: &[],
    },
    Refusal {
        name: "MethodNotAllowed",
        status: "405",
        description: "The resource has no such method",
        messages: &["invalid_method"],
        data: &["Reason"],
        headers: &["Allow"],
    },
    Refusal {
        name: "RequestTimeout",
        status: "408",
        description: "Header or body did not arrive in time",
        messages: &["request_timeout"],
        data: &["Reason"],
        headers: &[],
    },
    Refusal {
        name: "UriTooLong",
        status: "414",
        description: "Path and query are too long",
        messages: &["uri_too_long"],
        data: &["Reason"],
        headers: &[],
    },
    Refusal {
        name: "MisdirectedRequest",
        status: "421",
        description: "The `Host` header is neither an address, `localhost`, this machine's name, nor named in the \
                      configuration",
        messages: &["misdirected_request"],
        data: &["Reason"],
        headers: &[],
    },
    Refusal {
        name: "TooManyRequests",
        status: "429",
        description: "Too many requests with this token from this address, or without a valid token",
        messages: &["too_many_requests"],
        data: &["Reason"],
        headers: &["Retry-After"],
    },
    Refusal {
        name: "HeaderTooLarge",
        status: "431",
        description: "The header is too large, or has too many lines",
        messages: &["header_too_large"],
        data: &["Reason"],
        headers: &[],
    },
    Refusal {
        name: "Fault",
        status: "500",
        description: "Internal error",
        messages: &["unspecified_fault"],
        data: &["Reason"],
        headers: &[],
    },
    Refusal {
        name: "FlushIncomplete",
        status: "502",
        description: "Some bindings could not be confirmed to be gone; they are still listed",
        messages: &["flush_incomplete"],
        data: &["Incomplete"],
        headers: &[],
    },
    Refusal {
        name: "Unavailable",
        status: "503",
        description: "Kamailio's tables have not been read yet (`datastore_unreachable`), Kamailio cannot be reached \
                      (`kamailio_unreachable`), there is no history (`history_unavailable`), the fleet's database cannot be reached (`fleet_unreachable`; `data` has \
                      the nodes when they were last known), or there are too many connections (`service_unavailable`)",
        messages: &[
            "datastore_unreachable",
            "kamailio_unreachable",
            "history_unavailable",
            "fleet_unreachable",
            "service_unavailable",
        ],
        data: &["Incomplete", "FleetUnreachable", "Reason"],
        headers: &["Retry-After"],
    },
    Refusal {
        name: "KamailioTimeout",
        status: "504",
        description: "Kamailio did not answer in time",
        messages: &["kamailio_timeout"],
        data: &["Incomplete"],
        headers: &[],
    },
];

/// What can happen when phones are asked to act; the statuses are those of flushes.
const NOTIFYING: &[Refusal] = &[
    Refusal {
        name: "NotifyFailed",
        status: "502",
        description: "No phone accepted the request; `data` says why",
        messages: &["notify_failed"],
        data: &["Notified"],
        headers: &["X-Notified"],
    },
    Refusal {
        name: "PhoneTimeout",
        status: "504",
        description: "No phone answered within `[notify] timeout`",
        messages: &["phone_timeout"],
        data: &["Notified"],
        headers: &["X-Notified"],
    },
];

/// What can happen to a request for any path.
pub(super) const EVERYWHERE: &[&str] = &[
    "400", "403", "405", "408", "414", "421", "431", "500", "503",
];

/// What can happen to one for registrations, beside that.
pub(super) const READING: &[&str] = &["401", "404", "429"];

/// What can happen to a flush, beside that.
pub(super) const FLUSHING: &[&str] = &["502", "504"];

/// Adds references to the errors with these statuses.
pub(super) fn add(statuses: &[&[&str]], responses: &mut Map<String, Value>) {
    for refusal in ALL {
        if statuses.iter().any(|some| some.contains(&refusal.status)) {
            let response = reference("responses", refusal.name);
            responses.insert(refusal.status.to_owned(), response);
        }
    }
}

/// Adds references to the errors of asking phones.
pub(super) fn add_notifying(responses: &mut Map<String, Value>) {
    for refusal in NOTIFYING {
        let response = reference("responses", refusal.name);
        responses.insert(refusal.status.to_owned(), response);
    }
}

/// The errors as components.
pub(super) fn responses() -> Map<String, Value> {
    let response = |refusal: &Refusal| {
        let headers = with_headers(refusal.headers, &[]);
        let response = json!({
            "description": refusal.description,
            "headers": headers,
            "content": {"application/json": {"schema": schema(refusal)}},
        });
        (refusal.name.to_owned(), response)
    };
    ALL.iter().chain(NOTIFYING).map(response).collect()
}

/// The envelope of the error with this status.
pub(super) fn schema_of(status: &str) -> Option<Value> {
    let refusal = ALL.iter().find(|refusal| refusal.status == status)?;
    Some(schema(refusal))
}

fn schema(refusal: &Refusal) -> Value {
    let data: Vec<_> = refusal
        .data
        .iter()
        .map(|name| reference("schemas", name))
        .collect();
    json!({
        "allOf": [reference("schemas", "ErrorEnvelope")],
        "properties": {
            "data": {"anyOf": data},
            "error": {"const": refusal.status},
            "message": {"enum": refusal.messages},
        },
    })
}

/// What `data` of an error can be.
pub(super) fn schemas() -> Value {
    let text = json!({"type": "string"});
    let count = json!({"type": "integer", "minimum": 0});
    json!({
        "ErrorEnvelope": {
            "type": "object",
            "required": ["data", "error", "message", "node", "request_id", "source", "status", "timestamp", "version"],
            "properties": {
                "data": {"description": "Details"},
                "error": {"type": "string", "pattern": "^[45][0-9][0-9]$", "description": "The status"},
                "message": text,
                "node": text,
                "request_id": text,
                "source": reference("schemas", "Source"),
                "status": {"const": "error"},
                "timestamp": {"type": "string", "format": "date-time"},
                "version": text,
            },
        },
        "Reason": {"type": "object", "required": ["message"], "properties": {"message": text}},
        "Invalid": {
            "type": "object",
            "description": "Keyed by what is wrong (a parameter, `json`, `file`, `request`), then by the rule that it breaks",
            "minProperties": 1,
            "additionalProperties": {"type": "object", "minProperties": 1, "additionalProperties": {
                "type": "object", "required": ["message"], "properties": {
                    "message": text,
                    "target": {"type": ["string", "integer"]},
                },
            }},
        },
        "UnknownAccount": {
            "type": "object", "required": ["cause", "message"],
            "properties": {"cause": {"type": "string", "description": "The account's id"}, "message": {"const": "bad identifier"}},
        },
        "UnknownUser": {
            "type": "array", "description": "The user's name, as it was sent", "items": text, "minItems": 1, "maxItems": 1,
        },
        "FleetUnreachable": {
            "type": "object", "required": ["message", "nodes"],
            "properties": {"message": text, "nodes": {"type": "array", "items": reference("schemas", "Node")}},
        },
        "Incomplete": {
            "type": "object", "required": ["failed", "failed_total", "flushed"],
            "properties": {
                "failed": {"type": "array", "maxItems": 100, "items": {
                    "type": "object", "required": ["aor", "reason"], "properties": {"aor": text, "reason": text},
                }},
                "failed_total": count,
                "flushed": count,
            },
        },
    })
}
