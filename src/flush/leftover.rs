//! Rows that stay in Kamailio's table after the contact was removed from its memory: its next start would load them
//! again.
//!
//! Where Kamailio writes through, a row goes with its contact; if it is still there two seconds later, its flush has
//! failed. In write-back Kamailio's timer deletes the row, mostly within a minute; one that stays much longer is logged.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::Flusher;
use super::done::Done;
use super::failure;
use super::turn::write_mode::WriteMode;
use crate::registration::{Hidden, Key, Registration, Text};
use crate::registry::{Registry, SourceState};

/// The interval between two looks at the rows.
const LOOK: Duration = Duration::from_millis(10);

/// A row that is deleted with its contact is gone after this many looks, which take two seconds.
const LOOKS: u32 = 200;

/// Seconds after which usrloc's timer should have deleted a row; by default it runs each minute.
const OVERDUE: i64 = 90;

/// Rows for which a flush has failed, with their fingerprints of then.
#[derive(Debug, Default)]
pub(super) struct Leftovers(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    failed: HashMap<Key, u64>,
    /// How many rows the last log message reported.
    logged: usize,
}

impl Flusher {
    /// Fails the flush for rows that stay although Kamailio should have deleted them with their contacts.
    pub(super) async fn confirm_rows(&self, done: &mut Done) {
        if self.mode.now() != WriteMode::Through || done.hidden.is_empty() {
            return;
        }
        let stayed = self.stayed(&done.hidden).await;
        if stayed.is_empty() {
            return;
        }
        let keys: BTreeSet<Key> = stayed.iter().map(|(one, _)| one.key.clone()).collect();
        self.parts.registry.unhide(&keys);
        let hidden: Vec<Hidden> = done
            .hidden
            .extract_if(.., |one| keys.contains(&one.key))
            .collect();
        self.unhide_in_store(&hidden).await;
        let mut by_aor: BTreeMap<Text, Vec<&Arc<Registration>>> = BTreeMap::new();
        for (_, row) in &stayed {
            by_aor
                .entry(row.binding.address_of_record().name().clone())
                .or_default()
                .push(row);
        }
        for (aor, rows) in by_aor {
            let until = latest(rows.iter().map(|row| &***row));
            let keys = rows.iter().map(|row| &row.binding.key);
            done.take_back(keys, failure::unconfirmed(&aor, &reason(until)));
        }
        let mut known = self.leftovers.known();
        known.failed.extend(
            stayed
                .into_iter()
                .map(|(one, _)| (one.key, one.fingerprint)),
        );
    }

    /// Those rows that are still there after the time in which they should have gone. None where the table cannot be
    /// read, since it is not known then.
    async fn stayed(&self, hidden: &[Hidden]) -> Vec<(Hidden, Arc<Registration>)> {
        let (registry, clock) = (&self.parts.registry, &self.parts.clock);
        let removed = clock.unix();
        let mut rows: Vec<(Hidden, Arc<Registration>)> = there(registry, hidden.to_vec());
        for _ in 0..LOOKS {
            if rows.is_empty() {
                break;
            }
            tokio::time::sleep(LOOK).await;
            rows = there(registry, rows.into_iter().map(|(one, _)| one).collect());
        }
        let source = registry.source();
        let is_known =
            source.state == SourceState::Live && source.as_of.is_some_and(|as_of| as_of >= removed);
        if !is_known {
            rows.clear();
        }
        rows
    }

    /// Counts and logs the rows that stay for too long.
    pub(super) fn watch_leftovers(&self) {
        let registry = &self.parts.registry;
        let before = self.parts.clock.unix_seconds() - OVERDUE;
        let overdue = registry
            .hidden()
            .into_iter()
            .filter(|(one, _)| one.at <= before);
        let mut rows: Vec<Arc<Registration>> = overdue.map(|(_, row)| row).collect();
        let mut known = self.leftovers.known();
        known.failed.retain(|key, fingerprint| {
            let row = registry
                .get(key)
                .filter(|row| row.binding.row_fingerprint() == *fingerprint);
            let stays = row.is_some();
            rows.extend(row.filter(|_| !registry.is_hidden(key)));
            stays
        });
        let now = self.parts.clock.unix_seconds();
        rows.retain(|row| row.binding.expiry.is_valid_at(now));
        let until = latest(rows.iter().map(AsRef::as_ref));
        self.parts.metrics.flushes.leftover(rows.len(), until);
        let logged = std::mem::replace(&mut known.logged, rows.len());
        if rows.len() > logged {
            tracing::warn!(
                rows = rows.len(),
                until = until.map(shown),
                "flushed registrations remain in Kamailio's table, and a restart of Kamailio would restore them; run `usrlocd doctor`"
            );
        } else if rows.is_empty() && logged > 0 {
            tracing::info!("no flushed registrations remain in Kamailio's table");
        }
    }
}

impl Leftovers {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those hidden rows that the table still has, as they were when they were hidden.
fn there(registry: &Registry, hidden: Vec<Hidden>) -> Vec<(Hidden, Arc<Registration>)> {
    let hidden = hidden
        .into_iter()
        .filter(|one| registry.is_hidden(&one.key));
    hidden
        .filter_map(|one| registry.get(&one.key).map(|row| (one, row)))
        .collect()
}

/// When the last of the rows expires, Unix seconds; `None` where there is none, or one never expires.
fn latest<'a>(rows: impl Iterator<Item = &'a Registration>) -> Option<i64> {
    let ends: Option<Vec<i64>> = rows.map(|row| row.binding.expiry.end()).collect();
    ends?.into_iter().max()
}

fn reason(until: Option<i64>) -> String {
    let until = until.map_or_else(String::new, |at| format!(" before {}", shown(at)));
    format!(
        "Kamailio has removed the contact, but its row is still in the table; a restart of Kamailio{until} would \
         restore it"
    )
}

fn shown(at: i64) -> String {
    Timestamp::from_second(at).unwrap_or_default().to_string()
}
