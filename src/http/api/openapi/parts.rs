//! The parts that the description's paths share.

use serde_json::{Map, Value, json};

use super::errors;

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

/// An operation on registrations that answers `success`.
pub(super) fn operation(
    id: &str,
    summary: &str,
    parameters: &[Value],
    success: &str,
    refusals: &[&[&str]],
) -> Value {
    let mut responses = Map::new();
    responses.insert("200".to_owned(), reference("responses", success));
    if success != "Flushed" {
        responses.insert("304".to_owned(), reference("responses", "NotModified"));
    }
    errors::add(&[errors::EVERYWHERE, errors::READING], &mut responses);
    errors::add(refusals, &mut responses);
    json!({
        "operationId": id,
        "summary": summary,
        "tags": ["registrations"],
        "parameters": parameters,
        "responses": responses,
    })
}

/// HEAD: as GET, whatever that is, without a body.
pub(super) fn head(id: &str, get: &Value) -> Value {
    let mut head = get.clone();
    head["operationId"] = id.into();
    head["summary"] = "As GET, without the body".into();
    let components = responses();
    if let Some(Value::Object(answers)) = head.get_mut("responses") {
        for answer in answers.values_mut() {
            let name = answer["$ref"]
                .as_str()
                .and_then(|path| path.rsplit('/').next());
            let component = name.and_then(|name| components.get(name));
            if let Some(component) = component {
                *answer = component.clone();
            }
            if let Some(answer) = answer.as_object_mut() {
                answer.remove("content");
            }
        }
    }
    head
}

/// OPTIONS: the methods of a resource.
pub(super) fn options(id: &str, tag: &str) -> Value {
    let mut responses = Map::new();
    responses.insert(
        "204".to_owned(),
        json!({"description": "They are in `Allow`", "headers": with_headers(&["Allow"], &[])}),
    );
    errors::add(&[errors::EVERYWHERE, &["429"]], &mut responses);
    json!({
        "operationId": id,
        "summary": "The methods of the resource",
        "tags": [tag],
        "parameters": named(&["xRequestId"]),
        "security": [],
        "responses": responses,
    })
}

/// A resource of health, without a token: its statuses and what they carry, by content type.
pub(super) fn health(id: &str, summary: &str, answers: &[(&str, Value)]) -> Value {
    let mut responses = Map::new();
    errors::add(&[errors::EVERYWHERE], &mut responses);
    for (status, content) in answers {
        let response = json!({
            "description": summary, "headers": with_headers(&[], &[]), "content": content,
        });
        responses.insert((*status).to_owned(), response);
    }
    let get = json!({
        "operationId": id, "summary": summary, "tags": ["operation"], "security": [],
        "parameters": named(&["xRequestId"]), "responses": responses,
    });
    let head = head(&format!("{id}Head"), &get);
    json!({"get": get, "head": head, "options": options(&format!("{id}Options"), "operation")})
}

/// Whether the answers are to be trusted, and if not, why.
pub(super) fn ready() -> Value {
    let of = |schema: Value| json!({"application/json": {"schema": schema}});
    let ready = reference("schemas", "Ready");
    // Too many connections look alike from afar.
    let not = json!({"anyOf": [ready, errors::schema_of("503")]});
    let summary = "Whether the registry follows Kamailio's tables, and if not, why";
    health(
        "readyz",
        summary,
        &[("200", of(ready.clone())), ("503", of(not))],
    )
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
        "`gzip`, for whoever accepts it",
    ),
    (
        "Content-Disposition",
        "string",
        "The name of a file, with CSV",
    ),
    ("X-Flushed", "integer", "How many bindings were flushed"),
    (
        "X-Would-Flush",
        "integer",
        "How many bindings a flush would pick",
    ),
    (
        "X-Next-Start-Key",
        "string",
        "Where the next page of a CSV list starts",
    ),
    ("Retry-After", "integer", "Seconds to wait"),
    ("Allow", "string", "The methods of the resource"),
    ("WWW-Authenticate", "string", "`Bearer`"),
    (
        "Access-Control-Allow-Origin",
        "string",
        "For browsers, where `[http] cors_origins` lets them in",
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

pub(super) fn headers() -> Value {
    let header = |(name, kind, description): &(&str, &str, &str)| {
        let header = json!({"description": description, "schema": {"type": kind}});
        ((*name).to_owned(), header)
    };
    HEADERS.iter().map(header).collect::<Map<_, _>>().into()
}

pub(super) fn responses() -> Value {
    let json_of = |schema: &str| json_content(&reference("schemas", schema));
    let mut all = errors::responses();
    let validators = ["ETag", "Cache-Control", "Vary"];
    let mut list = json_of("ListEnvelope");
    list["text/csv"] = json!({"schema": {"type": "string"}});
    all.insert(
        "List".to_owned(),
        json!({
            "description": "A list, or a page of it",
            "headers": with_headers(&validators, &["X-Next-Start-Key", "Content-Disposition"]),
            "content": list,
        }),
    );
    all.insert(
        "Count".to_owned(),
        json!({
            "description": "A number",
            "headers": with_headers(&validators, &[]),
            "content": json_of("CountEnvelope"),
        }),
    );
    all.insert(
        "Flushed".to_owned(),
        json!({
            "description": "All that was picked is gone, or would be",
            "headers": with_headers(&[], &["X-Flushed", "X-Would-Flush"]),
            "content": json_of("FlushedEnvelope"),
        }),
    );
    all.insert(
        "NotModified".to_owned(),
        json!({
            "description": "The caller holds it already",
            "headers": with_headers(&validators, &[]),
        }),
    );
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
        "id": {"type": "string"}, "count": count,
        "name": {"type": "string", "description": "From the directory, else from the account's registrations"},
        "realm": {"type": "string", "description": "From the directory, else from the account's registrations"},
    }});
    let number = json!({"type": "object", "required": ["count"], "properties": {
        "count": count, "accounts": {"type": "array", "items": account},
    }});
    let mut all = json!({
        "Registration": item,
        "Source": {
            "type": "object", "required": ["state"],
            "properties": {
                "state": {"enum": ["live", "catching_up", "stale", "unavailable"]},
                "as_of": {"type": "number", "description": "Unix second at which the registry was last known to equal Kamailio's tables"},
                "lag_ms": {"type": "integer", "minimum": 0},
            },
        },
        "Ready": {
            "type": "object", "required": ["max_lag_ms", "source", "status"],
            "properties": {
                "max_lag_ms": {"type": "integer", "minimum": 0, "description": "The `lag_ms` above which it is not ready"},
                "reason": {"type": "string", "description": "Why it is not ready, and what to do; absent where it is"},
                "read": {"type": "integer", "minimum": 0, "description": "Rows of Kamailio's tables that a start has read so far; only while starting"},
                "restored": {"type": "integer", "minimum": 0, "description": "Registrations of the previous run that a start has restored so far; only while starting"},
                "source": reference("schemas", "Source"),
                "status": {"enum": ["ok", "starting", "unavailable"], "description": "`starting`: every row of Kamailio's tables is still to be shown, and nothing is wrong"},
                "total": {"type": "integer", "minimum": 0, "description": "How many there are to be restored; only while starting"},
            },
        },
        "ListEnvelope": envelope(items, &["page_size"]),
        "CountEnvelope": envelope(number, &[]),
        "FlushedEnvelope": envelope(json!({"const": "ok"}), &[]),
        // What is no text in these places counts as not there.
        "Body": {"type": "object", "properties": {
            "auth_token": {"description": "The token, if it is nowhere else; also under `data`"},
            "verb": {"description": "With POST, `delete` makes it a DELETE, as the parameter does; also under `data`"},
            "ruids": {
                "type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2000,
                "description": "Flush just the registrations with these `ruid`s, as far as the filters select them; also under `data`",
            },
            "pretty_print": {"description": "Kazoo's clients send it; the parameter decides"},
            "ui_metadata": {"description": "Kazoo's user interface sends it; ignored; also under `data`"},
            "data": {
                "type": ["object", "null"],
                "description": "May hold `auth_token`, `verb`, `ruids` and `ui_metadata`; any other key is refused",
            },
        }, "additionalProperties": false},
    });
    if let (Value::Object(all), Value::Object(errors)) = (&mut all, errors::schemas()) {
        all.extend(errors);
    }
    all
}
