//! `[history.flap]` and `[history.burst]`: from when on a phone flaps, and what makes a burst of losses.

use std::time::Duration;

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
            within: Duration::from_secs(60),
        }
    }
}
