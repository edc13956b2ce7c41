//! The last 24 hours in figures: losses and returns by quarter hour, for all and for each account; and the bursts of the
//! last hour.
//!
//! Pure: events go in with their times. A loss is one that no successor followed within 5 s; a return is a registration
//! that replaces none.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::recent::Recent;
use super::{Audience, Burst, Event, Happening, Kind, Reason, Viewer, What};

/// How many quarter hours are shown.
pub const QUARTERS: usize = 96;

/// [`QUARTERS`], as quarters are numbered.
const DAY: u32 = 96;

/// A quarter of an hour, in milliseconds.
const QUARTER: u64 = 900_000;

/// So long a burst is shown, in milliseconds.
const HOUR: u64 = 3_600_000;

/// Bursts that are remembered at most.
const BURSTS: usize = 256;

/// Losses that may turn out to be none, at most.
const PENDING: usize = 100_000;

/// A quarter of an hour in figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Quarter {
    /// When it begins, Unix seconds.
    pub at: u64,
    /// How many phones were lost.
    pub losses: u64,
    /// How many came.
    pub returns: u64,
}

/// The last 24 hours in figures.
#[derive(Debug)]
pub struct Day {
    /// Of all.
    system: Series,
    accounts: HashMap<Arc<str>, Series>,
    /// How long a loss can turn out to be none, in milliseconds.
    back_within: u64,
    /// Losses that may turn out to be none, by ruid.
    pending: Recent<Loss>,
    bursts: VecDeque<(u64, Burst)>,
    last: u64,
}

/// The quarters in which something happened, the earliest first.
#[derive(Debug, Default)]
struct Series(VecDeque<Slot>);

#[derive(Clone, Copy, Debug)]
struct Slot {
    number: u32,
    losses: u32,
    returns: u32,
}

/// A loss that may turn out to be none.
#[derive(Debug)]
struct Loss {
    account: Option<Arc<str>>,
    audience: Audience,
}

impl Day {
    /// A day without events, on which a loss is none if its successor comes within so many milliseconds.
    #[must_use]
    pub fn new(back_within: u64) -> Self {
        Self {
            system: Series::default(),
            accounts: HashMap::new(),
            back_within,
            pending: Recent::with_capacity(PENDING),
            bursts: VecDeque::new(),
            last: 0,
        }
    }

    /// Takes an event into account.
    pub fn see(&mut self, event: &Event) {
        // Where the clock was set back, time stands still.
        let at = event.at.max(self.last);
        if number(at) != number(self.last) {
            self.forget_before(number(at));
        }
        self.last = at;
        let recent = at.saturating_sub(self.back_within);
        while self.pending.remove_before(recent).is_some() {}
        match &event.what {
            What::Registration(happening) => self.happening(happening, at),
            What::Burst(burst) => {
                if self.bursts.len() == BURSTS {
                    self.bursts.pop_front();
                }
                self.bursts.push_back((at, burst.clone()));
            }
            What::Source(_) | What::Directory | What::Gap(_) => {}
        }
    }

    /// The quarters until `now` (milliseconds since the Unix epoch) as `viewer` sees them, the earliest first.
    #[must_use]
    pub fn plot(&self, viewer: Viewer<'_>, now: u64) -> Vec<Quarter> {
        let first = number(now).saturating_sub(DAY - 1);
        let mut plot: Vec<Quarter> = (first..)
            .take(QUARTERS)
            .map(|number| Quarter {
                at: u64::from(number) * QUARTER / 1000,
                ..Quarter::default()
            })
            .collect();
        let mut add = |series: &Series| {
            for slot in &series.0 {
                let place = slot.number.checked_sub(first);
                if let Some(quarter) = place.and_then(|place| plot.get_mut(place as usize)) {
                    quarter.losses += u64::from(slot.losses);
                    quarter.returns += u64::from(slot.returns);
                }
            }
        };
        match viewer {
            Viewer::System => add(&self.system),
            Viewer::Accounts(ids) => {
                let series = ids.iter().filter_map(|id| self.accounts.get(id.as_str()));
                series.for_each(add);
            }
            Viewer::Account(id) => self.accounts.get(id).into_iter().for_each(add),
        }
        plot
    }

    /// How many phones of an account were lost within the day before `now`.
    #[must_use]
    pub fn losses(&self, account: &str, now: u64) -> u64 {
        let first = number(now).saturating_sub(DAY - 1);
        let slots = self.accounts.get(account).map(|series| series.0.iter());
        let slots = slots.into_iter().flatten();
        let recent = slots.filter(|slot| slot.number >= first);
        recent.map(|slot| u64::from(slot.losses)).sum()
    }

    /// The bursts of the hour before `now` that `viewer` is told of, the latest first; and when they were.
    #[must_use]
    pub fn bursts(&self, viewer: Viewer<'_>, now: u64) -> Vec<(u64, Burst)> {
        let recent = self.bursts.iter().rev();
        let recent = recent.take_while(|(at, _)| now.saturating_sub(*at) <= HOUR);
        recent
            .filter(|(_, burst)| burst.is_for(viewer))
            .cloned()
            .collect()
    }

    /// Takes over the figures of `earlier`, which has seen the events before the first one that was seen here.
    pub fn restore(&mut self, earlier: Self) {
        self.system.add_earlier(&earlier.system);
        for (account, series) in earlier.accounts {
            self.accounts
                .entry(account)
                .or_default()
                .add_earlier(&series);
        }
        for burst in earlier.bursts.into_iter().rev() {
            if self.bursts.len() < BURSTS {
                self.bursts.push_front(burst);
            }
        }
    }

    fn happening(&mut self, happening: &Happening, at: u64) {
        let audience = happening.audience;
        let account = happening.registration.account_id.clone();
        match happening.kind {
            Kind::Registered => match &happening.replaces {
                Some(replaces) => self.is_back(replaces.ruid.as_bytes()),
                None => self.count(account.as_ref(), audience, at, |slot| slot.returns += 1),
            },
            Kind::Terminated(Reason::Expired | Reason::Removed) => {
                self.count(account.as_ref(), audience, at, |slot| slot.losses += 1);
                let ruid = xxh3_64(happening.registration.binding.key.ruid.0.as_bytes());
                self.pending.insert(ruid, at, Loss { account, audience });
            }
            Kind::Terminated(Reason::Flushed | Reason::Replaced | Reason::AccountChanged)
            | Kind::Moved
            | Kind::Changed
            | Kind::Refreshed => {}
        }
    }

    /// A phone that was thought lost has come again.
    fn is_back(&mut self, ruid: &[u8]) {
        let ruid = xxh3_64(ruid);
        let Some((at, _)) = self.pending.get_mut(ruid) else {
            return;
        };
        if let Some(Loss { account, audience }) = self.pending.remove(ruid) {
            self.count(account.as_ref(), audience, at, |slot| {
                slot.losses = slot.losses.saturating_sub(1);
            });
        }
    }

    fn count(
        &mut self,
        account: Option<&Arc<str>>,
        audience: Audience,
        at: u64,
        change: impl Fn(&mut Slot),
    ) {
        if audience != Audience::Account {
            change(self.system.slot(number(at)));
        }
        if audience != Audience::System
            && let Some(account) = account
        {
            let series = self.accounts.entry(Arc::clone(account)).or_default();
            change(series.slot(number(at)));
        }
    }

    /// Forgets what is too old in the quarter `now`.
    fn forget_before(&mut self, now: u32) {
        let first = now.saturating_sub(DAY - 1);
        self.system.forget_before(first);
        self.accounts.retain(|_, series| {
            series.forget_before(first);
            !series.0.is_empty()
        });
    }
}

impl Series {
    /// That of a quarter, which is the last one or, for a moment longer, an earlier one.
    fn slot(&mut self, number: u32) -> &mut Slot {
        let place = match self.0.iter().rposition(|slot| slot.number <= number) {
            Some(place) if self.0[place].number == number => place,
            found => {
                let place = found.map_or(0, |place| place + 1);
                let slot = Slot {
                    number,
                    losses: 0,
                    returns: 0,
                };
                self.0.insert(place, slot);
                place
            }
        };
        &mut self.0[place]
    }

    fn add_earlier(&mut self, earlier: &Self) {
        for slot in earlier.0.iter().rev() {
            let own = self.slot(slot.number);
            own.losses += slot.losses;
            own.returns += slot.returns;
        }
    }

    fn forget_before(&mut self, first: u32) {
        while self.0.front().is_some_and(|slot| slot.number < first) {
            self.0.pop_front();
        }
    }
}

/// The number of the quarter of `at`, milliseconds since the Unix epoch.
fn number(at: u64) -> u32 {
    u32::try_from(at / QUARTER).unwrap_or(u32::MAX)
}
