//! Time: the injected clock, and the arithmetic between the calendars that the tables and the API use.
//!
//! Kamailio's SQLite driver stores Julian days, Kazoo speaks Gregorian seconds, everything else here is Unix
//! time. The rest of the program asks a [`Clock`] and never the system, so that tests can set the time.

use std::fmt::Debug;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The Gregorian second (seconds since year 0, as Erlang and Kazoo count) of the Unix epoch.
pub const GREGORIAN_EPOCH: i64 = 62_167_219_200;

/// The Julian day of the Unix epoch.
pub const JULIAN_EPOCH: f64 = 2_440_587.5;

const SECONDS_PER_DAY: f64 = 86_400.0;

/// A source of time.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Time since the Unix epoch; zero should the system clock stand before it.
    fn unix(&self) -> Duration;

    /// Time since an arbitrary fixed moment; never goes back.
    fn monotonic(&self) -> Duration;

    /// Whole seconds since the Unix epoch.
    fn unix_seconds(&self) -> i64 {
        i64::try_from(self.unix().as_secs()).unwrap_or(i64::MAX)
    }
}

/// The clocks of the operating system.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

/// A clock that stands still until it is told to move.
#[derive(Debug, Default)]
pub struct ManualClock {
    now: Mutex<(Duration, Duration)>,
}

impl SystemClock {
    /// A clock whose monotonic time starts at zero now.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that asks the system"
    )]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that asks the system"
    )]
    fn unix(&self) -> Duration {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

impl ManualClock {
    /// A clock that shows `unix` seconds.
    #[must_use]
    pub fn at(unix: u64) -> Self {
        Self {
            now: Mutex::new((Duration::from_secs(unix), Duration::ZERO)),
        }
    }

    /// Moves both times on by `by`.
    ///
    /// # Panics
    /// When another thread has panicked while it moved the clock.
    pub fn advance(&self, by: Duration) {
        let mut now = self.now.lock().expect("no one panics while holding it");
        now.0 += by;
        now.1 += by;
    }

    /// Steps the wall clock to `unix` seconds; monotonic time goes on as it was.
    ///
    /// # Panics
    /// When another thread has panicked while it moved the clock.
    pub fn step_to(&self, unix: u64) {
        self.now.lock().expect("no one panics while holding it").0 = Duration::from_secs(unix);
    }
}

impl Clock for ManualClock {
    fn unix(&self) -> Duration {
        self.now.lock().expect("no one panics while holding it").0
    }

    fn monotonic(&self) -> Duration {
        self.now.lock().expect("no one panics while holding it").1
    }
}

/// The Gregorian second of a Unix second.
#[must_use]
pub fn gregorian(unix: i64) -> i64 {
    unix.saturating_add(GREGORIAN_EPOCH)
}

/// The Unix second that Kamailio's `db_sqlite` stored as the Julian day `day`.
///
/// The driver writes `(t - 0.5) / 86400 + 2440587.5`; the half second is taken back and the rest rounded, because
/// a double has not enough digits for truncation (`db_sqlite/dbase.c`).
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    reason = "saturates, which is what an absurd date deserves"
)]
pub fn unix_of_julian_day(day: f64) -> i64 {
    ((day - JULIAN_EPOCH) * SECONDS_PER_DAY + 0.5).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn permanent_contact_is_second_zero() {
        assert_eq!(unix_of_julian_day(2_440_587.499_994_212), 0);
    }

    #[test]
    fn the_seeds_event_timestamp_is_a_day_in_2014() {
        assert_eq!(gregorian(1_414_102_166), 63_581_321_366);
    }

    proptest! {
        #[test]
        fn every_second_survives_the_julian_day(unix in 0_i64..4_102_444_800) {
            #[expect(clippy::cast_precision_loss, reason = "as the driver does")]
            let day = (unix as f64 - 0.5) / SECONDS_PER_DAY + JULIAN_EPOCH;
            prop_assert_eq!(unix_of_julian_day(day), unix);
        }
    }
}
