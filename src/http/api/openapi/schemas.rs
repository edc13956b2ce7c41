//! The schemas of answers and bodies.

use serde_json::{Value, json};

use super::components::reference;
use super::{errors, events, nodes};

/// All schemas, as components.
pub(super) fn schemas(item: &Value) -> Value {
    let items = json!({"type": "array", "items": reference("schemas", "Registration")});
    let count = json!({"type": "integer", "minimum": 0});
    let account = json!({"type": "object", "required": ["id", "count"], "properties": {
        "id": {"type": "string"}, "count": count,
        "name": {"type": "string", "description": "From the directory, else from the account's registrations"},
        "realm": {"type": "string", "description": "From the directory, else from the account's registrations"},
    }});
    let number = json!({"type": "object", "required": ["count"], "properties": {
        "count": count,
        "stale": {"type": "integer", "minimum": 0, "description": "How many of them are on nodes that are not live; only with the fleet"},
        "accounts": {"type": "array", "items": account},
    }});
    let mut all = json!({
        "Registration": item,
        "Source": source(),
        "Ready": ready(),
        "ListEnvelope": envelope(&items, &["page_size"]),
        "CountEnvelope": envelope(&number, &[]),
        "FlushedEnvelope": envelope(&json!({"const": "ok"}), &[]),
        // Anything but a string counts as absent in these places.
        "Body": body(),
    });
    if let (Value::Object(all), Value::Object(errors)) = (&mut all, errors::schemas()) {
        all.extend(errors);
        events::schemas(all, envelope);
        super::notify::schemas(all, envelope);
        nodes::schemas(all, envelope);
    }
    all
}

/// What every success has around its `data`; some need more.
fn envelope(data: &Value, further: &[&str]) -> Value {
    let always = [
        "data",
        "node",
        "request_id",
        "revision",
        "source",
        "status",
        "timestamp",
        "version",
    ];
    let required = [further, &always].concat();
    json!({"type": "object", "required": required, "properties": {
        "auth_token": {"type": "string", "description": "The token, as the caller gave it"},
        "data": data,
        "next_start_key": {"type": "string", "description": "Where the next page starts; absent on the last"},
        "node": {"type": "string"},
        "oldest": {"type": "string", "format": "date-time", "description": "Time of the oldest event kept; in history, flapping and why answers only"},
        "page_size": {"type": "integer", "minimum": 0, "description": "Number of items on this page"},
        "request_id": {"type": "string"},
        "revision": {"type": "string", "description": "Changes with the content of the rows, and with that only"},
        "source": reference("schemas", "Source"),
        "start_key": {"type": "string"},
        "status": {"const": "success"},
        "timestamp": {"type": "string", "format": "date-time"},
        "version": {"type": "string"},
    }})
}

/// How well the answers are known to match Kamailio's tables.
fn source() -> Value {
    json!({"type": "object", "required": ["state"], "properties": {
        "state": {
            "enum": ["live", "catching_up", "stale", "unavailable", "partial"],
            "description": "Of a fleet: `live`, `partial` while a node or its source is not live, `stale` when none is",
        },
        "as_of": {"type": "number", "description": "Unix second at which the answers were last known to match Kamailio's tables"},
        "lag_ms": {"type": "integer", "minimum": 0},
        "nodes": {
            "type": "array", "items": reference("schemas", "Node"),
            "description": "The nodes of the fleet; only with the fleet",
        },
        "suspect": {
            "const": true,
            "description": "Many nodes stopped publishing within seconds: the database or the network is suspect",
        },
    }})
}

/// The answer of `/readyz`.
fn ready() -> Value {
    json!({"type": "object", "required": ["source", "status"], "properties": {
        "fleet": {
            "type": "object", "required": ["state"],
            "description": "How publishing to the fleet goes; only with `verbose`, on a node that does",
            "properties": {
                "state": {"enum": ["starting", "comparing", "publishing", "failing"]},
                "reason": {"type": "string", "description": "What is wrong, and what to do"},
                "kind": {"type": "string", "description": "The failure in a word: `fenced`, `name_taken`, `schema` …"},
                "since": {"type": "integer", "description": "Unix second of the first failure"},
                "clock_offset_ms": {"type": "integer"},
            },
        },
        "max_lag_ms": {"type": "integer", "minimum": 0, "description": "The `lag_ms` above which it is not ready; of a node"},
        "reason": {"type": "string", "description": "Why it is not ready, and what to do; absent when ready"},
        "read": {"type": "integer", "minimum": 0, "description": "Rows of Kamailio's tables read so far; only while starting"},
        "restored": {"type": "integer", "minimum": 0, "description": "Registrations of the previous run restored so far; only while starting"},
        "source": reference("schemas", "Source"),
        "status": {"enum": ["ok", "starting", "unavailable"], "description": "`starting`: not every row of Kamailio's tables is listed yet, and nothing is wrong"},
        "total": {"type": "integer", "minimum": 0, "description": "Registrations to restore; only while starting"},
    }})
}

/// The body of a DELETE. Its keys stand at the top or under `data`, `ruids` in one of the two.
fn body() -> Value {
    let mut keys = json!({
        "auth_token": {"description": "The token, if it is not in a header"},
        "verb": {"description": "With POST, `delete` makes it a DELETE, as the parameter does"},
        "ruids": {
            "type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2000,
            "description": "Flush only the registrations with these `ruid`s that the filters select",
        },
        "pretty_print": {"description": "Kazoo's clients send it; the parameter decides"},
        "ui_metadata": {"description": "Kazoo's user interface sends it; ignored"},
    });
    let data = json!({
        "type": ["object", "null"], "properties": keys, "additionalProperties": false,
        "description": "May have the same keys",
    });
    keys["data"] = data;
    let twice = json!({
        "required": ["data", "ruids"],
        "properties": {"data": {"type": "object", "required": ["ruids"]}},
    });
    json!({"type": "object", "properties": keys, "additionalProperties": false, "not": twice})
}
