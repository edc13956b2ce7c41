//! Finds bursts: many phones of one group that are lost within a short time.
//!
//! Pure: events go in with their times, bursts come out. Every phone that is listed is counted in its groups, so that
//! the share of a group that was lost is known at once.

use std::collections::HashMap;
use std::sync::Arc;

use super::group::{Groups, Realm, phone};
use super::open::{OpenBursts, needed};
use super::recent::Recent;
use super::{Audience, Burst, Event, Group, Happening, Kind, Reason, What};
use crate::config;
use crate::registration::Registration;

/// Losses that are looked at together, at most.
const LOSSES: usize = 1 << 20;

/// Finds bursts in the events of a log, each once.
#[derive(Debug)]
pub struct Bursts {
    rules: config::Burst,
    back_within: u64,
    /// How many phones a group has now, by its number.
    listed: HashMap<u64, u32>,
    /// What was lost of late and belongs to no burst, by phone.
    losses: Recent<Loss>,
    /// How many of these a group has, by its number.
    lost: HashMap<u64, Lost>,
    open: OpenBursts,
    last: u64,
}

/// A phone that was lost.
#[derive(Debug)]
struct Loss {
    groups: Groups,
    /// It is listed again.
    is_back: bool,
    /// A burst of the system has it.
    in_system: bool,
    /// A burst of its account has it.
    in_account: bool,
}

/// Phones of a group that were lost of late.
#[derive(Clone, Copy, Default, Debug)]
struct Lost {
    phones: u32,
    /// Those that are not back.
    away: u32,
}

impl Bursts {
    /// A finder that knows of no phone yet.
    #[must_use]
    pub fn new(rules: config::Burst, flap: &config::Flap) -> Self {
        Self {
            rules,
            back_within: u64::try_from(flap.back_within.as_millis()).unwrap_or(u64::MAX),
            listed: HashMap::new(),
            losses: Recent::with_capacity(LOSSES),
            lost: HashMap::new(),
            open: OpenBursts::default(),
            last: 0,
        }
    }

    /// Counts what is listed now, whatever was counted before.
    pub fn recount<'a>(&mut self, listed: impl Iterator<Item = &'a Arc<Registration>>) {
        self.listed.clear();
        listed.for_each(|one| self.count(one, true));
    }

    /// Takes an event into account; returns the bursts that it makes.
    pub fn see(&mut self, event: &Event) -> Vec<Burst> {
        let What::Registration(happening) = &event.what else {
            return Vec::new();
        };
        if happening.audience == Audience::Account {
            return Vec::new();
        }
        // Where the clock was set back, time stands still.
        let at = event.at.max(self.last);
        self.last = at;
        self.forget_old(at);
        let one = &happening.registration;
        match happening.kind {
            Kind::Registered => {
                self.count(one, true);
                self.back(one, at);
            }
            Kind::Moved | Kind::Changed | Kind::Refreshed => {
                if let Some(former) = &happening.former
                    && Groups::of(former) != Groups::of(one)
                {
                    self.count(former, false);
                    self.count(one, true);
                }
            }
            Kind::Terminated(reason) => {
                self.count(one, false);
                if matches!(reason, Reason::Expired | Reason::Removed) {
                    return self.lose(happening, at);
                }
            }
        }
        Vec::new()
    }

    fn count(&mut self, one: &Registration, is_listed: bool) {
        if is_further_flow(one) {
            return;
        }
        for id in Groups::of(one).ids() {
            let count = self.listed.entry(id).or_default();
            if is_listed {
                *count = count.saturating_add(1);
            } else {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.listed.remove(&id);
                }
            }
        }
    }

    /// A phone that is back so soon was not lost.
    fn back(&mut self, one: &Registration, at: u64) {
        let phone = phone(&one.binding);
        let Some((lost_at, loss)) = self.losses.get_mut(phone) else {
            return;
        };
        if at - lost_at <= self.back_within && !loss.in_system && !loss.in_account {
            if let Some(loss) = self.losses.remove(phone) {
                self.uncount(&loss);
            }
        } else if !std::mem::replace(&mut loss.is_back, true) {
            for id in loss.open_ids().collect::<Vec<_>>() {
                if let Some(lost) = self.lost.get_mut(&id) {
                    lost.away = lost.away.saturating_sub(1);
                }
            }
        }
    }

    fn lose(&mut self, happening: &Happening, at: u64) -> Vec<Burst> {
        let one = &happening.registration;
        if is_further_flow(one) {
            return Vec::new();
        }
        let phone = phone(&one.binding);
        if let Some(former) = self.losses.remove(phone) {
            self.uncount(&former);
        }
        let groups = Groups::of(one);
        let mut claim = |realm| self.open.claim(&groups, realm, at, &self.rules);
        let loss = Loss {
            groups,
            is_back: false,
            in_system: claim(Realm::System),
            in_account: claim(Realm::Account),
        };
        // What can never be part of a burst is not kept.
        let mut is_kept = false;
        for id in loss.open_ids() {
            let count = self.lost.entry(id).or_default();
            count.phones += 1;
            count.away += 1;
            is_kept |= self.of(id) >= self.rules.losses;
        }
        if !is_kept {
            self.uncount(&loss);
            return Vec::new();
        }
        if let Some(first) = self.losses.insert(phone, at, loss) {
            self.uncount(&first);
        }
        let realms = [Realm::System, Realm::Account];
        let found = realms.map(|realm| self.find(realm, one, &groups, at));
        found.into_iter().flatten().collect()
    }

    /// How many phones a group had, those included that were lost of late.
    fn of(&self, id: u64) -> u32 {
        let listed = self.listed.get(&id).copied().unwrap_or(0);
        let lost = self.lost.get(&id).copied().unwrap_or_default();
        listed.saturating_add(lost.away).max(lost.phones)
    }

    /// The burst of the smallest group that has enough losses now.
    fn find(
        &mut self,
        realm: Realm,
        one: &Registration,
        groups: &Groups,
        at: u64,
    ) -> Option<Burst> {
        let qualifies = |group: &Group| {
            let id = groups.id(realm, *group)?;
            let (of, lost) = (self.of(id), self.lost.get(&id)?.phones);
            (lost >= needed(of, &self.rules)).then_some((*group, id, of))
        };
        let found = Group::ALL.iter().filter_map(qualifies);
        let (group, id, of) = found.min_by_key(|(_, _, of)| *of)?;
        let (lost, from) = self.take(realm, group, id);
        let account = one.account_id.clone();
        let burst = Burst {
            account: account.filter(|_| realm == Realm::Account),
            group,
            value: group.value(one)?.into(),
            lost,
            of: u64::from(of),
            from: from.unwrap_or(at),
            to: at,
        };
        self.open.begin(&burst);
        Some(burst)
    }

    /// Takes the losses of a group for a burst: how many there are, and when the first was.
    fn take(&mut self, realm: Realm, group: Group, id: u64) -> (u64, Option<u64>) {
        let (mut count, mut first) = (0, None);
        for (at, loss) in self.losses.iter_mut() {
            let is_taken = match realm {
                Realm::System => &mut loss.in_system,
                Realm::Account => &mut loss.in_account,
            };
            if *is_taken || loss.groups.id(realm, group) != Some(id) {
                continue;
            }
            *is_taken = true;
            count += 1;
            first = Some(first.map_or(at, |first: u64| first.min(at)));
            let is_back = loss.is_back;
            for id in ids_in(&loss.groups, realm) {
                subtract(&mut self.lost, id, is_back);
            }
        }
        (count, first)
    }

    fn forget_old(&mut self, now: u64) {
        let within = u64::try_from(self.rules.within.as_millis()).unwrap_or(u64::MAX);
        while let Some(loss) = self.losses.remove_before(now.saturating_sub(within)) {
            self.uncount(&loss);
        }
    }

    /// Takes a loss out of the groups that count it.
    fn uncount(&mut self, loss: &Loss) {
        for id in loss.open_ids() {
            subtract(&mut self.lost, id, loss.is_back);
        }
    }
}

impl Loss {
    /// The numbers of the groups that count it: no burst of theirs has it.
    fn open_ids(&self) -> impl Iterator<Item = u64> {
        let realms = [
            (Realm::System, self.in_system),
            (Realm::Account, self.in_account),
        ];
        let open = realms.into_iter().filter(|(_, is_taken)| !is_taken);
        let groups = self.groups;
        open.flat_map(move |(realm, _)| ids_in(&groups, realm))
    }
}

fn ids_in(groups: &Groups, realm: Realm) -> impl Iterator<Item = u64> + use<> {
    let groups = *groups;
    Group::ALL
        .into_iter()
        .filter_map(move |group| groups.id(realm, group))
}

fn subtract(lost: &mut HashMap<u64, Lost>, id: u64, is_back: bool) {
    let Some(count) = lost.get_mut(&id) else {
        return;
    };
    count.phones = count.phones.saturating_sub(1);
    count.away = count.away.saturating_sub(u32::from(!is_back));
    if count.phones == 0 {
        lost.remove(&id);
    }
}

/// Whether a phone has it beside another one: a second flow of RFC 5626.
fn is_further_flow(one: &Registration) -> bool {
    one.binding.reg_id.is_some_and(|reg_id| reg_id.get() > 1)
}

#[cfg(test)]
mod tests;
