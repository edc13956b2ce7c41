//! The parts that the description's paths share.

use serde_json::{Map, Value, json};

/// Errors: component, status, description.
const ERRORS: &[(&str, &str, &str)] = &[
    (
        "BadRequest",
        "400",
        "A parameter or the body cannot be what it is (`validation error`)",
    ),
    (
        "Unauthorized",
        "401",
        "No good token (`invalid_credentials`)",
    ),
    (
        "Forbidden",
        "403",
        "The token may not (`forbidden`); where it asks for all accounts, `data.accounts` names those that it may see",
    ),
    (
        "NotFound",
        "404",
        "No such account (`bad_identifier`) or SIP user (`bad identifier`)",
    ),
    (
        "MethodNotAllowed",
        "405",
        "The resource has no such method (`invalid_method`)",
    ),
    (
        "RequestTimeout",
        "408",
        "The body did not arrive in time (`request_timeout`)",
    ),
    (
        "TooManyRequests",
        "429",
        "Too many requests (`too_many_requests`)",
    ),
    ("Fault", "500", "A defect (`unspecified_fault`)"),
    (
        "FlushIncomplete",
        "502",
        "Some bindings are not confirmed to be gone (`flush_incomplete`)",
    ),
    (
        "Unavailable",
        "503",
        "Kamailio's tables have not been read yet (`datastore_unreachable`), Kamailio cannot be reached \
         (`kamailio_unreachable`), or too many connections (`service_unavailable`)",
    ),
    (
        "KamailioTimeout",
        "504",
        "Kamailio did not answer in time (`kamailio_timeout`)",
    ),
];

pub(super) fn reference(kind: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{kind}/{name}")})
}

pub(super) fn named(names: &[&str]) -> Vec<Value> {
    names
        .iter()
        .map(|name| reference("parameters", name))
        .collect()
}

/// How any answer is asked for.
pub(super) fn presentation() -> Vec<Value> {
    named(&["prettyPrint", "xPrettyPrint", "xRequestId"])
}

/// The errors of lists and counts.
pub(super) fn reading(has_account: bool) -> Vec<&'static str> {
    let mut errors = vec!["400", "401", "403", "405", "408", "429", "500", "503"];
    if has_account {
        errors.push("404");
    }
    errors
}

/// The errors of flushes.
pub(super) fn flushing() -> Vec<&'static str> {
    ERRORS.iter().map(|(_, status, _)| *status).collect()
}

pub(super) fn operation(
    id: &str,
    summary: &str,
    parameters: &[Value],
    success: &str,
    errors: &[&str],
) -> Value {
    let mut responses = Map::new();
    responses.insert("200".to_owned(), reference("responses", success));
    if success != "Flushed" {
        responses.insert("304".to_owned(), reference("responses", "NotModified"));
    }
    for (name, status, _) in ERRORS {
        if errors.contains(status) {
            responses.insert((*status).to_owned(), reference("responses", name));
        }
    }
    json!({
        "operationId": id,
        "summary": summary,
        "tags": ["registrations"],
        "parameters": parameters,
        "responses": responses,
    })
}

/// HEAD: as GET, without a body.
pub(super) fn head(id: &str) -> Value {
    let plain = |description: &str| json!({"description": description});
    let mut responses = Map::new();
    responses.insert("200".to_owned(), plain("As GET, without the body"));
    responses.insert("304".to_owned(), plain("Not modified"));
    for (_, status, description) in ERRORS {
        responses.insert((*status).to_owned(), plain(description));
    }
    json!({"operationId": id, "summary": "As GET, without the body", "tags": ["registrations"], "responses": responses})
}

/// OPTIONS: the methods of a resource.
pub(super) fn options(id: &str) -> Value {
    json!({
        "operationId": id,
        "summary": "The methods of the resource",
        "tags": ["registrations"],
        "security": [],
        "responses": {
            "204": {"description": "They are in `Allow`", "headers": {"Allow": reference("headers", "Allow")}},
            "400": reference("responses", "BadRequest"),
            "408": reference("responses", "RequestTimeout"),
            "429": reference("responses", "TooManyRequests"),
        },
    })
}

/// A resource of health: JSON, without a token.
pub(super) fn health(id: &str, summary: &str, statuses: &[&str]) -> Value {
    let content = json!({"application/json": {"schema": {"type": "object"}}});
    unguarded(id, summary, statuses, &content)
}

/// Whether the answers are to be trusted, and if not, why.
pub(super) fn ready() -> Value {
    let content = json!({"application/json": {"schema": reference("schemas", "Ready")}});
    let summary = "Whether the view follows Kamailio's tables, and if not, why";
    unguarded("readyz", summary, &["200", "503"], &content)
}

/// A text, without a token.
pub(super) fn text(id: &str, summary: &str) -> Value {
    unguarded(
        id,
        summary,
        &["200"],
        &json!({"text/plain": {"schema": {"type": "string"}}}),
    )
}

fn unguarded(id: &str, summary: &str, statuses: &[&str], content: &Value) -> Value {
    let response = |status: &&str| {
        let response = json!({"description": summary, "content": content});
        ((*status).to_owned(), response)
    };
    let mut responses: Map<_, _> = statuses.iter().map(response).collect();
    responses.insert("405".to_owned(), reference("responses", "MethodNotAllowed"));
    json!({"get": {
        "operationId": id, "summary": summary, "tags": ["operation"], "security": [], "responses": responses,
    }})
}

pub(super) fn headers() -> Value {
    let header = |description: &str, kind: &str| json!({"description": description, "schema": {"type": kind}});
    json!({
        "X-Request-ID": header("The request's id", "string"),
        "ETag": header("The revision, as a weak validator", "string"),
        "X-Flushed": header("How many bindings were flushed", "integer"),
        "X-Would-Flush": header("How many bindings a flush would pick", "integer"),
        "X-Next-Start-Key": header("Where the next page of a CSV list starts", "string"),
        "Retry-After": header("Seconds to wait", "integer"),
        "Allow": header("The methods of the resource", "string"),
    })
}

pub(super) fn responses() -> Value {
    let with = |names: &[&str]| -> Map<String, Value> {
        let header = |name: &&str| ((*name).to_owned(), reference("headers", name));
        names.iter().map(header).collect()
    };
    let json_of = |schema: &str| json!({"schema": reference("schemas", schema)});
    let mut all = Map::new();
    all.insert("List".to_owned(), json!({
        "description": "A list, or a page of it",
        "headers": with(&["X-Request-ID", "ETag", "X-Next-Start-Key"]),
        "content": {"application/json": json_of("ListEnvelope"), "text/csv": {"schema": {"type": "string"}}},
    }));
    all.insert(
        "Count".to_owned(),
        json!({
            "description": "A number",
            "headers": with(&["X-Request-ID", "ETag"]),
            "content": {"application/json": json_of("CountEnvelope")},
        }),
    );
    all.insert(
        "Flushed".to_owned(),
        json!({
            "description": "All that was picked is gone, or would be",
            "headers": with(&["X-Request-ID", "X-Flushed", "X-Would-Flush"]),
            "content": {"application/json": json_of("FlushedEnvelope")},
        }),
    );
    all.insert("NotModified".to_owned(), json!({
        "description": "The caller holds it already", "headers": with(&["X-Request-ID", "ETag"]),
    }));
    for (name, status, description) in ERRORS {
        let extra = match *status {
            "405" => with(&["X-Request-ID", "Allow"]),
            "429" | "503" => with(&["X-Request-ID", "Retry-After"]),
            _ => with(&["X-Request-ID"]),
        };
        all.insert((*name).to_owned(), json!({
            "description": description, "headers": extra, "content": {"application/json": json_of("ErrorEnvelope")},
        }));
    }
    all.into()
}

pub(super) fn schemas(item: &Value) -> Value {
    let envelope = |data: Value, required: &[&str]| {
        let mut required: Vec<_> = required.to_vec();
        required.extend([
            "data",
            "node",
            "request_id",
            "revision",
            "source",
            "status",
            "timestamp",
            "version",
        ]);
        json!({"type": "object", "required": required, "properties": {
            "auth_token": {"type": "string", "description": "The token, as the caller gave it"},
            "data": data,
            "next_start_key": {"type": "string", "description": "Where the next page starts; absent on the last"},
            "node": {"type": "string"},
            "page_size": {"type": "integer", "minimum": 0, "description": "How many items this page has"},
            "request_id": {"type": "string"},
            "revision": {"type": "string", "description": "Changes with the content of the rows, and only then"},
            "source": reference("schemas", "Source"),
            "start_key": {"type": "string"},
            "status": {"const": "success"},
            "timestamp": {"type": "string", "format": "date-time"},
            "version": {"type": "string"},
        }})
    };
    let items = json!({"type": "array", "items": reference("schemas", "Registration")});
    let count = json!({"type": "integer", "minimum": 0});
    let account = json!({"type": "object", "required": ["id", "count"], "properties": {
        "id": {"type": "string"}, "name": {"type": "string"}, "realm": {"type": "string"}, "count": count,
    }});
    let number = json!({"type": "object", "required": ["count"], "properties": {
        "count": count, "accounts": {"type": "array", "items": account},
    }});
    json!({
        "Registration": item,
        "Source": {
            "type": "object", "required": ["state"],
            "properties": {
                "state": {"enum": ["live", "catching_up", "stale", "unavailable"]},
                "as_of": {"type": "number", "description": "Unix second at which the view was last known to equal Kamailio's tables"},
                "lag_ms": {"type": "integer", "minimum": 0},
            },
        },
        "Ready": {
            "type": "object", "required": ["max_lag_ms", "source", "status"],
            "properties": {
                "max_lag_ms": {"type": "integer", "minimum": 0, "description": "The `lag_ms` above which it is not ready"},
                "reason": {"type": "string", "description": "Why it is not ready, and what to do; absent where it is"},
                "source": reference("schemas", "Source"),
                "status": {"enum": ["ok", "unavailable"]},
            },
        },
        "ListEnvelope": envelope(items, &["page_size"]),
        "CountEnvelope": envelope(number, &[]),
        "FlushedEnvelope": envelope(json!({"const": "ok"}), &[]),
        "ErrorEnvelope": {
            "type": "object",
            "required": ["data", "error", "message", "node", "request_id", "source", "status", "timestamp", "version"],
            "properties": {
                "data": {"description": "What there is to say about it"},
                "error": {"type": "string", "description": "The status"},
                "message": {"type": "string"},
                "node": {"type": "string"},
                "request_id": {"type": "string"},
                "source": reference("schemas", "Source"),
                "status": {"const": "error"},
                "timestamp": {"type": "string", "format": "date-time"},
                "version": {"type": "string"},
            },
        },
        "Verb": {"type": "object", "properties": {
            "verb": {"enum": ["delete"]},
            "auth_token": {"type": "string"},
            "data": {"type": "object"},
        }},
    })
}
