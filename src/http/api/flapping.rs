//! `GET …/flapping`: the phones that flap now, the worst first.

use axum::response::Response;
use serde_json::{Map, Value, json};

use super::history::enveloped;
use super::subject::Subject;
use crate::events::flap::Flapping;
use crate::events::json::moment;
use crate::http::App;
use crate::http::request::call::Call;
use crate::http::request::request_id::RequestId;

/// Those of them that the caller may see.
pub(crate) fn flapping(app: &App, call: &Call, subject: Subject<'_>, id: &RequestId) -> Response {
    let mut phones = app.flaps.flapping();
    let viewer = subject.viewer();
    phones.retain(|one| viewer.sees(one.phone.account_id.as_deref()));
    let data: Vec<Value> = phones.iter().map(shown).collect();
    let data = Value::Array(data).to_string();
    let oldest = app.events.history().and_then(|it| it.oldest_at());
    let oldest = oldest.map(moment);
    let size = Some(phones.len());
    enveloped(app, call, id, &data, size, None, oldest.as_deref())
}

fn shown(one: &Flapping) -> Value {
    let phone = &one.phone;
    let mut shown = Map::new();
    let mut set = |key: &str, value: Value| {
        if !value.is_null() {
            shown.insert(key.to_owned(), value);
        }
    };
    set("account_id", json!(phone.account_id));
    set("username", json!(phone.username));
    set("realm", json!(phone.realm));
    set("instance", json!(phone.instance));
    set("score", json!(one.flap.score));
    set("losses_24h", json!(one.flap.losses_24h));
    set("since", json!(moment(one.since)));
    set("addresses", json!(phone.addresses));
    set("user_agents", json!(phone.user_agents));
    set("proxies", json!(phone.proxies));
    Value::Object(shown)
}
