//! Why a phone was away: the first reason that fits, in one sentence, and the facts that it rests on. Facts only.
//!
//! Pure. [`find`] picks the loss from what happened to a user; [`explain`] says why it came, from what happened around
//! it.

mod cause;
mod words;

use std::sync::Arc;

use super::group::By;
use super::{Event, Happening, Kind, Reason, Viewer, What};
use crate::config;
use crate::registration::Registration;
use cause::{Cause, address, is_same_user};
use words::{lasting, moment};

/// Losses of others within so many milliseconds before and after a loss are told with it.
pub const AROUND: u64 = 60_000;

/// A burst that began so many milliseconds before a loss may still go on.
pub const BURST_BEFORE: u64 = 3_600_000;

/// What is known of a user.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The moment that is asked about, in milliseconds since the Unix epoch; `None` for the last loss.
    pub at: Option<u64>,
    /// Whose lists are looked at.
    pub viewer: Viewer<'a>,
    /// What happened to the user until then, the latest first.
    pub before: &'a [Event],
    /// What happened to the user after it, the earliest first.
    pub after: &'a [Event],
    /// The user's registrations of now.
    pub listed: &'a [Arc<Registration>],
    /// When the oldest event that is kept happened; `None` where there is none.
    pub oldest: Option<u64>,
}

/// What became of the user at the moment that is asked about.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Found<'a> {
    /// Its registration was lost.
    Loss(&'a Event),
    /// It was registered; with the loss that is nearest, if any.
    Registered(Option<&'a Event>),
    /// The history does not reach back so far.
    Older,
    /// It was not registered, and no registration before that is known.
    NotYet,
    /// No registration of it is known.
    NeverSeen,
}

/// What happened around a loss.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// What happened to anybody, the earliest first: from the beginning of a burst that the loss may belong to, at least
    /// [`AROUND`], until [`AROUND`] after it.
    pub events: &'a [Event],
    /// When Kamailio was started last, in milliseconds since the Unix epoch, as far as it is known.
    pub kamailio_start: Option<u64>,
    /// What makes a burst.
    pub burst: &'a config::Burst,
    /// A phone that is back within so many milliseconds was not lost.
    pub back_within: u64,
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// Why, in one sentence.
    pub sentence: String,
    /// What it rests on, a sentence each.
    pub facts: Vec<String>,
    /// How many others were lost around it that have something in common with the phone.
    pub others: Vec<Others>,
}

/// Other phones that were lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Others {
    /// What they have in common with the phone.
    pub by: &'static str,
    /// Which one.
    pub value: String,
    /// How many different ones.
    pub lost: usize,
}

/// Picks what is to be explained.
#[must_use]
pub fn find<'a>(case: &Case<'a>) -> Found<'a> {
    let is_loss = |event: &&'a Event| loss(event, case.viewer).is_some();
    let Some(at) = case.at else {
        let last = case.before.iter().find(is_loss);
        let is_known = !case.listed.is_empty() || !case.before.is_empty();
        return match last {
            Some(loss) => Found::Loss(loss),
            None if is_known => Found::Registered(None),
            None => Found::NeverSeen,
        };
    };
    let earlier = case.before.iter().find(is_loss);
    let later = case.after.iter().find(is_loss);
    if is_registered(case, at) {
        let distance = |event: &&Event| event.at.abs_diff(at);
        let nearest = earlier.into_iter().chain(later).min_by_key(distance);
        return Found::Registered(nearest);
    }
    let is_known = !case.listed.is_empty() || !case.before.is_empty() || !case.after.is_empty();
    match earlier {
        Some(loss) => Found::Loss(loss),
        None if !is_known => Found::NeverSeen,
        None if case.oldest.is_none_or(|oldest| at < oldest) => Found::Older,
        None => Found::NotYet,
    }
}

/// Whether the user had a registration at `at`: one that is listed now, or went later, and was there already.
fn is_registered(case: &Case<'_>, at: u64) -> bool {
    let second = i64::try_from(at / 1000).unwrap_or(i64::MAX);
    let was_gone = |one: &Registration| {
        let of_it = |event: &&Event| match &event.what {
            What::Registration(it) => it.registration.binding.key == one.binding.key,
            _ => false,
        };
        let last = case.before.iter().find(of_it);
        last.is_some_and(|event| loss(event, case.viewer).is_some())
    };
    let is_later = |one: &Registration, registered_at: i64| registered_at > second || was_gone(one);
    let mut listed = case.listed.iter();
    let mut lost = case
        .after
        .iter()
        .filter_map(|event| loss(event, case.viewer));
    listed.any(|one| !is_later(one, one.first_registration))
        || lost.any(|it| {
            let since = it.stats.map_or(i64::MAX, |stats| stats.registered_at);
            !is_later(&it.registration, since)
        })
}

/// The end of a registration, if an event is one to the viewer.
fn loss<'a>(event: &'a Event, viewer: Viewer<'_>) -> Option<&'a Happening> {
    let What::Registration(happening) = &event.what else {
        return None;
    };
    let seen = happening.seen_by(viewer)?;
    matches!(seen.kind, Kind::Terminated(_)).then_some(happening)
}

/// Says why a registration was lost; `after` is what happened to the user after it, the earliest first.
#[must_use]
pub fn explain(
    lost: &Event,
    after: &[Event],
    viewer: Viewer<'_>,
    around: &Surroundings<'_>,
) -> Option<Explanation> {
    let happening = loss(lost, viewer)?;
    let after: Vec<(&Event, &Happening)> = returns(after, viewer).collect();
    let cause = Cause::of(lost, happening, after.first().copied(), viewer, around);
    let (sentence, mut facts) = cause.told(lost, happening);
    facts.extend(life(happening));
    facts.push(told_return(lost, happening, after.first().copied()));
    Some(Explanation {
        sentence,
        facts,
        others: others(lost, happening, viewer, around.events),
    })
}

/// The registrations that came after it.
fn returns<'a>(
    after: &'a [Event],
    viewer: Viewer<'a>,
) -> impl Iterator<Item = (&'a Event, &'a Happening)> {
    after.iter().filter_map(move |event| {
        let What::Registration(happening) = &event.what else {
            return None;
        };
        let seen = happening.seen_by(viewer)?;
        (seen.kind == Kind::Registered).then_some((event, &**happening))
    })
}

/// What is known of a registration's life.
fn life(happening: &Happening) -> Option<String> {
    let stats = happening.stats?;
    let mut told = format!(
        "It had been registered since {}, for {}",
        words::second(stats.registered_at),
        lasting(stats.lasted * 1000),
    );
    match (stats.refreshes, stats.last_refresh_at) {
        (0, _) | (_, None) => told.push_str(", and was never refreshed."),
        (count, Some(last)) => {
            let span = last.saturating_sub(stats.registered_at);
            let every = u64::try_from(span).unwrap_or(0) * 1000 / u64::from(count);
            let times = if count == 1 {
                "once".to_owned()
            } else {
                format!("{count} times")
            };
            let _ = std::fmt::Write::write_fmt(
                &mut told,
                format_args!(
                    ", and was refreshed {times}, every {} on average, last at {}.",
                    lasting(every),
                    words::second(last)
                ),
            );
        }
    }
    Some(told)
}

/// When it came back, and with what.
fn told_return(lost: &Event, happening: &Happening, back: Option<(&Event, &Happening)>) -> String {
    let Some((event, back)) = back else {
        return match happening.kind {
            Kind::Terminated(Reason::Replaced) => {
                "Its successor was already registered.".to_owned()
            }
            _ => "It has not registered since.".to_owned(),
        };
    };
    let (old, new) = (&happening.registration, &back.registration);
    let mut with = Vec::new();
    match (address(old), address(new)) {
        (Some(old), Some(new)) if old == new => with.push(format!("from the same address, {new}")),
        (_, Some(new)) => with.push(format!("from {new}")),
        (_, None) => {}
    }
    if old.binding.call_id != new.binding.call_id {
        with.push("with a new Call-ID".to_owned());
    }
    if old.binding.user_agent != new.binding.user_agent
        && let Some(agent) = By::UserAgent.value(new)
    {
        with.push(format!("as {agent}"));
    }
    let with = with.join(", ");
    let after = lasting(event.at.saturating_sub(lost.at));
    let at = moment(event.at);
    let comma = if with.is_empty() { "" } else { ", " };
    format!("It registered again at {at}, {after} later{comma}{with}.")
}

/// Who else was lost around it.
fn others(
    lost: &Event,
    happening: &Happening,
    viewer: Viewer<'_>,
    events: &[Event],
) -> Vec<Others> {
    let own = &happening.registration;
    let near = events
        .iter()
        .filter(|event| event.at.abs_diff(lost.at) <= AROUND);
    let near: Vec<&Registration> = near
        .filter_map(|event| cause::real_loss(event, viewer))
        .map(|it| &*it.registration)
        .filter(|one| !is_same_user(one, own))
        .collect();
    let count = |by: &'static str, value: &dyn Fn(&Registration) -> Option<String>| {
        let value_of_own = value(own)?;
        let alike = near
            .iter()
            .filter(|one| value(one).as_ref() == Some(&value_of_own));
        let phones: std::collections::HashSet<u64> =
            alike.map(|one| super::group::phone(&one.binding)).collect();
        Some(Others {
            by,
            value: value_of_own,
            lost: phones.len(),
        })
    };
    let account = |one: &Registration| one.account_id.as_deref().map(str::to_owned);
    let mut found = vec![count("account", &account)];
    for by in By::ALL {
        found.push(count(by.as_str(), &move |one| by.value(one)));
    }
    found.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;
