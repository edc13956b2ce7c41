//! Finds phones that flap and bursts of losses in the log as it grows, and counts what became of registrations.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{History, Observer};
use crate::clock::Clock;
use crate::config;
use crate::events::burst::Bursts;
use crate::events::day::Day;
use crate::events::flap::{Flapping, Flaps, Snapshot};
use crate::events::{Audience, Burst, Event, GapCause, Happening, Kind, Reason, What};
use crate::metrics::Events;
use crate::registry::{Registry, Scope, SourceState};

/// A start looks so far back, in milliseconds: losses of a day are counted.
const DAY: u64 = 86_400_000;

/// How many events are read at a time at a start.
const BATCH: usize = 1000;

/// What phones flap, and what bursts there are.
#[derive(Debug)]
pub struct Finder {
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    counted: Arc<Events>,
    rules: (config::Flap, config::Burst),
    flaps: Mutex<Flaps>,
    bursts: Mutex<Counting>,
    day: Mutex<Day>,
    kamailio_start: Mutex<Option<u64>>,
    /// What is shown in this second.
    shown: Mutex<(i64, Arc<Snapshot>)>,
}

#[derive(Debug)]
struct Counting {
    bursts: Bursts,
    /// Phones are to be counted anew.
    is_due: bool,
}

/// The finder, as the keeper of the log has it.
#[derive(Debug)]
struct Watching(Arc<Finder>);

impl Finder {
    /// One that has seen nothing yet.
    #[must_use]
    pub fn new(
        registry: Arc<Registry>,
        clock: Arc<dyn Clock>,
        counted: Arc<Events>,
        rules: (config::Flap, config::Burst),
    ) -> Arc<Self> {
        let (flap, burst) = rules.clone();
        Arc::new(Self {
            registry,
            clock,
            counted,
            bursts: Mutex::new(Counting {
                bursts: Bursts::new(burst.clone(), &flap),
                is_due: true,
            }),
            day: Mutex::new(Day::new(back_within(&flap))),
            flaps: Mutex::new(Flaps::new(flap, burst)),
            kamailio_start: Mutex::default(),
            rules,
            shown: Mutex::default(),
        })
    }

    /// What sees every event for it.
    #[must_use]
    pub fn observer(self: &Arc<Self>) -> Box<dyn Observer> {
        Box::new(Watching(Arc::clone(self)))
    }

    /// How much phones flap; the same for all who ask within a second.
    #[must_use]
    pub fn now(&self) -> Arc<Snapshot> {
        let second = self.clock.unix_seconds();
        let mut shown = locked(&self.shown);
        if shown.0 != second {
            *shown = (second, Arc::new(self.flaps().snapshot(self.at())));
        }
        Arc::clone(&shown.1)
    }

    /// The phones that flap now, the worst first.
    #[must_use]
    pub fn flapping(&self) -> Vec<Flapping> {
        self.flaps().flapping(self.at())
    }

    /// How many phones flap now, and how many are unstable.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        self.flaps().count(self.at())
    }

    /// The last 24 hours in figures, read by `read`.
    pub fn day<T>(&self, read: impl FnOnce(&Day) -> T) -> T {
        read(&locked(&self.day))
    }

    /// Forgets how much the phones of a user of an account flap, in any case of letters.
    pub fn forget(&self, account: &str, username: &str) {
        self.flaps().forget(account, username);
    }

    /// What makes a phone flap, and a burst.
    #[must_use]
    pub fn rules(&self) -> &(config::Flap, config::Burst) {
        &self.rules
    }

    /// When Kamailio was started, in milliseconds since the Unix epoch, as far as it has said so.
    #[must_use]
    pub fn kamailio_start(&self) -> Option<u64> {
        *locked(&self.kamailio_start)
    }

    /// Kamailio was started at this moment, in milliseconds since the Unix epoch.
    pub fn kamailio_started(&self, at: u64) {
        *locked(&self.kamailio_start) = Some(at);
        self.flaps().kamailio_started(at);
    }

    /// Looks at what an earlier run has kept. What is seen meanwhile is not lost.
    pub async fn restore(&self, history: &History) {
        self.restore_to(history, history.newest()).await;
    }

    /// The same, up to the event with the number `newest`; later ones have been seen.
    pub async fn restore_to(&self, history: &History, newest: u64) {
        let from = self.at().saturating_sub(DAY);
        let mut earlier = Flaps::new(self.rules.0.clone(), self.rules.1.clone());
        let mut day = Day::new(back_within(&self.rules.0));
        let mut after = match before(history, from).await {
            Ok(seq) => seq,
            Err(error) => return not_restored(&error),
        };
        while after < newest {
            let batch = match history.read(after, BATCH).await {
                Ok(batch) => batch,
                Err(error) => return not_restored(&error),
            };
            let Some(last) = batch.last() else { break };
            after = last.seq;
            let known = batch.iter().filter(|event| event.seq <= newest);
            known.for_each(|event| {
                earlier.see(event);
                day.see(event);
            });
            tokio::task::yield_now().await;
        }
        self.flaps().restore(earlier);
        locked(&self.day).restore(day);
    }

    fn see(&self, event: &Event) -> Vec<What> {
        let bursts = self.look(event);
        let mut flaps = self.flaps();
        let mut day = locked(&self.day);
        flaps.see(event);
        day.see(event);
        let mut further = Vec::with_capacity(bursts.len());
        for burst in bursts {
            if burst.account.is_none() {
                self.counted.burst(burst.group.as_str());
            }
            let told = Event {
                what: What::Burst(burst),
                ..event.clone()
            };
            flaps.see(&told);
            day.see(&told);
            further.push(told.what);
        }
        drop((flaps, day));
        if let What::Registration(happening) = &event.what {
            self.count_end(happening);
        }
        further
    }

    /// The bursts that an event makes.
    fn look(&self, event: &Event) -> Vec<Burst> {
        let mut counting = locked(&self.bursts);
        counting.is_due |= is_break(event);
        if is_loss(event) {
            self.recount(&mut counting);
        }
        counting.bursts.see(event)
    }

    /// Counts phones anew, if that is due.
    fn recount(&self, counting: &mut Counting) {
        if std::mem::take(&mut counting.is_due) {
            let listing = self.registry.list(Scope::System);
            counting.bursts.recount(listing.registrations.iter());
        }
    }

    /// Counts the end of a registration.
    fn count_end(&self, happening: &Happening) {
        if let Kind::Terminated(reason) = happening.kind
            && happening.audience != Audience::Account
        {
            let lasted = happening.stats.map(|stats| stats.lasted);
            self.counted.terminated(reason.as_str(), lasted);
        }
    }

    fn at(&self) -> u64 {
        u64::try_from(self.clock.unix().as_millis()).unwrap_or(u64::MAX)
    }

    fn flaps(&self) -> MutexGuard<'_, Flaps> {
        locked(&self.flaps)
    }
}

impl Observer for Watching {
    fn see(&mut self, event: &Event) -> Vec<What> {
        self.0.see(event)
    }

    fn rest(&mut self) {
        // While the tables are still being read there is more to count soon.
        if self.0.registry.source().state == SourceState::Live {
            self.0.recount(&mut locked(&self.0.bursts));
        }
    }
}

/// Whether a registration ended on its own, of which bursts are made.
fn is_loss(event: &Event) -> bool {
    match &event.what {
        What::Registration(one) => {
            matches!(
                one.kind,
                Kind::Terminated(Reason::Expired | Reason::Removed)
            )
        }
        _ => false,
    }
}

/// Whether rows came, went or changed without an event of their own.
fn is_break(event: &Event) -> bool {
    match &event.what {
        What::Directory | What::Source(SourceState::Live) => true,
        What::Gap(gap) => matches!(gap.cause, GapCause::Overrun | GapCause::Restored),
        What::Registration(_) | What::Source(_) | What::Burst(_) => false,
    }
}

/// The number of an event before all that were seen from `from` on, whatever time a clock that was wrong gave to others.
async fn before(history: &History, from: u64) -> Result<u64, super::Error> {
    let first = history.first_since(from).await?;
    let oldest = history.oldest().saturating_sub(1);
    Ok(first.map_or(history.newest(), |first| {
        oldest.max(first.saturating_sub(1))
    }))
}

/// How long a loss can turn out to be none, in milliseconds.
fn back_within(rules: &config::Flap) -> u64 {
    u64::try_from(rules.back_within.as_millis()).unwrap_or(u64::MAX)
}

fn not_restored(error: &dyn std::fmt::Display) {
    tracing::warn!(
        "cannot read the history; phones that were flapping before the restart are not known: {error}"
    );
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
