//! `GET …/flapping`: the phones that flap now, the worst first.

use axum::response::Response;
use serde_json::Value;

use super::asked::Asked;
use super::history::enveloped;
use super::subject::Subject;
use crate::events::json::{self, moment};
use crate::http::App;
use crate::http::error::Error;
use crate::http::request::call::Call;
use crate::http::request::request_id::RequestId;

/// Those of them that the caller may see.
pub(crate) async fn flapping(
    app: &App,
    call: &Call,
    subject: Subject<'_>,
    id: &RequestId,
) -> Result<Response, Error> {
    if let Some(asked) = subject.fleet {
        let oldest = asked.fleet.oldest_event_at().await;
        let oldest = oldest.map_err(|error| asked.away(&error))?.map(moment);
        let phones = of_fleet(app, call, subject, asked).await?;
        let size = Some(phones.len());
        let data = Value::Array(phones).to_string();
        let envelope = subject.envelope(app, id);
        return Ok(enveloped(
            &envelope,
            call,
            &data,
            size,
            None,
            oldest.as_deref(),
        ));
    }
    let mut phones = app.flaps.flapping();
    let viewer = subject.viewer();
    phones.retain(|one| viewer.sees(one.phone.account_id.as_deref()));
    let data: Vec<Value> = phones.iter().map(json::flapping).collect();
    let data = Value::Array(data).to_string();
    let oldest = app.events.history().and_then(|it| it.oldest_at());
    let oldest = oldest.map(moment);
    let size = Some(phones.len());
    let envelope = subject.envelope(app, id);
    Ok(enveloped(
        &envelope,
        call,
        &data,
        size,
        None,
        oldest.as_deref(),
    ))
}

/// Those of the fleet, of the nodes with these names where any are given. Each node counts for itself, and what it has
/// published decays.
async fn of_fleet(
    app: &App,
    call: &Call,
    subject: Subject<'_>,
    asked: &Asked,
) -> Result<Vec<Value>, Error> {
    let found = asked.fleet.flapping().await;
    let found = found.map_err(|error| asked.away(&error))?;
    let names: Vec<&str> = call
        .params
        .all("node")
        .flat_map(|it| it.split(','))
        .collect();
    let (rules, _) = app.flaps.rules();
    let viewer = subject.viewer();
    let mut all = Vec::new();
    for of_node in found {
        let Some(node) = asked.nodes.get(&of_node.node) else {
            continue;
        };
        if !names.is_empty() && !names.contains(&&*node.row.name) {
            continue;
        }
        let left = 0.5_f64.powf(of_node.age.as_secs_f64() / rules.half_life.as_secs_f64());
        for mut phone in of_node.phones {
            let score = phone["score"].as_f64().unwrap_or_default() * left;
            if score < f64::from(rules.off) || !viewer.sees(phone["account_id"].as_str()) {
                continue;
            }
            #[expect(clippy::cast_possible_truncation, reason = "scores are small")]
            let rounded = (score / 100.0).round() as i64 * 100;
            phone["score"] = rounded.into();
            phone["node"] = (*node.row.name).into();
            phone["node_state"] = node.state.as_str().into();
            all.push((score, phone));
        }
    }
    all.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    Ok(all.into_iter().map(|(_, phone)| phone).collect())
}
