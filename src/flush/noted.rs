//! What a flush leaves in the store while it runs, so that nothing of it is lost should the program end in the middle.
//!
//! Before a contact is removed its row is hidden in the store, and only there: a start after a crash hides what may be
//! gone, and asks Kamailio about it at once. A line of the audit begins with the flush and is completed at its end.

use super::{AUDIT, Actor, Flusher, Outcome};
use crate::consumers::store::{Error, FlushId, FlushRecord};
use crate::registration::Hidden;

use super::targets::Target;

/// A line of the audit that is to be completed.
#[derive(Debug)]
pub(super) struct Note {
    id: Option<FlushId>,
    record: FlushRecord,
}

impl Flusher {
    /// Begins a line of the audit. That a flush happened is true whether or not it is noted.
    pub(super) async fn note_begin(&self, actor: &Actor) -> Note {
        let record = FlushRecord {
            at: self.parts.clock.unix_seconds(),
            token: actor.token.clone(),
            client: actor.client.clone(),
            request_id: actor.request_id.clone(),
            account: actor.account_id.clone(),
            username: actor.username.clone(),
            filters: actor.filters.clone(),
            flushed: 0,
            failed: 0,
            ended: None,
        };
        let id = self.record(None, &record).await;
        Note { id, record }
    }

    /// Completes the line of the audit, and says the same in the log.
    pub(super) async fn note_end(&self, note: Note, outcome: &Outcome) {
        let record = FlushRecord {
            flushed: outcome.flushed,
            failed: outcome.failed.len() as u64,
            ended: Some(self.parts.clock.unix_seconds()),
            ..note.record
        };
        tracing::info!(
            target: AUDIT,
            token = record.token,
            client = record.client,
            request_id = record.request_id,
            account = record.account,
            username = record.username,
            filters = record.filters,
            flushed = record.flushed,
            failed = record.failed,
            "flushed registrations"
        );
        self.record(note.id, &record).await;
    }

    async fn record(&self, id: Option<FlushId>, record: &FlushRecord) -> Option<FlushId> {
        match self.parts.store.record_flush(id, record).await {
            Ok(id) => Some(id),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, "a flush is missing in the audit table");
                id
            }
        }
    }

    /// Has the store hide what is about to be removed.
    pub(super) async fn announce(&self, targets: &mut [Target]) -> Result<(), Error> {
        let at = self.parts.clock.unix_seconds();
        for target in &mut *targets {
            target.announced = target.intended(at).collect();
        }
        let announced = targets.iter().flat_map(|target| &target.announced);
        let announced: Vec<Hidden> = announced.cloned().collect();
        if announced.is_empty() {
            return Ok(());
        }
        self.parts.store.hide_lightly(&announced).await
    }

    /// Has the store show again what was announced and did not go.
    pub(super) async fn renounce(&self, announced: Vec<Hidden>) {
        let registry = &self.parts.registry;
        let kept: Vec<Hidden> = announced
            .into_iter()
            .filter(|one| !registry.is_hidden(&one.key))
            .collect();
        self.unhide_in_store(&kept).await;
    }

    /// Has the store show rows again.
    pub(super) async fn unhide_in_store(&self, rows: &[Hidden]) {
        if rows.is_empty() {
            return;
        }
        if let Err(error) = self.parts.store.unhide(rows).await {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "flushed registrations that came back are hidden again after a restart");
        }
    }
}
