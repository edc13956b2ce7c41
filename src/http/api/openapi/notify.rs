//! The description of phones that are asked to act.

use serde_json::{Map, Value, json};

use super::components::{json_content, named, reference};
use super::{errors, parameters, parts};
use crate::http::Answers;

/// Whose phones a path names: its beginning, the names of its operations, and what to call them.
const SUBJECTS: [(&str, &str, &str); 2] = [
    ("/v2/accounts/{account}", "", "an account"),
    ("/v2/account", "Own", "the token's only account"),
];

/// Adds the paths.
pub(super) fn paths(paths: &mut Map<String, Value>, answers: Answers) {
    for (path, name, whose) in SUBJECTS {
        let in_path = |last: &'static str| {
            let account = path.contains("{account}").then_some("account");
            let names: Vec<_> = account.into_iter().chain([last]).collect();
            named(&names)
        };
        let mut item = resource(
            &format!("{name}User"),
            &format!("Ask the phones of a SIP user of {whose} to act"),
            ("AskedUser", answers),
        );
        item["parameters"] = in_path("username").into();
        paths.insert(format!("{path}/registrations/{{username}}/notify"), item);
        let mut item = resource(
            &format!("{name}Device"),
            &format!("Ask the phones of a device of {whose} to act; without `event`, check-sync"),
            ("AskedDevice", answers),
        );
        item["parameters"] = in_path("device").into();
        paths.insert(format!("{path}/devices/{{device}}/sync"), item);
    }
}

fn resource(name: &str, summary: &str, (body, answers): (&str, Answers)) -> Value {
    let mut all = parts::presentation();
    all.extend(named(&["dryRun", "scope"]));
    all.extend(parameters::filters(answers));
    let mut post = parts::operation(&format!("notify{name}"), summary, &all, "Notified", &[]);
    if let Some(Value::Object(responses)) = post.get_mut("responses") {
        responses.remove("304");
        errors::add_notifying(responses);
    }
    post["description"] = "Kamailio sends a SIP NOTIFY to each contact over the way by which the phone registered. Needs the right \
        `flush`. 200 if at least one phone answered 2xx, or if the user has no contact."
        .into();
    let is_needed = body == "AskedUser";
    let content = json_content(&reference("schemas", body));
    post["requestBody"] = json!({"required": is_needed, "content": content});
    json!({"post": post, "options": parts::options(&format!("options{name}Notify"), "registrations")})
}

/// Adds the schemas.
pub(super) fn schemas(all: &mut Map<String, Value>, envelope: impl Fn(&Value, &[&str]) -> Value) {
    let text = json!({"type": "string"});
    let notified = json!({"type": "array", "items": {
        "type": "object", "required": ["username", "contact", "ruid", "status", "reason"], "properties": {
            "username": text, "realm": text, "contact": text, "ruid": text,
            "status": {"type": ["integer", "null"], "description": "The phone's SIP status code; null where none came"},
            "reason": {"type": "string", "description": "The phone's reason phrase, or why there is no status"},
        },
    }});
    all.insert("Notified".to_owned(), notified);
    let envelope = envelope(&reference("schemas", "Notified"), &[]);
    all.insert("NotifiedEnvelope".to_owned(), envelope);
    all.insert("AskedUser".to_owned(), asked(true));
    all.insert("AskedDevice".to_owned(), asked(false));
}

/// The body: its keys stand at the top or under `data`, each in one of the two.
fn asked(needs_event: bool) -> Value {
    let mut keys = json!({
        "event": {"type": if needs_event { json!("string") } else { json!(["string", "null"]) }, "description": "`check-sync`, or one of `[notify] events`", "examples": ["check-sync"]},
        "reboot": {"enum": [true, false, "true", "false", null], "description": "With check-sync: restart the phone; false by default"},
        "ruids": {
            "type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2000,
            "description": "Ask only the registrations with these `ruid`s that the filters select",
        },
        "auth_token": {"description": "The token, if it is not in a header"},
        "pretty_print": {"description": "Kazoo's clients send it; the parameter decides"},
        "ui_metadata": {"description": "Kazoo's user interface sends it; ignored"},
    });
    let required: &[&str] = if needs_event { &["event"] } else { &[] };
    let data = json!({"type": "object", "properties": keys, "required": required, "additionalProperties": false});
    keys =
        json!({"data": data, "auth_token": {"description": "The token, if it is not in a header"}});
    let required: &[&str] = if needs_event { &["data"] } else { &[] };
    json!({"type": "object", "properties": keys, "required": required, "additionalProperties": false})
}
