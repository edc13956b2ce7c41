//! Keeps the log: follows the registry's feed, numbers what happened, has it written, and shows it.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::writer::Writer;
use super::{EventLog, History};
use crate::clock::Clock;
use crate::events::{Audience, Deriver, Event, Gap, GapCause, Kind, What};
use crate::own_thread;
use crate::registration::{Key, Registration, Text};
use crate::registry::{Lagged, Registry, SourceState, Subscription};

/// How long to wait for more after something happened, for each reader up to [`MANY`]: what comes together is written
/// together, and told to many readers at a time.
const GATHER: Duration = Duration::from_millis(2);

/// So many readers have what happens gathered longest.
const MANY: usize = 5;

/// The same while nobody waits for events.
const GATHER_AT_LEISURE: Duration = Duration::from_millis(100);

/// How many entries of the feed are read at a time.
const ENTRIES: usize = 1024;

/// How often to look at what the feed does not tell: the state of the source.
const LOOK: Duration = Duration::from_millis(500);

/// How often to note up to when the log has been kept.
const NOTE: Duration = Duration::from_secs(20);

/// Under this name the history has up to when the log was kept, in milliseconds since the Unix epoch.
const KEPT_UNTIL: &str = "kept until";

/// Under this name the history has the number of the last event at the note before the latest one. What came later is
/// looked at again whatever its time is: the clock may have been set back.
const KEPT_BEFORE: &str = "kept before";

/// A log that was kept up to so much less than the store, has not been kept beside it.
const BEHIND: Duration = Duration::from_mins(2);

/// The store may be so much older than it says, in milliseconds: events of that time are looked at again.
const OVERLAP: u64 = 5_000;

/// Somebody who sees every event before it is shown, in order.
pub trait Observer: fmt::Debug + Send {
    /// Takes note of an event. What it returns happens right after it.
    fn see(&mut self, event: &Event) -> Vec<What>;

    /// Is called now and then between events: the time for work that need not be done before the next one.
    fn rest(&mut self) {}
}

/// What the keeper works with.
#[derive(Debug)]
pub struct Parts {
    /// The log.
    pub log: Arc<EventLog>,
    /// The feed, from the moment at which an earlier run's rows were restored.
    pub feed: Subscription,
    /// Of what moment those rows are; `None` where there are none that are known to have been complete.
    pub as_of: Option<Duration>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Those who see every event.
    pub observers: Vec<Box<dyn Observer>>,
}

/// Keeps the log.
#[derive(Debug)]
pub struct Keeper {
    parts: Parts,
    deriver: Deriver,
    writer: Option<Arc<Writer>>,
    /// The next event's number.
    next: u64,
    /// The last commit of the feed, and the number of its first event.
    commit: (u64, u64),
    source: SourceState,
    /// Whether bindings are to be compared with what the log has of them.
    is_unreconciled: bool,
    noted: Duration,
    /// The number of the last event at the latest note.
    noted_seq: u64,
}

impl Keeper {
    /// One that has not begun yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let log = &parts.log;
        let writer = log.history().map(|history| {
            let (history, log) = (Arc::clone(history), Arc::clone(log));
            Arc::new(Writer::new(history, log, Arc::clone(&parts.clock)))
        });
        let registry = Arc::clone(parts.feed.registry());
        Self {
            next: log.newest() + 1,
            deriver: Deriver::new(registry),
            writer,
            commit: (0, 0),
            source: SourceState::default(),
            is_unreconciled: false,
            noted: Duration::ZERO,
            noted_seq: log.newest(),
            parts,
        }
    }

    /// Keeps the log until `stop`, on a thread of its own; on return all that happened by then is written, unless the disk fails.
    pub async fn run(mut self, stop: CancellationToken) {
        let writing = self.writer.clone();
        let write = async {
            match writing {
                Some(writer) => writer.run().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            never = write => match never {},
            () = self.keep(stop) => {}
        }
    }

    async fn keep(&mut self, stop: CancellationToken) {
        self.begin().await;
        self.note().await;
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let log = Arc::clone(&self.parts.log);
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = log.forgotten.notified() => self.publish_forgotten().await,
                () = self.parts.feed.news() => {
                    let readers = log.readers.rest(GATHER_AT_LEISURE).clamp(1, MANY);
                    own_thread::pause(GATHER * u32::try_from(readers).unwrap_or(1));
                }
                _ = look.tick() => {}
            }
            self.follow().await;
            self.look().await;
        }
        self.note().await;
    }

    /// Says what the log does not know, and what happened in the meantime as far as the store tells.
    async fn begin(&mut self) {
        self.source = self.registry().source().state;
        let Some(history) = self.parts.log.history().cloned() else {
            return;
        };
        if history.newest() == 0 {
            return;
        }
        if !matches!(history.unreported().await, Ok(None)) {
            self.publish_forgotten().await;
        }
        let kept_until = match history.cursor(KEPT_UNTIL).await {
            Ok(found) => found.map(|(_, at)| Duration::from_millis(at)),
            Err(error) => {
                tracing::debug!(%error, "cannot read up to when the history was kept");
                None
            }
        };
        let as_of = self
            .parts
            .as_of
            .filter(|as_of| kept_until.is_some_and(|until| as_of.saturating_sub(until) <= BEHIND));
        let Some(as_of) = as_of else {
            self.publish_gap(GapCause::Overrun).await;
            return;
        };
        self.publish_gap(GapCause::Restored).await;
        let as_of = milliseconds(as_of);
        let logged = logged_since(&history, as_of, self.noted_seq).await;
        let expired = self.expired_since(as_of, &logged).await;
        self.is_unreconciled = true;
        self.deriver.begin_from(logged);
        self.publish(expired, None).await;
    }

    /// What was listed at `as_of` (milliseconds) and has expired while nobody watched.
    async fn expired_since(
        &mut self,
        as_of: u64,
        logged: &HashMap<Key, Option<Arc<Registration>>>,
    ) -> Vec<Event> {
        let now = self.now();
        let seconds = |it: u64| i64::try_from(it / 1000).unwrap_or(i64::MAX);
        let (from, to) = (seconds(as_of), seconds(now));
        let registry = Arc::clone(self.registry());
        let hidden: HashSet<Key> = registry
            .hidden()
            .into_iter()
            .map(|(it, _)| it.key)
            .collect();
        let mut rows = registry.rows();
        rows.retain(|one| {
            let key = &one.binding.key;
            let end = one.binding.expiry.end();
            end.is_some_and(|end| from < end && end <= to)
                && !hidden.contains(key)
                && !logged.contains_key(key)
        });
        let gone = self.parts.log.gone(&with_siblings(&rows, &registry)).await;
        rows.retain(|one| !gone.contains(&one.binding.key));
        rows.sort_by_key(|one| one.binding.expiry.end());
        let event = |one: &Arc<Registration>| Event {
            seq: 0,
            at: now,
            commit: 0,
            what: What::Registration(Box::new(self.deriver.expired(one, now))),
        };
        rows.iter().map(event).collect()
    }

    /// Follows the feed to its end.
    async fn follow(&mut self) {
        loop {
            let (events, followed) = match self.parts.feed.read(ENTRIES) {
                Ok(entries) => {
                    let Some(last) = entries.last().map(|entry| entry.sequence) else {
                        return;
                    };
                    let events = entries.iter().flat_map(|entry| self.deriver.follow(entry));
                    (events.collect(), Some(last))
                }
                // The first load is what everything begins with, and no news.
                Err(Lagged::Reloaded) if self.parts.as_of.is_none() => {
                    self.parts.feed.restart_after_load();
                    (Vec::new(), Some(self.parts.feed.read_to()))
                }
                Err(lagged) => {
                    tracing::debug!(%lagged, "events are missing from the log");
                    self.parts.feed.restart();
                    let what = What::Gap(self.gap(GapCause::Overrun));
                    let followed = self.parts.feed.read_to();
                    (vec![self.event(what)], Some(followed))
                }
            };
            self.publish(events, followed).await;
        }
    }

    /// Looks at what the feed does not tell.
    async fn look(&mut self) {
        if self.is_unreconciled && self.registry().is_compared() {
            self.is_unreconciled = false;
            let events = self.deriver.reconcile(self.now());
            self.publish(events, None).await;
        }
        let state = self.registry().source().state;
        if state != self.source {
            self.source = state;
            let event = self.event(What::Source(state));
            self.publish(vec![event], None).await;
        }
        if self.parts.clock.monotonic().saturating_sub(self.noted) >= NOTE {
            self.note().await;
        }
        if !self.is_unreconciled {
            self.parts.observers.iter_mut().for_each(|one| one.rest());
        }
    }

    /// Notes up to when the log has been kept, and deletes what is too old.
    async fn note(&mut self) {
        self.noted = self.parts.clock.monotonic();
        let before = std::mem::replace(&mut self.noted_seq, self.next - 1);
        let (log, now) = (&self.parts.log, self.now());
        let Some(history) = log.history().filter(|_| log.is_kept()) else {
            return;
        };
        let note = async {
            history.put_cursor(KEPT_BEFORE, (log.id(), before)).await?;
            history.put_cursor(KEPT_UNTIL, (log.id(), now)).await
        };
        if let Err(error) = note.await {
            tracing::debug!(%error, "cannot note up to when the history was kept");
        } else if let Err(error) = history.prune().await {
            tracing::debug!(%error, "cannot delete old events");
        }
    }

    /// Says that events were forgotten.
    async fn publish_forgotten(&mut self) {
        let history = self.parts.log.history().cloned();
        // Before the gap: what is forgotten from here on is not in it, and is reported again.
        let unreported = match &history {
            Some(history) => history.unreported().await.ok().flatten(),
            None => None,
        };
        self.publish_gap(GapCause::Forgotten).await;
        if let (Some(history), Some(unreported), true) =
            (history, unreported, self.parts.log.is_kept())
            && let Err(error) = history.reported(unreported).await
        {
            tracing::debug!(%error, "cannot note that forgotten events were reported");
        }
    }

    async fn publish_gap(&mut self, cause: GapCause) {
        let event = self.event(What::Gap(self.gap(cause)));
        self.publish(vec![event], None).await;
    }

    /// Numbers events, has them written, and shows them; then the feed has been followed as far as `followed`.
    async fn publish(&mut self, events: Vec<Event>, followed: Option<u64>) {
        let is_wanted =
            |event: &Event| !is_refresh(event) || self.parts.log.refreshes.receiver_count() > 0;
        let mut numbered = Vec::new();
        for event in events.into_iter().filter(is_wanted).collect::<Vec<_>>() {
            self.number(event, &mut numbered);
        }
        if let Some(writer) = self.writer.clone() {
            let last = numbered
                .iter()
                .rev()
                .find(|one| one.seq != 0)
                .map(|it| it.seq);
            if let Some(last) = last {
                let kept = numbered.iter().filter(|one| one.seq != 0);
                writer.add(kept.cloned(), || self.gap(GapCause::Overrun));
                if self.parts.log.is_kept() && !writer.has_written(last).await {
                    self.parts.log.become_unkept();
                }
            }
        }
        self.parts.log.show(numbered);
        if let Some(followed) = followed {
            self.parts.log.followed.send_replace(followed);
        }
    }

    /// Gives an event its number, and those that follow from it theirs.
    fn number(&mut self, mut event: Event, numbered: &mut Vec<Arc<Event>>) {
        if is_refresh(&event) {
            event.commit = if event.commit == self.commit.0 {
                self.commit.1
            } else {
                0
            };
            numbered.push(Arc::new(event));
            return;
        }
        event.seq = self.next;
        self.next += 1;
        if event.commit == 0 || event.commit != self.commit.0 {
            self.commit = (event.commit, event.seq);
        }
        event.commit = self.commit.1;
        let further: Vec<What> = self
            .parts
            .observers
            .iter_mut()
            .flat_map(|one| one.see(&event))
            .collect();
        let (at, commit) = (event.at, event.commit);
        numbered.push(Arc::new(event));
        for what in further {
            let seq = self.next;
            self.next += 1;
            numbered.push(Arc::new(Event {
                seq,
                at,
                commit,
                what,
            }));
        }
    }

    fn event(&self, what: What) -> Event {
        Event {
            seq: 0,
            at: self.now(),
            commit: 0,
            what,
        }
    }

    /// A gap from the last event until now.
    fn gap(&self, cause: GapCause) -> Gap {
        Gap {
            from: self.next - 1,
            cause,
        }
    }

    fn registry(&self) -> &Arc<Registry> {
        self.parts.feed.registry()
    }

    fn now(&self) -> u64 {
        milliseconds(self.parts.clock.unix())
    }
}

/// What the log has of each binding of which it says something since `as_of` (milliseconds); since the number `newest`, where
/// nothing is noted.
async fn logged_since(
    history: &History,
    as_of: u64,
    newest: u64,
) -> HashMap<Key, Option<Arc<Registration>>> {
    let read = async {
        let noted = history.cursor(KEPT_BEFORE).await?;
        let seq = noted.map_or(newest, |(_, seq)| seq);
        history.since(as_of.saturating_sub(OVERLAP), seq).await
    };
    match read.await {
        Ok(events) => last_states(events),
        Err(error) => {
            tracing::debug!(%error, "cannot read the latest history");
            HashMap::new()
        }
    }
}

/// Those of these rows whose address of record has other rows of the same contact: they need not have been listed.
fn with_siblings(rows: &[Arc<Registration>], registry: &Registry) -> Vec<Arc<Registration>> {
    type Contact<'a> = (&'a Text, Option<&'a Text>, &'a Text);
    fn contact(one: &Registration) -> Contact<'_> {
        let it = &one.binding;
        (&it.username, it.domain.as_ref(), &it.contact)
    }
    if rows.is_empty() {
        return Vec::new();
    }
    let mut counts: HashMap<Contact<'_>, usize> =
        rows.iter().map(|one| (contact(one), 0)).collect();
    let all = registry.rows();
    for one in &all {
        if let Some(count) = counts.get_mut(&contact(one)) {
            *count += 1;
        }
    }
    let has_siblings = |one: &&Arc<Registration>| counts.get(&contact(one)) > Some(&1);
    rows.iter().filter(has_siblings).cloned().collect()
}

/// What the events leave of each binding in the system's list.
fn last_states(events: Vec<Event>) -> HashMap<Key, Option<Arc<Registration>>> {
    let mut states = HashMap::new();
    for event in events {
        if let What::Registration(happening) = event.what
            && happening.audience != Audience::Account
        {
            let is_listed = !matches!(happening.kind, Kind::Terminated(_));
            let key = happening.registration.binding.key.clone();
            states.insert(key, is_listed.then_some(happening.registration));
        }
    }
    states
}

fn is_refresh(event: &Event) -> bool {
    matches!(&event.what, What::Registration(one) if one.kind == Kind::Refreshed)
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
