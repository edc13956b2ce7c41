//! What a flush was about to remove when the program ended: whether Kamailio let go of it is asked before anything else.
//!
//! Until that is known such a row is not listed, for it may be gone, and the registry is not live. While Kamailio does not
//! answer the row is listed again: nobody was told that it went. A row that has not been read yet, because the store had
//! only a part of the table, is asked about once it has.

use super::Flusher;
use super::answers::credibility::LOADED_AFTER;
use super::answers::lookup::lookup;
use super::steps::removal;
use crate::kamailio::Fault;
use crate::registration::Hidden;

/// What became of an intended removal.
enum Fate {
    /// Kamailio does not have the contact.
    Gone,
    /// Kamailio has it, or the table has no such row any more.
    Void,
    /// Kamailio may still be loading its table.
    Unknown,
}

impl Flusher {
    /// Asks about each of `intents`, and leaves those in it about which nothing is known yet.
    pub(super) async fn resolve_intents(&self, intents: &mut Vec<Hidden>) {
        let (mut gone, mut void, mut open, mut unread) = (vec![], vec![], vec![], vec![]);
        let mut is_silent = false;
        let registry = &self.parts.registry;
        let is_compared = registry.is_compared();
        for intent in std::mem::take(intents) {
            if !is_compared && !registry.has(&intent.key) {
                unread.push(intent);
                continue;
            }
            if is_silent {
                open.push(intent);
                continue;
            }
            match self.fate(&intent).await {
                Ok(Fate::Gone) => gone.push(intent),
                Ok(Fate::Void) => void.push(intent),
                Ok(Fate::Unknown) => open.push(intent),
                Err(fault) => {
                    tracing::debug!(%fault, cause = fault.cause(), "cannot ask Kamailio about an unfinished flush");
                    is_silent = fault.is_unreachable() || fault.is_timeout();
                    open.push(intent);
                }
            }
        }
        registry.hide(gone.iter().cloned(), &std::sync::Arc::default());
        if let Err(error) = self.parts.store.hide(&gone).await {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "flushed registrations will be listed again after a restart");
        }
        registry.unhide(void.iter().chain(&open).map(|one| &one.key));
        self.unhide_in_store(&void).await;
        if unread.is_empty() {
            registry.close_intents();
        }
        unread.append(&mut open);
        *intents = unread;
    }

    async fn fate(&self, intent: &Hidden) -> Result<Fate, Fault> {
        let Some(registration) = self.parts.registry.get(&intent.key) else {
            return Ok(Fate::Void);
        };
        let aor = registration.binding.address_of_record();
        let is_changed = registration.binding.last_modified > intent.at;
        if is_changed || aor.for_rpc().is_err() {
            return Ok(Fate::Void);
        }
        // Its Kamailio is not named any more: nobody can be asked.
        let Some(asking) = self.asking(&registration) else {
            return Ok(Fate::Void);
        };
        let table_aor = (intent.key.table.clone(), aor.name().clone());
        let _lock = asking.locks.lock(table_aor.clone()).await;
        let (table, aor) = table_aor;
        let (lane, quiet, mode) = (asking.queue.join(), &asking.quiet, &asking.mode);
        let _permit = removal::turn_to_read(&lane, quiet, mode).await;
        let kamailio = &asking.parts.kamailio;
        let rows = || vec![registration.clone()];
        let Some(memory) = lookup(kamailio, &table, &aor, rows).await? else {
            return Ok(Fate::Void);
        };
        if memory.contacts.contains_key(&intent.key.ruid.0) {
            return Ok(Fate::Void);
        }
        let is_believed = memory.is_known || kamailio.uptime().await?.lasted >= LOADED_AFTER;
        Ok(if is_believed {
            Fate::Gone
        } else {
            Fate::Unknown
        })
    }
}
