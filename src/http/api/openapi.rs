//! The API's OpenAPI 3.1 description, made from the tables that the code itself works with: the item's fields, the filters,
//! the methods of each route.

use std::sync::LazyLock;

use axum::response::Response;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::http::Answers;
use crate::http::response::answer::json as answer;
use crate::registration::item::{Field, Kind, Wire};

mod components;
mod errors;
mod event_answers;
mod events;
mod nodes;
mod notify;
mod parameters;
mod parts;
mod schemas;

/// The description as JSON text, for either wire, of a node's answers and of a fleet's.
static DOCUMENTS: LazyLock<[[Bytes; 2]; 2]> = LazyLock::new(|| {
    [Answers::OfNode, Answers::OfFleet].map(|answers| {
        [Wire::Document, Wire::Kazoo43].map(|wire| document(wire, answers).to_string().into())
    })
});

/// The description of the API, as it answers where a request has no `scope`.
#[must_use]
pub fn document(wire: Wire, answers: Answers) -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "usrlocd: Registrations API",
            "summary": "See and flush SIP registrations of a Kamailio",
            "description": "Kazoo's Registrations API over Kamailio's usrloc tables. `/v1` is another spelling \
                of `/v2`, and a trailing `/` is tolerated. Two things are not described here, since they are for the \
                page at `/ui/` alone: `/ui/session`, where a browser exchanges a token for a cookie (POST) and ends that \
                session (DELETE), and the summaries below `/ui/data/`, which may change with any version. Programs \
                send a token with each request, and find the same data below `/v2`.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "security": [{"token": []}, {"bearer": []}, {"query": []}],
        "tags": [{"name": "registrations"}, {"name": "operation"}],
        "paths": paths(answers),
        "components": {
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
                "bearer": {"type": "http", "scheme": "bearer"},
                "query": {"type": "apiKey", "in": "query", "name": "auth_token"},
            },
            "parameters": parameters::parameters(answers),
            "headers": components::headers(),
            "responses": parts::responses(),
            "schemas": schemas::schemas(&item(wire)),
        },
    })
}

/// `GET /openapi.json`
pub(crate) fn respond(wire: Wire, answers: Answers) -> Response {
    let [node, fleet] = &*DOCUMENTS;
    let [document, kazoo] = match answers {
        Answers::OfNode => node,
        Answers::OfFleet => fleet,
    };
    answer(match wire {
        Wire::Document => document.clone(),
        Wire::Kazoo43 => kazoo.clone(),
    })
}

/// Whose registrations a path names: the beginning of its template, of its operations' names, and what to call them.
const SUBJECTS: [(&str, &str, &str); 3] = [
    ("/v2/accounts/{account}/registrations", "", "an account"),
    (
        "/v2/account/registrations",
        "Own",
        "the token's only account",
    ),
    ("/v2/registrations", "All", "all accounts"),
];

/// The list's other side: its changes.
const STREAM: &str = "With `Accept: text/event-stream` (server-sent events) or `watch=true` (one JSON object per line, \
    `application/x-ndjson`) the response does not end: it is a stream of the changes to this list. `events=` selects \
    types (`registered`, `moved`, `changed`, `terminated`, `source`, `burst`, `directory`; `refreshed` only on request), \
    `initial=true` sends the current rows first, and `since=ID` or the header `Last-Event-ID` resumes after an event. \
    Filters select rows as in a list, except that `expires:` and `flapping:`, which change without an event, are answered \
    400. `fields` cuts `registration`; `page_size`, `start_key`, `sort` and CSV are answered 400. A stream starts with \
    `hello`, sends a `mark` every 15 s, a `gap` where events are missing, and ends with `bye`. Beyond `[limits] streams` \
    the answer is 429. Frames have the schema `Event`.";

/// How a POST is a DELETE.
const TUNNEL: &str =
    "`verb=delete` is in the query, or in the body at its top level or under `data`.";

fn paths(answers: Answers) -> Map<String, Value> {
    let mut paths = Map::new();
    for (path, name, whose) in SUBJECTS {
        let account = path.contains("{account}").then_some("account");
        let in_path = |further: Option<&'static str>| -> Vec<Value> {
            let names = account.into_iter().chain(further);
            let reference = |name| components::reference("parameters", name);
            names.map(reference).collect()
        };
        let is_all = name == "All";
        let mut item = lists(
            name,
            &format!("registrations of {whose}"),
            &in_path(None),
            (answers, is_all),
        );
        paths.insert(path.to_owned(), item);
        let id = format!("count{name}Registrations");
        let summary = format!("How many registrations {whose} has");
        let get = count(&id, &summary, (answers, is_all));
        item = resource(&format!("{name}Count"), &get, &in_path(None));
        paths.insert(format!("{path}/count"), item);
        if !is_all {
            paths.insert(
                format!("{path}/{{username}}"),
                of_user(name, whose, &in_path(Some("username")), answers),
            );
        }
    }
    events::paths(&mut paths, answers);
    self::notify::paths(&mut paths, answers);
    nodes::paths(&mut paths);
    paths.extend(operation());
    paths
}

/// What is of one user.
fn of_user(name: &str, whose: &str, in_path: &[Value], answers: Answers) -> Value {
    let what = format!("registrations of a SIP user of {whose}");
    let mut item = lists(&format!("{name}User"), &what, in_path, (answers, false));
    for method in ["delete", "post"] {
        let parameters = item[method]["parameters"].as_array_mut();
        parameters
            .expect("every operation has some")
            .extend(components::named(&["keepNewest"]));
    }
    item
}

/// A list that can be read and flushed.
fn lists(name: &str, what: &str, in_path: &[Value], (answers, is_all): (Answers, bool)) -> Value {
    let id = format!("list{name}Registrations");
    let get = list(&id, &format!("The {what}"), answers);
    let name = format!("{name}Registrations");
    let mut item = resource(&name, &get, in_path);
    let summary = format!("Flush the {what}");
    item["delete"] = flush(&format!("flush{name}"), &summary, answers);
    item["post"] = tunnel(&format!("tunnelFlush{name}"), answers);
    if is_all {
        let needed = "Needs `q`, `ruids` or a filter: 400 without one.";
        item["delete"]["description"] = needed.into();
        item["post"]["description"] = format!("{TUNNEL} {needed}").into();
    }
    item
}

/// What operators and their tools ask.
fn operation() -> Map<String, Value> {
    let object = components::json_content(&json!({"type": "object"}));
    let text = json!({"type": "string"});
    let metrics = json!({
        "text/plain": {"schema": text}, "application/openmetrics-text": {"schema": text},
    });
    let health = |path: &str, name: &str, summary: &str, content: &Value| {
        let item = parts::health(name, summary, &[("200", content.clone())]);
        (path.to_owned(), item)
    };
    Map::from_iter([
        health("/livez", "livez", "Whether the process answers", &object),
        ("/readyz".to_owned(), parts::ready()),
        health(
            "/metrics",
            "metrics",
            "Counters and gauges for Prometheus",
            &metrics,
        ),
        health("/openapi.json", "openapi", "This description", &object),
    ])
}

/// A path that can be read.
fn resource(name: &str, get: &Value, in_path: &[Value]) -> Value {
    json!({
        "parameters": in_path,
        "head": parts::head(&format!("head{name}"), get),
        "get": get,
        "options": parts::options(&format!("options{name}"), "registrations"),
    })
}

fn list(id: &str, summary: &str, answers: Answers) -> Value {
    let mut parameters = parts::presentation();
    parameters.extend(components::named(&[
        "accept",
        "pageSize",
        "startKey",
        "sort",
        "fields",
        "ifNoneMatch",
        "scope",
    ]));
    parameters.extend(parameters::filters(answers));
    let mut operation = parts::operation(id, summary, &parameters, "List", &[]);
    operation["description"] = STREAM.into();
    operation
}

fn count(id: &str, summary: &str, (answers, has_accounts): (Answers, bool)) -> Value {
    let mut parameters = parts::presentation();
    parameters.extend(components::named(&["ifNoneMatch", "scope"]));
    if has_accounts {
        parameters.extend(components::named(&["accounts"]));
    }
    parameters.extend(parameters::filters(answers));
    parts::operation(id, summary, &parameters, "Count", &[])
}

fn flush(id: &str, summary: &str, answers: Answers) -> Value {
    let mut parameters = parts::presentation();
    parameters.extend(components::named(&["dryRun", "scope"]));
    parameters.extend(parameters::filters(answers));
    let mut operation = parts::operation(id, summary, &parameters, "Flushed", &[errors::FLUSHING]);
    let body = components::json_content(&components::reference("schemas", "Body"));
    operation["requestBody"] = json!({"required": false, "content": body});
    operation
}

/// A POST with `verb=delete`; without it the method is not allowed.
fn tunnel(id: &str, answers: Answers) -> Value {
    let summary = "Flush, for clients that cannot send DELETE";
    let mut operation = flush(id, summary, answers);
    operation["description"] = TUNNEL.into();
    if let Some(Value::Array(parameters)) = operation.get_mut("parameters") {
        parameters.push(components::reference("parameters", "verb"));
    }
    operation
}

/// The schema of the item.
fn item(wire: Wire) -> Value {
    let property = |field: &Field| {
        let mut schema = Map::new();
        let kind = match field.kind(wire) {
            Kind::Text => "string",
            Kind::Integer => "integer",
            Kind::Number => "number",
            Kind::Flag => "boolean",
            Kind::Flap | Kind::Successor => "object",
        };
        schema.insert("type".to_owned(), kind.into());
        schema.insert("description".to_owned(), field.description().into());
        if field.kind(wire) == Kind::Flap {
            schema.insert("properties".to_owned(), flap());
            schema.insert(
                "required".to_owned(),
                json!(["score", "losses_24h", "flapping"]),
            );
        }
        if field.kind(wire) == Kind::Successor {
            let text = json!({"type": "string"});
            let properties = json!({"node": text, "ruid": text});
            schema.insert("properties".to_owned(), properties);
            schema.insert("required".to_owned(), json!(["node", "ruid"]));
        }
        (field.name().to_owned(), Value::Object(schema))
    };
    let properties: Map<_, _> = Field::ALL.iter().map(property).collect();
    json!({
        "type": "object",
        "description": "A registration; a key whose value is not known is absent, and with `fields` all others are. Without \
            it `account_id` is absent, and `username`, `event_timestamp`, `initial_registration` and `first_registration` are always there.",
        "properties": properties,
    })
}

/// The keys that say how much a phone flaps.
fn flap() -> Value {
    json!({
        "score": {"type": "integer", "minimum": 0, "description": "Penalties for losses, which decay with a half-life; rounded to hundreds"},
        "losses_24h": {"type": "integer", "minimum": 0, "description": "Losses within 24 hours"},
        "flapping": {"type": "boolean", "description": "Whether the score is high enough, and has not been low since"},
    })
}
