//! How well the registry is known to equal Kamailio's tables.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Registry, Writer};
use crate::heartbeat::Heartbeat;

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

/// What the pipeline reports about the source of the registry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SourceReport {
    /// Its state.
    pub state: SourceState,
    /// The last moment (since the Unix epoch) at which the registry was known to equal the tables; `None` where
    /// that never was so.
    pub as_of: Option<Duration>,
}

/// What is known about the source of the registry at the moment of asking.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Freshness {
    /// The state; a source that hangs follows nothing.
    pub state: SourceState,
    /// See [`SourceReport::as_of`].
    pub as_of: Option<Duration>,
    /// How long ago that was, whatever the wall clock has done since.
    pub lag: Option<Duration>,
}

/// What was reported last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReportedSource {
    source: SourceReport,
    /// How old `as_of` was when it was reported, and when that was, on the monotonic clock.
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
    /// Takes over what is reported at `unix` of the wall clock and `monotonic` of the other.
    pub(super) fn replace(&mut self, source: SourceReport, unix: Duration, monotonic: Duration) {
        if let Some(as_of) = source.as_of
            && source.as_of != self.source.as_of
        {
            self.age = (unix.saturating_sub(as_of), monotonic);
        }
        self.source = source;
    }

    pub(super) fn source(&self) -> SourceReport {
        self.source
    }

    /// What that means at `monotonic`, where the source may hang.
    pub(super) fn at(&self, monotonic: Duration, hung: bool) -> Freshness {
        let SourceReport { state, as_of } = self.source;
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

impl Registry {
    /// How well the registry is known to equal Kamailio's tables.
    #[must_use]
    pub fn source(&self) -> Freshness {
        let monotonic = self.clock.monotonic();
        let is_hung = self.heartbeat.is_hung(monotonic);
        self.reported().source.at(monotonic, is_hung)
    }

    /// How well what can be [answered](Self::wait_for) now is known to equal them; that may be some accounts.
    #[must_use]
    pub fn source_of_answers(&self) -> Freshness {
        let preload = self.content().preload.as_ref().and_then(|one| one.source);
        preload.map_or_else(
            || self.source(),
            |reported| reported.at(self.clock.monotonic(), false),
        )
    }

    /// What was [reported](Writer::report) last; whether the source hangs since does not matter.
    #[must_use]
    pub fn reported_source(&self) -> SourceReport {
        self.reported().source.source()
    }

    /// Whether Kamailio has still to be asked about what a flush was about to remove when an earlier run ended.
    #[must_use]
    pub fn has_intents(&self) -> bool {
        !self.reported().intents.is_empty()
    }

    /// Whether every row of the tables has been read since the start: a row that is not here is not in them.
    #[must_use]
    pub fn is_compared(&self) -> bool {
        self.reported().compared
    }

    /// Waits until [every row has been read](Self::is_compared).
    pub async fn compared(&self) {
        let mut progress = self.progress.subscribe();
        while !self.is_compared() {
            // The sender lives as long as the registry.
            let _ = progress.changed().await;
        }
    }

    /// The file of Kamailio's tables, once it is known.
    #[must_use]
    pub fn source_file(&self) -> Option<PathBuf> {
        self.reported().file.clone()
    }

    /// Why the tables cannot be read now.
    #[must_use]
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.reported().trouble.clone()
    }

    /// Shows whether the source is at work: once it has begun to beat and does not go on, the registry is stale.
    #[must_use]
    pub fn heartbeat(&self) -> &Arc<Heartbeat> {
        &self.heartbeat
    }
}

impl Writer {
    /// Reports how well the registry is known to equal Kamailio's tables; to be called after the rows are applied.
    pub fn report(&self, mut source: SourceReport) {
        let (unix, monotonic) = (self.clock.unix(), self.clock.monotonic());
        let former = {
            let mut reported = self.reported();
            if source.state == SourceState::Live && !std::mem::replace(&mut reported.compared, true)
            {
                self.progress.send_replace(());
            }
            if !reported.intents.is_empty() && source.state == SourceState::Live {
                source.state = SourceState::CatchingUp;
            }
            let former = reported.source.source();
            reported.source.replace(source, unix, monotonic);
            former
        };
        let is_loading = source.state == SourceState::Unavailable;
        if is_loading != (former.state == SourceState::Unavailable) {
            self.content_to_change().is_loading = is_loading;
            self.news.send_replace(());
        }
        if source.state == SourceState::Live {
            self.startup.over.store(true, Ordering::Release);
        }
    }

    /// Reports which file Kamailio's tables are read from.
    pub fn report_file(&self, file: PathBuf) {
        self.reported().file = Some(file);
    }

    /// Reports why the tables cannot be read, for an operator, without naming a file; `None` where they can be.
    pub fn report_trouble(&self, trouble: Option<String>) {
        self.reported().trouble = trouble.map(Into::into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn reported(as_of: u64, unix: u64, monotonic: u64) -> ReportedSource {
        let mut reported = ReportedSource::default();
        let (state, as_of) = (SourceState::Live, Some(at(as_of)));
        reported.replace(SourceReport { state, as_of }, at(unix), at(monotonic));
        reported
    }

    #[test]
    fn lag_grows_with_the_monotonic_clock() {
        let reported = reported(998, 1000, 5);
        assert_eq!(reported.at(at(5), false).lag, Some(at(2)));
        // Whatever the wall clock shows by then.
        assert_eq!(reported.at(at(25), false).lag, Some(at(22)));
    }

    #[test]
    fn lag_goes_on_while_the_same_moment_is_reported_again() {
        let mut reported = reported(998, 1000, 5);
        let stale = SourceReport {
            state: SourceState::Stale,
            ..reported.source()
        };
        reported.replace(stale, at(500), at(15));
        assert_eq!(reported.at(at(15), false).lag, Some(at(12)));
        assert_eq!(reported.at(at(15), false).state, SourceState::Stale);
    }

    #[test]
    fn a_source_that_hangs_is_not_live() {
        let mut reported = reported(998, 1000, 5);
        assert_eq!(reported.at(at(15), true).state, SourceState::Stale);
        assert_eq!(reported.at(at(15), false).state, SourceState::Live);
        let never = SourceReport::default();
        reported.replace(never, at(1000), at(15));
        assert_eq!(reported.at(at(15), true), Freshness::default());
    }
}
