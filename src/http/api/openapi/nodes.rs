//! The description of the fleet's nodes.

use serde_json::{Map, Value, json};

use super::components::{named, reference};
use super::parts;
use crate::registration::NodeState;

/// Adds the paths.
pub(super) fn paths(paths: &mut Map<String, Value>) {
    let mut parameters = parts::presentation();
    parameters.extend(named(&["ifNoneMatch", "scope"]));
    let summary = "The nodes of the fleet; for tokens with access to all accounts";
    let get = parts::operation("listNodes", summary, &parameters, "Nodes", &[]);
    let nodes = super::resource("Nodes", &get, &[]);
    paths.insert("/v2/nodes".to_owned(), nodes);
    let node = json!({
        "parameters": named(&["nodeName"]),
        "delete": forget("forgetNode", &["scope"]),
        "post": forget("tunnelForgetNode", &["scope", "verb"]),
        "options": parts::options("optionsNode", "registrations"),
    });
    paths.insert("/v2/nodes/{node}".to_owned(), node);
}

fn forget(id: &str, further: &[&str]) -> Value {
    let mut parameters = parts::presentation();
    parameters.extend(named(further));
    let summary = "Forget a node that will not come back, and its registrations; Unix socket only";
    let mut operation = parts::operation(id, summary, &parameters, "NodeForgotten", &[]);
    if let Some(responses) = operation["responses"].as_object_mut() {
        responses.remove("304");
    }
    operation
}

/// Adds the schemas; `envelope` puts data into an envelope.
pub(super) fn schemas(all: &mut Map<String, Value>, envelope: impl Fn(&Value, &[&str]) -> Value) {
    let states = NodeState::ALL.map(NodeState::as_str);
    let node = json!({
        "type": "object", "required": ["name", "state", "source_state", "rows"],
        "properties": {
            "name": {"type": "string"},
            "state": {
                "enum": states,
                "description": "By its last sign of life: `live` up to 6 s, `stale` up to 60 s, then `lost`; `restarting` until \
                    it has compared what it published; `stopped` after a clean stop",
            },
            "source_state": {"type": "string", "description": "The `state` of its own `source`"},
            "as_of": {"type": "number", "description": "Unix second at which it last knew its answers to match Kamailio's tables"},
            "rows": {"type": "integer", "minimum": 0, "description": "Registrations; of a node that is not live, those that have not ended"},
            "unreadable": {"const": true, "description": "The answer lacks registrations that a newer version published and this one cannot read"},
            "version": {"type": "string"},
            "lag_ms": {"type": "integer"},
            "clock_offset_ms": {"type": "integer", "description": "Its clock minus that of the database"},
        },
    });
    let nodes = json!({"type": "array", "items": reference("schemas", "Node")});
    all.insert("Node".to_owned(), node);
    all.insert("NodesEnvelope".to_owned(), envelope(&nodes, &[]));
    let done = envelope(&json!({"const": "ok"}), &[]);
    all.insert("NodeForgottenEnvelope".to_owned(), done);
}
