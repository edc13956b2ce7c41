//! How a fleet's answers speak of its nodes.

use axum::response::Response;
use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use crate::fleet::nodes::{Node, Nodes};

const X_PARTIAL: HeaderName = HeaderName::from_static("x-partial");

/// `source` of the envelope: how well the answer is known to be all there is, node by node.
pub(crate) fn source(nodes: &Nodes) -> Value {
    let mut source = Map::new();
    if let Some(as_of) = nodes.as_of() {
        source.insert("as_of".to_owned(), as_of.into());
    }
    let all = nodes.all().iter().map(|one| node(nodes, one));
    source.insert("nodes".to_owned(), all.collect::<Vec<_>>().into());
    source.insert("state".to_owned(), nodes.state().as_str().into());
    if nodes.is_suspect() {
        source.insert("suspect".to_owned(), true.into());
    }
    source.into()
}

/// A node, as the envelope has it.
fn node(nodes: &Nodes, node: &Node) -> Value {
    let row = &node.row;
    let mut value = json!({
        "name": *row.name,
        "state": node.state.as_str(),
        "source_state": row.source_state,
        "rows": row.rows,
    });
    if let Some(as_of) = row.source_as_of {
        value["as_of"] = as_of.into();
    }
    if nodes.is_unreadable(node) {
        value["unreadable"] = true.into();
    }
    value
}

/// The nodes with all that is known of them.
pub(crate) fn nodes(nodes: &Nodes) -> Value {
    let whole = |one: &Node| {
        let row = &one.row;
        let mut value = node(nodes, one);
        value["version"] = row.version.as_str().into();
        for (key, number) in [
            ("lag_ms", row.lag_ms),
            ("clock_offset_ms", row.clock_offset_ms),
        ] {
            if let Some(number) = number {
                value[key] = number.into();
            }
        }
        value
    };
    nodes.all().iter().map(whole).collect()
}

/// The answer with the names of the nodes because of which it may not be all there is.
pub(crate) fn partial(mut response: Response, nodes: &Nodes) -> Response {
    let missed: Vec<_> = nodes.missed().collect();
    if !missed.is_empty()
        && let Ok(value) = HeaderValue::from_bytes(missed.join(", ").as_bytes())
    {
        response.headers_mut().insert(X_PARTIAL, value);
    }
    response
}
