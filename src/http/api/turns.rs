//! Whose turn it is to look through very many registrations.
//!
//! Each caller has one turn at a time, and there are few at once; who waits is served in the order of coming. So one caller
//! who searches again and again takes nobody's turn, and what searches need in time and memory has a bound.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// How many look through registrations at once: each does so on every core.
const AT_ONCE: usize = 2;

/// The turns there are.
#[derive(Debug)]
pub(crate) struct Turns {
    all: Semaphore,
    /// Each caller's own turn, while it is taken or waited for.
    callers: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    _own: Option<OwnedSemaphorePermit>,
    _one: Option<SemaphorePermit<'a>>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            all: Semaphore::new(AT_ONCE),
            callers: Mutex::default(),
        }
    }
}

impl Turns {
    /// The caller's turn, once it comes.
    pub(crate) async fn take(&self, caller: &str) -> Turn<'_> {
        // Neither is ever closed.
        let own = self.own(caller).acquire_owned().await.ok();
        Turn {
            _own: own,
            _one: self.all.acquire().await.ok(),
        }
    }

    fn own(&self, caller: &str) -> Arc<Semaphore> {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = callers.get(caller).and_then(Weak::upgrade) {
            return own;
        }
        callers.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(1));
        callers.insert(caller.to_owned(), Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_caller_has_one_turn_and_takes_nobody_elses() {
        let turns = Turns::default();
        let first = turns.take("a").await;
        let mut again: Vec<_> = (0..100).map(|_| Box::pin(turns.take("a"))).collect();
        assert!(again.iter_mut().all(|turn| turn.now_or_never().is_none()));
        let other = turns.take("b").now_or_never();
        assert!(other.is_some(), "nobody waits behind them");
        assert!(turns.take("c").now_or_never().is_none(), "there are few");
        drop((first, other));
        assert!(again.remove(0).now_or_never().is_some());
    }

    #[tokio::test]
    async fn nothing_is_kept_of_those_who_have_gone() {
        let turns = Turns::default();
        for number in 0..100 {
            drop(turns.take(&number.to_string()).await);
        }
        assert!(turns.callers.lock().unwrap().len() <= 1);
    }
}
