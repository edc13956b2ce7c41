//! What ended a registration: the first that fits.

use super::words::{lasting, moment, second};
use super::{Surroundings, loss};
use crate::config;
use crate::events::group::{Groups, Realm, group_id, phone};
use crate::events::open::OpenBursts;
use crate::events::{Burst, Event, Group, Happening, Kind, Reason, Type, Viewer, What};
use crate::registration::Registration;
use crate::registry::SourceState;

/// Within so many milliseconds of it, a start of Kamailio explains a loss.
const NEAR: u64 = 60_000;

/// So many milliseconds after its table can be read again, what went meanwhile has been seen to be gone.
const COMPARED: u64 = 5_000;

/// Why a registration ended.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Cause {
    /// Somebody flushed it: the token, the request.
    Flushed(Option<(String, String)>),
    /// Kamailio was started at this moment.
    Restarted(u64),
    /// The table could not be read, or was compared anew, from this moment on.
    Unreadable(u64, SourceState),
    /// Many were lost with it.
    Burst {
        /// What they have in common.
        group: Group,
        /// Which one.
        value: String,
        /// How many were lost, of how many, within how many milliseconds.
        counts: (u64, u64, u64),
    },
    /// The phone registered anew by itself.
    Replaced(Option<Anew>),
    /// Its time was over.
    Expired,
    /// It went before its time.
    Removed,
    /// It belongs to another account.
    AccountChanged,
}

/// What differs in a phone's new registration.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Anew {
    /// Its address; from where to where.
    Address(String, String),
    /// Its Call-ID.
    CallId,
    /// Neither.
    Alike,
}

impl Cause {
    /// Why `lost` ended; `back` is the registration that came after it.
    pub(super) fn of(
        lost: &Event,
        happening: &Happening,
        back: Option<(&Event, &Happening)>,
        viewer: Viewer<'_>,
        around: &Surroundings<'_>,
    ) -> Self {
        let reason = match happening.seen_by(viewer).map(|seen| seen.kind) {
            Some(Kind::Terminated(reason)) => reason,
            _ => Reason::AccountChanged,
        };
        match reason {
            Reason::Flushed => {
                let by = happening.flush.as_ref();
                return Self::Flushed(by.map(|by| (by.actor.clone(), by.request_id.clone())));
            }
            Reason::AccountChanged => return Self::AccountChanged,
            Reason::Expired | Reason::Replaced | Reason::Removed => {}
        }
        if let Some(start) = kamailio_start(lost.at, happening, around) {
            return Self::Restarted(start);
        }
        let unreadable = unreadable(lost.at, around.events);
        let burst = if reason == Reason::Replaced {
            None
        } else {
            burst(lost, happening, viewer, around)
        };
        match (unreadable, burst) {
            // So the source is as well when many rows go at once.
            (Some((_, SourceState::CatchingUp)) | None, Some(burst)) => return burst,
            (Some((at, state)), _) => return Self::Unreadable(at, state),
            (None, None) => {}
        }
        let is_soon = |event: &Event| event.at.saturating_sub(lost.at) <= around.back_within;
        let successor = back.filter(|(event, _)| is_soon(event));
        match (reason, successor) {
            (_, Some((_, back))) => {
                Self::Replaced(Some(anew(&happening.registration, &back.registration)))
            }
            (Reason::Replaced, None) => Self::Replaced(predecessor(lost, happening, around)),
            (Reason::Expired, None) => Self::Expired,
            (_, None) => Self::Removed,
        }
    }

    /// The sentence, and what it rests on.
    pub(super) fn told(&self, lost: &Event, happening: &Happening) -> (String, Vec<String>) {
        let at = moment(lost.at);
        match self {
            Self::Flushed(None) => (format!("Flushed at {at}."), Vec::new()),
            Self::Flushed(Some((actor, request))) => (
                format!("Flushed by {actor} at {at}."),
                vec![format!("Request id in the audit: {request}.")],
            ),
            Self::Restarted(start) => (
                format!("Kamailio was restarted at {}.", moment(*start)),
                vec![format!("The registration was lost at {at}.")],
            ),
            Self::Unreadable(since, state) => (
                format!("Kamailio's table was replaced or could not be read at {}.", moment(*since)),
                vec![
                    format!("The source was {} at {}.", state.as_str(), moment(*since)),
                    format!("The registration was lost at {at}."),
                ],
            ),
            Self::Burst { group, value, counts: (lost, of, within) } => (
                format!("{lost} of {of} phones{} went within {}.", behind(*group, value), lasting((*within).max(1000))),
                vec![format!("This phone went at {at}.")],
            ),
            Self::Replaced(anew) => (told_anew(anew.as_ref(), &at), Vec::new()),
            Self::Expired => told_expired(happening, &at),
            Self::Removed => (
                format!("It was removed at {at}, before it expired."),
                vec![
                    "The phone unregistered, its connection was lost, or it was removed in Kamailio; the table does not show which."
                        .to_owned(),
                    left(lost, &happening.registration),
                ],
            ),
            Self::AccountChanged => (
                format!("It moved to another account at {at}: the directory changed."),
                Vec::new(),
            ),
        }
    }
}

fn behind(group: Group, value: &str) -> String {
    match group {
        Group::Proxy => format!(" at {value}"),
        Group::Source => format!(" behind {value}"),
        Group::Account => format!(" of account {value}"),
        Group::All => String::new(),
    }
}

fn told_anew(anew: Option<&Anew>, at: &str) -> String {
    match anew {
        Some(Anew::Address(from, to)) => format!(
            "The phone replaced it at {at}, from {to} instead of {from}: it changed networks."
        ),
        Some(Anew::CallId) => {
            format!("The phone replaced it at {at}, with a new Call-ID: it restarted.")
        }
        Some(Anew::Alike) | None => format!("The phone replaced it at {at}."),
    }
}

fn told_expired(happening: &Happening, at: &str) -> (String, Vec<String>) {
    let one = &happening.registration;
    let end = one
        .binding
        .expiry
        .end()
        .map_or_else(|| at.to_owned(), second);
    let stats = happening.stats;
    let last = stats.map(|stats| stats.last_refresh_at.unwrap_or(stats.registered_at));
    let granted = stats.and_then(|stats| stats.granted_expires);
    match (last, granted) {
        (Some(last), Some(granted)) => (
            format!(
                "It expired at {end}: last registered at {} for {granted} s, and silent from then on.",
                second(last)
            ),
            Vec::new(),
        ),
        _ => (format!("It expired at {end}."), Vec::new()),
    }
}

/// How much of its time was left.
fn left(lost: &Event, one: &Registration) -> String {
    let now = i64::try_from(lost.at / 1000).unwrap_or(i64::MAX);
    match one.binding.expiry.end() {
        Some(end) => {
            let left = u64::try_from(end.saturating_sub(now)).unwrap_or(0);
            format!(
                "It would have expired at {}, {} later.",
                second(end),
                lasting(left * 1000)
            )
        }
        None => "It would never have expired.".to_owned(),
    }
}

/// When Kamailio was started, if that was near: as it says itself, or by the ruids that it gave.
fn kamailio_start(at: u64, happening: &Happening, around: &Surroundings<'_>) -> Option<u64> {
    let since = happening.stats.map_or(0, |stats| stats.registered_at);
    let since = u64::try_from(since).unwrap_or(0).saturating_mul(1000);
    // What was registered after a start did not end by it. Kamailio tells whole seconds.
    let is_near = |start: &u64| start.abs_diff(at) <= NEAR && since + 2000 < *start;
    let own = around.kamailio_start.into_iter();
    let given = around.events.iter().filter_map(|event| match &event.what {
        What::Registration(it) if it.kind == Kind::Registered => started(&it.registration),
        _ => None,
    });
    own.chain(given).find(is_near)
}

/// When the Kamailio was started that gave this ruid: `uloc-<start>-<pid>-<counter>`, in hexadecimal Unix seconds
/// (Kamailio's `core/utils/sruid.c`).
fn started(one: &Registration) -> Option<u64> {
    let ruid = one.binding.key.ruid.0.lossy();
    let mut parts = ruid.strip_prefix("uloc-")?.split('-');
    u64::from_str_radix(parts.next()?, 16)
        .ok()?
        .checked_mul(1000)
}

/// When the source was last not live before or just after a loss.
fn unreadable(at: u64, events: &[Event]) -> Option<(u64, SourceState)> {
    let latest_first = events.iter().rev().filter(|event| event.at <= at + 1000);
    let mut is_live_until = None;
    for event in latest_first {
        let What::Source(state) = event.what else {
            continue;
        };
        if state != SourceState::Live {
            // It counts while it lasts, and for a while after.
            let end = is_live_until.unwrap_or(at);
            return (at.saturating_sub(end) <= COMPARED).then_some((event.at, state));
        }
        is_live_until = Some(event.at);
    }
    None
}

/// The burst that a loss belongs to.
fn burst(
    lost: &Event,
    happening: &Happening,
    viewer: Viewer<'_>,
    around: &Surroundings<'_>,
) -> Option<Cause> {
    let mut bursts = around.events.iter().filter_map(|event| match &event.what {
        What::Burst(burst) if event.type_for(viewer) == Some(Type::Burst) => Some(burst),
        _ => None,
    });
    let belongs = |burst: &&Burst| is_in(burst, lost, happening, viewer, around);
    let burst = bursts.rfind(belongs)?;
    let (count, end) = losses(burst, viewer, around);
    let counted = count.max(burst.lost);
    Some(Cause::Burst {
        group: burst.group,
        value: burst.value.to_string(),
        counts: (
            counted,
            counted.max(burst.of),
            end.saturating_sub(burst.from),
        ),
    })
}

fn realm(burst: &Burst) -> Realm {
    match burst.account {
        Some(_) => Realm::Account,
        None => Realm::System,
    }
}

fn is_of(burst: &Burst, one: &Registration) -> bool {
    let id = group_id(burst.account.as_deref(), burst.group, &burst.value);
    Groups::of(one).id(realm(burst), burst.group) == Some(id)
}

/// Whether a loss belongs to a burst: among those that made it one, or while it went on.
fn is_in(
    burst: &Burst,
    lost: &Event,
    happening: &Happening,
    viewer: Viewer<'_>,
    around: &Surroundings<'_>,
) -> bool {
    if lost.at < burst.from || !is_of(burst, &happening.registration) {
        return false;
    }
    lost.at <= burst.to || {
        let (_, end) = losses(burst, viewer, around);
        lost.at <= end
    }
}

/// How many phones of the group were lost while a burst went on, and when the last was.
fn losses(burst: &Burst, viewer: Viewer<'_>, around: &Surroundings<'_>) -> (u64, u64) {
    let rules: &config::Burst = around.burst;
    let mut open = OpenBursts::default();
    open.begin(burst);
    let mut phones = std::collections::HashSet::new();
    let mut end = burst.to;
    for event in around.events {
        let Some(it) = real_loss(event, viewer) else {
            continue;
        };
        let one = &it.registration;
        if event.at < burst.from || !is_of(burst, one) {
            continue;
        }
        if event.at > burst.to && !open.claim(&Groups::of(one), realm(burst), event.at, rules) {
            break;
        }
        end = end.max(event.at);
        phones.insert(phone(&one.binding));
    }
    (phones.len() as u64, end)
}

/// The end of a registration that a phone or the network caused, if an event is one to the viewer.
pub(super) fn real_loss<'a>(event: &'a Event, viewer: Viewer<'_>) -> Option<&'a Happening> {
    let it = loss(event, viewer)?;
    matches!(it.kind, Kind::Terminated(Reason::Expired | Reason::Removed)).then_some(it)
}

/// What differs between a registration and the one that is in its place.
fn anew(old: &Registration, new: &Registration) -> Anew {
    match (address(old), address(new)) {
        (Some(old), Some(new)) if old != new => Anew::Address(old, new),
        _ if old.binding.call_id != new.binding.call_id => Anew::CallId,
        _ => Anew::Alike,
    }
}

/// What differs in the successor that was there before this one went.
fn predecessor(lost: &Event, happening: &Happening, around: &Surroundings<'_>) -> Option<Anew> {
    let own = &happening.registration;
    let mut latest_first = around
        .events
        .iter()
        .rev()
        .filter(|event| event.at <= lost.at && lost.at - event.at <= around.back_within);
    latest_first.find_map(|event| match &event.what {
        What::Registration(it)
            if it.kind == Kind::Registered && is_same_user(own, &it.registration) =>
        {
            Some(anew(own, &it.registration))
        }
        _ => None,
    })
}

/// The address that a phone's packets come from.
pub(super) fn address(one: &Registration) -> Option<String> {
    let source = one.source.as_ref();
    source.map(|source| source.address.host.lossy().into_owned())
}

pub(super) fn is_same_user(one: &Registration, other: &Registration) -> bool {
    let user = |one: &Registration| (one.binding.username.clone(), one.binding.domain.clone());
    user(one) == user(other)
}
