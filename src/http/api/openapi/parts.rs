//! The parts that the description's paths share.

use serde_json::{Map, Value, json};

use super::components::{json_content, named, reference, with_headers};
use super::{errors, event_answers};

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
        json!({"description": "The methods, in `Allow`", "headers": with_headers(&["Allow"], &[])}),
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

/// Whether the answers can be trusted, and if not, why.
pub(super) fn ready() -> Value {
    let of = |schema: Value| json!({"application/json": {"schema": schema}});
    let ready = reference("schemas", "Ready");
    // Where there are too many connections, the status is the same.
    let not = json!({"anyOf": [ready, errors::schema_of("503")]});
    let summary = "Whether the answers match Kamailio's tables, and if not, why";
    health(
        "readyz",
        summary,
        &[("200", of(ready.clone())), ("503", of(not))],
    )
}

pub(super) fn responses() -> Map<String, Value> {
    let json_of = |schema: &str| json_content(&reference("schemas", schema));
    let mut all = errors::responses();
    let validators = ["ETag", "Cache-Control", "Vary"];
    let mut list = json_of("ListEnvelope");
    list["text/csv"] = json!({"schema": {"type": "string"}});
    all.insert(
        "List".to_owned(),
        json!({
            "description": "A list, or a page of it",
            "headers": with_headers(
                &["ETag", "Cache-Control", "Vary", "X-Total"],
                &["X-Next-Start-Key", "Content-Disposition", "X-Partial"],
            ),
            "content": list,
        }),
    );
    all.insert(
        "Count".to_owned(),
        json!({
            "description": "A number",
            "headers": with_headers(&validators, &["X-Partial"]),
            "content": json_of("CountEnvelope"),
        }),
    );
    all.insert(
        "Flushed".to_owned(),
        json!({
            "description": "Everything that was picked is gone, or would be",
            "headers": with_headers(&[], &["X-Flushed", "X-Would-Flush"]),
            "content": json_of("FlushedEnvelope"),
        }),
    );
    all.insert(
        "Notified".to_owned(),
        json!({
            "description": "What each phone answered",
            "headers": with_headers(&[], &["X-Notified", "X-Would-Notify"]),
            "content": json_of("NotifiedEnvelope"),
        }),
    );
    all.insert(
        "NotModified".to_owned(),
        json!({
            "description": "The caller has the current answer",
            "headers": with_headers(&validators, &["X-Total", "X-Partial"]),
        }),
    );
    event_answers::responses(&mut all);
    for (name, description, has, maybe) in [
        (
            "Nodes",
            "The nodes, by name",
            &validators[..],
            &["X-Partial"][..],
        ),
        ("NodeForgotten", "The node is forgotten", &[], &[]),
    ] {
        let headers = with_headers(has, maybe);
        let content = json_of(&format!("{name}Envelope"));
        let answer = json!({"description": description, "headers": headers, "content": content});
        all.insert(name.to_owned(), answer);
    }
    all
}
