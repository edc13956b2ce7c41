//! The API's description, OpenAPI 3.1, made of the tables that the code itself works with: the fields of the item,
//! the filters, the methods of each route.

use std::sync::LazyLock;

use axum::response::Response;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::api::json as answer;
use crate::registration::item::{Field, Kind, Wire};

mod parameters;
mod parts;

/// The description as JSON text, for either wire.
static DOCUMENTS: LazyLock<[Bytes; 2]> =
    LazyLock::new(|| [Wire::Document, Wire::Kazoo43].map(|wire| document(wire).to_string().into()));

/// The description of the API.
#[must_use]
pub fn document(wire: Wire) -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "usrlocd: Registrations API",
            "summary": "See and flush SIP registrations of a Kamailio",
            "description": "Kazoo's Registrations API over Kamailio's usrloc tables. `/v1` is another spelling \
                of `/v2`, and a trailing `/` is tolerated.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "security": [{"token": []}, {"bearer": []}, {"query": []}],
        "tags": [{"name": "registrations"}, {"name": "operation"}],
        "paths": paths(),
        "components": {
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
                "bearer": {"type": "http", "scheme": "bearer"},
                "query": {"type": "apiKey", "in": "query", "name": "auth_token"},
            },
            "parameters": parameters::parameters(),
            "headers": parts::headers(),
            "responses": parts::responses(),
            "schemas": parts::schemas(&item(wire)),
        },
    })
}

/// `GET /openapi.json`
pub(super) fn respond(wire: Wire) -> Response {
    let [document, kazoo] = &*DOCUMENTS;
    answer(match wire {
        Wire::Document => document.clone(),
        Wire::Kazoo43 => kazoo.clone(),
    })
}

fn paths() -> Value {
    let account = parts::reference("parameters", "account");
    let username = parts::reference("parameters", "username");
    json!({
        "/v2/accounts/{account}/registrations": {
            "parameters": [account],
            "get": list("listRegistrations", "The registrations of an account", true),
            "head": parts::head("headRegistrations"),
            "delete": flush("flushRegistrations", "Flush the registrations of an account"),
            "post": tunnel("tunnelFlushRegistrations"),
            "options": parts::options("optionsRegistrations"),
        },
        "/v2/accounts/{account}/registrations/count": {
            "parameters": [account],
            "get": count("countRegistrations", "How many registrations an account has"),
            "head": parts::head("headCount"),
            "options": parts::options("optionsCount"),
        },
        "/v2/accounts/{account}/registrations/{username}": {
            "parameters": [account, username],
            "get": list("listUserRegistrations", "The registrations of a SIP user", true),
            "head": parts::head("headUserRegistrations"),
            "delete": flush("flushUserRegistrations", "Flush the registrations of a SIP user"),
            "post": tunnel("tunnelFlushUserRegistrations"),
            "options": parts::options("optionsUserRegistrations"),
        },
        "/v2/account/registrations": {
            "get": list("listOwnRegistrations", "The registrations of the token's only account", true),
            "head": parts::head("headOwnRegistrations"),
            "delete": flush("flushOwnRegistrations", "Flush the registrations of the token's only account"),
            "post": tunnel("tunnelFlushOwnRegistrations"),
            "options": parts::options("optionsOwnRegistrations"),
        },
        "/v2/account/registrations/count": {
            "get": count("countOwnRegistrations", "How many registrations the token's only account has"),
            "head": parts::head("headOwnCount"),
            "options": parts::options("optionsOwnCount"),
        },
        "/v2/account/registrations/{username}": {
            "parameters": [username],
            "get": list("listOwnUserRegistrations", "The registrations of a SIP user of the token's only account", true),
            "head": parts::head("headOwnUserRegistrations"),
            "delete": flush("flushOwnUserRegistrations", "Flush a SIP user of the token's only account"),
            "post": tunnel("tunnelFlushOwnUserRegistrations"),
            "options": parts::options("optionsOwnUserRegistrations"),
        },
        "/v2/registrations": {
            "get": list("listAllRegistrations", "The registrations of all accounts", false),
            "head": parts::head("headAllRegistrations"),
            "options": parts::options("optionsAllRegistrations"),
        },
        "/v2/registrations/count": {
            "get": count_all(),
            "head": parts::head("headAllCount"),
            "options": parts::options("optionsAllCount"),
        },
        "/livez": parts::health("livez", "Whether the process answers", &["200"]),
        "/readyz": parts::ready(),
        "/metrics": parts::text("metrics", "Counters and gauges for Prometheus"),
        "/openapi.json": parts::health("openapi", "This description", &["200"]),
    })
}

fn list(id: &str, summary: &str, has_account: bool) -> Value {
    let mut parameters = parts::presentation();
    parameters.extend(parts::named(&[
        "accept",
        "pageSize",
        "startKey",
        "ifNoneMatch",
    ]));
    parameters.extend(parameters::filters());
    parts::operation(
        id,
        summary,
        &parameters,
        "List",
        &parts::reading(has_account),
    )
}

fn count(id: &str, summary: &str) -> Value {
    let mut parameters = parts::presentation();
    parameters.extend(parts::named(&["ifNoneMatch"]));
    parameters.extend(parameters::filters());
    parts::operation(id, summary, &parameters, "Count", &parts::reading(true))
}

fn count_all() -> Value {
    let mut operation = count("countAllRegistrations", "How many registrations there are");
    if let Some(Value::Array(parameters)) = operation.get_mut("parameters") {
        parameters.push(parts::reference("parameters", "accounts"));
    }
    operation
}

fn flush(id: &str, summary: &str) -> Value {
    let mut parameters = parts::presentation();
    parameters.extend(parts::named(&["dryRun"]));
    parameters.extend(parameters::filters());
    parts::operation(id, summary, &parameters, "Flushed", &parts::flushing())
}

/// A POST that says `verb=delete`.
fn tunnel(id: &str) -> Value {
    let summary = "Flush, for clients that cannot send DELETE: with `verb=delete` in query or body";
    let mut operation = flush(id, summary);
    if let Some(Value::Array(parameters)) = operation.get_mut("parameters") {
        parameters.push(parts::reference("parameters", "verb"));
    }
    operation["requestBody"] = json!({
        "required": false,
        "content": {"application/json": {"schema": parts::reference("schemas", "Verb")}},
    });
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
        };
        schema.insert("type".to_owned(), kind.into());
        schema.insert("description".to_owned(), field.description().into());
        (field.name().to_owned(), Value::Object(schema))
    };
    let properties: Map<_, _> = Field::ALL.iter().map(property).collect();
    json!({
        "type": "object",
        "description": "A registration; a key whose value is not known is absent.",
        "properties": properties,
        "required": ["username", "event_timestamp", "initial_registration", "first_registration"],
    })
}
