//! The time limit for the head of a request.
//!
//! hyper sets a timer before each request and drops it once the head has arrived, which for most is at once: that costs
//! more than many a check does. Here a request only notes its deadline, and one timer for each connection looks at it now
//! and then.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

/// Stands for no deadline.
const NONE: u64 = u64::MAX;

/// A connection's timer.
#[derive(Clone, Debug)]
pub(super) struct HeadTimer {
    started: Instant,
    /// The deadline of the head that is waited for, in nanoseconds since the start.
    deadline: Arc<AtomicU64>,
}

/// The limit of one head.
#[derive(Debug)]
struct Limit {
    timer: HeadTimer,
    deadline: Instant,
}

impl HeadTimer {
    pub(super) fn new() -> Self {
        Self {
            started: now(),
            deadline: Arc::new(AtomicU64::new(NONE)),
        }
    }

    /// Ends once a head is late. `limit` is what each may take.
    pub(super) async fn late(self, limit: Duration) {
        loop {
            let until = match self.deadline.load(Ordering::Relaxed) {
                NONE => now() + limit,
                nanos => self.started + Duration::from_nanos(nanos),
            };
            if until <= now() {
                // It has been said.
                self.set(None);
                return;
            }
            tokio::time::sleep_until(until.into()).await;
        }
    }

    fn set(&self, deadline: Option<Instant>) {
        let nanos = deadline.and_then(|deadline| {
            let after = deadline.saturating_duration_since(self.started);
            u64::try_from(after.as_nanos()).ok()
        });
        self.deadline
            .store(nanos.unwrap_or(NONE), Ordering::Relaxed);
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Limit {
            timer: self.clone(),
            deadline,
        })
    }

    fn now(&self) -> Instant {
        now()
    }
}

impl Future for Limit {
    type Output = ();

    /// Whoever awaits it is woken by [`HeadTimer::late`], in the same task.
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.deadline <= now() {
            return Poll::Ready(());
        }
        self.timer.set(Some(self.deadline));
        Poll::Pending
    }
}

impl Sleep for Limit {}

impl Drop for Limit {
    fn drop(&mut self) {
        self.timer.set(None);
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_head_is_late_after_its_limit_and_not_before() {
        let timer = HeadTimer::new();
        let mut late = Box::pin(timer.clone().late(LIMIT));
        for _ in 0..5 {
            let mut head = timer.sleep(LIMIT);
            assert!(head.as_mut().now_or_never().is_none());
            assert!(tokio::time::timeout(LIMIT / 2, &mut late).await.is_err());
        }
        let mut head = timer.sleep(LIMIT);
        assert!(head.as_mut().now_or_never().is_none());
        let begin = now();
        late.await;
        assert_eq!(now() - begin, LIMIT);
        assert!(head.as_mut().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_late_while_an_answer_is_made() {
        let timer = HeadTimer::new();
        let late = timer.clone().late(LIMIT);
        let mut head = timer.sleep(LIMIT);
        assert!(head.as_mut().now_or_never().is_none());
        drop(head);
        assert!(tokio::time::timeout(100 * LIMIT, late).await.is_err());
    }
}
