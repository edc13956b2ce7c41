//! One phone's score: penalties that decay, whether they make it flap, and its losses by the hour.

use super::Flap;
use crate::config;

const HOUR: u64 = 3_600_000;
const HOURS: usize = 24;

/// A score below this one is none.
const NOTHING: f64 = 10.0;

/// The score of a phone.
#[derive(Clone, Debug, Default)]
pub(super) struct Score {
    /// The sum of the penalties, as it was at [`Self::at`].
    sum: f64,
    at: u64,
    /// Since when it flaps.
    since: Option<u64>,
    /// Losses, each in the place of its hour.
    losses: [u8; HOURS],
    /// The latest hour that has a place.
    hour: u64,
}

impl Score {
    /// Adds a penalty, up to the ceiling; returns what that came to.
    pub(super) fn add(&mut self, penalty: u32, at: u64, rules: &config::Flap) -> f64 {
        if self.flaps_since(at, rules).is_none() {
            self.since = None;
        }
        let former = self.now(at, rules);
        (self.sum, self.at) = (former, at);
        self.sum = (former + f64::from(penalty)).min(f64::from(rules.ceiling).max(former));
        if self.since.is_none() && self.sum >= f64::from(rules.on) {
            self.since = Some(at);
        }
        self.sum - former
    }

    /// Takes back some of what was added at `at`.
    pub(super) fn subtract(&mut self, added: f64, at: u64, rules: &config::Flap) {
        let left = added * decay(self.at.saturating_sub(at), rules);
        self.sum = (self.sum - left).max(0.0);
    }

    /// It does not flap unless its score says so: what made it flap was taken back.
    pub(super) fn calm(&mut self, rules: &config::Flap) {
        if self.sum < f64::from(rules.on) {
            self.since = None;
        }
    }

    /// Adds what an earlier run knows of the same phone.
    pub(super) fn add_earlier(&mut self, earlier: &Self, rules: &config::Flap) {
        self.sum += earlier.now(self.at, rules);
        self.sum = self.sum.min(f64::from(rules.ceiling));
        let since = earlier.flaps_since(self.at, rules);
        self.since = since.or(self.since);
        if self.since.is_none() && self.sum >= f64::from(rules.on) {
            self.since = Some(self.at);
        }
        for back in 0..HOURS as u64 {
            let Some(hour) = earlier.hour.checked_sub(back) else {
                break;
            };
            let count = earlier.losses[place(hour)];
            self.roll(self.hour.max(hour));
            if self.hour - hour < HOURS as u64 {
                let own = &mut self.losses[place(hour)];
                *own = own.saturating_add(count);
            }
        }
    }

    pub(super) fn count_loss(&mut self, at: u64) {
        let hour = at / HOUR;
        self.roll(hour);
        let count = &mut self.losses[place(hour)];
        *count = count.saturating_add(1);
    }

    pub(super) fn uncount_loss(&mut self, at: u64) {
        let count = &mut self.losses[place(at / HOUR)];
        *count = count.saturating_sub(1);
    }

    /// What items show at `now`.
    pub(super) fn flap(&self, now: u64, rules: &config::Flap) -> Flap {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 0 to the ceiling, which fits"
        )]
        let score = (self.now(now, rules) / 100.0).round() as u32 * 100;
        Flap {
            score,
            losses_24h: self.losses(now),
            flapping: self.flaps_since(now, rules).is_some(),
        }
    }

    /// Since when it flaps; `None` where it does not at `now`.
    pub(super) fn flaps_since(&self, now: u64, rules: &config::Flap) -> Option<u64> {
        self.since
            .filter(|_| self.now(now, rules) >= f64::from(rules.off))
    }

    /// Whether the score is this one or higher.
    pub(super) fn at_least(&self, score: u32, now: u64, rules: &config::Flap) -> bool {
        self.now(now, rules) >= f64::from(score)
    }

    /// Whether there is nothing left to remember.
    pub(super) fn is_over(&self, now: u64, rules: &config::Flap) -> bool {
        self.now(now, rules) < NOTHING && self.losses(now) == 0
    }

    /// The order in which phones are worth remembering: by score, then by losses.
    pub(super) fn rank(&self, now: u64, rules: &config::Flap) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 0 to the ceiling, which fits"
        )]
        let score = self.now(now, rules) as u64;
        (score << 16) + u64::from(self.losses(now))
    }

    fn now(&self, now: u64, rules: &config::Flap) -> f64 {
        self.sum * decay(now.saturating_sub(self.at), rules)
    }

    /// The losses of this hour and the 23 before it.
    fn losses(&self, now: u64) -> u32 {
        let hour = (now / HOUR).max(self.hour);
        let old = usize::try_from(hour - self.hour).unwrap_or(HOURS);
        // The places after the latest one are those of the earliest hours.
        let earliest = (1..=HOURS).map(|step| place(self.hour + step as u64));
        let kept = earliest.skip(old.min(HOURS));
        kept.map(|place| u32::from(self.losses[place])).sum()
    }

    /// Makes room for this hour, if it is a new one.
    fn roll(&mut self, hour: u64) {
        if hour <= self.hour {
            return;
        }
        let new = (hour - self.hour).min(HOURS as u64);
        for step in 0..new {
            self.losses[place(hour - step)] = 0;
        }
        self.hour = hour;
    }
}

/// What is left of a penalty after some milliseconds.
fn decay(after: u64, rules: &config::Flap) -> f64 {
    let after = std::time::Duration::from_millis(after);
    let half_lives = after.as_secs_f64() / rules.half_life.as_secs_f64();
    (-half_lives).exp2()
}

fn place(hour: u64) -> usize {
    usize::try_from(hour % HOURS as u64).unwrap_or(0)
}
