//! `/ui/data/flushes`: the audit, newest first. A caller sees the flushes of the accounts that he may see.

use axum::response::Response;
use serde_json::{Value, json};

use super::asker::Asker;
use super::{Page, reply};
use crate::flush::{AuditLine, AuditQuery};
use crate::http::App;
use crate::http::error::Error;
use crate::http::request::call::Call;
use crate::http::request::paging::{history_page, next_history_key};
use crate::http::request::request_id::RequestId;

/// What its start keys are for.
const LIST: &[u8] = b"flushes";

/// A page of the audit.
pub(super) async fn flushes(
    app: &App,
    call: &Call,
    id: &RequestId,
    asker: &Asker,
) -> Result<Response, Error> {
    let (before, size) = history_page(&call.params, LIST)?;
    let before = before.and_then(|place| place.try_into().ok());
    let query = AuditQuery {
        accounts: asker.accounts.clone(),
        before: before.map(u64::from_be_bytes),
        // One more tells whether there is another page.
        limit: size + 1,
    };
    let mut lines = app.flush.audit(query).await.map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::error!(request_id = id.as_str(), %error, cause, "cannot read the audit of flushes");
        Error::Fault
    })?;
    let is_more = lines.len() > size;
    lines.truncate(size);
    let last = lines.last().filter(|_| is_more);
    let next = last.map(|line| next_history_key(&line.number.to_be_bytes(), LIST));
    let data: Vec<Value> = lines.iter().map(|line| shown(app, line)).collect();
    let data = Value::Array(data).to_string();
    let page = Page {
        size: Some(lines.len()),
        next: next.as_deref(),
    };
    Ok(reply(app, call, id, &data, page))
}

fn shown(app: &App, line: &AuditLine) -> Value {
    let record = &line.record;
    let directory = app.directory.borrow();
    let account = record.account.as_deref();
    let named = account.and_then(|id| directory.account(id)?.name.clone());
    json!({
        "at": record.at,
        "actor": record.token,
        "account_id": account,
        "account_name": named.as_deref().or(account),
        "username": record.username,
        "filters": record.filters,
        "request_id": record.request_id,
        "flushed": record.done,
        "failed": record.failed,
        "outcome": match (record.ended, record.done, record.failed) {
            (None, _, _) => "unfinished",
            (Some(_), _, 0) => "flushed",
            (Some(_), 0, _) => "failed",
            (Some(_), _, _) => "incomplete",
        },
        "remote": record.client,
    })
}
