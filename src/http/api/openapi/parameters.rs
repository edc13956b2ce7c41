//! The parameters of the description.

use serde_json::{Map, Value, json};

use super::components::reference;
use super::events;
use crate::http::Answers;
use crate::http::request::reach::Reach;
use crate::registration::item::Field;

/// Kazoo's filters by a key of the item, beside `filter_KEY` and `filter_not_KEY`.
const BY_KEY: &[(&str, &str)] = &[
    ("has_key", "Only those that have this key"),
    ("key_missing", "Only those that do not have this key"),
    ("has_value", "Only those for which this key has a value"),
    (
        "missing_value",
        "Only those for which this key has no value",
    ),
];

/// Kazoo's filters by time; Gregorian seconds, inclusive.
const BY_TIME: &[(&str, &str)] = &[
    ("modified_from", "From this `event_timestamp` on"),
    ("modified_to", "Up to this `event_timestamp`"),
    ("created_from", "From this `initial_registration` on"),
    ("created_to", "Up to this `initial_registration`"),
];

/// Component, place, name and description of the other parameters.
const OTHERS: &[(&str, &str, &str, &str)] = &[
    ("account", "path", "account", "The account's id"),
    (
        "username",
        "path",
        "username",
        "The SIP user, in any case unless one is spelled exactly so; U+FFFD as in lists; never `count`",
    ),
    ("device", "path", "device", "The device's id"),
    ("nodeName", "path", "node", "The node's name"),
    (
        "scope",
        "query",
        "scope",
        "`fleet`: the registrations of all nodes; `node`: those of this one. Without it a node answers for itself, and \
         `usrlocd fleet` for all. With `fleet` the items have the keys `node`, `node_state` and `superseded_by` and not \
         `flap`, in filters, `sort` and `fields` too",
    ),
    ("prettyPrint", "query", "pretty_print", "Indent the answer"),
    (
        "xPrettyPrint",
        "header",
        "X-Pretty-Print",
        "Indent the answer",
    ),
    (
        "xRequestId",
        "header",
        "X-Request-ID",
        "An id for the request, repeated in answer and log",
    ),
    (
        "accounts",
        "query",
        "accounts",
        "`true`: also the number of each account",
    ),
    (
        "accept",
        "query",
        "accept",
        "`csv` or `text/csv` for CSV, anything else for JSON; instead of the header `Accept`",
    ),
    (
        "pageSize",
        "query",
        "page_size",
        "Maximum number of items; by default all, or 50 after a `start_key`",
    ),
    (
        "startKey",
        "query",
        "start_key",
        "The `next_start_key` of the previous page",
    ),
    (
        "search",
        "query",
        "q",
        "A search: only registrations with all of these words, in any case. A word is somewhere in user, realm, contact, \
         User-Agent or addresses. `user:`, `realm:` and `account:` (id or name) name these in full, or their beginning \
         with a `*` at the end; `ua:` a part of the User-Agent; `ip:` an address or network of source or contact; \
         `transport:`, `expires:<60` (also `<=`, `>`, `>=`), `flapping:yes` or `no`, and `node:`. At most 32 words",
    ),
    (
        "ruids",
        "query",
        "ruids",
        "Only registrations with one of these ruids, separated by commas; at most 2000. One that is gone chooses nothing",
    ),
    (
        "sort",
        "query",
        "sort",
        "Sort by this key, or descending with a `-` before it: numbers by number, texts in any case; those without it \
         are last, and ties in the usual order. A `start_key` is good for the same `sort` only",
    ),
    (
        "fields",
        "query",
        "fields",
        "Only these keys, separated by commas, in this order",
    ),
    (
        "ifNoneMatch",
        "header",
        "If-None-Match",
        "An `ETag`; 304 if it is still current",
    ),
    (
        "dryRun",
        "query",
        "dry_run",
        "`true`: flush nothing, and say in `X-Would-Flush` how many would go; or ask nobody, and say in `X-Would-Notify` how many would be asked",
    ),
    (
        "keepNewest",
        "query",
        "keep_newest",
        "Keep this number of the user's contacts, those modified last, after the filters",
    ),
    (
        "verb",
        "query",
        "verb",
        "Makes the POST a DELETE; may be in the body instead",
    ),
];

/// The keys of the items.
fn keys(answers: Answers) -> Vec<&'static str> {
    let reach = match answers {
        Answers::OfNode => Reach::Node(""),
        Answers::OfFleet => Reach::Fleet,
    };
    let all = Field::ALL.iter().map(|field| field.name());
    all.filter(|name| reach.key(name).is_some()).collect()
}

/// All of them, as components.
pub(super) fn parameters(answers: Answers) -> Value {
    let keys = keys(answers);
    let text = json!({"type": "string"});
    let mut all = Map::new();
    let mut add = |component: &str, place: &str, name: &str, schema: Value, description: &str| {
        let parameter = json!({
            "in": place, "name": name, "required": place == "path" || name == "verb", "schema": schema, "description": description,
        });
        all.insert(component.to_owned(), parameter);
    };
    for (component, place, name, description) in OTHERS {
        add(
            component,
            place,
            name,
            schema(component, answers),
            description,
        );
    }
    for (component, name, description, schema) in events::parameters() {
        add(component, "query", name, schema, description);
    }
    if answers == Answers::OfFleet {
        let description = "Only what happened on these nodes: their names, separated by commas";
        add("nodes", "query", "node", text.clone(), description);
    }
    for (name, description) in BY_KEY {
        let schema = json!({"type": "string", "enum": keys});
        add(name, "query", name, schema, description);
    }
    for (name, description) in BY_TIME {
        let schema = json!({"type": "integer", "format": "int64"});
        add(name, "query", name, schema, description);
    }
    for key in keys {
        let (is, is_not) = (format!("filter_{key}"), format!("filter_not_{key}"));
        let description = format!("Only those whose `{key}` is this");
        add(&is, "query", &is, text.clone(), &description);
        let description = format!("Only those whose `{key}` is not this");
        add(&is_not, "query", &is_not, text.clone(), &description);
    }
    all.into()
}

/// References to all filters.
pub(super) fn filters(answers: Answers) -> Vec<Value> {
    let fixed = BY_KEY.iter().chain(BY_TIME).map(|(name, _)| *name);
    let fixed = ["search", "ruids"].into_iter().chain(fixed);
    let fixed = fixed.map(str::to_owned);
    let fields = keys(answers)
        .into_iter()
        .flat_map(|key| ["filter_", "filter_not_"].map(|prefix| format!("{prefix}{key}")));
    let names = fixed.chain(fields);
    names.map(|name| reference("parameters", &name)).collect()
}

fn schema(component: &str, answers: Answers) -> Value {
    match component {
        "account" | "username" | "device" | "nodeName" => json!({"type": "string", "minLength": 1}),
        "dryRun" => json!({"type": "string", "enum": ["true", "false"]}),
        // Anything else counts as absent.
        "prettyPrint" | "xPrettyPrint" | "accounts" => {
            json!({"type": "string", "examples": ["true"]})
        }
        "accept" => json!({"type": "string", "examples": ["csv", "text/csv", "json"]}),
        "pageSize" => json!({"type": "integer", "minimum": 1}),
        "keepNewest" => json!({"type": "integer", "minimum": 0}),
        "scope" => match answers {
            Answers::OfNode => json!({"type": "string", "enum": ["node", "fleet"]}),
            Answers::OfFleet => json!({"type": "string", "enum": ["fleet"]}),
        },
        "verb" => json!({"type": "string", "enum": ["delete"]}),
        "search" => json!({"type": "string", "pattern": r"^\s*\S*(\s+\S+){0,31}\s*$"}),
        "ruids" => json!({"type": "string", "pattern": "^[^,]+(,[^,]+){0,1999}$"}),
        "sort" => {
            let keys = keys(answers).into_iter();
            let both = keys.flat_map(|key| [key.to_owned(), format!("-{key}")]);
            json!({"type": "string", "enum": both.collect::<Vec<_>>()})
        }
        "fields" => {
            let one = keys(answers).join("|");
            json!({"type": "string", "pattern": format!("^({one})(,({one}))*$")})
        }
        _ => json!({"type": "string"}),
    }
}
