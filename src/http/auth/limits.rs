//! Limits for clients: connections, bytes, time, and token buckets, one for each pair of token and client address.
//!
//! Callers with a good token never share a bucket with callers without one, so that nobody can get a good token refused.
//! Memory is bounded: once there are many buckets, those that are full again are dropped, and clients for whom there is no
//! room share one bucket.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::{DashMapStateStore, ShrinkableKeyedStateStore};
use governor::{Quota, RateLimiter};
use xxhash_rust::xxh3::xxh3_64;

use crate::clock::Clock;
use crate::config::{self, Bucket};
use crate::http::auth::peer::Origin;

/// Buckets of one kind, at most.
const MAX_BUCKETS: usize = 50_000;

/// How many checks pass before the number of buckets is looked at again.
const LOOK_EVERY: usize = 1024;

/// The buckets of all clients, and what each connection may take.
#[derive(Debug)]
pub struct Limits {
    requests: Option<Buckets>,
    /// Requests of those without a good token, as many as of one with.
    strangers: Option<Buckets>,
    deletes: Option<Buckets>,
    failures: Option<Buckets>,
    /// Connections at a time.
    pub(crate) connections: usize,
    /// Bytes of a request's body.
    pub(crate) body_bytes: usize,
    /// How long a request's header may take, and then its body.
    pub(crate) header_timeout: Duration,
    /// Streams of changes at a time.
    pub(crate) streams: usize,
    /// Of these, how many of one token or local user.
    pub(crate) streams_per_token: usize,
}

/// Whose bucket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Key {
    /// A client's.
    Client(Origin),
    /// A token's at a client, by the token's hash: heavy use of a token starves neither the other tokens of the same host
    /// nor the same token elsewhere.
    Token(u64, Origin),
    /// That of all clients for whom there was no room.
    Rest,
}

/// When there is something in the bucket again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Empty {
    pub(crate) retry_after: Duration,
}

/// The injected clock, as the buckets see it.
#[derive(Clone, Debug)]
struct Ticks(Arc<dyn Clock>);

/// Buckets by their keys, not more than there is room for.
#[derive(Debug, Default)]
struct Room(DashMapStateStore<Key>);

type Limiter = RateLimiter<Key, Room, Ticks, NoOpMiddleware<Duration>>;

#[derive(Debug)]
struct Buckets {
    limiter: Limiter,
    clock: Ticks,
    checks: AtomicUsize,
}

impl Limits {
    /// Buckets of these sizes, all full.
    #[must_use]
    pub fn new(limits: &config::Limits, clock: &Arc<dyn Clock>) -> Self {
        Self {
            requests: Buckets::new(limits.requests, clock),
            strangers: Buckets::new(limits.requests, clock),
            deletes: Buckets::new(limits.deletes, clock),
            failures: Buckets::new(limits.failures, clock),
            connections: limits.connections,
            body_bytes: limits.body_bytes,
            header_timeout: limits.header_timeout,
            streams: limits.streams,
            streams_per_token: limits.streams_per_token,
        }
    }

    /// Takes a request with a good token, or of somebody who needs none, out of its bucket.
    pub(crate) fn request(&self, key: Key) -> Result<(), Empty> {
        self.requests.as_ref().map_or(Ok(()), |all| all.take(key))
    }

    /// Takes a request without a good token out of its bucket.
    pub(crate) fn stranger(&self, key: Key) -> Result<(), Empty> {
        self.strangers.as_ref().map_or(Ok(()), |all| all.take(key))
    }

    /// Takes a flush out of its bucket.
    pub(crate) fn delete(&self, key: Key) -> Result<(), Empty> {
        self.deletes.as_ref().map_or(Ok(()), |all| all.take(key))
    }

    /// Takes a refused token out of its bucket.
    pub(crate) fn failure(&self, key: Key) -> Result<(), Empty> {
        self.failures.as_ref().map_or(Ok(()), |all| all.take(key))
    }
}

impl Key {
    /// The bucket of this token at this client.
    pub(crate) fn token(token: &[u8], client: Origin) -> Self {
        Self::Token(xxh3_64(token), client)
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
            limiter: RateLimiter::new(quota, Room::default(), clock.clone()),
            clock,
            checks: AtomicUsize::new(0),
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
        self.limiter.check_key(&key).map_err(|not_until| Empty {
            retry_after: not_until.wait_time_from(self.clock.now()),
        })
    }

    /// Forgets the buckets that are full again, should there be no room left.
    fn tidy(&self) {
        if self.limiter.len() >= MAX_BUCKETS {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
    }
}

impl StateStore for Room {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, key: &Key, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let has_room = self.0.contains_key(key) || self.0.len() < MAX_BUCKETS;
        let key = if has_room { key } else { &Key::Rest };
        self.0.measure_and_replace(key, f)
    }
}

impl ShrinkableKeyedStateStore<Key> for Room {
    fn retain_recent(&self, drop_below: Nanos) {
        self.0.retain_recent(drop_below);
    }

    fn shrink_to_fit(&self) {
        self.0.shrink_to_fit();
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
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
        // One more for all the rest; and clients that come at the same time may each find the last room.
        assert!(buckets.limiter.len() <= MAX_BUCKETS + 1);
        // A client with a bucket keeps it; those without share one.
        assert_eq!(buckets.take(client(1)), Ok(()));
        assert!(buckets.take(client(1)).is_err());
        assert!(buckets.take(client(199_999)).is_err());
        assert!(buckets.take(client(300_000)).is_err());
        clock.advance(Duration::from_secs(10));
        for _ in 0..=LOOK_EVERY {
            clock.advance(Duration::from_secs(1));
            let _ = buckets.take(client(7));
        }
        assert!(buckets.limiter.len() < 10);
        assert_eq!(buckets.take(client(8)), Ok(()));
    }
}
