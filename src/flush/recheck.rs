//! Asks Kamailio about hidden rows periodically: it may have them after all.
//!
//! A Kamailio that was killed loads removed contacts from its table again; a phone that registers again revives its
//! contact before the table shows it; and a flush that was cut short by the end of the program has hidden rows in the
//! store that Kamailio may never have been asked to remove.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Flusher;
use super::answers::lookup::lookup;
use super::owners::owner;
use super::steps::removal;
use super::turn::aor_lock::TableAor;
use crate::kamailio::Fault;
use crate::rate_limited::RateLimited;
use crate::registration::{Hidden, Registration};
use crate::registry::Scope;

/// The pause between two rounds.
const PAUSE: Duration = Duration::from_secs(2);

/// For how many seconds a row is awaited whose contact was removed before the table showed it.
const AWAITED: i64 = 60;

/// Hidden rows, each with what the table has of it.
type HiddenRows = Vec<(Hidden, Arc<Registration>)>;

impl Flusher {
    /// Asks until `stop`, starting with what an earlier run has hidden.
    pub async fn recheck(&self, stop: CancellationToken) {
        let rounds = async {
            self.parts.registry.wait_for(Scope::System).await;
            let mut trouble = RateLimited::default();
            let mut intents = self.parts.registry.intents();
            loop {
                let is_compared = self.parts.registry.is_compared();
                if !intents.is_empty() {
                    self.resolve_intents(&mut intents).await;
                }
                self.recheck_once(&mut trouble).await;
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = self.parts.doubts.notified() => {}
                    () = self.parts.registry.compared(), if !is_compared => {}
                }
            }
        };
        let _stopped: Option<()> = stop.run_until_cancelled(rounds).await;
    }

    /// Lists again what Kamailio has.
    pub(super) async fn recheck_once(&self, trouble: &mut RateLimited) {
        if self.parts.registry.is_compared() {
            let before = self.parts.clock.unix_seconds() - AWAITED;
            let never_came = self.parts.registry.forget_absent_before(before);
            self.unhide_in_store(&never_came).await;
        }
        self.watch_leftovers();
        let mut hidden: BTreeMap<(i64, TableAor), HiddenRows> = BTreeMap::new();
        let mut unaskable = Vec::new();
        for (one, registration) in self.parts.registry.hidden() {
            let aor = registration.binding.address_of_record();
            let table_aor = (Arc::clone(&one.key.table), aor.name().clone());
            if aor.for_rpc().is_ok() && self.asking(&registration).is_some() {
                let owner = owner(&registration);
                let rows = hidden.entry((owner, table_aor)).or_default();
                rows.push((one, registration));
            } else {
                // An earlier version, or an earlier configuration, hid what this one cannot ask about.
                unaskable.push(one);
            }
        }
        self.list_again(&unaskable).await;
        let (mut first, mut silent) = (None, BTreeSet::new());
        for ((owner, table_aor), rows) in hidden {
            let asking = self.owners.get(&owner).unwrap_or(self);
            let of = asking.parts.server_id;
            if silent.contains(&of) {
                continue;
            }
            if let Err(fault) = asking.look_again(table_aor, rows).await {
                // A fault of one address of record says nothing about the next, unless Kamailio does not answer at all.
                if fault.is_unreachable() || fault.is_timeout() {
                    silent.insert(of);
                }
                first.get_or_insert(fault);
            }
        }
        self.report(first.as_ref(), trouble);
    }

    /// Asks about one address of record.
    async fn look_again(&self, table_aor: TableAor, rows: HiddenRows) -> Result<(), Fault> {
        // An answer from before a flush must not undo it.
        let _lock = self.locks.lock(table_aor.clone()).await;
        let (table, aor) = table_aor;
        let _permit = removal::turn_to_read(&self.queue.join(), &self.quiet, &self.mode).await;
        let (rows, registrations): (Vec<Hidden>, Vec<_>) = rows.into_iter().unzip();
        let kamailio = &self.parts.kamailio;
        let Some(memory) = lookup(kamailio, &table, &aor, || registrations).await? else {
            // So many contacts are not those that were removed; the table will show what they are.
            return Ok(());
        };
        let revived: Vec<Hidden> = rows
            .into_iter()
            .filter(|row| memory.contacts.contains_key(&row.key.ruid.0))
            .collect();
        if !revived.is_empty() {
            tracing::debug!(
                registrations = revived.len(),
                "flushed contacts are back in Kamailio; listing them again"
            );
        }
        self.list_again(&revived).await;
        Ok(())
    }

    async fn list_again(&self, rows: &[Hidden]) {
        self.parts.registry.unhide(rows.iter().map(|row| &row.key));
        self.unhide_in_store(rows).await;
    }

    /// Logs how a round went, if that is news.
    fn report(&self, fault: Option<&Fault>, trouble: &mut RateLimited) {
        let now = self.parts.clock.monotonic();
        let Some(fault) = fault else {
            if let Some(recovered) = trouble.succeeded(now) {
                let lasted = recovered.lasted.as_secs();
                let failures = recovered.failures;
                tracing::info!(
                    failures,
                    lasted,
                    "Kamailio answers about flushed registrations again"
                );
            }
            return;
        };
        if let Some(again) = trouble.failed(now) {
            let cause = fault.cause();
            tracing::warn!(%fault, cause, %again, "cannot ask Kamailio about flushed registrations");
        }
    }
}
