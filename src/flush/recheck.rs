//! Asks Kamailio about hidden rows again and again: it may have them after all.
//!
//! A Kamailio that was killed loads removed contacts again from its table; a phone that registers again revives
//! its contact before the table shows it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Flusher;
use super::aor::Memory;
use super::turns::Place;
use crate::rate_limited::RateLimited;
use crate::registration::Key;

/// The pause between two rounds.
const PAUSE: Duration = Duration::from_secs(2);

/// Seconds for which a row is awaited that was removed from Kamailio's memory before the table showed it.
const AWAITED: i64 = 60;

impl Flusher {
    /// Asks until `stop`.
    pub async fn recheck(&self, stop: CancellationToken) {
        let mut trouble = RateLimited::default();
        loop {
            let pause = async {
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = self.parts.doubts.notified() => {}
                }
            };
            if stop.run_until_cancelled(pause).await.is_none() {
                return;
            }
            if stop
                .run_until_cancelled(self.recheck_once(&mut trouble))
                .await
                .is_none()
            {
                return;
            }
        }
    }

    /// Shows again what Kamailio has.
    async fn recheck_once(&self, trouble: &mut RateLimited) {
        let before = self.parts.clock.unix_seconds() - AWAITED;
        let never_came = self.parts.view.forget_absent_before(before);
        self.unhide_in_store(&never_came).await;
        let mut hidden: BTreeMap<Place, Vec<Key>> = BTreeMap::new();
        for (one, registration) in self.parts.view.hidden() {
            let place = (
                Arc::clone(&one.key.table),
                registration.binding.address_of_record(),
            );
            hidden.entry(place).or_default().push(one.key);
        }
        for ((table, aor), keys) in hidden {
            // A flush in between would be undone by what Kamailio said before it.
            let _turn = self.turns.take((Arc::clone(&table), aor.clone())).await;
            match self.parts.kamailio.lookup(&table, &aor).await {
                Ok(lookup) => {
                    trouble.succeeded(self.parts.clock.monotonic());
                    let there = Memory::of(lookup).contacts;
                    let revived: Vec<Key> = keys
                        .into_iter()
                        .filter(|key| there.contains_key(&key.ruid.0))
                        .collect();
                    self.show_again(&revived).await;
                }
                Err(fault) => {
                    if let Some(say) = trouble.failed(self.parts.clock.monotonic()) {
                        tracing::warn!(%fault, ?say, "cannot ask Kamailio about flushed registrations");
                    }
                    return;
                }
            }
        }
    }

    async fn show_again(&self, keys: &[Key]) {
        if keys.is_empty() {
            return;
        }
        self.parts.view.unhide(keys);
        tracing::debug!(
            registrations = keys.len(),
            "Kamailio has flushed registrations again; they are listed"
        );
        self.unhide_in_store(keys).await;
    }

    async fn unhide_in_store(&self, keys: &[Key]) {
        if keys.is_empty() {
            return;
        }
        if let Err(error) = self.parts.store.unhide(keys).await {
            tracing::error!(%error, "flushed registrations that came back are hidden again after a restart");
        }
    }
}
