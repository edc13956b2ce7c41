//! `GET …/why?at=T`: why a phone was away.

use axum::response::Response;
use serde_json::{Map, Value, json};

use super::history::{enveloped, kept, of, style, unreadable};
use super::subject::Subject;
use crate::event_log::{History, Of, Query};
use crate::events::json::{moment, write_event};
use crate::events::why::{
    AROUND, BURST_BEFORE, Case, Explanation, Found, Surroundings, explain, find,
};
use crate::events::{Event, Type};
use crate::http::App;
use crate::http::error::Error;
use crate::http::request::call::Call;
use crate::http::request::history_params::time;
use crate::http::request::request_id::RequestId;

/// How many of the user's events before and after the moment are looked at.
const OWN: usize = 1000;

/// How many events of others are looked at.
const OTHERS: usize = 10_000;

/// How many bursts are looked at.
const BURSTS: usize = 20;

/// The answer.
pub(crate) async fn why(
    app: &App,
    call: &Call,
    subject: Subject<'_>,
    id: &RequestId,
) -> Result<Response, Error> {
    let at = time(&call.params, "at")?.map(|time| time.last);
    let history = kept(app)?;
    let asking = Asking {
        app,
        history,
        subject,
    };
    let before = asking.own(None, at, OWN).await?;
    let mut after = match at {
        Some(at) => asking.own(Some(at.saturating_add(1)), None, OWN).await?,
        None => Vec::new(),
    };
    after.reverse();
    let listed = subject.list(app).await.registrations;
    let case = Case {
        at,
        viewer: subject.viewer(),
        before: &before,
        after: &after,
        listed: &listed,
        oldest: history.oldest_at(),
    };
    let data = match find(&case) {
        Found::Loss(lost) => {
            let later = before.iter().rev().filter(|event| event.seq > lost.seq);
            let later: Vec<Event> = later.chain(&after).cloned().collect();
            asking.explained(lost, &later, &before).await?
        }
        Found::Registered(nearest) => asking.registered(&case, nearest),
        Found::Older => plain(&told_older(history.oldest_at())),
        Found::NotYet => {
            plain("It was not registered then, and the history shows no earlier registration.")
        }
        Found::NeverSeen => plain("No registration of this user has ever been seen."),
    };
    let oldest = history.oldest_at().map(moment);
    let data = data.to_string();
    Ok(enveloped(
        app,
        call,
        id,
        &data,
        None,
        None,
        oldest.as_deref(),
    ))
}

/// Somebody asks.
struct Asking<'a> {
    app: &'a App,
    history: &'a History,
    subject: Subject<'a>,
}

impl Asking<'_> {
    /// What happened to the user, the latest first.
    async fn own(
        &self,
        from: Option<u64>,
        to: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Event>, Error> {
        self.query(of(self.subject), from, to, None, limit).await
    }

    async fn query(
        &self,
        of: Of,
        from: Option<u64>,
        to: Option<u64>,
        types: Option<Vec<Type>>,
        limit: usize,
    ) -> Result<Vec<Event>, Error> {
        let query = Query {
            of,
            from,
            to,
            types,
            reasons: None,
            before: None,
            limit,
        };
        let found = self.history.query(&query).await;
        found.map_err(|error| unreadable(&error))
    }

    /// Why a registration was lost.
    async fn explained(
        &self,
        lost: &Event,
        later: &[Event],
        own: &[Event],
    ) -> Result<Value, Error> {
        let viewer = self.subject.viewer();
        let events = self.around(lost, own).await?;
        let (flap, burst) = self.app.flaps.rules();
        let around = Surroundings {
            events: &events,
            kamailio_start: self.app.flaps.kamailio_start(),
            burst,
            back_within: u64::try_from(flap.back_within.as_millis()).unwrap_or(u64::MAX),
        };
        let Some(explanation) = explain(lost, later, viewer, &around) else {
            return Ok(plain("The history shows no cause."));
        };
        let Explanation {
            sentence,
            facts,
            others,
        } = explanation;
        let others: Map<String, Value> = others
            .into_iter()
            .map(|one| {
                (
                    one.by.to_owned(),
                    json!({"value": one.value, "lost": one.lost}),
                )
            })
            .collect();
        Ok(json!({
            "sentence": sentence, "facts": facts, "loss": self.shown(lost), "others": others,
        }))
    }

    /// What happened to anybody around a loss, the earliest first: from the beginning of the bursts before it.
    async fn around(&self, lost: &Event, own: &[Event]) -> Result<Vec<Event>, Error> {
        let everybody = of(Subject {
            username: None,
            ..self.subject
        });
        let (from, to) = (
            lost.at.saturating_sub(AROUND),
            lost.at.saturating_add(AROUND),
        );
        let long_before = Some(lost.at.saturating_sub(BURST_BEFORE));
        let bursts = Some(vec![Type::Burst, Type::Source]);
        let mut events = self
            .query(everybody.clone(), long_before, Some(to), bursts, BURSTS)
            .await?;
        let began = events.iter().filter_map(Event::burst);
        let from = began.map(|burst| burst.from).fold(from, u64::min);
        let types = Some(vec![Type::Registered, Type::Terminated]);
        let others = self
            .query(everybody, Some(from), Some(to), types, OTHERS)
            .await?;
        events.extend(others);
        events.extend(
            own.iter()
                .filter(|event| event.at >= from && event.at <= to)
                .cloned(),
        );
        events.sort_by_key(|event| event.seq);
        events.dedup_by_key(|event| event.seq);
        Ok(events)
    }

    fn registered(&self, case: &Case<'_>, nearest: Option<&Event>) -> Value {
        let sentence = match case.at {
            Some(_) => "It was registered then.",
            None => "It is registered, and the history shows no loss.",
        };
        let fact = nearest.map(|lost| format!("The nearest loss was at {}.", moment(lost.at)));
        let fact: Vec<String> = fact.into_iter().collect();
        let loss = nearest.map(|lost| self.shown(lost));
        json!({"sentence": sentence, "facts": fact, "loss": loss, "others": {}})
    }

    fn shown(&self, event: &Event) -> Value {
        let mut out = Vec::new();
        write_event(event, self.subject.viewer(), &style(self.app), &mut out);
        serde_json::from_slice(&out).unwrap_or_default()
    }
}

fn told_older(oldest: Option<u64>) -> String {
    match oldest {
        Some(oldest) => format!("The history begins later, at {}.", moment(oldest)),
        None => "The history is empty.".to_owned(),
    }
}

fn plain(sentence: &str) -> Value {
    json!({"sentence": sentence, "facts": [], "loss": null, "others": {}})
}
