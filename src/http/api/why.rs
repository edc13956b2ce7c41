//! `GET …/why?at=T`: why a phone was away.

use std::sync::Arc;

use axum::response::Response;
use serde_json::{Map, Value, json};

use super::history::{enveloped, of};
use super::kept::{Kept, style};
use super::subject::Subject;
use crate::event_log::{Of, Query};
use crate::events::json::{moment, write_event};
use crate::events::why::{
    AROUND, BURST_BEFORE, Case, Explanation, Found, Surroundings, explain, find,
};
use crate::events::{Event, Type};
use crate::fleet::log::{Log, Told};
use crate::http::App;
use crate::http::error::Error;
use crate::http::request::call::Call;
use crate::http::request::filter::Filters;
use crate::http::request::history_params::time;
use crate::http::request::params::Params;
use crate::http::request::reach::Reach;
use crate::http::request::request_id::RequestId;
use crate::registration::Registration;

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
    let asking = Asking {
        app,
        kept: Kept::of(app, subject)?,
        subject,
    };
    let oldest = asking.kept.oldest_at().await?;
    let before = asking.own(None, at, OWN).await?;
    let mut after = match at {
        Some(at) => asking.own(Some(at.saturating_add(1)), None, OWN).await?,
        None => Vec::new(),
    };
    after.reverse();
    let logs = |told: Vec<Told>| -> (Vec<Arc<Log>>, Vec<Event>) {
        told.into_iter().map(|told| (told.log, told.event)).unzip()
    };
    let ((logs, before), (later_logs, after)) = (logs(before), logs(after));
    let listed = asking.listed().await?;
    let case = Case {
        at,
        viewer: subject.viewer(),
        before: &before,
        after: &after,
        listed: &listed,
        oldest,
    };
    let data = match find(&case) {
        Found::Loss(lost) => {
            let place = before.iter().position(|event| std::ptr::eq(event, lost));
            let place = place.unwrap_or_default();
            let later = before[..place].iter().rev();
            let later: Vec<Event> = later.chain(&after).cloned().collect();
            let own = before.iter().zip(&logs);
            let own = own.filter(|(_, log)| log.node == logs[place].node);
            let own: Vec<Event> = own.map(|(event, _)| event.clone()).collect();
            asking.explained((lost, &logs[place]), &later, &own).await?
        }
        Found::Registered(nearest) => {
            let logs = logs.iter().chain(&later_logs);
            let mut all = before.iter().chain(&after).zip(logs);
            let found = nearest.and_then(|lost| all.find(|(event, _)| std::ptr::eq(*event, lost)));
            asking.registered(&case, found)
        }
        Found::Older => plain(&told_older(oldest)),
        Found::NotYet => {
            plain("It was not registered then, and the history shows no earlier registration.")
        }
        Found::NeverSeen => plain("No registration of this user has ever been seen."),
    };
    let data = data.to_string();
    let oldest = oldest.map(moment);
    let envelope = subject.envelope(app, id);
    Ok(enveloped(
        &envelope,
        call,
        &data,
        None,
        None,
        oldest.as_deref(),
    ))
}

/// Somebody asks.
struct Asking<'a> {
    app: &'a App,
    kept: Kept<'a>,
    subject: Subject<'a>,
}

impl Asking<'_> {
    /// What happened to the user, the latest first.
    async fn own(
        &self,
        from: Option<u64>,
        to: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Told>, Error> {
        let own = self.query(of(self.subject), (from, to), None, limit, None);
        own.await
    }

    /// The user's registrations of now.
    async fn listed(&self) -> Result<Vec<Arc<Registration>>, Error> {
        let subject = self.subject;
        let Some(asked) = subject.fleet else {
            return Ok(subject.list(self.app).await.registrations);
        };
        let view = subject.view(self.app);
        let all = Filters::parse(&Params::default(), Reach::Fleet)?;
        let listing = asked.select(subject.of_fleet(), &all, &view).await?;
        Ok(listing.registrations)
    }

    async fn query(
        &self,
        of: Of,
        (from, to): (Option<u64>, Option<u64>),
        types: Option<Vec<Type>>,
        limit: usize,
        log: Option<&Log>,
    ) -> Result<Vec<Told>, Error> {
        let query = Query {
            of,
            from,
            to,
            types,
            reasons: None,
            before: None,
            limit,
        };
        let of_fleet = log.filter(|_| self.kept.is_of_fleet());
        let nodes = of_fleet.map(|log| vec![log.name.to_string()]);
        self.kept.query(query, nodes.as_deref(), None).await
    }

    /// Why a registration was lost.
    async fn explained(
        &self,
        (lost, log): (&Event, &Log),
        later: &[Event],
        own: &[Event],
    ) -> Result<Value, Error> {
        let viewer = self.subject.viewer();
        let events = self.around((lost, log), own).await?;
        let (flap, burst) = self.app.flaps.rules();
        let around = Surroundings {
            events: &events,
            // Of another node's Kamailio nothing is known but what its events tell.
            kamailio_start: self
                .app
                .flaps
                .kamailio_start()
                .filter(|_| !self.kept.is_of_fleet()),
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
            "sentence": sentence, "facts": facts, "loss": self.shown(lost, log), "others": others,
        }))
    }

    /// What happened to anybody around a loss, the earliest first: from the beginning of the bursts before it.
    async fn around(
        &self,
        (lost, log): (&Event, &Log),
        own: &[Event],
    ) -> Result<Vec<Event>, Error> {
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
        let times = (long_before, Some(to));
        let bursts = self.query(everybody.clone(), times, bursts, BURSTS, Some(log));
        let of_events = |told: Vec<Told>| told.into_iter().map(|told| told.event);
        let mut events: Vec<Event> = of_events(bursts.await?).collect();
        let began = events.iter().filter_map(Event::burst);
        let from = began.map(|burst| burst.from).fold(from, u64::min);
        let types = Some(vec![Type::Registered, Type::Terminated]);
        let times = (Some(from), Some(to));
        let others = self.query(everybody, times, types, OTHERS, Some(log));
        events.extend(of_events(others.await?));
        events.extend(
            own.iter()
                .filter(|event| event.at >= from && event.at <= to)
                .cloned(),
        );
        events.sort_by_key(|event| event.seq);
        events.dedup_by_key(|event| event.seq);
        Ok(events)
    }

    fn registered(&self, case: &Case<'_>, nearest: Option<(&Event, &Arc<Log>)>) -> Value {
        let sentence = match case.at {
            Some(_) => "It was registered then.",
            None => "It is registered, and the history shows no loss.",
        };
        let fact = nearest.map(|(lost, _)| format!("The nearest loss was at {}.", moment(lost.at)));
        let fact: Vec<String> = fact.into_iter().collect();
        let loss = nearest.map(|(lost, log)| self.shown(lost, log));
        json!({"sentence": sentence, "facts": fact, "loss": loss, "others": {}})
    }

    fn shown(&self, event: &Event, log: &Log) -> Value {
        let mut out = Vec::new();
        let style = style(self.app, log);
        write_event(event, self.subject.viewer(), &style, &mut out);
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
