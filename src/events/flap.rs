//! Finds phones that flap: a penalty for each loss, which decays with a half-life (RFC 2439), and two thresholds; beside
//! it the losses of the last 24 hours.
//!
//! Pure: events go in with their times. A phone is one device of one user: the `instance`, or where there is none the
//! user.

mod phone;
mod score;

use std::collections::HashMap;
use std::sync::Arc;

use super::group::{Groups, Realm, device, group_id};
use super::open::OpenBursts;
use super::recent::Recent;
use super::{Audience, Burst, Event, GapCause, Happening, Kind, Reason, What};
use crate::config;
use crate::registration::Registration;
pub use crate::registration::item::Flap;
use crate::registry::SourceState;
pub use phone::Phone;
use score::Score;

/// Phones that are remembered at most; beyond it those with the lowest scores go.
pub const PHONES: usize = 100_000;

/// How long a loss can turn out to be none, at least: as long as it may take to learn that Kamailio was restarted.
const PENDING: u64 = 120_000;

/// So long around a start of Kamailio a loss says nothing about the phone, in milliseconds.
const AROUND_START: u64 = 60_000;

/// So long after a gap what is seen has happened at an unknown time, in milliseconds.
const AFTER_GAP: u64 = 5_000;

/// A phone that flaps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flapping {
    /// How much.
    pub flap: Flap,
    /// Since when, in milliseconds since the Unix epoch.
    pub since: u64,
    /// Who it is, and what was seen of it.
    pub phone: Phone,
}

/// How much phones flap at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Snapshot(HashMap<u64, Flap>);

/// The scores of all phones that have one.
#[derive(Debug)]
pub struct Flaps {
    rules: config::Flap,
    burst: config::Burst,
    parties: HashMap<u64, Party>,
    /// Losses that may turn out to be none, by ruid.
    pending: Recent<Pending>,
    /// Addresses that phones came from, by device: what they came in place of may go after that.
    arrivals: Recent<u64>,
    open: OpenBursts,
    is_live: bool,
    gap_at: Option<u64>,
    kamailio_start: Option<u64>,
    last: u64,
}

/// A phone with a score.
#[derive(Debug, Default)]
struct Party {
    score: Score,
    /// The address that it was lost from, until it is back.
    source: Option<u64>,
    /// Its last loss says nothing about it.
    is_excused: bool,
    phone: Option<Box<Phone>>,
}

/// A loss that may turn out to be none.
#[derive(Debug)]
struct Pending {
    device: u64,
    groups: Groups,
    /// What it added to the score.
    added: f64,
    /// Whether it is one of the losses of its hour.
    is_counted: bool,
    /// Whether the phone did flap before.
    was_flapping: bool,
}

impl Flaps {
    /// No phone has a score yet.
    #[must_use]
    pub fn new(rules: config::Flap, burst: config::Burst) -> Self {
        Self {
            rules,
            burst,
            parties: HashMap::new(),
            pending: Recent::with_capacity(PHONES),
            arrivals: Recent::with_capacity(PHONES),
            open: OpenBursts::default(),
            is_live: true,
            gap_at: None,
            kamailio_start: None,
            last: 0,
        }
    }

    /// Takes an event into account.
    pub fn see(&mut self, event: &Event) {
        // Where the clock was set back, time stands still.
        let at = event.at.max(self.last);
        self.last = at;
        while self
            .pending
            .remove_before(at.saturating_sub(PENDING))
            .is_some()
        {}
        let recent = at.saturating_sub(self.back_within());
        while self.arrivals.remove_before(recent).is_some() {}
        match &event.what {
            What::Registration(happening) if happening.audience != Audience::Account => {
                self.happening(happening, at);
            }
            What::Source(state) => self.is_live = *state == SourceState::Live,
            What::Gap(gap) if matches!(gap.cause, GapCause::Restored | GapCause::Overrun) => {
                self.gap_at = Some(at);
            }
            What::Burst(burst) => self.burst(burst),
            What::Registration(_) | What::Gap(_) | What::Directory => {}
        }
        if self.parties.len() > PHONES + PHONES / 8 {
            self.shrink(at);
        }
    }

    /// Kamailio was started at `start`, in milliseconds since the Unix epoch: losses around it say nothing of phones.
    pub fn kamailio_started(&mut self, start: u64) {
        if self.kamailio_start == Some(start) {
            return;
        }
        self.kamailio_start = Some(start);
        let near = self
            .pending
            .iter_mut()
            .filter(|(at, _)| at.abs_diff(start) <= AROUND_START);
        for (at, pending) in near {
            excuse(&mut self.parties, pending, at, &self.rules);
        }
    }

    /// How much the phone of a registration flaps at `now`; `None` where there is nothing to say.
    #[must_use]
    pub fn of(&self, one: &Registration, now: u64) -> Option<Flap> {
        if self.parties.is_empty() {
            return None;
        }
        let party = self.parties.get(&device(&one.binding))?;
        let flap = party.score.flap(now, &self.rules);
        (flap.score > 0 || flap.losses_24h > 0).then_some(flap)
    }

    /// How much every phone flaps at `now` of which there is something to say.
    #[must_use]
    pub fn snapshot(&self, now: u64) -> Snapshot {
        let flaps = self.parties.iter().filter_map(|(device, party)| {
            let flap = party.score.flap(now, &self.rules);
            (flap.score > 0 || flap.losses_24h > 0).then_some((*device, flap))
        });
        Snapshot(flaps.collect())
    }

    /// The phones that flap at `now`, the worst first.
    #[must_use]
    pub fn flapping(&self, now: u64) -> Vec<Flapping> {
        let mut found: Vec<Flapping> = self
            .parties
            .values()
            .filter_map(|party| {
                let since = party.score.flaps_since(now, &self.rules)?;
                Some(Flapping {
                    flap: party.score.flap(now, &self.rules),
                    since,
                    phone: party.phone.as_deref().cloned().unwrap_or_default(),
                })
            })
            .collect();
        let worst = |one: &Flapping| {
            let Flap {
                score, losses_24h, ..
            } = one.flap;
            (std::cmp::Reverse((score, losses_24h)), one.since)
        };
        found.sort_by(|one, other| {
            let name = |it: &Flapping| (it.phone.username.clone(), it.phone.instance.clone());
            worst(one)
                .cmp(&worst(other))
                .then_with(|| name(one).cmp(&name(other)))
        });
        found
    }

    /// How many phones flap at `now`, and how many are unstable.
    #[must_use]
    pub fn count(&self, now: u64) -> (usize, usize) {
        let flaps = self
            .parties
            .values()
            .map(|party| party.score.flap(now, &self.rules));
        flaps.fold((0, 0), |(flapping, unstable), flap| {
            let is_unstable = flap.losses_24h >= self.rules.unstable;
            (
                flapping + usize::from(flap.flapping),
                unstable + usize::from(is_unstable),
            )
        })
    }

    /// Takes over the scores of `earlier`, which has seen the events before the first one that was seen here.
    pub fn restore(&mut self, earlier: Self) {
        for (device, former) in earlier.parties {
            match self.parties.get_mut(&device) {
                Some(party) => {
                    party.score.add_earlier(&former.score, &self.rules);
                    party.phone = party.phone.take().or(former.phone);
                }
                None => drop(self.parties.insert(device, former)),
            }
        }
    }

    /// Forgets what was seen of the phones of a user of an account, in any case of letters.
    pub fn forget(&mut self, account: &str, username: &str) {
        let name = username.to_lowercase();
        self.parties.retain(|_, party| {
            party.phone.as_ref().is_none_or(|phone| {
                phone.account_id.as_deref() != Some(account)
                    || phone.username.to_lowercase() != name
            })
        });
    }

    fn happening(&mut self, happening: &Happening, at: u64) {
        let one = &happening.registration;
        let device = device(&one.binding);
        match happening.kind {
            Kind::Registered => self.registered(happening, device, at),
            Kind::Moved => {
                let is_new = |former: &Arc<Registration>| source(former) != source(one);
                if happening.former.as_ref().is_some_and(is_new) && !self.is_excused(at) {
                    self.penalize(device, one, self.rules.moved, at);
                }
            }
            Kind::Terminated(reason) => self.terminated(one, reason, device, at),
            Kind::Changed | Kind::Refreshed => {}
        }
    }

    fn registered(&mut self, happening: &Happening, device: u64, at: u64) {
        let one = &happening.registration;
        let within = self.back_within();
        if let Some(replaces) = &happening.replaces
            && let Some((lost_at, pending)) = self.pending.get_mut(ruid(replaces.ruid.as_bytes()))
            && at - lost_at <= within
        {
            replace(&mut self.parties, pending, lost_at, &self.rules);
        }
        let Some(source) = source(one) else { return };
        let former = self.parties.get_mut(&device).and_then(|party| {
            let former = party.source.take()?;
            (!party.is_excused).then_some(former)
        });
        if former.is_some_and(|former| former != source) && !self.is_excused(at) {
            self.penalize(device, one, self.rules.moved, at);
        }
        self.arrivals.insert(device, at, source);
    }

    fn terminated(&mut self, one: &Arc<Registration>, reason: Reason, device: u64, at: u64) {
        let is_excused = match reason {
            Reason::Expired | Reason::Removed => self.lost(one, device, at),
            Reason::Replaced => match self.replaced(one, device, at) {
                Some(is_excused) => is_excused,
                None => return,
            },
            Reason::Flushed => false,
            Reason::AccountChanged => return,
        };
        let party = self.parties.entry(device).or_default();
        (party.source, party.is_excused) = (source(one), is_excused);
    }

    /// Counts a loss; returns whether it says nothing about the phone.
    fn lost(&mut self, one: &Registration, device: u64, at: u64) -> bool {
        let groups = Groups::of(one);
        let realms = [Realm::System, Realm::Account];
        let claims = realms.map(|realm| self.open.claim(&groups, realm, at, &self.burst));
        if claims.contains(&true) || self.is_excused(at) {
            return true;
        }
        let party = self.parties.get(&device);
        let since = party.and_then(|party| party.score.flaps_since(at, &self.rules));
        let added = self.penalize(device, one, self.rules.loss, at);
        if let Some(party) = self.parties.get_mut(&device) {
            party.score.count_loss(at);
        }
        let pending = Pending {
            device,
            groups,
            added,
            is_counted: true,
            was_flapping: since.is_some(),
        };
        let ruid = ruid(one.binding.key.ruid.0.as_bytes());
        self.pending.insert(ruid, at, pending);
        false
    }

    /// Counts a registration whose successor is there; returns whether that says nothing about the phone, and `None`
    /// where it is known already where the phone is now.
    fn replaced(&mut self, one: &Registration, device: u64, at: u64) -> Option<bool> {
        let is_excused = self.is_excused(at);
        let arrival = self.arrivals.get_mut(device).map(|(_, source)| *source);
        if !is_excused {
            self.penalize(device, one, self.rules.replaced, at);
            if arrival.is_some() && source(one).is_some_and(|former| Some(former) != arrival) {
                self.penalize(device, one, self.rules.moved, at);
            }
        }
        arrival.is_none().then_some(is_excused)
    }

    /// Adds to the score of a phone; returns what that came to.
    fn penalize(&mut self, device: u64, one: &Registration, penalty: u32, at: u64) -> f64 {
        let party = self.parties.entry(device).or_default();
        let added = party.score.add(penalty, at, &self.rules);
        if party.score.at_least(self.rules.on / 2, at, &self.rules) {
            party.phone.get_or_insert_default().note(one);
        }
        added
    }

    /// Losses of the group within its time were no phone's own.
    fn burst(&mut self, burst: &Burst) {
        self.open.begin(burst);
        let id = group_id(burst.account.as_deref(), burst.group, &burst.value);
        let realm = match burst.account {
            Some(_) => Realm::Account,
            None => Realm::System,
        };
        for (at, pending) in self.pending.iter_mut() {
            let is_in_time = (burst.from..=burst.to).contains(&at);
            if is_in_time && pending.groups.id(realm, burst.group) == Some(id) {
                excuse(&mut self.parties, pending, at, &self.rules);
            }
        }
    }

    /// Whether a loss at `at` says nothing about a phone.
    fn is_excused(&self, at: u64) -> bool {
        let is_after_gap = |gap| at - gap <= AFTER_GAP;
        let is_near = |start: u64| at.abs_diff(start) <= AROUND_START;
        !self.is_live
            || self.gap_at.is_some_and(is_after_gap)
            || self.kamailio_start.is_some_and(is_near)
    }

    fn back_within(&self) -> u64 {
        u64::try_from(self.rules.back_within.as_millis()).unwrap_or(u64::MAX)
    }

    /// Forgets the phones that flap least.
    fn shrink(&mut self, now: u64) {
        let rules = &self.rules;
        self.parties
            .retain(|_, party| !party.score.is_over(now, rules));
        let Some(excess) = self.parties.len().checked_sub(PHONES).filter(|it| *it > 0) else {
            return;
        };
        let mut ranks: Vec<(u64, u64)> = self
            .parties
            .iter()
            .map(|(device, party)| (party.score.rank(now, rules), *device))
            .collect();
        let (lowest, _, _) = ranks.select_nth_unstable(excess);
        for (_, device) in lowest {
            self.parties.remove(device);
        }
    }
}

/// A loss that says nothing about its phone counts nothing.
fn excuse(parties: &mut HashMap<u64, Party>, pending: &mut Pending, at: u64, rules: &config::Flap) {
    correct(parties, pending, at, 0, rules);
    if let Some(party) = parties.get_mut(&pending.device) {
        party.is_excused = true;
    }
}

/// A loss whose phone is back at once counts less.
fn replace(
    parties: &mut HashMap<u64, Party>,
    pending: &mut Pending,
    at: u64,
    rules: &config::Flap,
) {
    correct(parties, pending, at, rules.replaced, rules);
}

/// Makes a loss count `penalty` alone; once.
fn correct(
    parties: &mut HashMap<u64, Party>,
    pending: &mut Pending,
    at: u64,
    penalty: u32,
    rules: &config::Flap,
) {
    let Some(party) = parties.get_mut(&pending.device) else {
        return;
    };
    if std::mem::take(&mut pending.is_counted) {
        party.score.uncount_loss(at);
    }
    let excess = pending.added - f64::from(penalty);
    if excess > 0.0 {
        party.score.subtract(excess, at, rules);
        pending.added = f64::from(penalty);
    }
    if !pending.was_flapping {
        party.score.calm(rules);
    }
}

impl Snapshot {
    /// How much the phone of a registration flaps; `None` where there is nothing to say.
    #[must_use]
    pub fn of(&self, one: &Registration) -> Option<Flap> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&device(&one.binding)).copied()
    }
}

/// A number for the address that a phone's packets come from.
fn source(one: &Registration) -> Option<u64> {
    let source = one.source.as_ref()?;
    Some(xxhash_rust::xxh3::xxh3_64(source.address.host.as_bytes()))
}

fn ruid(ruid: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(ruid)
}

#[cfg(test)]
mod tests;
