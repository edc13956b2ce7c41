//! The description of what happened: history, flapping phones, and why a phone was away.

use serde_json::{Map, Value, json};

use super::components::{named, reference};
use super::parts;
use crate::events::group::By;
use crate::events::{GapCause, Group, Reason, Type};
use crate::http::Answers;

/// Whose events a path names: its beginning, the names of its operations, and what to call them.
const SUBJECTS: [(&str, &str, &str); 3] = [
    ("/v2/accounts/{account}", "", "an account"),
    ("/v2/account", "Own", "the token's only account"),
    ("/v2", "All", "all accounts"),
];

/// Adds the paths.
pub(super) fn paths(paths: &mut Map<String, Value>, answers: Answers) {
    for (path, name, whose) in SUBJECTS {
        let in_path = if path.contains("{account}") {
            named(&["account"])
        } else {
            Vec::new()
        };
        let get = history(
            &format!("list{name}Events"),
            &format!("What happened to the registrations of {whose}, newest first"),
            answers,
        );
        let item = super::resource(&format!("{name}Events"), &get, &in_path);
        paths.insert(format!("{path}/history"), item);
        let get = parts::operation(
            &format!("list{name}Flapping"),
            &format!("The flapping phones of {whose}, worst first"),
            &conditional(of_nodes(answers)),
            "Flapping",
            &[],
        );
        let item = super::resource(&format!("{name}Flapping"), &get, &in_path);
        paths.insert(format!("{path}/flapping"), item);
        if name == "All" {
            continue;
        }
        let mut in_path = in_path;
        in_path.extend(named(&["username"]));
        let user = format!("{path}/registrations/{{username}}");
        let get = history(
            &format!("list{name}UserEvents"),
            &format!("What happened to the registrations of a SIP user of {whose}, newest first"),
            answers,
        );
        let mut item = super::resource(&format!("{name}UserEvents"), &get, &in_path);
        let summary = "Delete this user's events; Unix socket only";
        item["delete"] = forget(&format!("forget{name}User"), summary, &[]);
        let summary = "Delete this user's events, for clients that cannot send DELETE";
        item["post"] = forget(&format!("tunnelForget{name}User"), summary, &["verb"]);
        paths.insert(format!("{user}/history"), item);
        let get = parts::operation(
            &format!("explain{name}User"),
            &format!("Why a SIP user of {whose} was not registered"),
            &conditional(&["at"]),
            "Why",
            &[],
        );
        let item = super::resource(&format!("{name}UserWhy"), &get, &in_path);
        paths.insert(format!("{user}/why"), item);
    }
}

fn forget(id: &str, summary: &str, further: &[&str]) -> Value {
    let mut parameters = parts::presentation();
    parameters.extend(named(further));
    let mut operation = parts::operation(id, summary, &parameters, "Forgotten", &[]);
    if let Some(responses) = operation["responses"].as_object_mut() {
        responses.remove("304");
    }
    operation
}

fn conditional(further: &[&str]) -> Vec<Value> {
    let mut parameters = parts::presentation();
    parameters.extend(named(&["ifNoneMatch", "scope"]));
    parameters.extend(named(further));
    parameters
}

/// What chooses among nodes, where there are several.
fn of_nodes(answers: Answers) -> &'static [&'static str] {
    match answers {
        Answers::OfNode => &[],
        Answers::OfFleet => &["nodes"],
    }
}

fn history(id: &str, summary: &str, answers: Answers) -> Value {
    let mut parameters = conditional(&[
        "accept",
        "from",
        "to",
        "events",
        "reason",
        "group",
        "eventsPageSize",
        "startKey",
    ]);
    parameters.extend(named(of_nodes(answers)));
    parts::operation(id, summary, &parameters, "Events", &[])
}

/// Unix seconds, or RFC 3339 in one of its spellings; others are accepted too.
const TIME: &str = r"^([0-9]{1,10}(\.[0-9]{1,9})?|20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z)$";

/// Component, name, description and schema of the parameters.
pub(super) fn parameters() -> Vec<(&'static str, &'static str, &'static str, Value)> {
    let text = json!({
        "type": "string",
        "pattern": TIME,
        "examples": ["1764514800", "2025-11-30T15:00:00Z"],
    });
    let chosen = |names: Vec<&str>| {
        let one = names.join("|");
        json!({"type": "string", "pattern": format!("^({one})(,({one}))*$")})
    };
    let types = Type::CHOOSABLE.map(Type::as_str).to_vec();
    let reasons = Reason::ALL.map(Reason::as_str).to_vec();
    vec![
        (
            "from",
            "from",
            "Start of the period, inclusive: Unix seconds or RFC 3339",
            text.clone(),
        ),
        (
            "to",
            "to",
            "End of the period, inclusive: Unix seconds or RFC 3339",
            text.clone(),
        ),
        (
            "at",
            "at",
            "When the phone was away: Unix seconds or RFC 3339; by default, its last loss",
            text,
        ),
        (
            "events",
            "events",
            "Only these event types, separated by commas",
            chosen(types),
        ),
        (
            "reason",
            "reason",
            "Only registrations that ended for these reasons, separated by commas",
            chosen(reasons),
        ),
        (
            "group",
            "group",
            "Count the events by this value instead of listing them",
            json!({"enum": By::ALL.map(By::as_str)}),
        ),
        (
            "eventsPageSize",
            "page_size",
            "Maximum number of events; by default 100",
            json!({"type": "integer", "minimum": 1, "maximum": 1000}),
        ),
    ]
}

/// Adds the schemas; `envelope` puts data into an envelope.
pub(super) fn schemas(all: &mut Map<String, Value>, envelope: impl Fn(&Value, &[&str]) -> Value) {
    let text = json!({"type": "string"});
    let count = json!({"type": "integer", "minimum": 0});
    let numbers = json!({"type": "array", "items": {
        "type": "object", "required": ["value", "count"],
        "properties": {"value": {"type": ["string", "null"]}, "count": count},
    }});
    let events = json!({"type": "array", "items": reference("schemas", "Event")});
    let texts = json!({"type": "array", "items": text});
    let phone = json!({
        "type": "object", "required": ["username", "score", "losses_24h", "since"],
        "properties": {
            "account_id": text, "username": text, "realm": text, "instance": text,
            "score": count, "losses_24h": count,
            "since": {"type": "string", "format": "date-time"},
            "addresses": texts, "user_agents": texts, "proxies": texts,
        },
    });
    let why = json!({
        "type": "object", "required": ["sentence", "facts", "loss", "others"],
        "properties": {
            "sentence": {"type": "string", "description": "Why, in one sentence"},
            "facts": {"type": "array", "items": text, "description": "The facts behind it"},
            "loss": {"anyOf": [reference("schemas", "Event"), {"type": "null"}]},
            "others": {
                "type": "object",
                "description": "Other phones lost within a minute of this one, by what they have in common with it",
                "additionalProperties": {
                    "type": "object", "required": ["value", "lost"], "properties": {"value": text, "lost": count},
                },
            },
        },
    });
    let phones = json!({"type": "array", "items": phone});
    let forgotten = json!({
        "type": "object", "required": ["forgotten"], "properties": {"forgotten": count},
    });
    all.insert("ForgottenEnvelope".to_owned(), envelope(&forgotten, &[]));
    all.insert("Event".to_owned(), event());
    all.insert(
        "EventsEnvelope".to_owned(),
        envelope(&json!({"anyOf": [events, numbers]}), &[]),
    );
    all.insert(
        "FlappingEnvelope".to_owned(),
        envelope(&phones, &["page_size"]),
    );
    all.insert("WhyEnvelope".to_owned(), envelope(&why, &[]));
}

/// An event.
fn event() -> Value {
    let text = json!({"type": "string"});
    let number = json!({"type": "integer"});
    let mut types = Type::CHOOSABLE.map(Type::as_str).to_vec();
    types.push(Type::Gap.as_str());
    let causes = [GapCause::Restored, GapCause::Overrun, GapCause::Forgotten].map(GapCause::as_str);
    json!({
        "type": "object", "required": ["id", "type", "at"],
        "properties": {
            "id": text,
            "type": {"enum": types},
            "at": {"type": "string", "format": "date-time", "description": "When usrlocd saw it"},
            "happened_at": {"type": "integer", "description": "Unix second by Kamailio's clock"},
            "account_id": text, "account_name": text, "realm": text, "username": text, "ruid": text, "node": text,
            "registration": reference("schemas", "Registration"),
            "previous": {"type": "object", "description": "Previous values of the keys that changed"},
            "reason": {"enum": Reason::ALL.map(Reason::as_str)},
            "replaces": {"type": "object"},
            "flush": {"type": "object", "properties": {"request_id": text, "actor": text}},
            "stats": {"type": "object", "properties": {
                "registered_at": number, "last_refresh_at": number, "lasted": number, "refreshes": number, "granted_expires": number,
            }},
            "commit": number,
            "source": {"type": "object"},
            "group": {"enum": Group::ALL.map(Group::as_str)},
            "value": text, "lost": number, "of": number,
            "from": text, "to": text,
            "cause": {"enum": causes},
        },
        "description": "An event. `from` and `to` are times in a burst, and event ids in a gap",
    })
}
