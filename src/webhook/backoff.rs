//! When to try again: 1 s after the first failure, twice as long after each further one, an hour at most. Pure.

use std::time::Duration;

/// The pause after the first failure.
const SHORTEST: Duration = Duration::from_secs(1);

/// The longest pause, also where a receiver asks for a longer one.
const LONGEST: Duration = Duration::from_hours(1);

/// The failures of one message.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after another failure. `jitter`, any number, makes it up to a half longer, so that many hooks of one
    /// receiver do not come back at once; a longer one that the receiver has asked for counts.
    pub(super) fn failed(&mut self, jitter: u32, asked: Option<Duration>) -> Duration {
        let doubled = SHORTEST.saturating_mul(1 << self.failures.min(12));
        self.failures = self.failures.saturating_add(1);
        let share = f64::from(jitter) / f64::from(u32::MAX) / 2.0;
        let pause = doubled.min(LONGEST).mul_f64(1.0 + share);
        pause.max(asked.unwrap_or_default()).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_from_a_second_to_an_hour() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u64> = (0..14).map(|_| backoff.failed(0, None).as_secs()).collect();
        let expected = [
            1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600,
        ];
        assert_eq!(pauses, expected);
        for _ in 0..100 {
            assert_eq!(backoff.failed(u32::MAX, None), LONGEST);
        }
    }

    #[test]
    fn jitter_adds_up_to_a_half() {
        let pause = |jitter| Backoff::default().failed(jitter, None);
        assert_eq!(pause(u32::MAX), Duration::from_millis(1500));
        let middle = pause(u32::MAX / 2);
        assert!(middle > Duration::from_millis(1240) && middle < Duration::from_millis(1260));
    }

    #[test]
    fn what_the_receiver_asks_for_counts_within_bounds() {
        let asked = |seconds| Backoff::default().failed(0, Some(Duration::from_secs(seconds)));
        assert_eq!(asked(0), SHORTEST);
        assert_eq!(asked(120), Duration::from_mins(2));
        assert_eq!(asked(1_000_000), LONGEST);
    }
}
