//! How much a client may take: connections, bytes and time, and token buckets by client address and by token.
//!
//! Memory is bounded: buckets that are full again are forgotten once there are many, and a client that comes when
//! there is room for no more shares one bucket with the others like it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use xxhash_rust::xxh3::xxh3_64;

use super::peer::Origin;
use crate::clock::Clock;
use crate::config::{self, Bucket};

/// Buckets of one kind that are kept at most.
const MAX_BUCKETS: usize = 50_000;

/// How many checks pass before the number of buckets is looked at.
const LOOK_EVERY: usize = 1024;

/// The buckets of all clients, and what each connection may take.
#[derive(Debug)]
pub struct Limits {
    requests: Option<Buckets>,
    deletes: Option<Buckets>,
    failures: Option<Buckets>,
    /// Connections at a time.
    pub(super) connections: usize,
    /// Bytes of a request's body.
    pub(super) body_bytes: usize,
    /// How long a request's header may take, and then its body.
    pub(super) header_timeout: Duration,
}

/// Whose bucket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Key {
    /// A client's.
    Client(Origin),
    /// A token's, by a hash of its name.
    Token(u64),
    /// All those for whom there was no room.
    Rest,
}

/// When there is something in the bucket again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Empty {
    pub(super) retry_after: Duration,
}

/// The injected clock, as the buckets see it.
#[derive(Clone, Debug)]
struct Ticks(Arc<dyn Clock>);

type Limiter = RateLimiter<Key, DashMapStateStore<Key>, Ticks, NoOpMiddleware<Duration>>;

#[derive(Debug)]
struct Buckets {
    limiter: Limiter,
    clock: Ticks,
    checks: AtomicUsize,
    crowded: std::sync::atomic::AtomicBool,
}

impl Limits {
    /// Buckets of these sizes, all full.
    #[must_use]
    pub fn new(limits: &config::Limits, clock: &Arc<dyn Clock>) -> Self {
        Self {
            requests: Buckets::new(limits.requests, clock),
            deletes: Buckets::new(limits.deletes, clock),
            failures: Buckets::new(limits.failures, clock),
            connections: limits.connections,
            body_bytes: limits.body_bytes,
            header_timeout: limits.header_timeout,
        }
    }

    /// Takes a request out of its bucket.
    pub(super) fn request(&self, key: Key) -> Result<(), Empty> {
        self.requests.as_ref().map_or(Ok(()), |all| all.take(key))
    }

    /// Takes a flush out of its bucket.
    pub(super) fn delete(&self, key: Key) -> Result<(), Empty> {
        self.deletes.as_ref().map_or(Ok(()), |all| all.take(key))
    }

    /// Takes a refused token out of its bucket.
    pub(super) fn failure(&self, key: Key) -> Result<(), Empty> {
        self.failures.as_ref().map_or(Ok(()), |all| all.take(key))
    }
}

impl Key {
    /// The bucket of the token with this name.
    pub(super) fn token(name: &str) -> Self {
        Self::Token(xxh3_64(name.as_bytes()))
    }
}

impl Buckets {
    /// `None` where the size switches them off.
    fn new(size: Bucket, clock: &Arc<dyn Clock>) -> Option<Self> {
        let period = Duration::try_from_secs_f64(size.per_second.recip()).ok()?;
        let quota = Quota::with_period(period.max(Duration::from_nanos(1)))?
            .allow_burst(NonZeroU32::new(size.burst).unwrap_or(NonZeroU32::MIN));
        let clock = Ticks(Arc::clone(clock));
        Some(Self {
            limiter: RateLimiter::new(quota, DashMapStateStore::default(), clock.clone()),
            clock,
            checks: AtomicUsize::new(0),
            crowded: false.into(),
        })
    }

    fn take(&self, key: Key) -> Result<(), Empty> {
        if self
            .checks
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(LOOK_EVERY)
        {
            self.tidy();
        }
        let is_crowded = self.crowded.load(Ordering::Relaxed);
        let key = if is_crowded { Key::Rest } else { key };
        self.limiter.check_key(&key).map_err(|not_until| Empty {
            retry_after: not_until.wait_time_from(self.clock.now()),
        })
    }

    fn tidy(&self) {
        if self.limiter.len() > MAX_BUCKETS {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        let crowded = self.limiter.len() > MAX_BUCKETS;
        self.crowded.store(crowded, Ordering::Relaxed);
    }
}

impl GovernorClock for Ticks {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.monotonic()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn buckets(burst: u32, per_second: f64) -> (Option<Buckets>, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(1));
        let shared: Arc<dyn Clock> = Arc::clone(&clock) as _;
        (Buckets::new(Bucket { burst, per_second }, &shared), clock)
    }

    fn client(number: u32) -> Key {
        Key::Client(Origin::Host(std::net::Ipv4Addr::from_bits(number).into()))
    }

    #[test]
    fn a_bucket_empties_and_fills_by_itself() {
        let (buckets, clock) = buckets(2, 0.2);
        let buckets = buckets.unwrap();
        assert_eq!(buckets.take(client(1)), Ok(()));
        assert_eq!(buckets.take(client(1)), Ok(()));
        let retry_after = Duration::from_secs(5);
        assert_eq!(buckets.take(client(1)), Err(Empty { retry_after }));
        assert_eq!(buckets.take(client(2)), Ok(()));
        clock.advance(retry_after);
        assert_eq!(buckets.take(client(1)), Ok(()));
    }

    #[test]
    fn zero_switches_off() {
        assert!(buckets(1, 0.0).0.is_none());
    }

    #[test]
    fn buckets_are_bounded_and_forgotten() {
        let (buckets, clock) = buckets(2, 1.0);
        let buckets = buckets.unwrap();
        for number in 0..200_000 {
            let _ = buckets.take(client(number));
        }
        assert!(buckets.limiter.len() <= MAX_BUCKETS + LOOK_EVERY);
        clock.advance(Duration::from_secs(10));
        for _ in 0..=LOOK_EVERY {
            clock.advance(Duration::from_secs(1));
            let _ = buckets.take(client(7));
        }
        assert!(buckets.limiter.len() < 10);
        assert_eq!(buckets.take(client(8)), Ok(()));
    }
}
