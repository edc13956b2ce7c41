//! The answers that tell what happened.

use serde_json::{Map, Value, json};

use super::components::{json_content, reference, with_headers};

/// Adds the answers.
pub(super) fn responses(all: &mut Map<String, Value>) {
    let validators = ["ETag", "Cache-Control", "Vary"];
    let mut events = json_content(&reference("schemas", "EventsEnvelope"));
    events["text/csv"] = json!({"schema": {"type": "string"}});
    events["application/x-ndjson"] = json!({"schema": {"type": "string"}});
    for (name, description, content) in [
        ("Events", "Events or, with `group`, counts", events),
        (
            "Flapping",
            "The flapping phones",
            json_content(&reference("schemas", "FlappingEnvelope")),
        ),
        (
            "Forgotten",
            "How many events were deleted",
            json_content(&reference("schemas", "ForgottenEnvelope")),
        ),
        (
            "Why",
            "Why the phone was away",
            json_content(&reference("schemas", "WhyEnvelope")),
        ),
    ] {
        let (always, maybe): (&[&str], &[&str]) = if name == "Events" {
            (
                &[],
                &[
                    "ETag",
                    "Cache-Control",
                    "Vary",
                    "X-Next-Start-Key",
                    "Content-Disposition",
                ],
            )
        } else {
            (&validators, &[])
        };
        let headers = with_headers(always, maybe);
        let answer = json!({"description": description, "headers": headers, "content": content});
        all.insert(name.to_owned(), answer);
    }
}
