//! How well the registry is known to equal Kamailio's tables.

use std::time::Duration;

/// The state of the knowledge about Kamailio's tables.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum SourceState {
    /// The registry follows the tables.
    Live,
    /// The tables can be read, and are being compared with the registry row by row.
    CatchingUp,
    /// The tables cannot be read now; the registry has the last known rows.
    Stale,
    /// The tables have never been read.
    #[default]
    Unavailable,
}

/// What the mirror says about the source of the registry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Source {
    /// Its state.
    pub state: SourceState,
    /// The last moment (since the Unix epoch) at which the registry was known to equal the tables; `None` where
    /// that never was so.
    pub as_of: Option<Duration>,
}

/// What is known about the source of the registry at the moment of asking.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Freshness {
    /// The state; a mirror that hangs follows nothing.
    pub state: SourceState,
    /// See [`Source::as_of`].
    pub as_of: Option<Duration>,
    /// How long ago that was, whatever the wall clock has done since.
    pub lag: Option<Duration>,
}

/// What the mirror has said last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReportedSource {
    source: Source,
    /// How old `as_of` was when it was said, and when that was, on the monotonic clock.
    age: (Duration, Duration),
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

impl ReportedSource {
    /// Takes over what is said at `unix` of the wall clock and `monotonic` of the other.
    pub(super) fn replace(&mut self, source: Source, unix: Duration, monotonic: Duration) {
        if let Some(as_of) = source.as_of
            && source.as_of != self.source.as_of
        {
            self.age = (unix.saturating_sub(as_of), monotonic);
        }
        self.source = source;
    }

    /// What the mirror says.
    pub(super) fn source(&self) -> Source {
        self.source
    }

    /// What that means at `monotonic`, where the mirror may hang.
    pub(super) fn at(&self, monotonic: Duration, hung: bool) -> Freshness {
        let Source { state, as_of } = self.source;
        let (age, at) = self.age;
        let state = match state {
            SourceState::Live | SourceState::CatchingUp if hung => SourceState::Stale,
            state => state,
        };
        Freshness {
            state,
            as_of,
            lag: as_of.map(|_| age + monotonic.saturating_sub(at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn said(as_of: u64, unix: u64, monotonic: u64) -> ReportedSource {
        let mut said = ReportedSource::default();
        let (state, as_of) = (SourceState::Live, Some(at(as_of)));
        said.replace(Source { state, as_of }, at(unix), at(monotonic));
        said
    }

    #[test]
    fn lag_grows_with_the_monotonic_clock() {
        let said = said(998, 1000, 5);
        assert_eq!(said.at(at(5), false).lag, Some(at(2)));
        // Whatever the wall clock shows by then.
        assert_eq!(said.at(at(25), false).lag, Some(at(22)));
    }

    #[test]
    fn lag_goes_on_while_the_same_moment_is_said_again() {
        let mut said = said(998, 1000, 5);
        let stale = Source {
            state: SourceState::Stale,
            ..said.source()
        };
        said.replace(stale, at(500), at(15));
        assert_eq!(said.at(at(15), false).lag, Some(at(12)));
        assert_eq!(said.at(at(15), false).state, SourceState::Stale);
    }

    #[test]
    fn a_mirror_that_hangs_is_not_live() {
        let mut said = said(998, 1000, 5);
        assert_eq!(said.at(at(15), true).state, SourceState::Stale);
        assert_eq!(said.at(at(15), false).state, SourceState::Live);
        let never = Source::default();
        said.replace(never, at(1000), at(15));
        assert_eq!(said.at(at(15), true), Freshness::default());
    }
}
