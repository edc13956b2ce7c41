//! `[history.flap]` and `[history.burst]`: from when on a phone flaps, and what makes a burst of losses.

use std::time::Duration;

use super::{Config, History, duration, values};
use crate::document::{Findings, Item, Reader, Value};

/// When a phone flaps: a penalty for each loss, which decays (RFC 2439), with the thresholds of RFC 7196.
#[derive(Clone, PartialEq, Debug)]
pub struct Flap {
    /// In this time half of a penalty is gone; more than zero.
    pub half_life: Duration,
    /// For a registration that expired or was removed.
    pub loss: u32,
    /// For another source address than before.
    pub moved: u32,
    /// For one whose successor came within [`Self::back_within`].
    pub replaced: u32,
    /// No score is higher.
    pub ceiling: u32,
    /// A phone flaps from this score on; at most the ceiling.
    pub on: u32,
    /// It no longer does below this one; less than `on`.
    pub off: u32,
    /// A phone that is back so soon was not lost.
    pub back_within: Duration,
    /// A phone is unstable from so many losses in 24 hours on.
    pub unstable: u32,
}

/// How many losses make a burst.
#[derive(Clone, PartialEq, Debug)]
pub struct Burst {
    /// So many different phones of a group, at least 2.
    pub losses: u32,
    /// And this share of those that the group had; more than 0, at most 1.
    pub share: f64,
    /// Within this time.
    pub within: Duration,
}

impl Default for Flap {
    fn default() -> Self {
        Self {
            half_life: Duration::from_mins(30),
            loss: 1000,
            moved: 500,
            replaced: 250,
            ceiling: 6000,
            on: 3000,
            off: 750,
            back_within: Duration::from_secs(5),
            unstable: 6,
        }
    }
}

impl Default for Burst {
    fn default() -> Self {
        Self {
            losses: 20,
            share: 0.2,
            within: Duration::from_mins(1),
        }
    }
}

/// Reads both sections; `table` is `[history]`.
pub(super) fn apply(into: &mut History, table: &mut Reader<'_>) {
    table.table("flap", |table| flap(&mut into.flap, table));
    table.table("burst", |table| {
        let burst = &mut into.burst;
        table.set("losses", &mut burst.losses, |item| number(item, 2));
        table.set("share", &mut burst.share, values::share);
        table.set("within", &mut burst.within, duration::duration);
    });
}

fn flap(into: &mut Flap, table: &mut Reader<'_>) {
    let penalty = |item: &Item| number(item, 0);
    table.set("half_life", &mut into.half_life, duration::duration);
    table.set("loss", &mut into.loss, penalty);
    table.set("moved", &mut into.moved, penalty);
    table.set("replaced", &mut into.replaced, penalty);
    table.set("ceiling", &mut into.ceiling, |item| number(item, 1));
    table.set("on", &mut into.on, |item| number(item, 1));
    table.set("off", &mut into.off, penalty);
    table.set("back_within", &mut into.back_within, duration::duration);
    table.set("unstable", &mut into.unstable, |item| number(item, 1));
}

/// A whole number from `least` to a million.
fn number(item: &Item, least: u32) -> Result<u32, String> {
    const MOST: u32 = 1_000_000;
    let Value::Integer(number) = item.value else {
        return Err(item.expected("a whole number"));
    };
    u32::try_from(number)
        .ok()
        .filter(|number| (least..=MOST).contains(number))
        .ok_or_else(|| format!("{number} is out of range; use {least} to {MOST}"))
}

/// Reports thresholds that contradict each other.
pub(super) fn check(config: &Config, findings: &mut Findings) {
    let flap = &config.history.flap;
    if flap.on > flap.ceiling {
        findings.report_key(
            "history.flap.on",
            "no phone would ever flap; make `on` at most `ceiling`",
        );
    }
    if flap.off >= flap.on {
        findings.report_key("history.flap.off", "`off` must be less than `on`");
    }
}
