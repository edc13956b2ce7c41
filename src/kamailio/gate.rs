//! Who may call Kamailio while a call waits for a phone.
//!
//! Over a datagram socket a single worker of Kamailio's serves all calls, one after the other: a call that waits for a
//! phone holds up every other one, for as long as Kamailio's own timer runs. So such a call starts only while nobody else
//! calls and no flush is under way, and the others wait for its end instead of taking Kamailio for dead. Over HTTP nobody
//! is held up, and the gate is always open.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Kamailio, Transport};

/// More than there will ever be at once.
const ALL: u32 = 1 << 20;

/// The time to the next look whether nobody calls: who wants to be alone never stands in a queue, where calls of a flush
/// would have to wait behind it.
const PAUSE: Duration = Duration::from_millis(10);

/// What the clients of one Kamailio share.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Semaphore>);

/// The right to call together with others; no call that waits for a phone starts while this lives.
#[derive(Debug)]
pub struct Pass(#[expect(dead_code, reason = "dropping it gives it back")] OwnedSemaphorePermit);

/// The right to call while nobody else does.
#[derive(Debug)]
pub struct Alone(#[expect(dead_code, reason = "dropping it gives it back")] OwnedSemaphorePermit);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ALL as usize)))
    }
}

impl Kamailio {
    /// Waits until no call waits for a phone, and keeps others from it; `None` where nobody is held up by one.
    pub async fn pass(&self) -> Option<Pass> {
        let Transport::Unixgram(_) = self.transport else {
            return None;
        };
        let permit = Arc::clone(&self.gate.0).acquire_owned().await;
        permit.ok().map(Pass)
    }

    /// Waits until nobody calls; `None` where nobody is held up.
    pub(super) async fn alone(&self) -> Option<Alone> {
        let Transport::Unixgram(_) = self.transport else {
            return None;
        };
        loop {
            if let Ok(permit) = Arc::clone(&self.gate.0).try_acquire_many_owned(ALL) {
                return Some(Alone(permit));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::kamailio::Options;

    fn client(endpoint: &str, gate: &Gate) -> Kamailio {
        let options = Options {
            endpoint: endpoint.parse().unwrap(),
            timeout: Duration::from_secs(1),
            connections: 1,
        };
        Kamailio::new(options).behind(gate)
    }

    #[tokio::test]
    async fn over_datagrams_a_wait_and_others_exclude_each_other() {
        let gate = Gate::default();
        let flusher = client("unixgram:/nowhere", &gate);
        let notifier = client("unixgram:/nowhere", &gate);
        let (one, other) = (flusher.pass().await, flusher.pass().await);
        assert!(one.is_some() && other.is_some());
        let mut alone = Box::pin(notifier.alone());
        assert!(alone.as_mut().now_or_never().is_none());
        // Nobody waits behind one who only waits.
        assert!(flusher.pass().now_or_never().is_some());
        drop((one, other));
        let turn = alone.await;
        assert!(turn.is_some());
        let mut pass = Box::pin(flusher.pass());
        assert!(pass.as_mut().now_or_never().is_none());
        drop(turn);
        assert!(pass.await.is_some());
    }

    #[tokio::test]
    async fn over_http_nobody_is_held_up() {
        let gate = Gate::default();
        let client = client("http://127.0.0.1:1/RPC", &gate);
        assert!(client.alone().now_or_never().unwrap().is_none());
        assert!(client.pass().now_or_never().unwrap().is_none());
    }
}
