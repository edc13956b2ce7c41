//! A lock for each address of record: one flush, or one check of hidden rows, works on it at a time.
//!
//! Without it two flushes of the same account would both find a contact and both count it, and a check that began
//! before a flush would list again what the flush has just removed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::registration::Text;

/// A usrloc table and an address of record in it.
pub(in crate::flush) type TableAor = (Arc<str>, Text);

/// The locks that are held or waited for.
#[derive(Debug, Default)]
pub(in crate::flush) struct AorLocks {
    locks: Mutex<BTreeMap<TableAor, Arc<Semaphore>>>,
}

/// The lock of an address of record, held until this is dropped.
#[derive(Debug)]
pub(in crate::flush) struct AorLock {
    locks: Arc<AorLocks>,
    aor: TableAor,
    permit: Option<OwnedSemaphorePermit>,
}

impl AorLocks {
    /// Waits for the lock of `aor`.
    pub(in crate::flush) async fn lock(self: &Arc<Self>, aor: TableAor) -> AorLock {
        let semaphore = Arc::clone(
            self.locks()
                .entry(aor.clone())
                .or_insert_with(|| Arc::new(Semaphore::new(1))),
        );
        AorLock {
            // It is never closed.
            permit: semaphore.acquire_owned().await.ok(),
            locks: Arc::clone(self),
            aor,
        }
    }

    fn locks(&self) -> MutexGuard<'_, BTreeMap<TableAor, Arc<Semaphore>>> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AorLock {
    fn drop(&mut self) {
        let mut locks = self.locks.locks();
        drop(self.permit.take());
        // Those who wait for it hold a reference as well.
        let unused = locks.get(&self.aor).map(Arc::strong_count) == Some(1);
        if unused {
            locks.remove(&self.aor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn aor(name: &str) -> TableAor {
        ("location".into(), name.into())
    }

    #[tokio::test]
    async fn one_at_a_time_and_nothing_is_left_behind() {
        let locks = Arc::new(AorLocks::default());
        let first = locks.lock(aor("a@b")).await;
        assert!(locks.lock(aor("c@b")).now_or_never().is_some());
        let mut second = Box::pin(locks.lock(aor("a@b")));
        assert!((&mut second).now_or_never().is_none(), "it is taken");
        drop(first);
        let second = second.await;
        assert!(locks.lock(aor("a@b")).now_or_never().is_none());
        drop(second);
        assert!(locks.lock(aor("a@b")).now_or_never().is_some());
        assert!(locks.locks().is_empty());
    }
}
