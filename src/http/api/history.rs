//! `GET …/history`: what happened to registrations, newest first.

use std::collections::HashMap;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderName, HeaderValue, header};
use serde_json::json;
use xxhash_rust::xxh3::xxh3_64;

use super::kept::{Kept, style, unreadable};
use super::subject::Subject;
use crate::event_log::{Of, Query};
use crate::events::group::By;
use crate::events::json::{moment, write_event};
use crate::events::{Event, Kind, Reason, Type, Viewer, What};
use crate::fleet::log::Told;
use crate::http::App;
use crate::http::auth::access::Caller;
use crate::http::error::{Error, Problem};
use crate::http::request::call::Call;
use crate::http::request::format::Format;
use crate::http::request::format::Layout;
use crate::http::request::history_params::HistoryParams;
use crate::http::request::paging::next_history_key;
use crate::http::request::request_id::RequestId;
use crate::http::response::answer::json;
use crate::http::response::envelope::{Envelope, Success};
use crate::http::response::indent::indented;
use crate::http::response::revision::{Revision, unchanged, validated};
use crate::registration::item::Field;
use crate::registry::Scope;
use crate::spreadsheet::write_record;

/// How many events are read at a time.
const BATCH: usize = 1000;

/// How many events are counted for one answer, at most.
const COUNTED: usize = 1_000_000;

const CSV: HeaderValue = HeaderValue::from_static("text/csv; charset=utf-8; header=present");
const ATTACHMENT: HeaderValue = HeaderValue::from_static("attachment; filename=\"history.csv\"");
const LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");
const X_NEXT_START_KEY: HeaderName = HeaderName::from_static("x-next-start-key");

/// The columns of CSV before those of the item.
const COLUMNS: [&str; 5] = ["id", "at", "type", "reason", "username"];

/// The column that CSV of a fleet has beside them.
const NODE: &str = "node";

/// The keys of the item that CSV has.
const FIELDS: [Field; 15] = [
    Field::Realm,
    Field::AccountName,
    Field::UserAgent,
    Field::Contact,
    Field::SourceIp,
    Field::SourcePort,
    Field::ProxyIp,
    Field::ProxyPort,
    Field::ProxyProtocol,
    Field::CallId,
    Field::Instance,
    Field::Ruid,
    Field::LastRegistration,
    Field::ExpiresAt,
    Field::GrantedExpires,
];

/// Whether something happened to the registrations of `subject`.
pub(crate) async fn has_events(app: &App, subject: Subject<'_>) -> bool {
    has_events_since(app, subject, None).await
}

/// The same from this moment on, in milliseconds since the Unix epoch.
pub(super) async fn has_events_since(app: &App, subject: Subject<'_>, from: Option<u64>) -> bool {
    let Ok(kept) = Kept::of(app, subject) else {
        return false;
    };
    let query = Query {
        of: of(subject),
        from,
        to: None,
        // What is about the source or the log is everybody's.
        types: Some(vec![
            Type::Registered,
            Type::Moved,
            Type::Changed,
            Type::Terminated,
        ]),
        reasons: None,
        before: None,
        limit: 1,
    };
    let found = kept.query(query, None, None).await;
    found.is_ok_and(|found| !found.is_empty())
}

/// Whose events.
pub(crate) fn of(subject: Subject<'_>) -> Of {
    match (subject.scope, subject.accounts, subject.username) {
        (Scope::Account(account), _, Some(username)) => Of::User {
            account: account.to_owned(),
            username: String::from_utf8_lossy(username).into_owned(),
        },
        (Scope::Account(account), _, None) => Of::Accounts(vec![account.to_owned()]),
        (Scope::System, Some(accounts), _) => Of::Accounts(accounts.to_vec()),
        (Scope::System, None, _) => Of::All,
    }
}

/// What happened, as the caller wants it.
pub(crate) async fn history(
    app: &App,
    call: &Call,
    subject: Subject<'_>,
    id: &RequestId,
) -> Result<Response, Error> {
    let mut list = subject.name();
    list.extend_from_slice(b"\0history");
    if subject.fleet.is_some() {
        list.extend_from_slice(b"\0fleet");
    }
    let params = HistoryParams::parse(&call.params, &list)?;
    let kept = Kept::of(app, subject)?;
    let oldest = kept.oldest_at().await?.map(moment);
    let reading = Reading {
        app,
        kept,
        subject,
        params: &params,
    };
    if let Some(by) = params.group {
        let data = json!(reading.counts(by).await?).to_string();
        return Ok(enveloped(
            &subject.envelope(app, id),
            call,
            &data,
            None,
            None,
            oldest.as_deref(),
        ));
    }
    let (events, is_more) = reading.page().await?;
    let next = events.last().filter(|_| is_more);
    let next = next.map(|told| next_history_key(&reading.kept.place(told), &list));
    Ok(match call.format() {
        Format::Json => {
            let data = reading.array(&events);
            let size = Some(events.len());
            enveloped(
                &subject.envelope(app, id),
                call,
                &data,
                size,
                next.as_deref(),
                oldest.as_deref(),
            )
        }
        Format::Csv => {
            let mut response = with_next(reading.csv(&events), CSV, next.as_deref());
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_DISPOSITION, ATTACHMENT);
            response
        }
        Format::Lines => with_next(reading.lines(&events), LINES, next.as_deref()),
    })
}

/// Deletes what is kept of a user. Only who is on this machine may: it cannot be undone.
pub(crate) async fn forget(
    app: &App,
    call: &Call,
    subject: Subject<'_>,
    caller: &Caller,
    id: &RequestId,
) -> Result<Response, Error> {
    if !matches!(caller, Caller::Process { .. }) {
        return Err(Error::Forbidden);
    }
    let is_known = |name: &str| matches!(name, "auth_token" | "pretty_print" | "verb");
    if let Some((name, _)) = call.params.iter().find(|(name, _)| !is_known(name)) {
        return Err(Error::parameter(name, Problem::UnknownParameter));
    }
    let (Scope::Account(account), Some(username)) = (subject.scope, subject.username) else {
        return Err(Error::NotFound);
    };
    let username = String::from_utf8_lossy(username);
    let count = match Kept::of(app, subject)? {
        Kept::Own(..) => {
            let count = app.events.forget(account, &username).await;
            app.flaps.forget(account, &username);
            count.map_err(|error| unreadable(&error))?
        }
        Kept::Fleet(asked) => {
            let count = asked.fleet.forget_events(account, &username).await;
            count.map_err(|error| asked.away(&error))?
        }
    };
    tracing::info!(
        account,
        events = count,
        "deleted a user's events from the history"
    );
    let data = json!({"forgotten": count}).to_string();
    let envelope = subject.envelope(app, id);
    Ok(enveloped(&envelope, call, &data, None, None, None))
}

fn with_next(body: Vec<u8>, kind: HeaderValue, next: Option<&str>) -> Response {
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind);
    if let Some(key) = next.and_then(|key| HeaderValue::from_str(key).ok()) {
        headers.insert(X_NEXT_START_KEY, key);
    }
    response
}

/// An answer in its envelope; its revision is that of its content.
pub(crate) fn enveloped(
    envelope: &Envelope<'_>,
    call: &Call,
    data: &str,
    page_size: Option<usize>,
    next_start_key: Option<&str>,
    oldest: Option<&str>,
) -> Response {
    let content = [data, next_start_key.unwrap_or(""), oldest.unwrap_or("")];
    let revision = Revision::of(xxh3_64(content.join("\0").as_bytes()));
    if let Some(unchanged) = unchanged(call, &revision) {
        return unchanged;
    }
    let success = Success {
        auth_token: call.token(),
        page_size,
        revision: revision.as_str(),
        start_key: call.params.get("start_key"),
        next_start_key,
        oldest,
    };
    let mut out = Vec::with_capacity(data.len() + 1024);
    Envelope::open(&success, &mut out);
    out.extend_from_slice(data.as_bytes());
    envelope.close(&success, &mut out);
    if call.layout() == Layout::Indented {
        out = indented(&out);
    }
    validated(json(out), &revision)
}

/// Events that are being read for an answer.
struct Reading<'a> {
    app: &'a App,
    kept: Kept<'a>,
    subject: Subject<'a>,
    params: &'a HistoryParams,
}

impl Reading<'_> {
    /// A page of the events that are asked for, and whether there are more.
    async fn page(&self) -> Result<(Vec<Told>, bool), Error> {
        let size = self.params.size;
        let mut found = self.batch(self.params.before.as_deref(), size + 1).await?;
        let is_more = found.len() > size;
        found.truncate(size);
        Ok((found, is_more))
    }

    /// How many of the events have which value in common, the most frequent first.
    async fn counts(&self, by: By) -> Result<Vec<serde_json::Value>, Error> {
        let mut counts: HashMap<Option<String>, u64> = HashMap::new();
        let mut before = self.params.before.clone();
        let mut seen = 0;
        loop {
            let batch = self.batch(before.as_deref(), BATCH).await?;
            before = batch.last().map(|told| self.kept.place(told));
            for told in &batch {
                if let What::Registration(happening) = &told.event.what {
                    *counts.entry(by.value(&happening.registration)).or_default() += 1;
                }
            }
            if batch.len() < BATCH {
                break;
            }
            seen += batch.len();
            if seen >= COUNTED {
                return Err(Error::parameter("group", Problem::TooManyEvents));
            }
            tokio::task::yield_now().await;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by(|(a, left), (b, right)| right.cmp(left).then_with(|| a.cmp(b)));
        let count = |(value, count)| json!({"value": value, "count": count});
        Ok(counts.into_iter().map(count).collect())
    }

    async fn batch(&self, before: Option<&[u8]>, limit: usize) -> Result<Vec<Told>, Error> {
        let query = Query {
            of: of(self.subject),
            from: self.params.from,
            to: self.params.to,
            types: self.params.types.clone(),
            reasons: self.params.reasons.clone(),
            before: None,
            limit,
        };
        let nodes = self.params.nodes.as_deref();
        self.kept.query(query, nodes, before).await
    }

    fn array(&self, events: &[Told]) -> String {
        let mut out = vec![b'['];
        for event in events {
            if out.len() > 1 {
                out.push(b',');
            }
            self.write(event, &mut out);
        }
        out.push(b']');
        String::from_utf8(out).unwrap_or_default()
    }

    fn lines(&self, events: &[Told]) -> Vec<u8> {
        let mut out = Vec::new();
        for event in events {
            self.write(event, &mut out);
            out.push(b'\n');
        }
        out
    }

    fn write(&self, told: &Told, out: &mut Vec<u8>) {
        let style = style(self.app, &told.log);
        write_event(&told.event, self.subject.viewer(), &style, out);
    }

    fn csv(&self, events: &[Told]) -> Vec<u8> {
        let mut out = Vec::new();
        let names = FIELDS.iter().map(|field| field.name());
        let node = self.kept.is_of_fleet().then_some(NODE);
        write_record(COLUMNS.into_iter().chain(node).chain(names), &mut out);
        let viewer = self.subject.viewer();
        for Told { log, event } in events {
            let kind = event.type_for(viewer).map_or("", Type::as_str);
            let reason = reason(event, viewer).map_or("", Reason::as_str);
            let (id, at) = (log.id.id(event.seq), moment(event.at));
            let one = match &event.what {
                What::Registration(it) => it.seen_by(viewer).map(|seen| seen.registration),
                _ => None,
            };
            let value = |field: &Field| {
                let value = one?.value(*field, self.app.settings.wire, 0)?;
                Some(value.to_text().into_owned())
            };
            let username = value(&Field::Username).unwrap_or_default();
            let fields: Vec<String> = FIELDS
                .iter()
                .map(|it| value(it).unwrap_or_default())
                .collect();
            let first = [&*id, &*at, kind, reason, &*username];
            let first = first.into_iter().chain(node.map(|_| &*log.name));
            write_record(first.chain(fields.iter().map(String::as_str)), &mut out);
        }
        out
    }
}

/// Why a registration ended, if an event is that to the viewer.
fn reason(event: &Event, viewer: Viewer<'_>) -> Option<Reason> {
    let What::Registration(happening) = &event.what else {
        return None;
    };
    match happening.seen_by(viewer)?.kind {
        Kind::Terminated(reason) => Some(reason),
        _ => None,
    }
}
