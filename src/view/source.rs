//! How well the view is known to equal Kamailio's tables.

use std::time::Duration;

/// The state of the knowledge about Kamailio's tables.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum SourceState {
    /// The view follows the tables.
    Live,
    /// The tables can be read, and are being compared with the view row by row.
    CatchingUp,
    /// The tables cannot be read now; the view has the last known rows.
    Stale,
    /// The tables have never been read.
    #[default]
    Unavailable,
}

/// What is known about the source of the view.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Source {
    /// Its state.
    pub state: SourceState,
    /// The last moment (since the Unix epoch) at which the view was known to equal the tables; `None` where
    /// that never was so.
    pub as_of: Option<Duration>,
}

impl SourceState {
    /// The name in answers and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::CatchingUp => "catching_up",
            Self::Stale => "stale",
            Self::Unavailable => "unavailable",
        }
    }
}

impl Source {
    /// How long ago, at `now`, the view was last known to equal the tables.
    #[must_use]
    pub fn lag(&self, now: Duration) -> Option<Duration> {
        self.as_of.map(|as_of| now.saturating_sub(as_of))
    }
}
