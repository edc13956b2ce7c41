//! Bursts that go on: which losses still belong to one.

use std::collections::{HashMap, VecDeque};

use super::Burst;
use super::Group;
use super::group::{Groups, Realm, group_id};
use crate::config;

/// The bursts that go on, by the number of their group.
#[derive(Debug, Default)]
pub(super) struct OpenBursts(HashMap<u64, Open>);

/// A burst goes on while half as many phones are lost as would make those that are left one.
#[derive(Debug)]
struct Open {
    /// Phones of the group that are left.
    left: u32,
    /// Losses of late by the second.
    seconds: VecDeque<(u64, u32)>,
    lost: u32,
}

impl OpenBursts {
    /// Notes that a burst has begun.
    pub(super) fn begin(&mut self, burst: &Burst) {
        let lost = u32::try_from(burst.lost).unwrap_or(u32::MAX);
        let of = u32::try_from(burst.of).unwrap_or(u32::MAX);
        let open = Open {
            left: of.saturating_sub(lost),
            seconds: VecDeque::from([(burst.to / 1000, lost)]),
            lost,
        };
        let id = group_id(burst.account.as_deref(), burst.group, &burst.value);
        self.0.insert(id, open);
    }

    /// Whether a phone that is lost at `at` is lost in a burst of the realm; if it is, the burst has one more.
    pub(super) fn claim(
        &mut self,
        groups: &Groups,
        realm: Realm,
        at: u64,
        rules: &config::Burst,
    ) -> bool {
        if self.0.is_empty() {
            return false;
        }
        self.0.retain(|_, open| open.goes_on(at / 1000, rules));
        let mut ids = Group::ALL.iter().filter_map(|it| groups.id(realm, *it));
        let Some(open) = ids.find(|id| self.0.contains_key(id)) else {
            return false;
        };
        if let Some(open) = self.0.get_mut(&open) {
            open.add(at / 1000);
        }
        true
    }
}

impl Open {
    fn goes_on(&mut self, second: u64, rules: &config::Burst) -> bool {
        let within = rules.within.as_secs();
        while let Some((at, count)) = self.seconds.front()
            && at.saturating_add(within) < second
        {
            self.lost -= count;
            self.seconds.pop_front();
        }
        self.lost >= needed(self.left, rules) / 2
    }

    fn add(&mut self, second: u64) {
        self.lost = self.lost.saturating_add(1);
        self.left = self.left.saturating_sub(1);
        match self.seconds.back_mut() {
            Some((at, count)) if *at >= second => *count += 1,
            _ => self.seconds.push_back((second, 1)),
        }
    }
}

/// How many of `of` phones make a burst.
pub(super) fn needed(of: u32, rules: &config::Burst) -> u32 {
    let share = (f64::from(of) * rules.share).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a number of phones is not negative, and saturates"
    )]
    let share = share as u32;
    rules.losses.max(share)
}
