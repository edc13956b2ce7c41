//! The frames of a stream.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::event_log::Logged;
use crate::events::json::Style;
use crate::events::json::{LogId, moment, write_present};
use crate::events::{GapCause, Viewer};
use crate::http::request::stream_params::Framing;
use crate::http::response::envelope::source;
use crate::registration::Registration;
use crate::registry::Freshness;

/// Writes frames one after the other.
#[derive(Debug)]
pub(super) struct Frames {
    framing: Framing,
    out: Vec<u8>,
}

impl Frames {
    pub(super) fn new(framing: Framing) -> Self {
        Self {
            framing,
            out: Vec::new(),
        }
    }

    /// What has been written since this was last asked for.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    /// An event as `viewer` sees it.
    pub(super) fn event(&mut self, event: &Logged, viewer: Viewer<'_>, style: &Style<'_>) {
        if let Some((kind, text)) = event.json(viewer, style) {
            let id = style.id_of(event.event().seq);
            self.frame(kind.as_str(), id.as_deref(), &text);
        }
    }

    /// A registration that is there at the beginning.
    pub(super) fn present(&mut self, one: &Arc<Registration>, style: &Style<'_>) {
        let mut text = Vec::with_capacity(2048);
        write_present(one, style, &mut text);
        self.frame("present", None, &text);
    }

    /// What a stream begins with.
    pub(super) fn hello(
        &mut self,
        style: &Style<'_>,
        version: &str,
        (oldest, newest): (u64, u64),
        freshness: Freshness,
    ) {
        let hello = json!({
            "type": "hello",
            "log": style.log.to_string(),
            "oldest": style.log.id(oldest),
            "newest": style.log.id(newest),
            "node": style.node,
            "source": of_source(freshness),
            "version": version,
        });
        self.control(hello, None);
    }

    /// What stood in the list has been sent.
    pub(super) fn synced(&mut self, log: LogId, seq: u64, at: u64, node: &str) {
        let id = log.id(seq);
        self.control(
            json!({"id": id, "type": "synced", "at": moment(at), "node": node}),
            Some(&id),
        );
    }

    /// How far the stream is.
    pub(super) fn mark(&mut self, log: LogId, seq: u64, at: u64, node: &str, freshness: Freshness) {
        let id = log.id(seq);
        let mark = json!({
            "id": id,
            "type": "mark",
            "at": moment(at),
            "node": node,
            "source": of_source(freshness),
        });
        self.control(mark, Some(&id));
    }

    /// Events are missing between the ids `from` and `to`.
    pub(super) fn gap(&mut self, from: Option<&str>, to: &str, cause: GapCause, node: &str) {
        let gap = json!({
            "id": to,
            "type": "gap",
            "node": node,
            "from": from,
            "to": to,
            "cause": cause.as_str(),
        });
        self.control(gap, Some(to));
    }

    /// Why the stream ends.
    pub(super) fn bye(&mut self, reason: &str) {
        self.control(json!({"type": "bye", "reason": reason}), None);
    }

    /// A frame that is not an event.
    pub(super) fn control(&mut self, mut value: Value, id: Option<&str>) {
        if let Value::Object(object) = &mut value {
            object.retain(|_, value| !value.is_null());
        }
        let kind = value["type"].as_str().unwrap_or_default().to_owned();
        self.frame(&kind, id, value.to_string().as_bytes());
    }

    /// A frame of this text.
    pub(super) fn frame(&mut self, kind: &str, id: Option<&str>, text: &[u8]) {
        let out = &mut self.out;
        match self.framing {
            Framing::Sse => {
                out.extend_from_slice(b"event: ");
                out.extend_from_slice(kind.as_bytes());
                if let Some(id) = id {
                    out.extend_from_slice(b"\nid: ");
                    out.extend_from_slice(id.as_bytes());
                }
                out.extend_from_slice(b"\ndata: ");
                out.extend_from_slice(text);
                out.extend_from_slice(b"\n\n");
            }
            Framing::Lines => {
                out.extend_from_slice(text);
                out.push(b'\n');
            }
        }
    }
}

fn of_source(freshness: Freshness) -> Value {
    let mut text = Vec::new();
    source(freshness, &mut text);
    serde_json::from_slice(&text).unwrap_or(Value::Object(Map::new()))
}
